"""The run folder: write, read back, refuse what does not belong.

    runs/<name>/
      plan.yaml                  all that was asked, resolved; versions, digests
      base/                      what is scored before anything is trained
        result.json  scores/<suite>.parquet  completions.parquet
      <arm>/seed-<n>/            readable; the fingerprint inside is checked, another trial in its place is an error
        trial.json  training.jsonl  checkpoints/  weights/  result.json
        scores/<suite>.parquet  completions.parquet  trajectory.parquet
      results.csv                one row an arm, seed and task
      report.html                one file, no network

Files are complete or absent: written beside, flushed, renamed.
"""

import contextlib
import json
import os
import shutil
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from filelock import FileLock, Timeout

from harness.crash import crash_point
from harness.errors import InputError, RecordError
from harness.plan import Arm, Trial, digest, file_digest, parse_arms

SCORE_COLUMNS: dict[str, str] = {
    "suite": "str",
    "task": "str",
    "item": "str",  # identity of the document within the task: what is paired
    "cluster": "str",  # items of one cluster are not independent
    "document_hash": "str",
    "prompt_hash": "str",
    "target_hash": "str",
    "value": "float64",  # the item's metric: 1 or 0 for a choice, exact match; bits per byte for a text
    "loglikelihoods": "object",  # nats, one an option; one number for a text
    "option_bytes": "object",  # UTF-8 bytes of every option; of the text
    "option_tokens": "object",  # tokens of every option, -1 where unknown; predicted tokens of the text
    "choice": "Int64",  # option chosen under the task's metric
    "answer": "Int64",  # option that is right
    "prompt": "str",  # what was asked, shortened; empty for texts and for sensitive suites
    "options": "object",  # what could be answered, shortened
}
"""Columns of scores/<suite>.parquet: one row an item. Aggregates are computed from rows, never stored alone."""


SEAL = "digest_of_the_rest"
TRAJECTORY = "trajectory.parquet"
"""What a trial's few fixed items cost at its milestones: one row a milestone and item.

update, tokens          updates done, tokens read
task, item, cluster     as in SCORE_COLUMNS
kind, weight            text with its bytes, or answer with weight 1
before, after           bits of the base, and of the weights at that update: of the whole text, or of the right answer
"""


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to; whole and flushed when it takes the name of `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield beside
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        crash_point("file-written")
        beside.replace(path)
        flush_folder(path.parent)
        crash_point("file-renamed")
    finally:
        beside.unlink(missing_ok=True)


def flush_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with writing(path) as beside:
        beside.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write JSON, whole or not at all; refuses what JSON has no word for (NaN, infinity)."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, allow_nan=False, default=str) + "\n")


def write_facts(path: Path, facts: Mapping[str, Any]) -> None:
    """Write what a page takes figures from: JSON that holds its own digest, so that a flipped digit is found."""
    plain = json.loads(json.dumps(facts, allow_nan=False, default=str))
    write_json(path, {**plain, SEAL: digest(plain)})


def read_json(path: Path) -> Any:
    """Read JSON; a file that is no JSON, or not what its own digest says, is named."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RecordError(f"{path} is damaged ({error}); delete it and run the same command again") from error
    if not isinstance(found, dict):
        raise RecordError(f"{path} is damaged (it holds no object); delete it and run the same command again")
    if SEAL in found and found.pop(SEAL) != digest(found):
        raise RecordError(f"{path} is not as it was written; delete it and run the same command again")
    return found


def read_table(path: Path) -> pd.DataFrame:
    """Read a table that a run kept; one whose bytes are not those that were written is named."""
    note = path.with_suffix(".json")
    if note.is_file() and read_json(note).get("sha256") != file_digest(path):
        raise RecordError(f"{path} is not as it was written; run the same command again, and it is made anew")
    try:
        return pd.read_parquet(path)
    except Exception as error:  # pyarrow raises many kinds
        raise RecordError(f"{path} is damaged ({type(error).__name__}); delete it and run the same command again") from error


class Log:
    """An append-only file of JSON lines that a restart cuts back to the lines its checkpoint knew."""

    def __init__(self, path: Path, keep: int = 0) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)[:keep] if path.exists() else []
        if len(lines) < keep or (lines and not lines[-1].endswith("\n")):
            raise RecordError(
                f"{path} has fewer whole lines than the {keep} that its checkpoint knew; delete the trial's folder"
            )
        write_text(path, "".join(lines))
        self._file = path.open("a", encoding="utf-8")

    def write(self, row: Mapping[str, Any]) -> None:
        """Add a line."""
        self._file.write(json.dumps(row, allow_nan=False) + "\n")

    def flush(self) -> None:
        """Bring all lines to the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())
        crash_point("log-flushed")

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()
        self._file.close()


@contextlib.contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Hold a run folder against a second process, which is told who holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / ".owner"
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        owner = note.read_text().strip() if note.exists() else "another process"
        raise RecordError(f"{folder} is in use by {owner}; wait for it, or give --output another folder") from None
    try:
        note.write_text(f"process {os.getpid()} on {socket.gethostname()}")
        _sweep(folder)
        yield
    finally:
        note.unlink(missing_ok=True)
        lock.release()


def _sweep(folder: Path) -> None:
    """Remove what a process that was killed left half written or half deleted."""
    for path in [path for end in ("tmp", "old") for path in folder.rglob(f".*.{end}")]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def write_plan(folder: Path, plan: Mapping[str, Any]) -> None:
    """Store the resolved plan; it holds its own fingerprint."""
    sealed = {**plan, SEAL: digest(dict(plan))}
    write_text(folder / "plan.yaml", yaml.safe_dump(sealed, sort_keys=False, allow_unicode=True, width=120))


def read_plan(folder: Path) -> dict[str, Any]:
    """The plan of a run folder."""
    path = folder / "plan.yaml"
    if not path.is_file():
        raise InputError(f"{folder} is no run folder: it holds no plan.yaml; give the folder that `harness run` wrote")
    try:
        plan = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise RecordError(f"{path} is damaged ({reason}); restore it or start again with another --output") from error
    if not isinstance(plan, dict) or "fingerprint" not in plan:
        raise RecordError(f"{path} holds no plan with a fingerprint; restore it or start again with another --output")
    if SEAL in plan and plan.pop(SEAL) != digest(plan):
        raise RecordError(f"{path} is not as it was written; restore it or start again with another --output")
    return plan


@dataclass(frozen=True)
class Result:
    """What a run holds of one trial, or of the base."""

    folder: Path
    arm: Arm | None
    seed: int | None

    @property
    def name(self) -> str:
        """The arm as typed; `base` for the base."""
        return self.arm.name if self.arm else "base"

    @cached_property
    def facts(self) -> dict[str, Any]:
        """result.json: status, error, tokens by source, steps, seconds, FLOPs, memory, digests; empty where not yet run."""
        path = self.folder / "result.json"
        return read_json(path) if path.exists() else {}

    @property
    def status(self) -> str:
        """done, failed, or missing."""
        return self.facts.get("status", "missing")

    @cached_property
    def training(self) -> pd.DataFrame:
        """training.jsonl: one row an update; a torn last line (a kill while writing) is left out."""
        path = self._as_written("training.jsonl")
        rows = []
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
            with contextlib.suppress(json.JSONDecodeError):
                rows.append(json.loads(line))
        return pd.DataFrame(rows)

    @cached_property
    def trajectory(self) -> pd.DataFrame:
        """trajectory.parquet, as TRAJECTORY says; empty where nothing was looked at while training."""
        path = self._as_written(TRAJECTORY)
        return read_table(path) if path.exists() else pd.DataFrame()

    def _as_written(self, name: str) -> Path:
        """A file that was written while training; one that changed since the trial was finished is named."""
        path = self.folder / name
        wanted = self.facts.get("logs", {}).get(name)
        if wanted and (not path.exists() or file_digest(path) != wanted):
            raise RecordError(f"{path} is not as it was written; delete {self.folder} and run the same command again")
        return path

    @cached_property
    def scores(self) -> pd.DataFrame:
        """All rows of scores/*.parquet, with the columns of SCORE_COLUMNS."""
        tables = [read_table(path) for path in sorted((self.folder / "scores").glob("*.parquet"))]
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(SCORE_COLUMNS))

    @cached_property
    def completions(self) -> pd.DataFrame:
        """completions.parquet: prompt and completion."""
        path = self.folder / "completions.parquet"
        return read_table(path) if path.exists() else pd.DataFrame(columns=["prompt", "completion"])


@dataclass(frozen=True)
class Record:
    """A run folder, read back."""

    folder: Path
    plan: dict[str, Any]
    base: Result
    trials: tuple[Result, ...]

    @property
    def tasks(self) -> dict[str, dict[str, Any]]:
        """Task name -> suite, measures, metric, chance, source, higher_is_better, about: as scored."""
        return self.plan["tasks"]


def read(folder: Path) -> Record:
    """Read a run folder; what is missing is a trial whose status says so."""
    plan = read_plan(folder)
    arms = [arm for name in plan["arms"] for arm in parse_arms(name)]
    trials = [Trial(arm, seed) for seed in plan["seeds"] for arm in arms]
    return Record(
        folder=folder,
        plan=plan,
        base=Result(folder / "base", None, None),
        trials=tuple(Result(folder / trial.folder, trial.arm, trial.seed) for trial in trials),
    )
