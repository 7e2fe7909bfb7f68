"""Files that are whole or absent (written beside, flushed, renamed) and say when they were damaged; one owner a folder."""

import contextlib
import hashlib
import json
import os
import shutil
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout

from harness.crash import crash_point
from harness.errors import RecordError
from harness.hiding import hidden_in
from harness.plan import digest, file_digest

SEAL = "digest_of_the_rest"


def cache() -> Path:
    """Where packed text, Fisher matrices, scores and documents of the hub are kept between runs (HARNESS_CACHE)."""
    return Path(os.environ.get("HARNESS_CACHE") or Path.home() / ".cache" / "forgetting-harness")


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
    except OSError as error:
        if error.filename is not None:
            raise
        raise OSError(f"{path} cannot be written: {error}") from error  # pyarrow does not say where
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
    plain = hidden_in(json.loads(json.dumps(facts, allow_nan=False, default=str)))
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
    # Half of a surrogate pair, which JSON can spell and no table can hold, becomes a question mark.
    return json.loads(json.dumps(found, ensure_ascii=False).encode("utf-8", "replace"))


def read_table(path: Path, weights: str | None = None, columns: Sequence[str] = ()) -> pd.DataFrame:
    """Read a table that a run kept; one whose bytes are not those that were written, or of other weights, is named.

    columns  read these alone, and leave them in Arrow's memory
    """
    note = path.with_suffix(".json")
    known = read_json(note) if note.is_file() else {}
    if known and known.get("sha256") != file_digest(path):
        raise RecordError(f"{path} is not as it was written; run the same command again, and it is made anew")
    if weights and known.get("weights", weights) != weights:
        raise RecordError(f"{path} was made with another model's weights; run the same command again, and it is made anew")
    try:
        return pd.read_parquet(path, columns=list(columns), dtype_backend="pyarrow") if columns else pd.read_parquet(path)
    except Exception as error:  # pyarrow raises many kinds
        raise RecordError(f"{path} is damaged ({type(error).__name__}); delete it and run the same command again") from error


def attributes(path: Path) -> dict[str, Any]:
    """What a table's metadata say beside its rows, without reading these."""
    import pyarrow.parquet as pq

    return (pq.read_schema(path).pandas_metadata or {}).get("attributes") or {}


def _lines(path: Path, count: int) -> list[bytes]:
    """The first lines of a file."""
    return path.read_bytes().splitlines(keepends=True)[:count] if path.exists() else []


def refuse_changed(path: Path, lines: int, digest: str) -> None:
    """Refuse a log whose first lines are not those that a checkpoint knew."""
    if hashlib.sha256(b"".join(_lines(path, lines))).hexdigest() != digest:
        raise RecordError(f"{path} is not as it was written; delete {path.parent} and run the same command again")


def rows_digest(path: Path, update: int) -> str:
    """Of the rows of a table that are of no later update, whatever was added since; nothing where there are none."""
    if not path.exists():
        return ""
    rows = read_table(path)
    rows = rows[rows["update"] <= update]
    return hashlib.sha256(rows.to_csv(index=False).encode()).hexdigest() if len(rows) else ""


def refuse_changed_rows(path: Path, update: int, digest: str) -> None:
    """Refuse a table that no longer holds the rows that the checkpoint of an update knew."""
    try:
        if rows_digest(path, update) == digest:
            return
        wrong = "is not as it was" if path.exists() else "is gone, and held milestones"
    except (RecordError, KeyError):
        wrong = "is not as it was"
    raise RecordError(
        f"{path} {wrong} when the checkpoint at update {update} was written; "
        f"put it back, or delete {path.parent}, and run the same command again"
    )


class Log:
    """An append-only file of JSON lines that a restart cuts back to the lines its checkpoint knew."""

    def __init__(self, path: Path, keep: int = 0) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = _lines(path, keep)
        if len(lines) < keep or (lines and not lines[-1].endswith(b"\n")):
            raise RecordError(
                f"{path} has fewer whole lines than the {keep} that its checkpoint knew; delete the trial's folder"
            )
        with writing(path) as beside:
            beside.write_bytes(b"".join(lines))
        self.name, self._written = path.name, hashlib.sha256(b"".join(lines))
        self._file = path.open("a", encoding="utf-8")

    def write(self, row: Mapping[str, Any]) -> None:
        """Add a line."""
        line = json.dumps(row, allow_nan=False) + "\n"
        self._file.write(line)
        self._written.update(line.encode())

    @property
    def digest(self) -> str:
        """Of all its lines."""
        return self._written.hexdigest()

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
def owned(folder: Path, named: Path | None = None, instead: str = "give --output another folder") -> Iterator[None]:
    """Hold a folder against a second process, which is told who holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / ".owner"
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        owner = note.read_text().strip() if note.exists() else "another process"
        raise RecordError(f"{named or folder} is in use by {owner}; wait for it, or {instead}") from None
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
