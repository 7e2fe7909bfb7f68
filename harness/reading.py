"""A file, a folder or a hub dataset as a Corpus: every row is looked at, none is dropped or guessed.

    notes.jsonl  notes.jsonl.gz  notes.parquet    one document a row: its text in the column `text`, its id in `id`
    notes.txt                                     one document a paragraph (blank lines between)
    folder                                        all such files in it, by name; a loose .txt is one document
    anything#column                               the text stands in another column
    hub:owner/name, owner/name                    a hub dataset, streamed; hub:owner/name/configuration

Splits are the files (or subfolders) of a folder that are called train, validation (valid, val, dev) and test, or the
hub's own. What is not there is cut from train by a document's id alone, 2.5 % each (splits.py).
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property, partial
from pathlib import Path

from harness.corpus import SPLITS, Corpus, Split
from harness.errors import HarnessError, InputError, did_you_mean
from harness.formats import (
    ID,
    TEXT,
    Found,
    Place,
    document,
    documents,
    read_jsonl,
    read_paragraphs,
    read_parquet,
    read_whole,
)
from harness.plan import digest
from harness.splits import RULE, Source, Splits

SUFFIXES = (".jsonl", ".jsonl.gz", ".parquet", ".txt")
NAMES: dict[Split, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test",),
}
WORDS: dict[str, Split] = {word: split for split, words in NAMES.items() for word in words}
STREAMED = 1000  # documents of a split of a hub dataset that are looked at before a run


@dataclass(frozen=True)
class Size:
    """Documents of a split, and UTF-8 bytes of their text."""

    documents: int = 0
    bytes: int = 0


def corpus(word: str) -> Corpus:
    """A file, folder or hub dataset by what was typed; rows are read later, by `check` and whoever needs them."""
    name, column = _place(word)
    path = Path(name).expanduser()
    if name and path.is_dir():
        return _folder(path, column)
    if name and path.exists():
        return _files(path, {"train": [_File(path, Place(str(path), column), alone=True)]})
    if hub := on_hub(name):
        return _hub(*hub, column)
    near = [str(other) for other in path.parent.iterdir()] if path.name and path.parent.is_dir() else []
    close = get_close_matches(name, near, cutoff=0.6)
    hint = did_you_mean(name, close) if close else "give a file, a folder or hub:owner/name"
    raise InputError(f"there is no file or folder {name!r}; {hint}")


def on_hub(name: str) -> tuple[str, str | None] | None:
    """Repository and configuration of a hub dataset; None: it is the name of a file, or of a folder that is there."""
    name = name.partition("#")[0]
    path = Path(name).expanduser()
    hub = re.fullmatch(r"(hub:)?([\w.-]+/[\w.-]+)(?:/([\w.-]+))?", name)
    if hub and not path.exists() and (hub[1] or not (hub[3] or path.parent.is_dir() or name.endswith(SUFFIXES))):
        return hub[2], hub[3]
    return None


def _place(word: str) -> tuple[str, str]:
    """`path#column` to path and column; a file that has a # in its name is found by its whole name."""
    name, mark, column = word.rpartition("#")
    if not mark or Path(word).exists():
        return word, TEXT
    if not column:
        raise InputError(f"{word!r} names no column behind the #; type the column that holds the text, as in {word}text")
    return name, column


@dataclass(frozen=True)
class _File:
    """One file of a corpus; `alone` where a text file is cut at blank lines, and not one document."""

    path: Path
    place: Place
    alone: bool

    def __post_init__(self) -> None:
        if not self.path.name.endswith(SUFFIXES):
            raise InputError(f"{self.path} is not of a kind that is read; those are {', '.join(SUFFIXES)}")

    @cached_property
    def digest(self) -> str:
        """sha256 of the bytes, and how a text file is cut."""
        from harness.plan import file_digest

        try:
            _ = self._stamp
            return f"{file_digest(self.path)} {self.alone}"
        except OSError as error:
            raise InputError(f"{self.path} cannot be read ({error.strerror})") from error

    @cached_property
    def _stamp(self) -> tuple[int, int]:
        return _stamp(self.path)

    def found(self) -> Iterator[Found]:
        """Its documents."""
        if not self.path.exists() or _stamp(self.path) != self._stamp:
            raise InputError(f"{self.path} was changed or removed since this command began; run it again")
        text = read_paragraphs if self.alone else read_whole
        read = {".gz": read_jsonl, ".jsonl": read_jsonl, ".parquet": read_parquet, ".txt": text}[self.path.suffix]
        yield from documents(self.place, read(self.path, self.place))


def _stamp(path: Path) -> tuple[int, int]:
    return path.stat().st_size, path.stat().st_mtime_ns


def _files(path: Path, files: Mapping[Split, list[_File]]) -> Corpus:
    """A corpus of local files; its key is made of their contents."""
    count = sum(map(len, files.values()))
    first = next(iter(files.values()))[0].place
    content = {split: [(file.place.prefix, file.digest) for file in group] for split, group in files.items()}
    given: dict[Split, Source] = {split: partial(_chained, group) for split, group in files.items()}
    return Corpus(
        name=re.sub(r"\.(jsonl|parquet|txt)(\.gz)?$", "", path.resolve().name),
        about=f"{path}, {count} file{'s' * (count > 1)}, text in {first.column}",
        read=Splits(given),
        key=digest({"rule": RULE, "column": first.column, "files": content}),
    )


def _chained(files: list[_File]) -> Iterator[Found]:
    for file in files:
        yield from file.found()


def _folder(folder: Path, column: str) -> Corpus:
    """All readable files below a folder, by name; hidden ones and other kinds of file are no documents."""
    names = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()]
    names = [name for name in names if name.name.endswith(SUFFIXES) and not any(p[0] == "." for p in name.parts)]
    if not names:
        raise InputError(f"{folder} holds no file that is read; those end in {', '.join(SUFFIXES)}")
    splits: dict[Path, Split | None] = {name: _split_of(name) for name in names}
    without = [str(name) for name, split in splits.items() if split is None]
    if len(without) < len(names) and (without or "train" not in splits.values()):
        named = next(str(name) for name, split in splits.items() if split)
        missing = f"{without[0]} names none" if without else "no file is called train"
        raise InputError(f"in {folder}, {named} names a split and {missing}; let all files name theirs, or give one file")
    files: dict[Split, list[_File]] = {}
    for name, split in splits.items():
        place = Place(str(folder / name), column, prefix=name.as_posix())
        files.setdefault(split or "train", []).append(_File(folder / name, place, alone=name.stem.lower() in WORDS))
    return _files(folder, files)


def _split_of(name: Path) -> Split | None:
    """The split that a file names: train/a.jsonl, train.txt, pubmed_train.jsonl, train-00000-of-00004.parquet."""
    for folder in name.parts[:-1]:
        if folder.lower() in WORDS:
            return WORDS[folder.lower()]
    stem = name.name.lower().removesuffix(".gz").rpartition(".")[0]
    words = [stem] if name.suffix == ".txt" else re.split(r"[^a-z]+", re.sub(r"-\d+-of-\d+$", "", stem))
    return WORDS.get(words[-1]) or WORDS.get(words[0])


def _hub(repository: str, configuration: str | None, column: str) -> Corpus:
    """A dataset of the hub, pinned to the revision that is current now and streamed."""
    label = "/".join(filter(None, ("hub:" + repository, configuration)))
    with _hub_errors(label):
        import datasets
        from huggingface_hub import HfApi

        revision = HfApi().dataset_info(repository, timeout=20).sha
        names = datasets.get_dataset_split_names(repository, configuration, revision=revision)
    own = {WORDS[name.lower()]: name for name in reversed(names) if name.lower() in WORDS}
    if "train" not in own:
        raise InputError(f"{label} has no split train; it has {', '.join(names)}; fetch its files and give their folder")

    def rows(name: str) -> Iterator[Found]:
        place = Place(f"{label} {name}", column, prefix=f"{name}:")
        with _hub_errors(label):
            stream = datasets.load_dataset(repository, configuration, split=name, revision=revision, streaming=True)
            yield from documents(place, enumerate(stream, 1))

    return Corpus(
        name=repository.rpartition("/")[2],
        about=f"{label} at {revision}, text in {column}",
        read=Splits({split: partial(rows, own[split]) for split in SPLITS if split in own}, streamed=True),
        key="hub:" + digest({"rule": RULE, "column": column, "hub": [label, revision, own]}),
    )


@contextmanager
def _hub_errors(label: str) -> Iterator[None]:
    """Whatever a hub, a network or a loader does, as one sentence."""
    try:
        yield
    except HarnessError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
        help_ = "check name, network and HF_TOKEN, or fetch its files and give their folder"
        raise InputError(f"{label} cannot be read ({reason}); {help_}") from error


def check(corpus: Corpus) -> dict[Split, Size]:
    """Look at every document once, before anything is made of them; of a streamed split at the first thousand."""
    counts, sizes = Counter[Split](), Counter[Split]()
    seen: set[bytes] = set()
    for split, found in _all(corpus):
        name, text = found.document.id, found.document.text
        mark = hashlib.blake2b(name.encode(), digest_size=16).digest()
        if mark in seen:
            raise InputError(f"{found.where}: the id {name!r} stands a second time; every document has its own")
        seen.add(mark)
        counts[split] += 1
        sizes[split] += len(text.encode())
    if not counts["train"]:
        raise InputError(f"{corpus.name} has no document to train on")
    return {split: Size(counts[split], sizes[split]) for split in SPLITS}


def _all(corpus: Corpus) -> Iterator[tuple[Split, Found]]:
    if isinstance(corpus.read, Splits):
        yield from corpus.read.found(limit=STREAMED if corpus.read.streamed else None)
        return
    for split in SPLITS:
        for number, one in enumerate(corpus.read(split), 1):
            yield split, document(Place(f"{corpus.name} {split}"), number, {ID: one.id, TEXT: one.text})
