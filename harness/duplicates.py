"""Exact and near duplicates among any number of documents, found from files on disk.

Two documents are exact duplicates where their texts are equal but for case and white space (sha256), and near duplicates where
the sets of their word 5-grams overlap: Jaccard similarity J = |A & B| / |A | B| of at least the threshold.

Source: Broder 1997, On the resemblance and containment of documents (MinHash); banding: Leskovec, Rajaraman & Ullman, Mining of
Massive Datasets, 3.4. Of SIZE hash functions the smallest value over a document's 5-grams is kept; two documents agree in each
of them with probability J. Documents that agree in all `rows` values of one of SIZE/rows bands are candidates, found with
probability

    1 - (1 - J^rows)^(SIZE/rows)                at threshold 0.8, rows = 6:   J = 0.5: 0.27   0.7: 0.92   0.8: 0.998

and are joined where the share of equal values, an estimate of J with standard error sqrt(J(1-J)/SIZE), reaches the threshold:
at threshold 0.8 (96 of 120 values), J = 0.7: 0.01   0.75: 0.12   0.8: 0.55   0.85: 0.95   0.9: 1.00. Words are runs of letters
and digits whatever their case; each character is a word where a script writes none apart (Chinese, Japanese, Thai, Lao).

Pairs grow with the square of the documents that agree in a band (letters from one template). Above CROWD each is compared with
its next NEIGHBOURS alone, in the order of ORDERED further values: of pairs as similar as 0.9 a few in a hundred are lost so.

Cost: a document is 512 bytes on disk, and 16 a band while they are compared; in memory 9, and its share of one of FILES files.
"""

import hashlib
import json
import os
import re
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

SIZE = 120
THRESHOLD = 0.8
GRAM = 5
FILES = 64
BATCH = 2048
CROWD, NEIGHBOURS, ORDERED = 512, 32, 20
ALONE = "\u0e00-\u0eff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
WORDS = re.compile(rf"[{ALONE}]|[^\W{ALONE}]+")
PRINT = np.dtype([("exact", "V32"), ("values", np.uint32, SIZE)])
BAND = np.dtype([("hash", np.uint64), ("number", np.int64)])
_draw = np.random.Generator(np.random.PCG64(1997))
FACTORS = _draw.integers(0, 2**32, SIZE, dtype=np.uint32) | np.uint32(1)
OFFSETS = _draw.integers(0, 2**32, SIZE, dtype=np.uint32)
MIXERS = _draw.integers(0, 2**64, SIZE, dtype=np.uint64) | np.uint64(1)
Array = np.ndarray[Any, Any]


def clusters(documents: Iterable[tuple[str, str]], threshold: float = THRESHOLD) -> dict[str, str]:
    """Of (key, text): the smallest key of its cluster for every key whose cluster has more than one, in any order of documents.

    Similar documents are of one cluster, and so are those that a chain of similar ones connects.
    """
    with TemporaryDirectory(prefix="harness-") as name:
        index, keys = Index(Path(name)), Path(name) / "keys"
        with keys.open("w", encoding="utf-8") as file:
            for key, text in documents:
                index.add(fingerprint(text))
                file.write(json.dumps(key) + "\n")
        found = index.find(threshold)
        shared = np.bincount(found.first, minlength=len(found.first)) > 1  # (N,)
        members: dict[int, list[str]] = defaultdict(list)
        with keys.open(encoding="utf-8") as file:
            for first, line in zip(found.first, file, strict=True):
                if shared[first]:
                    members[int(first)].append(json.loads(line))
    return {key: min(together) for together in members.values() for key in together}


def fingerprint(text: str) -> bytes:
    """All that is compared of a text, PRINT.itemsize bytes: the digest of its normal form, and its SIZE smallest values."""
    words = text.casefold().split()
    whole = " ".join(words)
    digest = hashlib.sha256(whole.encode(errors="surrogatepass")).digest()
    return digest + _values(WORDS.findall(whole) or [whole]).tobytes()


def _values(words: list[str]) -> Array:
    """The smallest value of each hash function over the 5-grams; fewer words than that are one gram."""
    codes = np.fromiter((zlib.crc32(word.encode(errors="surrogatepass")) for word in words), np.uint64, len(words))  # (W,)
    width = min(GRAM, len(words))
    shifted = [codes[i : len(codes) - width + 1 + i] * MIXERS[i] for i in range(width)]
    grams = (spread(np.sum(shifted, 0)) >> np.uint64(32)).astype(np.uint32)  # (W - width + 1,)
    smallest = np.full(SIZE, 2**32 - 1, np.uint32)
    for start in range(0, len(grams), BATCH):
        values = grams[start : start + BATCH, None] * FACTORS + OFFSETS  # (n, SIZE), modulo 2^32: a permutation each
        smallest = np.minimum(smallest, values.min(0))
    return smallest


def spread(values: Array) -> Array:
    """Every bit of a 64-bit number spread over all others (the finalizer of splitmix64)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def rows(threshold: float) -> int:
    """Values of a band: as many as find at least 99 of 100 pairs that are just as similar as the threshold."""
    divisors = [n for n in range(1, SIZE + 1) if SIZE % n == 0]
    return max((n for n in divisors if (1 - threshold**n) ** (SIZE // n) <= 0.01), default=1)


class Found(NamedTuple):
    """Of every document, by its number: the first of its cluster, and whether it is an exact copy of an earlier one."""

    first: Array  # (N,) int64
    copy: Array  # (N,) bool


class Index:
    """Fingerprints in a folder; a document's number is its place in their order."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "prints"
        folder.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("ab")

    def add(self, one: bytes) -> None:
        """Keep the fingerprint of the next document."""
        self._file.write(one)

    def find(self, threshold: float = THRESHOLD, near: bool = True) -> Found:
        """Look for duplicates among all that were added."""
        self._file.close()
        count = self.path.stat().st_size // PRINT.itemsize
        first, copy = np.arange(count), np.zeros(count, bool)
        for hashes, numbers in self._groups(_digests, copy):
            for start, end in _runs(hashes):
                alike = numbers[start:end]
                first[alike], copy[alike[1:]] = alike[0], True
        if near:
            width, needed = rows(threshold), int(np.ceil(threshold * SIZE - 1e-9))
            with self.path.open("rb") as prints:
                for hashes, numbers in self._groups(lambda batch: _bands(batch["values"], width), copy):
                    _join(first, hashes, numbers, prints.fileno(), needed)
        return Found(_roots(first, np.arange(count)), copy)

    def _groups(self, of: Any, left_out: Array) -> Iterator[tuple[Array, Array]]:
        """Hashes with the numbers of their documents, sorted, a file of them in memory at a time; equal ones come together."""
        paths = [self.folder / f"band-{i}" for i in range(FILES)]
        files = [path.open("wb") for path in paths]
        for start, batch in _batches(self.path):
            hashes = of(batch)  # (n, bands)
            records = np.empty(hashes.shape, BAND)
            records["hash"], records["number"] = hashes, np.arange(start, start + len(batch))[:, None]
            records = records[~left_out[start : start + len(batch)]].ravel()
            place = records["hash"] % np.uint64(FILES)
            for i, file in enumerate(files):
                file.write(records[place == i].tobytes())
        for path, file in zip(paths, files, strict=True):
            file.close()
            records = np.fromfile(path, BAND)
            path.unlink()
            records = records[np.lexsort((records["number"], records["hash"]))]
            yield records["hash"], records["number"]


def _batches(path: Path) -> Iterator[tuple[int, Array]]:
    with path.open("rb") as file:
        start = 0
        while data := file.read(BATCH * PRINT.itemsize):
            batch = np.frombuffer(data, PRINT)
            yield start, batch
            start += len(batch)


def _digests(batch: Array) -> Array:
    """The first 64 bits of each sha256, (n, 1): among 10 million texts two different ones agree with probability 3e-6."""
    return np.frombuffer(batch["exact"].tobytes(), np.uint64).reshape(-1, 4)[:, :1]


def _bands(values: Array, width: int) -> Array:
    """A hash of each band of values, (n, SIZE / width); equal values in two different bands are different hashes."""
    parts = values.reshape(len(values), -1, width).astype(np.uint64)  # (n, bands, width)
    return spread((spread(parts) * MIXERS[:width]).sum(2) + MIXERS[: parts.shape[1]])


def _runs(hashes: Array) -> Iterator[tuple[int, int]]:
    """Where equal hashes begin and end, of those that stand more than once."""
    edges = np.flatnonzero(np.diff(hashes)) + 1
    starts, ends = np.concatenate(([0], edges)), np.concatenate((edges, [len(hashes)]))
    several = ends - starts > 1
    yield from zip(starts[several].tolist(), ends[several].tolist(), strict=True)


def _join(first: Array, hashes: Array, numbers: Array, prints: int, needed: int) -> None:
    """Put documents of one band that agree in so many values into one cluster, named by its first document."""
    for start, end in _runs(hashes):
        members = numbers[start:end]
        if len(members) > CROWD:
            members = _ordered(members, prints, int(hashes[start]) % SIZE)
            for part in range(0, len(members), BATCH):
                _join_neighbours(first, members[part : part + BATCH + NEIGHBOURS], prints, needed)
            continue
        roots = _roots(first, members)
        for i in range(len(members) - 1):
            if (roots[i:] == roots[i]).all():
                break
            others = i + np.flatnonzero(roots[i:] != roots[i])
            values, value = _read(prints, members[others])["values"], _read(prints, members[i : i + 1])["values"]
            alike = others[(values == value).sum(1) >= needed]
            if len(alike):
                together = np.append(roots[alike], roots[i])
                first[together] = together.min()
                roots = _roots(first, members)


def _ordered(members: Array, prints: int, place: int) -> Array:
    """Documents sorted by the values from a place on, so that similar ones stand near each other; by content alone."""
    columns = (place + np.arange(ORDERED)) % SIZE
    keys = np.empty((len(members), ORDERED + 1), np.uint64)  # (n, values, then the digest)
    for start in range(0, len(members), BATCH):
        batch = _read(prints, members[start : start + BATCH])
        keys[start : start + BATCH] = np.hstack([batch["values"][:, columns], _digests(batch)])
    return members[np.lexsort(keys.T[::-1])]


def _join_neighbours(first: Array, members: Array, prints: int, needed: int) -> None:
    """Join each document with those of its next NEIGHBOURS that agree in so many values."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    values = _read(prints, members)["values"]  # (n, SIZE)
    names, place = np.unique(_roots(first, members), return_inverse=True)
    alike = [np.flatnonzero((values[n:] == values[:-n]).sum(1) >= needed) for n in range(1, min(NEIGHBOURS + 1, len(members)))]
    edges = [place[np.stack([one, one + n])] for n, one in enumerate(alike, 1)]  # (2, pairs) each
    left, right = np.concatenate([np.zeros((2, 0), np.int64), *edges], 1)
    graph = coo_array((np.ones(len(left)), (left, right)), shape=(len(names), len(names)))
    _, label = connected_components(graph, directed=False)
    lowest = np.full(len(names), names[-1])
    np.minimum.at(lowest, label, names)
    first[names] = lowest[label]


def _read(prints: int, numbers: Array) -> Array:
    """The fingerprints of some documents, (n,) PRINT, from an open file; one that is mapped would fill the memory."""
    size = PRINT.itemsize
    return np.frombuffer(b"".join(os.pread(prints, size, number * size) for number in numbers.tolist()), PRINT)


def _roots(first: Array, numbers: Array) -> Array:
    """The first document of each one's cluster."""
    found = first[numbers]
    while (further := first[found]).tolist() != found.tolist():
        found = further
    first[numbers] = found
    return found
