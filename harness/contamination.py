"""Which items of the suites stand in text that is trained on: word n-grams of every item, looked for in every document.

Words are runs of letters and digits in lower case, punctuation out (Brown et al. 2020, appendix C, and lm-eval); scripts that
put no spaces between words are taken a character at a time. An item's text is what is asked, without examples, and the right
answer behind it. All n-grams of it are looked for, n = 13, and n = its number of words where it has fewer, down to 8 (the
bounds of that appendix); a shorter item cannot be judged: its words stand together by chance.

    share      of an item's n-grams that stand in some document of a source
    question   of those that lie in the question alone
    answer     of those that reach into the answer: for a short answer, the end of the question with the answer behind it

Which shares count is said in harness/flags.py.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from typing import TYPE_CHECKING

import numpy as np

from harness.corpus import Document, batches
from harness.duplicates import spread
from harness.letters import normal
from harness.tabled import CONTAMINATION_COLUMNS

if TYPE_CHECKING:
    import pandas as pd

LONGEST, SHORTEST = 13, 8
TOGETHER = 2**22
"""Characters of training text that are looked through at once."""
BASE = np.uint64(0x9E3779B97F4A7C15)
_ALONE = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_ASCII = re.compile("[a-z0-9]+")
_UNSEEN = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")
"""Soft hyphens, zero-width characters and marks of direction: they part no words."""
_WORDS = re.compile(rf"[{_ALONE}]|[^\W_{_ALONE}]+")


@dataclass(frozen=True)
class Item:
    """What is asked and what is right, as the scorer reads them; a text has no question."""

    suite: str
    task: str
    item: str
    question: str
    answer: str


def words(text: str) -> list[str]:
    """Words as they are compared."""
    if text.isascii():
        return _ASCII.findall(text.lower())
    return _WORDS.findall(normal("NFKC", _UNSEEN.sub("", text)).lower())


@dataclass(frozen=True)
class Grams:
    """The n-grams of one length, of all items: (g,) hashes, ascending, each once."""

    keys: np.ndarray

    @cached_property
    def _sieve(self) -> tuple[np.ndarray, np.uint64]:
        """Which leading bits a hash of the table has: what is not in it is passed over without a search."""
        bits = max(16, int(len(self.keys) * 8).bit_length())
        sieve, shift = np.zeros(2**bits, bool), np.uint64(64 - bits)
        sieve[(self.keys >> shift).astype(np.int64)] = True
        return sieve, shift

    def note(self, hashes: np.ndarray, documents: np.ndarray, first: np.ndarray) -> None:
        """Note of the hashes (k,) that are in the table the first of the documents (k,), ascending, that they stand in.

        first  (g,) numbers of documents, -1 while no document holds the n-gram
        """
        sieve, shift = self._sieve
        near = np.flatnonzero(sieve[(hashes >> shift).astype(np.int64)])
        at = np.searchsorted(self.keys, hashes[near])
        there = np.flatnonzero(self.keys[np.minimum(at, len(self.keys) - 1)] == hashes[near])
        found, place = np.unique(at[there], return_index=True)
        fresh = first[found] < 0
        first[found[fresh]] = documents[near[there[place[fresh]]]]


@dataclass(frozen=True)
class Asked:
    """An item as n-grams: its words, their length, their places in the table, and how many lie in the question alone."""

    item: Item
    words: int
    n: int
    places: np.ndarray
    before: int


class Overlap:
    """Items, ready to be looked for in one source after the other."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._codes: dict[str, int] = {}
        texts = [(item, words(item.question), words(item.answer)) for item in items]
        hashed = [self._hashed(question + answer) for _, question, answer in texts]
        self._grams: dict[int, Grams] = {}
        places: dict[int, np.ndarray] = {}
        for n in sorted({n for n, _ in hashed} - {0}):
            keys, places[n] = np.unique(np.concatenate([found for m, found in hashed if m == n]), return_inverse=True)
            self._grams[n] = Grams(keys)
        self._asked: list[Asked] = []
        used = dict.fromkeys(places, 0)
        for (item, question, answer), (n, found) in zip(texts, hashed, strict=True):
            own = places[n][used[n] : used[n] + len(found)] if n else found
            used |= {n: used[n] + len(found)} if n else {}
            self._asked.append(Asked(item, len(question) + len(answer), n, own, max(0, len(question) - n + 1)))

    def _hashed(self, both: list[str]) -> tuple[int, np.ndarray]:
        """n, and the hashes of all n-grams in their order; 0 and none where there are too few words."""
        n = min(LONGEST, len(both)) if len(both) >= SHORTEST else 0
        if not n:
            return 0, np.empty(0, np.uint64)
        ids = np.fromiter((self._codes.setdefault(word, len(self._codes) + 1) for word in both), np.uint64, len(both))
        codes = spread(ids * BASE)
        starts = len(both) - n + 1
        hashes = np.zeros(starts, np.uint64)
        for j in range(n):
            hashes = hashes * BASE + codes[j : j + starts]
        return n, hashes

    def look(self, documents: Iterable[Document], show: Callable[[int], None] | None = None) -> "pd.DataFrame":
        """Every item against a source: a row with CONTAMINATION_COLUMNS but for the source's name.

        show  hears of the characters that were read
        """
        import pandas as pd

        first = {n: np.full(len(grams.keys), -1, np.int64) for n, grams in self._grams.items()}
        names: dict[int, str] = {}  # of documents that were first to hold something
        number = read = 0
        for batch in batches(documents, TOGETHER):
            self._read(batch, number, first)
            held = {int(held) for each in first.values() for held in np.unique(each[each >= number])}
            names |= {place: batch[place - number].id for place in held}
            number += len(batch)
            read += sum(len(document.text) for document in batch)
            if show:
                show(read)
        rows = [_row(asked, first[asked.n][asked.places] if asked.n else asked.places, names) for asked in self._asked]
        columns = {name: kind for name, kind in CONTAMINATION_COLUMNS.items() if name != "source"}
        return pd.DataFrame(rows, columns=list(columns)).astype(columns)

    def _read(self, batch: Sequence[Document], number: int, first: dict[int, np.ndarray]) -> None:
        """Look through documents, of which the first has this number."""
        if not first:
            return
        parts = [self._ids(document.text) for document in batch]
        ids = np.concatenate(parts)  # (w,) 0: no word of any item, and the end of a document
        owners = np.repeat(np.arange(number, number + len(parts)), [len(part) for part in parts])
        ends = np.flatnonzero(ids == 0)  # the last of ids is one
        left = np.repeat(ends, np.diff(ends, prepend=-1)) - np.arange(len(ids))  # (w,) known words from here on
        at = np.flatnonzero(left >= min(first))
        codes, hashes = spread(ids * BASE), np.zeros(len(at), np.uint64)
        for j in range(max(first)):
            if j >= min(first):
                kept = left[at] > j
                at, hashes = at[kept], hashes[kept]
            hashes = hashes * BASE + codes[at + j]
            if j + 1 in first:
                self._grams[j + 1].note(hashes, owners[at], first[j + 1])

    def _ids(self, text: str) -> np.ndarray:
        found = words(text)
        return np.append(np.fromiter(map(self._codes.get, found, repeat(0)), np.uint64, len(found)), np.uint64(0))


def _row(asked: Asked, first: np.ndarray, names: Mapping[int, str]) -> tuple[object, ...]:
    """`first`: the first document of each of its n-grams."""
    found = first >= 0
    document = names[int(first[found].min())] if found.any() else ""
    shares = (_mean(part) for part in (found, found[: asked.before], found[asked.before :]))
    item = asked.item
    return (item.suite, item.task, item.item, asked.words, asked.n, *shares, document)


def _mean(found: np.ndarray) -> float:
    return np.count_nonzero(found) / len(found) if len(found) else float("nan")
