"""Three splits of any source of documents: those it brings, the others cut from train by ids and near duplicates.

A document goes where the smallest id of its cluster of near duplicates (duplicates.py) goes, by a hash of seed and id: it stays
where it is when documents that do not resemble it come and go, and near duplicates never stand on two sides of a cut. Where
that would leave a split of a small corpus empty, the clusters with the smallest fractions fill it, and these alone may move.

Of a stream the first documents alone are compared, and held out; the id of a document is then its text, so that an exact copy
further down falls where the first one fell, and what falls into a held-out split further down is read by nobody. Splits that a
source brings are left as they are.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

from harness.corpus import Document, Split
from harness.duplicates import GRAM, SIZE, THRESHOLD, clusters
from harness.files import cache, read_json, write_json
from harness.formats import Found
from harness.plan import digest

SHARES: dict[Split, tuple[float, float]] = {"validation": (0.0, 0.025), "test": (0.025, 0.05)}
"""Where a document's fraction (the id of its cluster, hashed to [0, 1)) has to lie for a split that is cut from train."""
RULE = (
    "sha256(split SEED:smallest id of the cluster) < 0.025 validation, < 0.05 test; "
    f"clusters at {THRESHOLD} of {SIZE} values over {GRAM}-grams"
)
WINDOW = 10_000
"""Documents of a stream that are looked at: they are compared with one another, and give the held-out splits."""

Source = Callable[[], Iterator[Found]]


@dataclass(frozen=True)
class Splits:
    """Reads the splits that are given, and cuts the others from train.

    key     what the documents are, without the seed: clusters are kept under it
    seed    of the cut
    window  the first documents of a stream's train; None: nothing is streamed
    """

    given: Mapping[Split, Source]
    key: str
    seed: int = 0
    window: Source | None = None

    def __call__(self, split: Split) -> Iterator[Document]:
        for name, found in self.found(split):
            if name == split:
                yield found.document

    def found(self, wanted: Split | None = None) -> Iterator[tuple[Split, Found]]:
        """Every document with its split; `wanted` reads what can hold that split, None the window of a stream."""
        for given, source in self.given.items():
            if wanted in (None, given) or (given == "train" and wanted not in self.given):
                for found in self._read(given, source, wanted):
                    yield (self._cut(found.key) if given == "train" else given), found

    def _read(self, given: Split, source: Source, wanted: Split | None) -> Iterator[Found]:
        if self.window is None or wanted == given:
            return source()
        return self.window() if given == "train" else islice(source(), WINDOW)

    @property
    def _missing(self) -> list[Split]:
        return [split for split in SHARES if split not in self.given]

    @property
    def _looked_at(self) -> list[Any]:
        return [self.key, RULE, *([WINDOW] if self.window else [])]

    def _cut(self, key: str) -> Split:
        root = self.clusters.get(key, key) if self._missing else key
        return self._moved.get(root) or by_key(root, self._missing, self.seed)

    @cached_property
    def _moved(self) -> dict[str, Split]:
        """Clusters of a small corpus that fill a split which would be empty; a large corpus has none."""
        found: dict[str, Split] = {}
        for document in (self.window or self.given["train"])() if self._missing else ():
            root = self.clusters.get(document.key, document.key)
            found[root] = by_key(root, self._missing, self.seed)
            if len(set(found.values())) > len(self._missing):
                return {}
        return fill(found, self._missing, self.seed)

    @cached_property
    def clusters(self) -> Mapping[str, str]:
        """By key the smallest key of its cluster, for keys that have near duplicates; found once and kept."""
        read = self.window or self.given["train"]
        return _kept(self._looked_at, lambda: clusters((found.key, found.document.text) for found in read()))

    def across(self) -> dict[str, int]:
        """Documents of held-out splits that the source brings, and that have near duplicates among all others; kept too."""
        if len(self.given) < 2:
            return {}
        return _kept([*self._looked_at, self.seed, "across"], self._across)

    def _across(self) -> dict[str, int]:
        named = ((json.dumps([split, found.document.id]), found.document.text) for split, found in self.found())
        members: dict[str, list[Split]] = {}
        for name, root in clusters(named).items():
            members.setdefault(root, []).append(json.loads(name)[0])
        mixed = Counter(split for splits in members.values() if len(set(splits)) > 1 for split in splits)
        return {split: mixed[split] for split in SHARES if split in self.given and mixed[split]}


def _kept(what: list[Any], make: Callable[[], Mapping[str, Any]]) -> Any:
    """What was found once of a corpus."""
    path = cache() / "clusters" / f"{digest(what)}.json"
    if not path.is_file():
        write_json(path, make())
    return read_json(path)


def fraction(key: str, seed: int = 0) -> float:
    """A key as a number in [0, 1), evenly spread.

    Not the hash of the bare id: many files were themselves cut from something larger by that, and fall into one split.
    """
    return int.from_bytes(hashlib.sha256(f"split {seed}:{key}".encode()).digest()[:6]) / 2**48


def by_key(key: str, missing: list[Split], seed: int = 0) -> Split:
    """The split of a cluster among train and those that are cut from it."""
    place = fraction(key, seed)
    for split in missing:
        if SHARES[split][0] <= place < SHARES[split][1]:
            return split
    return "train"


def fill(found: Mapping[str, Split], missing: list[Split], seed: int = 0) -> dict[str, Split]:
    """Clusters that change their split so that none is empty; all are train's where there are too few for that."""
    if len(found) <= len(missing):
        return dict.fromkeys(found, "train")
    splits, moved = dict(found), {}
    for split in (*missing, "train"):
        if split not in splits.values():
            largest = Counter(splits.values()).most_common(1)[0][0]
            key = min((key for key in splits if splits[key] == largest), key=lambda key: fraction(key, seed))
            moved[key] = splits[key] = split
    return moved
