"""What a training reads of each source and of each corpus that it is mixed of: tokens, epochs, how much of the text at all."""

from dataclasses import astuple, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.corpus import Corpus
from harness.mixture import Mixture
from harness.rows import Rows
from harness.sources import Mixed
from harness.text import Kept, rows_at

if TYPE_CHECKING:
    from harness.reader import Reader

TOGETHER = 2**24
"""Tokens of a table that are looked at together."""


@dataclass(frozen=True)
class Passed:
    """What was read of a text.

    tokens         rows x length, a row that is read again counted again
    epochs         rows read over those that may be read
    unique_tokens  of the rows that were read at all
    documents      those of which these rows hold a token
    """

    tokens: int
    epochs: float
    unique_tokens: int
    documents: int


def passed(reader: "Reader", start: int) -> dict[str, dict[str, Any]]:
    """By source, what a reader has read by now; under `parts`, of each corpus that a source is mixed of.

    start   the token that documents begin behind
    """
    found: dict[str, dict[str, Any]] = {}
    for source, rows in reader.positions.items():
        table = reader.tables[source]
        if rows and isinstance(table, Rows):
            found[source] = vars(_one(table, reader.seed, source, rows, reader.kept(source), start))
        elif rows and isinstance(table, Mixture):
            kept = reader.kept(source)
            each = zip(table.parts, table.given(rows, kept), table.split(kept), strict=True)
            parts = [_one(part, reader.seed, source, given, own, start) for part, given, own in each]
            tokens, _, unique, documents = map(sum, zip(*map(astuple, parts), strict=True))
            whole = Passed(tokens, rows / sum(table.sizes(kept)), unique, documents)
            named = dict(zip(table.names, map(vars, parts), strict=True))
            found[source] = vars(whole) | {"parts": named}
    return found


def _one(table: Rows, seed: int, source: str, rows: int, kept: Kept | None, start: int) -> Passed:
    """Of one table, after so many rows of its own order."""
    size = len(table) if kept is None else len(kept.rows)
    if rows < size:
        read = np.sort(np.array(rows_at(seed, source, range(rows), len(table), kept), dtype=np.int64))
    else:
        read = np.arange(size) if kept is None else kept.rows
    documents = _documents(*_borders(table, start), read)
    return Passed(rows * table.length, rows / size if size else 0.0, len(read) * table.length, documents)


def _documents(first: np.ndarray, after: np.ndarray, rows: np.ndarray) -> int:
    """Documents in rows, given in order: one that goes on from one of them into the next counts once."""
    shared = first[rows[1:]] < after[rows[:-1]]
    return int((after[rows] - first[rows]).sum() - shared.sum())


@lru_cache(maxsize=16)
def _borders(table: Rows, start: int) -> tuple[np.ndarray, np.ndarray]:
    """(n,) number of the first document in each row, and (n,) of the first that begins after it."""
    step = max(1, TOGETHER // table.length)
    pieces = [table.array[at : at + step] == start for at in range(0, len(table), step)]
    begun = np.concatenate([piece.sum(1, dtype=np.int64) for piece in pieces] or [np.empty(0, np.int64)])
    at_border = np.concatenate([piece[:, 0] for piece in pieces] or [np.empty(0, bool)])
    after = begun.cumsum()
    return after - begun - ~at_border, after


def told(name: str, corpus: Corpus, table: Any, rows: int) -> list[str]:
    """What a plan says of a source: how it is mixed; and how often it is read in so many rows, where that is more than once."""
    if not isinstance(corpus, Mixed):
        epochs = rows / len(table)
        return [f"the {name} text is read {epochs:.1f} times"] if epochs > 1.005 else []
    weights, given, sizes = table.weights(), table.given(rows), table.sizes()
    each = [
        f"{own / sum(weights):.3g} {part}" + (f" (read {count / size:.2g} times)" if rows else "")
        for part, own, count, size in zip(table.names, weights, given, sizes, strict=True)
    ]
    why = "each by its own as no shares were given" if corpus.shares is None else "as asked"
    return [f"the {name} text is, by tokens, {', '.join(each)}: {why}"]
