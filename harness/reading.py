"""A file, a folder, a hub dataset or a published corpus as a Corpus: every row is looked at, none is dropped or guessed.

    notes.jsonl  notes.jsonl.gz  notes.jsonl.zst  notes.parquet    one document a row: its text in `text`, its id in `id`
    notes.txt                                     one document a paragraph (blank lines between)
    folder                                        all such files in it, by name; a loose .txt is one document
    folder of code, folder#.java,.kt              one document a source file (.py where no endings are typed)
    anything#column                               the text stands in another column
    hub:owner/name, owner/name                    a hub dataset, streamed; hub:owner/name/configuration@commit
    file:name                                     a file or folder, whatever else the name may mean

Splits are the files (or subfolders) of a folder that are called train, validation (valid, val, dev) and test, or the
hub's own. What is not there is cut from train by ids and near duplicates, 2.5 % each (splits.py). What `mirrors.yaml` names
is read from there, with its own splits and columns.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from harness import hub, local, mirrors
from harness.corpus import SPLITS, Corpus, Published, Split
from harness.errors import InputError, did_you_mean
from harness.formats import ID, TEXT, Found, Place, document
from harness.splits import Splits

HUB = re.compile(r"(hub:)?([\w.-]+/[\w.-]+)(?:/([\w.-]+))?(?:@([\w./-]+))?")


@dataclass(frozen=True)
class Size:
    """Documents of a split, and UTF-8 bytes of their text."""

    documents: int = 0
    bytes: int = 0


def corpus(word: str, seed: int = 0) -> Corpus:
    """A file, folder or hub dataset by what was typed; rows are read later, by `check` and whoever needs them."""
    name, column = _place(word)
    path = Path(name.removeprefix("file:")).expanduser()
    if name and not name.startswith("hub:") and path.exists():
        return _local(path, Place(str(path), column or TEXT), seed)
    if found := on_hub(name):
        return published(replace(found, text=column or TEXT), found.dataset.rpartition("/")[2], _typed(found), seed)
    near = [str(other) for other in path.parent.iterdir()] if path.name and path.parent.is_dir() else []
    close = get_close_matches(name, near, cutoff=0.6)
    hint = did_you_mean(name, close) if close else "give a file, a folder or hub:owner/name"
    raise InputError(f"there is no file or folder {name!r}; {hint}")


def on_hub(word: str) -> Published | None:
    """The hub dataset that a word names; None: it is the name of a file, or of a folder that is there."""
    name = word.partition("#")[0]
    path = Path(name).expanduser()
    match = HUB.fullmatch(name)
    if match is None or (path.exists() and not match[1]):
        return None
    found = Published(match[2], "", configuration=match[3], revision=match[4])
    if match[1] or mirrors.current().dataset(found.dataset, found.configuration):
        return found
    return None if match[3] or path.parent.is_dir() or name.endswith(local.SUFFIXES) else found


def _typed(found: Published) -> str:
    return "/".join(filter(None, ("hub:" + found.dataset, found.configuration)))


def published(found: Published, name: str, typed: str, seed: int = 0) -> Corpus:
    """A published corpus from a mirror, or from the hub."""
    if (read := _mirrored(found, seed)) is not None:
        about = f"{read.about}, which stands for hub:{found.label}"
        sensitive = found.sensitive or read.sensitive
        return replace(read, name=name, about=about, licence=found.licence, sensitive=sensitive, published=found.dataset)
    if found.recipe:
        raise InputError(f"{name} is on no hub: {found.recipe}; then {hub.mirror(found)}")
    return replace(hub.corpus(found, name, typed, seed), published=found.dataset)


def _mirrored(found: Published, seed: int) -> Corpus | None:
    """What `mirrors.yaml` says stands for a published corpus. A file whose column it names is read as any file is."""
    known = mirrors.current()
    place = known.text(*found.key)
    label = f"{known.path}: datasets.{found.label}"
    form = Place("", found.text, id=found.id or "", gather=found.gather)
    if isinstance(place, dict):
        if not any(local.WORDS.get(split.lower()) == "train" for split in place):
            raise InputError(f"{label} has no split train, and {found.label} is to be read as text")
        return local.named({split: _formed(*file, form) for split, file in place.items()}, label, seed)
    if place is None:
        return None
    path, own = _formed(*place, form)
    return _local(_inside(path, found, label, found.label in known.datasets), own, seed)


def _inside(path: Path, found: Published, label: str, own: bool) -> Path:
    """Where a part lies: in a copy of the repository in its folder; else all that stands there is the part.

    own   whether this is named for the part, and not for the whole, of which it may hold other parts alone
    """
    wanted = [path / part for part in (found.folder, found.configuration) if part]
    if not wanted or not path.is_dir() or local.saved(path):
        return path
    if inner := [part for part in wanted if part.is_dir()]:
        return inner[0]
    if own:
        return path
    files = [child for child in (*path.iterdir(), *path.glob("data/*")) if child.is_file() or child.name.lower() in local.WORDS]
    if any(child.is_dir() or child.name.endswith((*local.SUFFIXES, "dataset_dict.json")) for child in files):
        return path
    folders = ", ".join(sorted(child.name for child in wanted[0].parent.glob("*/"))) or "no folder"
    raise InputError(f"{label}: {wanted[0]} is not there, beside {folders}; copy it there, or name another folder for it")


def _formed(path: Path, column: str, form: Place) -> tuple[Path, Place]:
    return path, Place(str(path), column) if column else replace(form, name=str(path))


def _local(path: Path, place: Place, seed: int) -> Corpus:
    """A file or a folder; the endings of code stand where a column would."""
    if path.is_dir():
        endings = tuple(place.column.split(",")) if place.column.startswith(".") else ()
        if odd := [ending for ending in endings if not re.fullmatch(r"(\.[\w+-]+)+", ending)]:
            raise InputError(f"{odd[0]!r} is no ending of a file; type endings as in {path}#.py,.pyi")
        return local.folder(path, place, seed, endings)
    return local.one(path, place, seed)


def _place(word: str) -> tuple[str, str]:
    """`path#column` to path and column; a file that has a # in its name is found by its whole name."""
    name, mark, column = word.rpartition("#")
    if not mark or Path(word.removeprefix("file:")).exists():
        return word, ""
    if not column:
        raise InputError(f"{word!r} names no column behind the #; type the column that holds the text, as in {word}text")
    return name, column


def check(corpus: Corpus) -> dict[Split, Size]:
    """Look at every document once, before anything is made of them; of a stream at the first ten thousand of a split."""
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


def checked(corpus: Corpus) -> Corpus:
    """A corpus whose documents were looked at, with what a reader must know of its splits."""
    check(corpus)
    across = corpus.read.across() if isinstance(corpus.read, Splits) else {}
    told = " and ".join(f"{across[split]} of {split}" for split in SPLITS if split in across)
    note = f"{corpus.name}: {told} have near duplicates in another split, and stay as the splits of the source have them"
    return replace(corpus, notes=(*corpus.notes, note)) if across else corpus


def _all(corpus: Corpus) -> Iterator[tuple[Split, Found]]:
    if isinstance(corpus.read, Splits):
        yield from corpus.read.found()
        return
    for split in SPLITS:
        for number, one in enumerate(corpus.read(split), 1):
            yield split, document(Place(f"{corpus.name} {split}"), number, {ID: one.id, TEXT: one.text})
