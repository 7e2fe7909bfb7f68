"""The work folder of a preparation: what each pass has written so far, cut back on a restart to what was known to be whole.

.notes.jsonl.work/state.json     key, pass, documents read of it, lengths of its files, counts
.notes.jsonl.work/<pass>/        rows.jsonl: what is left of the documents; facts: source and tokens of each
                                 prints (for duplicates) or scores (for a scorer); keep: which of them the pass' end keeps
"""

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from harness.crash import crash_point
from harness.errors import RecordError
from harness.files import read_json, write_json
from harness.prepare_pass import EXAMPLES, Made, Row

FACT = np.dtype([("source", np.int64), ("tokens", np.int64)])
STATE = "state.json"
Array = np.ndarray[Any, Any]


class Progress:
    """Where the work stands, as state.json knows it; what belongs to other sources or another recipe is removed."""

    def __init__(self, folder: Path, key: str) -> None:
        self.folder = folder
        path = folder / STATE
        known: dict[str, Any] = read_json(path) if path.is_file() else {}
        self.foreign = bool(known) and known["key"] != key
        if not known or self.foreign:
            known = {"key": key, "pass": 0, "position": 0, "lengths": {}, "counts": {}, "marks": {}, "examples": {}}
            for other in folder.iterdir():
                if other.is_dir():
                    shutil.rmtree(other)
        self.known = known
        self.counts, self.marks = Counter[str](known["counts"]), Counter[str](known["marks"])
        self.examples: dict[str, list[dict[str, Any]]] = known["examples"]

    @property
    def number(self) -> int:
        """The pass under way."""
        return self.known["pass"]

    @property
    def position(self) -> int:
        """Documents that it has read."""
        return self.known["position"]

    def place(self, number: int) -> Path:
        """The folder of a pass."""
        return self.folder / str(number)

    def show(self, step: str, one: dict[str, Any]) -> None:
        """Keep an example of what a step took; the first few are enough."""
        if len(some := self.examples.setdefault(step, [])) < EXAMPLES:
            some.append(one)

    def save(self, **news: Any) -> None:
        """Bring what is known to the disk."""
        self.known |= {**news, "counts": dict(self.counts), "marks": dict(self.marks), "examples": self.examples}
        write_json(self.folder / STATE, self.known)

    def next(self) -> None:
        """End a pass; the one before it is no longer needed."""
        self.save(**{"pass": self.number + 1, "position": 0, "lengths": {}})
        if self.number > 1:
            shutil.rmtree(self.place(self.number - 2), ignore_errors=True)


class Kept:
    """The files of a pass while it is written, cut back to the lengths that are known."""

    def __init__(self, progress: Progress) -> None:
        self.progress, self.folder = progress, progress.place(progress.number)
        self.folder.mkdir(exist_ok=True)
        self.files = {name: self._opened(name) for name in ("rows.jsonl", "facts", "prints", "scores")}

    def _opened(self, name: str) -> IO[bytes]:
        file, known = (self.folder / name).open("ab"), self.progress.known["lengths"].get(name, 0)
        if file.seek(0, os.SEEK_END) < known:
            raise RecordError(
                f"{file.name} is shorter than it was; delete {self.progress.folder} and type the same command again"
            )
        file.truncate(known)
        file.seek(0, os.SEEK_END)
        return file

    def add(self, made: Made, scores: Array | None) -> None:
        """A chunk more, on the disk before it is known."""
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in made.rows)
        self.files["rows.jsonl"].write("".join(lines).encode())
        self.files["facts"].write(np.array([(row.source, row.tokens) for row in made.rows], FACT).tobytes())
        self.files["prints"].write(made.prints)
        self.files["scores"].write(b"" if scores is None else scores.tobytes())
        for file in self.files.values():
            file.flush()
            os.fsync(file.fileno())
        crash_point("log-flushed")
        known = self.progress
        known.counts.update(made.counts)
        if not known.number:
            known.counts.update({"in documents": made.read, "in characters": made.characters})
        known.marks.update(made.marks)
        for step, some in made.examples.items():
            for one in some:
                known.show(step, one)
        lengths = {name: file.tell() for name, file in self.files.items()}
        known.save(position=known.position + made.read, lengths=lengths)

    def __enter__(self) -> "Kept":
        return self

    def __exit__(self, *_: object) -> None:
        for file in self.files.values():
            file.close()


def facts(folder: Path) -> Array:
    """Source and tokens of every document that a pass left, (N,), on the disk."""
    return _mapped(folder / "facts", FACT)


def scores(folder: Path) -> Array:
    """A scorer's numbers, (N,) float64, on the disk."""
    return _mapped(folder / "scores", np.dtype(np.float64))


def _mapped(path: Path, dtype: np.dtype[Any]) -> Array:
    return np.memmap(path, dtype, "r") if path.stat().st_size else np.zeros(0, dtype)


def read(folder: Path, keep: Array | None = None) -> Iterator[Row]:
    """The documents that a pass left, or those of them that are kept."""
    with (folder / "rows.jsonl").open(encoding="utf-8", newline="\n") as file:
        for number, line in enumerate(file):
            if keep is None or keep[number]:
                yield Row(*json.loads(line))
