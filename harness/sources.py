"""A source as typed: one corpus, or several mixed by tokens: `a.jsonl=0.7,b.jsonl=0.3`, {a.jsonl: 0.7, b.jsonl: 0.3} in YAML.

Without shares every part is read by its tokens. A word that is there as a whole (a path, a registered corpus) is one corpus,
whatever commas and equals signs it holds.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from harness import registry
from harness.corpus import Corpus, Document, Split
from harness.errors import InputError
from harness.plan import digest

QUIET = 10.0
"""Seconds of reading that nobody is told of."""
ROUNDED = Fraction(1, 1000)
"""What shares may sum to more or less than 1: thirds are typed as 0.333."""
ENDINGS = r"(?:\.[\w+-]+)+(?:,(?:\.[\w+-]+)+)*"
"""Endings of code behind the # of a folder."""
Typed = str | Mapping[str, float | None]
Say = Callable[[str], None]
"""Hears a sentence about what takes its time."""


@dataclass(frozen=True)
class Mixed(Corpus):
    """Several corpora as one source, mixed by tokens; as a corpus, the documents of one after those of another.

    parts    each with a name of its own
    shares   of the tokens that are read, summing to 1; None: as many as each part has
    """

    parts: tuple[Corpus, ...] = ()
    shares: tuple[Fraction, ...] | None = None


def parts(corpus: Corpus) -> tuple[Corpus, ...]:
    """The corpora that a source is made of: itself, unless it is mixed."""
    return corpus.parts if isinstance(corpus, Mixed) else (corpus,)


def silent(sentence: str) -> None:
    """Tell nobody."""


def heard(corpus: Corpus, say: Say) -> Corpus:
    """The same text; where reading it takes longer than some seconds, `say` hears how far it is."""
    if isinstance(corpus, Mixed):
        return replace(corpus, parts=tuple(heard(part, say) for part in corpus.parts))

    def read(split: Split) -> Iterator[Document]:
        began = told = time.monotonic()
        characters = 0
        for number, document in enumerate(corpus.read(split), 1):
            yield document
            characters += len(document.text)
            if (now := time.monotonic()) > told + QUIET:
                told, speed = now, characters / 1e6 / (now - began)
                say(f"packing {corpus.name}: {number:,} documents, {characters / 1e6:,.0f}M characters, {speed:.1f}M a second")

    return replace(corpus, read=read)


def words(typed: Typed | None) -> list[str]:
    """The words of a source as typed, one a corpus, without their shares."""
    return [word for word, _ in _pieces(typed)] if typed else []


def read(flag: str, typed: Typed) -> tuple[list[str], list[Fraction] | None]:
    """The corpora that a source names, and their shares; what cannot be a mixture is refused. `flag` is NEW, OLD or TASK."""
    pieces = _pieces(typed)
    names = [word for word, _ in pieces]
    given = {word: share for word, share in pieces if share is not None}
    if not names or "" in names:
        raise InputError(f"--{flag} {typed} has an empty part; give names with a comma between them")
    if twice := next((word for word in names if names.count(word) > 1), None):
        raise InputError(f"--{flag} names {twice} twice; name each text once, with its whole share")
    if not given:
        return names, None
    if missing := [word for word in names if word not in given]:
        raise InputError(f"--{flag} gives {next(iter(given))} a share and {missing[0]} none; give all of them one, or none")
    for word, share in given.items():
        if share <= 0:
            raise InputError(
                f"--{flag}: the share of {word} is {float(share):g}; shares are above 0, leave out what is not read"
            )
    total = sum(given.values())
    if abs(total - 1) > ROUNDED:
        raise InputError(f"--{flag}: the shares of {', '.join(given)} sum to {float(total):g}; they are to sum to 1")
    return names, [share / total for share in given.values()]


def _pieces(typed: Typed) -> list[tuple[str, Fraction | None]]:
    """Words, each with the share that was typed for it."""
    if not isinstance(typed, str):
        return [(word, None if share is None else Fraction(str(share))) for word, share in typed.items()]
    if _whole(typed):
        return [(typed, None)]
    found: list[str] = []
    for word in typed.split(","):
        if found and re.search(f"#{ENDINGS}$", found[-1]) and re.fullmatch(rf"{ENDINGS}(=[\d.]+)?", word):
            found[-1] += f",{word}"  # one more ending of a folder of code
        else:
            found.append(word)
    return [_piece(word.strip()) for word in found]


def _piece(word: str) -> tuple[str, Fraction | None]:
    name, mark, share = word.rpartition("=")
    if not mark or _whole(word) or not re.fullmatch(r"-?(\d+\.?\d*|\.\d+)", share):
        return word, None
    return name, Fraction(share)


def _whole(word: str) -> bool:
    """Whether a word is one corpus as it stands."""
    path, mark, column = word.rpartition("#")
    if word in registry.installed("corpora") or Path(word).expanduser().exists():
        return True
    return bool(mark) and bool(re.fullmatch(f"[^,=]*|{ENDINGS}", column)) and Path(path).expanduser().exists()


def mixed(flag: str, corpora: Sequence[Corpus], shares: Sequence[Fraction] | None) -> Corpus:
    """Corpora as one source; one alone is itself."""
    if len(corpora) == 1:
        return corpora[0]
    keys = [corpus.key for corpus in corpora]
    for number, corpus in enumerate(corpora):
        if (first := keys.index(corpus.key)) < number:
            raise InputError(f"--{flag}: {corpora[first].name} and {corpus.name} are the same text; name it once")
    if shares is None and (streamed := next((one.name for one in corpora if one.key.startswith("hub:")), None)):
        raise InputError(
            f"--{flag}: {streamed} is streamed, and how many tokens it has is not known; give shares, as in {streamed}=0.5"
        )
    named = tuple(_named(corpora))
    told = [f"{one.name} {float(share):.3g}" for one, share in zip(named, shares, strict=True)] if shares else []
    return Mixed(
        name="+".join(one.name for one in named),
        about="mixed by tokens: " + (", ".join(told) or f"{', '.join(one.name for one in named)}, each by its own"),
        read=_Chained(named),
        key="mixed:" + digest([keys, [str(share) for share in shares or ()]]),
        licence="; ".join(dict.fromkeys(one.licence for one in named)),
        sensitive=any(one.sensitive for one in named),
        parts=named,
        shares=None if shares is None else tuple(shares),
    )


def _named(corpora: Sequence[Corpus]) -> Iterator[Corpus]:
    """Corpora whose names tell them apart, also as parts of the names of tasks."""
    seen: list[str] = []
    for corpus in corpora:
        name = re.sub(r"\W+", "_", corpus.name)
        seen.append(name)
        count = seen.count(name)
        yield replace(corpus, name=name if count == 1 else f"{name}_{count}")


@dataclass(frozen=True)
class _Chained:
    """Reads the documents of all parts, each id with the name of its part in front."""

    parts: tuple[Corpus, ...]

    def __call__(self, split: Split) -> Iterator[Document]:
        for part in self.parts:
            for document in part.read(split):
                yield Document(f"{part.name}:{document.id}", document.text)
