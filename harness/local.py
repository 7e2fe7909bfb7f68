"""Files and folders of this machine as a Corpus: which files are read, as which split, and how many are not.

A folder is data where it holds rows (JSON Lines or Parquet), code where it holds source files and no rows, and text otherwise.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from harness.corpus import SPLITS, Corpus, Split
from harness.errors import InputError
from harness.formats import (
    Found,
    Place,
    Row,
    documents,
    read_jsonl,
    read_paragraphs,
    read_parquet,
    read_whole,
    says_sensitive,
)
from harness.plan import digest, file_digest
from harness.splits import RULE, Source, Splits

ROWS = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".json.gz", ".json.zst", ".parquet")
SUFFIXES = (*ROWS, ".txt")
CODE = (".py",)
"""Endings of code that are read where none are typed."""
ASIDE = ("node_modules", "__pycache__")
NAMES: dict[Split, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test",),
}
WORDS: dict[str, Split] = {word: split for split, words in NAMES.items() for word in words}


@dataclass(frozen=True)
class File:
    """One file of a corpus, or a folder that save_to_disk wrote; `alone` where a text file is cut at blank lines."""

    path: Path
    place: Place
    alone: bool = True
    code: bool = False

    def __post_init__(self) -> None:
        if not (self.code or self.path.name.endswith(SUFFIXES) or saved(self.path)):
            raise InputError(f"{self.path} is not of a kind that is read; those are {', '.join(SUFFIXES)}")

    @cached_property
    def digest(self) -> str:
        """sha256 of the bytes, and how a text file is cut."""
        try:
            _ = self._stamp
            return f"{digest([file_digest(path) for path in _parts(self.path)])} {self.alone}"
        except OSError as error:
            raise InputError(f"{self.path} cannot be read ({error.strerror})") from error

    @cached_property
    def _stamp(self) -> list[tuple[int, int]]:
        return _stamp(self.path)

    def rows(self) -> Iterator[Row]:
        """Its rows as they stand in it."""
        if not self.path.exists() or _stamp(self.path) != self._stamp:
            raise InputError(f"{self.path} was changed or removed since this command began; run it again")
        if self.path.is_dir():
            from datasets import load_from_disk

            table: Any = load_from_disk(str(self.path))
            return iter(enumerate(table, 1))
        if self.code or self.path.suffix == ".txt":
            return (read_whole if self.code or not self.alone else read_paragraphs)(self.path, self.place)
        return (read_parquet if self.path.suffix == ".parquet" else read_jsonl)(self.path, self.place)

    def found(self) -> Iterator[Found]:
        """Its documents."""
        yield from documents(self.place, self.rows())

    def sensitive(self) -> bool:
        """Whether its first row says so."""
        first = next(iter(self.rows()), None)
        return first is not None and says_sensitive(first[1], f"{self.place.name}:{first[0]}")


def _parts(path: Path) -> list[Path]:
    return sorted(part for part in path.rglob("*") if part.is_file()) if path.is_dir() else [path]


def _stamp(path: Path) -> list[tuple[int, int]]:
    return [(part.stat().st_size, part.stat().st_mtime_ns) for part in _parts(path)]


def saved(path: Path) -> bool:
    """Whether a folder is one split that save_to_disk wrote."""
    return (path / "state.json").is_file() and (path / "dataset_info.json").is_file()


def one(path: Path, place: Place, seed: int) -> Corpus:
    """A file, cut into splits."""
    return _corpus(path, {"train": [File(path, place)]}, seed)


def named(files: Mapping[str, tuple[Path, Place]], label: str, seed: int) -> Corpus:
    """A file or a folder a split, by the names of splits."""
    known = {WORDS[name.lower()]: found for name, found in files.items() if name.lower() in WORDS}
    if "train" not in known:
        raise InputError(f"{label} has no split train")
    group: dict[Split, list[File]] = {split: _below(*known[split], split) for split in SPLITS if split in known}
    return _corpus(known["train"][0], group, seed)


def _below(path: Path, place: Place, prefix: str) -> list[File]:
    """A split: a file, or all files of a folder."""
    if not path.is_dir() or saved(path):
        return [File(path, replace(place, name=str(path), prefix=f"{prefix}:"))]
    names = [name for name in _listed(path)[0] if name.name.endswith(SUFFIXES)]
    return [_file(path, name, replace(place, prefix=f"{prefix}:")) for name in names]


def _file(folder: Path, name: Path, place: Place) -> File:
    path = folder / name
    own = replace(place, name=str(path), prefix=f"{place.prefix}{name.as_posix()}")
    return File(path, own, alone=name.stem.lower() in WORDS)


def folder(path: Path, place: Place, seed: int, endings: tuple[str, ...] = ()) -> Corpus:
    """All readable files below a folder, by name; `endings`: those of code, where they were typed."""
    if saved(path):
        return one(path, replace(place, name=str(path)), seed)
    if (path / "dataset_dict.json").is_file():
        return named({child.name: (child, place) for child in path.iterdir() if saved(child)}, str(path), seed)
    listed, aside = _listed(path)
    if not endings and not any(name.name.endswith(ROWS) for name in listed):
        endings = CODE if any(name.name.endswith(CODE) for name in listed) else ()
    if endings:
        return _code(path, listed, endings, aside, seed)
    names = [name for name in listed if name.name.endswith(SUFFIXES)]
    if not names:
        hint = f"for code, type its endings, as in {path}#.java,.kt"
        raise InputError(f"{path} holds no file that is read; those end in {', '.join((*SUFFIXES, *CODE))}; {hint}")
    files: dict[Split, list[File]] = {}
    for name, split in _splits(path, names).items():
        files.setdefault(split, []).append(_file(path, name, place))
    return _corpus(path, files, seed, _unread(path, len(names), _others(listed, SUFFIXES), aside))


def _listed(folder: Path) -> tuple[list[Path], int]:
    """Names of files below a folder, by name, and how many lie in hidden folders and those of tools, or are hidden."""
    names = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()]
    kept = [name for name in names if not any(part[0] == "." or part in ASIDE for part in name.parts)]
    return kept, len(names) - len(kept)


def _code(path: Path, listed: list[Path], endings: tuple[str, ...], aside: int, seed: int) -> Corpus:
    """A folder of code: a document a file, called after its path; what holds no text is counted."""
    files, left = [], _others(listed, endings)
    for name in (name for name in listed if name.name.endswith(endings)):
        try:
            content = (path / name).read_bytes()
        except OSError as error:
            raise InputError(f"{path / name} cannot be read ({error.strerror})") from error
        if kind := "binary" if b"\0" in content else "" if content.strip() else "empty":
            left[kind] += 1
        else:
            files.append(File(path / name, Place(str(path / name), prefix=name.as_posix()), code=True))
    if not files:
        raise InputError(f"{path} holds no code that is read: no file with text in it ends in {', '.join(endings)}")
    return _corpus(path, {"train": files}, seed, _unread(path, len(files), left, aside))


def _others(listed: list[Path], endings: tuple[str, ...]) -> Counter[str]:
    return Counter(name.suffix or name.name for name in listed if not name.name.endswith(endings))


def _unread(path: Path, read: int, left: Counter[str], aside: int) -> str:
    """What is said of a folder's files that are no documents, by kind; nothing where all are."""
    common = left.most_common(5)
    words = [f"{n} {kind}" for kind, n in common]
    words += [f"{rest} of other kinds"] if (rest := left.total() - sum(n for _, n in common)) else []
    words += [f"{aside} hidden or in {' or '.join(ASIDE)}"] if aside else []
    links = sum(each.is_symlink() and each.is_dir() for each in path.rglob("*"))
    words += [f"{links} linked folder{'s' * (links > 1)}"] if links else []
    files = "1 file is" if read == 1 else f"{read} files are"
    return f"{path}: {files} read; not read are {', '.join(words)}" if words else ""


def _splits(folder: Path, names: list[Path]) -> dict[Path, Split]:
    """The split of every file: that which it names, or train where none names any."""
    splits: dict[Path, Split | None] = {name: _split_of(name) for name in names}
    without = [str(name) for name, split in splits.items() if split is None]
    if len(without) < len(names) and (without or "train" not in splits.values()):
        first = next(str(name) for name, split in splits.items() if split)
        missing = f"{without[0]} names none" if without else "no file is called train"
        raise InputError(f"in {folder}, {first} names a split and {missing}; let all files name theirs, or give one file")
    return {name: split or "train" for name, split in splits.items()}


def _split_of(name: Path) -> Split | None:
    """The split that a file names: train/a.jsonl, train.txt, pubmed_train.jsonl, train-00000-of-00004.parquet."""
    for part in name.parts[:-1]:
        if part.lower() in WORDS:
            return WORDS[part.lower()]
    stem = re.sub(r"\.(gz|zst)$", "", name.name.lower()).rpartition(".")[0]
    words = [stem] if name.suffix == ".txt" else re.split(r"[^a-z]+", re.sub(r"[-.]\d+-of-\d+$", "", stem))
    return WORDS.get(words[-1]) or WORDS.get(words[0])


def _corpus(path: Path, files: Mapping[Split, list[File]], seed: int, unread: str = "") -> Corpus:
    """A corpus of local files; its key is made of their contents."""
    count = sum(map(len, files.values()))
    first = next(iter(files.values()))[0]
    content = {split: [(file.place.prefix, file.digest) for file in group] for split, group in files.items()}
    form = {split: _form(group[0]) for split, group in files.items()}  # mirrors may name a column for each split
    given: dict[Split, Source] = {split: partial(_chained, group) for split, group in files.items()}
    key = digest({"form": form, "files": content})
    text = "a document a file" if first.code else f"text in {first.place.column}"
    return Corpus(
        name=re.sub(r"\.(jsonl?|parquet|txt)(\.gz|\.zst)?$", "", path.resolve().name),
        about=f"{path}, {count} file{'s' * (count > 1)}, {text}",
        read=Splits(given, key, seed),
        key=digest({"rule": RULE, "seed": seed, "content": key}),
        sensitive=any(file.sensitive() for group in files.values() for file in group),
        notes=(unread,) if unread else (),
    )


def _form(file: File) -> list[Any]:
    """How its bytes are read."""
    return [file.place.column, file.place.id, getattr(file.place.gather, "__qualname__", None), file.code]


def _chained(files: list[File]) -> Iterator[Found]:
    for file in files:
        yield from file.found()
