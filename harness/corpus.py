"""The contract for what is read: named documents with three splits.

`train` is trained on, `validation` may be selected on, `test` is read by the report alone.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, TypeVar


class _Written(Protocol):
    @property
    def text(self) -> str: ...


Written = TypeVar("Written", bound=_Written)
"""Whatever has a text."""
Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
Row = tuple[int, Mapping[str, Any]]
"""Number of a row, from 1, and its fields."""


@dataclass(frozen=True)
class Document:
    """One text with an id that is unique in its corpus."""

    id: str
    text: str


def batches(documents: Iterable[Written], characters: int, most: int | None = None) -> Iterator[list[Written]]:
    """Documents together: each batch ends with the one that makes it so many characters, or so many documents."""
    batch: list[Written] = []
    size = 0
    for document in documents:
        batch.append(document)
        size += len(document.text)
        if len(batch) == most or size >= characters:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


@dataclass(frozen=True)
class Corpus:
    """Named documents; `read(split)` yields them in a fixed order, the same at every call.

    `key` identifies the content: two corpora with one key hold the same documents in the same order.
    `sensitive` keeps texts off pages, exports and trackers. `word` names the same content again, where the word that was
    typed may come to mean another (the newest commit of the hub). `notes` are what a reader must know of how it was read.
    `published` is the data set of the hub that it is a part of.
    """

    name: str
    about: str
    read: Callable[[Split], Iterator[Document]]
    key: str
    licence: str = "unknown"
    sensitive: bool = False
    word: str = ""
    notes: tuple[str, ...] = ()
    published: str = ""


@dataclass(frozen=True)
class Published:
    """A corpus as it is published: what the hub is asked for, and what a reader must know of it.

    dataset        owner/name on the hub; the name that `mirrors.yaml` uses
    about          what it is
    configuration  one of its configurations
    folder         where its files lie in the repository, where not all of it is read
    part           what NAME/PART replaces in the folder; of a corpus with configurations it names another one
    revision       a commit; None: the newest one at the first read, which the plan of the run then names
    text, id       columns; without an id a document is called after its text
    gather         rows to documents, where a row is no document of its own
    size           as published
    gated          whether the hub wants its terms agreed to, and a token
    recipe         how to make files of it, where no hub has it
    source         where these facts were read
    """

    dataset: str
    about: str
    configuration: str | None = None
    folder: str = ""
    part: str = ""
    revision: str | None = None
    text: str = "text"
    id: str | None = "id"
    gather: Callable[[Iterable[Row]], Iterable[Row]] | None = None
    size: str = "unknown"
    gated: bool = False
    licence: str = "unknown"
    sensitive: bool = False
    recipe: str = ""
    source: str = ""

    def of(self, part: str) -> "Published | None":
        """Another part of it; None: it has none."""
        if self.configuration:
            return replace(self, configuration=part, folder="")
        return replace(self, part=part, folder=self.folder.replace(self.part, part)) if self.part else None

    @property
    def key(self) -> tuple[str, str | None]:
        """Its name, and what tells it from other parts of its repository: what `mirrors.yaml` finds it by."""
        return self.dataset, self.configuration or self.part or None

    @property
    def label(self) -> str:
        """How it is named in messages and in `mirrors.yaml`."""
        return "/".join(filter(None, self.key))

    @property
    def line(self) -> str:
        """What `mirrors.yaml` could say of it."""
        return f"{self.label}: {{train: train.jsonl#{self.text}}}"

    @property
    def columns(self) -> str:
        """Its columns in words."""
        return f"text in {self.text}, " + (f"id in {self.id}" if self.id else "no id")
