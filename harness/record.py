"""The run folder: write, read back, refuse what does not belong.

    runs/<name>/
      plan.yaml                  all that was asked, resolved; versions, digests
      base/                      what is scored before anything is trained
        result.json  scores/<suite>.parquet  completions.parquet  marks.json
      <arm>/seed-<n>/            readable; the fingerprint inside is checked, another trial in its place is an error
        trial.json  training.jsonl  checkpoints/  weights/  result.json
        scores/<suite>.parquet  completions.parquet  drift.parquet  trajectory.parquet
        curve/<share>/           of the control: the same scores of its weights interpolated with the base's
      contamination.parquet      which items stand in which training text
      results.csv                one row an arm, seed and task
      report.html                one file, no network

Files are complete or absent: written beside, flushed, renamed.
"""

import contextlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from harness.errors import InputError, RecordError
from harness.files import SEAL, attributes, read_json, read_table, write_text
from harness.hiding import hidden_in
from harness.plan import Arm, Part, Trial, digest, file_digest
from harness.tabled import CONTAMINATION, CONTAMINATION_COLUMNS, DRIFT, DRIFT_COLUMNS, PATHS, SCORE_COLUMNS, TRAJECTORY
from harness.typed import parse_arms

SHARE = re.compile(r"0\.[1-9]")
"""Names of the folders in which the points of a curve lie."""


def write_plan(folder: Path, plan: Mapping[str, Any]) -> None:
    """Store the resolved plan; it holds its own fingerprint."""
    shown = hidden_in(plan)
    sealed = {**shown, SEAL: digest(shown)}
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
    if plan.pop(SEAL, None) != digest(plan):
        raise RecordError(f"{path} is not as it was written; restore it or start again with another --output")
    return plan


@dataclass(frozen=True)
class Result:
    """What a run holds of one trial, or of the base.

    without  tasks that were scored and are not read: of several runs on one page, those that not all of them have
    """

    folder: Path
    arm: Arm | None
    seed: int | None
    without: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """The arm as typed; `base` for the base."""
        return self.arm.name if self.arm else "base"

    @cached_property
    def facts(self) -> dict[str, Any]:
        """result.json: status, error, tokens by source, steps, seconds, FLOPs, memory, digests; empty where not yet run."""
        path = self.folder / "result.json"
        found = read_json(path) if path.exists() else {}
        own = (self.name, self.seed)
        if self.arm and (theirs := (found.get("arm", self.name), found.get("seed", self.seed))) != own:
            held, wanted = (f"{arm}, seed {seed}" for arm, seed in (theirs, own))
            raise RecordError(f"{path} is of {held}, and not of {wanted}; delete {self.folder} and run the same command again")
        return found

    @property
    def _weights(self) -> str | None:
        """Digest of the model that all of its tables were made with; None: not known."""
        return self.facts.get("digest" if self.arm is None else "weights")

    @property
    def status(self) -> str:
        """done, failed, or missing."""
        return self.facts.get("status", "missing")

    @cached_property
    def training(self) -> pd.DataFrame:
        """training.jsonl: one row an update; a torn line (a kill while writing) is left out."""
        path = self._as_written("training.jsonl")
        rows = []
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []:
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
        """All rows of scores/*.parquet, with the columns of SCORE_COLUMNS and PATHS of all of them."""
        tables = [read_table(path, self._weights) for path in self._tables]
        found = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(SCORE_COLUMNS))
        found.attrs[PATHS] = {task: words for table in tables for task, words in table.attrs.get(PATHS, {}).items()}
        return found

    @property
    def _tables(self) -> list[Path]:
        return sorted((self.folder / "scores").glob("*.parquet"))

    def columns(self, names: Sequence[str]) -> pd.DataFrame:
        """Some columns of `scores`, read anew and left in Arrow's memory: what a page needs of a hundred thousand items."""
        tables = [read_table(path, self._weights, names) for path in self._tables]
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(names))

    @cached_property
    def paths(self) -> dict[str, str]:
        """Task -> how the model read its requests, packed, or plain and why."""
        return {task: words for path in self._tables for task, words in attributes(path).get(PATHS, {}).items()}

    @cached_property
    def curve(self) -> tuple[tuple[float, "Result"], ...]:
        """Share of its weights -> what they score, interpolated with the base's, where that was done; see harness/curve.py."""
        found = sorted(path.parent for path in self.folder.glob("curve/*/result.json") if SHARE.fullmatch(path.parent.name))
        points = [(float(folder.name), Result(folder, self.arm, self.seed, self.without)) for folder in found]
        for share, point in points:
            own = {"share": share, "of": self.facts.get("weights")}
            if any(point.facts.get(key, value) != value for key, value in own.items()):
                raise RecordError(f"{point.folder} is of another curve; delete it and run the same command again")
        return tuple((share, point) for share, point in points if point.status == "done")

    @cached_property
    def drift(self) -> pd.DataFrame:
        """drift.parquet, with the columns of DRIFT_COLUMNS; empty where drift was not measured."""
        path = self.folder / DRIFT
        return read_table(path, self._weights) if path.exists() else pd.DataFrame(columns=list(DRIFT_COLUMNS))

    @cached_property
    def completions(self) -> pd.DataFrame:
        """completions.parquet: prompt and completion."""
        path = self.folder / "completions.parquet"
        return read_table(path, self._weights) if path.exists() else pd.DataFrame(columns=["prompt", "completion"])


@dataclass(frozen=True)
class Record:
    """A run folder, read back.

    earlier  the runs that it follows, where its base was trained by one: the first one first
    """

    folder: Path
    plan: dict[str, Any]
    base: Result
    trials: tuple[Result, ...]
    earlier: "tuple[Record, ...]" = ()

    @cached_property
    def contamination(self) -> pd.DataFrame:
        """contamination.parquet; empty where the training text is not known or was not looked through."""
        path = self.folder / CONTAMINATION
        return read_table(path) if path.exists() else pd.DataFrame(columns=list(CONTAMINATION_COLUMNS))

    @property
    def tasks(self) -> dict[str, dict[str, Any]]:
        """Task name -> suite, measures, metric, chance, source, higher_is_better, about: as scored."""
        return self.plan["tasks"]


def read(folder: Path) -> Record:
    """Read a run folder; what is missing is a trial whose status says so."""
    plan = read_plan(folder)
    trials = _planned(plan)
    return Record(
        folder=folder,
        plan=plan,
        base=Result(folder / "base", None, None),
        trials=tuple(Result(folder / trial.folder, trial.arm, trial.seed) for trial in trials),
    )


def _planned(plan: Mapping[str, Any]) -> list[Trial]:
    """Every arm under every seed, what a search only tried under its own; of models trained elsewhere those that are named."""
    if "models" in plan:
        named = {(model["arm"], model["seed"]): None for model in plan["models"]}
        return sorted((Trial(Arm((Part(arm),)), seed) for arm, seed in named), key=lambda trial: trial.seed)
    arms = [arm for name in plan["arms"] for arm in parse_arms(name)]
    tried, first = set(plan.get("tried") or ()), (plan.get("match") or {}).get("seed")
    return [Trial(arm, seed) for seed in plan["seeds"] for arm in arms if seed == first or arm.name not in tried]
