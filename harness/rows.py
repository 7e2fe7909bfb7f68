"""A finite table of packed rows, and the folder that keeps such tables by content."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
from filelock import FileLock

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Facts:
    """What a table was made of.

    rows        complete windows
    tokens      rows x length
    documents   documents read
    bytes       of their text, UTF-8
    tail        tokens of these documents, separators included, that no complete window holds
    whole       whether all documents were read; False where a limit stopped earlier
    """

    rows: int
    tokens: int
    documents: int
    bytes: int
    tail: int
    whole: bool


class Rows:
    """A finite table of packed rows, (n, length), in memory or mapped from a file."""

    def __init__(self, array: np.ndarray, facts: Facts) -> None:
        self.array = array
        self.facts = facts

    @property
    def length(self) -> int:
        """Tokens of a row."""
        return self.array.shape[1]

    def __len__(self) -> int:
        return len(self.array)

    def tokens(self, rows: Sequence[int]) -> "Tensor":
        """Rows by number: (len(rows), length) int64."""
        import torch

        return torch.from_numpy(self.array[np.asarray(rows, dtype=np.int64)].astype(np.int64))


@dataclass(frozen=True)
class Cache:
    """Packed tables in a folder, found by content: two files a table, the second (with the digest of the first) last.

    `key` says what was packed: the corpus' key and the split.
    """

    folder: Path
    key: str

    def rows(self, name: str, kind: np.dtype, length: int, write: Callable[[IO[bytes]], Facts]) -> Rows:
        """The table of that name, made where it is missing or damaged; by one process, for which others wait."""
        tokens, about = self.folder / f"{name}.tokens", self.folder / f"{name}.json"
        facts = _intact(tokens, about, kind, length)
        if facts is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / f".{name}.lock"):
                facts = _intact(tokens, about, kind, length) or _store(tokens, about, write)
        shape = (facts.rows, length)
        array = np.memmap(tokens, kind, "r", shape=shape) if facts.rows else np.empty(shape, kind)
        return Rows(array, facts)


def _intact(tokens: Path, about: Path, kind: np.dtype, length: int) -> Facts | None:
    """The facts of a stored table whose bytes are those that were written."""
    from harness.plan import file_digest

    try:
        stored = json.loads(about.read_text(encoding="utf-8"))
        facts = Facts(**stored["facts"])
        whole = facts.tokens * kind.itemsize == tokens.stat().st_size and facts.rows * length == facts.tokens
        return facts if whole and file_digest(tokens) == stored["sha256"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _store(tokens: Path, about: Path, write: Callable[[IO[bytes]], Facts]) -> Facts:
    from harness.files import write_json, writing
    from harness.plan import file_digest

    for left in tokens.parent.glob(f".{tokens.name}.*.tmp"):  # by a process that was killed: who writes holds the lock
        left.unlink(missing_ok=True)
    about.unlink(missing_ok=True)
    with writing(tokens) as beside:
        with beside.open("wb") as file:
            facts = write(file)
        sha256 = file_digest(beside)
    write_json(about, {"sha256": sha256, "facts": asdict(facts)})
    return facts
