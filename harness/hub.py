"""A dataset of the hub as a Corpus: pinned to a commit, streamed, its first documents kept; what fails is one sentence.

The first documents (`splits.WINDOW`) are kept in the cache under the commit, with the names of the splits: what is held out is
taken from them, and what was read of a commit once is known without a network.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

from harness import splits
from harness.corpus import SPLITS, Corpus, Document, Published, Row, Split
from harness.errors import HarnessError, InputError
from harness.files import cache, read_json, write_json, writing
from harness.formats import Found, Place, documents, says_sensitive, text_key
from harness.local import WORDS
from harness.plan import digest

TIMEOUT = 10
"""Seconds that the hub has for an answer."""


@dataclass(frozen=True)
class Stream:
    """A published corpus at a commit."""

    of: Published
    revision: str

    @property
    def content(self) -> list[Any]:
        """What decides its documents."""
        of = self.of
        gather = getattr(of.gather, "__qualname__", None)
        return [of.dataset, of.configuration, of.folder, self.revision, of.text, of.id, gather]

    @property
    def _options(self) -> dict[str, Any]:
        """What `datasets` is asked for beside name and configuration; a configuration knows its files."""
        return {"data_dir": self.of.folder} if self.of.folder and not self.of.configuration else {}

    @property
    def _path(self) -> Path:
        return cache() / "streams" / f"{digest([self.content, splits.WINDOW])}.jsonl"

    @property
    def begun(self) -> bool:
        """Whether its first documents are here."""
        return self._path.with_suffix(".json").is_file()

    @cached_property
    def facts(self) -> dict[str, Any]:
        """Names of its splits, and whether its texts must not be shown; its first documents are kept with them."""
        path = self._path.with_suffix(".json")
        if not path.is_file():
            own = self._splits()
            first, rows = _peek(self._rows(own["train"]))
            sensitive = first is not None and says_sensitive(first[1], f"hub:{self.of.label} train:{first[0]}")
            blank: list[int] = []
            with writing(self._path) as beside, beside.open("w", encoding="utf-8") as file:
                for found in islice(self._found("train", rows, blank), splits.WINDOW):
                    file.write(json.dumps([found.document.id, found.document.text, found.where]) + "\n")
            write_json(path, {"splits": own, "sensitive": sensitive, "blank": len(blank)})
        return read_json(path)

    def _splits(self) -> dict[str, str]:
        import datasets

        of = self.of
        with errors(of):
            names = datasets.get_dataset_split_names(of.dataset, of.configuration, revision=self.revision, **self._options)
        own = {WORDS[name.lower()]: name for name in reversed(names) if name.lower() in WORDS}
        if "train" not in own:
            raise InputError(f"hub:{of.label} has no split train; it has {', '.join(names)}; {mirror(of)}")
        return {split: own[split] for split in SPLITS if split in own}

    def _rows(self, name: str) -> Iterator[Any]:
        import datasets

        of = self.of
        with errors(of):
            stream: Any = datasets.load_dataset(
                of.dataset, of.configuration, split=name, revision=self.revision, streaming=True, **self._options
            )
            yield from enumerate(stream, 1)

    def _found(self, split: str, rows: Iterator[Any], blank: list[int] | None = None) -> Iterator[Found]:
        of = self.of

        def gather(rows: Iterable[Row]) -> Iterator[Row]:
            """Rows that have text: nobody can mend those of the hub that have none."""
            for number, row in of.gather(rows) if of.gather else rows:
                if isinstance(text := row.get(of.text), str) and not text.strip():
                    (blank if blank is not None else []).append(number)
                else:
                    yield number, row

        place = Place(f"hub:{of.label} {split}", of.text, f"{split}:", of.id or "", gather)
        with errors(of):
            for found in documents(place, rows):
                yield found._replace(key=text_key(found.document.text))

    def read(self, split: Split) -> Iterator[Found]:
        """All documents of one of its own splits."""
        yield from self._found(split, self._rows(self.facts["splits"][split]))

    def window(self) -> Iterator[Found]:
        """The first documents of train, as they were kept."""
        _ = self.facts
        with self._path.open(encoding="utf-8") as file:
            for line in file:
                name, text, where = json.loads(line)
                yield Found(Document(name, text), text_key(text), where)


def _peek(rows: Iterator[Any]) -> tuple[Any, Iterator[Any]]:
    first = list(islice(rows, 1))
    return (first[0] if first else None), chain(first, rows)


def corpus(of: Published, name: str, typed: str, seed: int) -> Corpus:
    """A published corpus, streamed; `typed` is what names it, without a commit."""
    stream = Stream(of, of.revision or newest(of))
    facts = stream.facts
    own: list[Split] = [split for split in SPLITS if split in facts["splits"]]
    key = digest(stream.content)
    held = "" if len(own) == len(SPLITS) else f", held out from its first {splits.WINDOW:,} documents"
    word = f"{typed}@{stream.revision}" + (f"#{of.text}" if typed.startswith("hub:") else "")
    return Corpus(
        name=name,
        about=f"hub:{of.label} at {stream.revision}, {of.columns}{held}",
        read=splits.Splits({split: partial(stream.read, split) for split in own}, key, seed, stream.window),
        key="hub:" + digest({"rule": splits.RULE, "seed": seed, "window": splits.WINDOW, "content": key}),
        licence=of.licence,
        sensitive=of.sensitive or facts["sensitive"],
        word=word,
        notes=(_left_out(of, facts["blank"]),) if facts["blank"] else (),
    )


def _left_out(of: Published, blank: int) -> str:
    return f"hub:{of.label}: rows without text are left out, {blank} beside its first documents"


def known(of: Published) -> bool:
    """Whether what a run asks of a commit first is here already."""
    return of.revision is not None and Stream(of, of.revision).begun


def newest(of: Published) -> str:
    """The commit that is current now."""
    from huggingface_hub import HfApi, get_token

    if of.gated and get_token() is None:
        raise _gated(of)
    with errors(of):
        return str(HfApi().dataset_info(of.dataset, timeout=TIMEOUT).sha)


def mirror(of: Published) -> str:
    """What to type where the hub does not give a dataset."""
    return f"say in mirrors.yaml where its files lie, as in `datasets: {{{of.line}}}`"


def _gated(of: Published) -> InputError:
    page = f"https://huggingface.co/datasets/{of.dataset}"
    return InputError(f"hub:{of.label} is gated: agree to its terms at {page} and set HF_TOKEN to your token, or {mirror(of)}")


@contextmanager
def errors(of: Published) -> Iterator[None]:
    """Whatever a hub, a network or a loader does, as one sentence."""
    try:
        yield
    except HarnessError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
        if "gated" in f"{type(error).__name__} {reason}".lower():
            raise _gated(of) from error
        raise InputError(
            f"hub:{of.label} cannot be read ({reason}); check name, network and HF_TOKEN, or {mirror(of)}"
        ) from error
