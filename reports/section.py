"""What a page is made of: sections that ask a question, answer it in a computed sentence, and show why.

Nothing here knows HTML: every string is plain text, escaped where the template prints it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from harness.forgetting import Kind
from harness.statistics import Estimate
from reports import words

Tone = Literal["", "good", "bad", "quiet"]


@dataclass(frozen=True)
class Cell:
    """A table's cell, with what stands small below it; the tone is never the only bearer of what it says.

    value  what the table is sorted by, where the text does not say it exactly
    """

    text: str
    tone: Tone = ""
    under: str = ""
    value: float | None = None


def measured(found: Estimate | None, kind: Kind, signed: bool = False) -> Cell:
    """A figure with its interval below it."""
    if found is None:
        return Cell(words.NOTHING)
    return Cell(words.amount(found.value, kind, signed), under=words.between(found, kind, signed), value=found.value)


def shared(found: Estimate | None) -> Cell:
    """A share in per cent with its interval below it."""
    if found is None:
        return Cell(words.NOTHING)
    return Cell(words.percent(found), under=words.ends(found), value=found.value)


@dataclass(frozen=True)
class Table:
    """A table whose first column names the row; `words` leading columns hold words, the others numbers.

    wide    the first column stays in sight while the others scroll
    search  its rows can be searched
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str | Cell, ...], ...]
    words: int = 1
    wide: bool = False
    search: bool = False
    kind: str = "table"


@dataclass(frozen=True)
class Figure:
    """A plotly figure with the sentence it shows and the table behind it; `width`: pixels below which it scrolls."""

    name: str
    title: str
    conclusion: str
    plot: Mapping[str, Any]
    table: Table
    height: int = 400
    width: int = 0


@dataclass(frozen=True)
class Figures:
    """Figures that stand side by side where the page is wide enough."""

    figures: tuple[Figure, ...]
    legend: bool = False
    kind: str = "figures"


@dataclass(frozen=True)
class Finding:
    """What is claimed of one arm."""

    arm: str
    tag: str
    tone: Tone
    standing: str
    sentence: str
    beside: tuple[str, ...] = ()


@dataclass(frozen=True)
class Findings:
    """All arms' claims."""

    findings: tuple[Finding, ...]
    kind: str = "findings"


@dataclass(frozen=True)
class Warnings:
    """What would make the verdict wrong, and what every reader must be told."""

    sentences: tuple[str, ...]
    kind: str = "warnings"


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str
    kind: str = "text"


@dataclass(frozen=True)
class Code:
    """Words to copy."""

    title: str
    text: str
    kind: str = "code"


@dataclass(frozen=True)
class Copy:
    """Data to take along: folded, with a button that copies it; not printed."""

    name: str
    about: str
    text: str
    kind: str = "copy"


@dataclass(frozen=True)
class Completed:
    """One prompt and what each model made of it: (name, text)."""

    prompt: str
    texts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Completions:
    """Prompts completed side by side, those after the first few folded away."""

    prompts: tuple[Completed, ...]
    first: int = 3
    kind: str = "completions"


Block = Table | Figures | Findings | Warnings | Text | Code | Copy | Completions


@dataclass(frozen=True)
class Section:
    """One question, its answer, and what it rests on."""

    name: str
    question: str
    answer: str
    blocks: tuple[Block, ...] = ()
