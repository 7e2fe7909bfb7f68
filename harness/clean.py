"""Documents to better documents: recipes of cleaners and filters, and one document through them.

A step is a function with typed parameters, registered under `harness.filters` or named by a path (`file.py:function`, which is
code and runs because it was named). What it returns says what it is:

    cleaner   (text) -> str, or Marked: the text with counts of the marks that were put in
    filter    (text) -> bool: True keeps the document
    scorer    (texts) -> list[float], a number a text; kept where it is at most `maximum`, or within the lowest share `quantile`
    corpus    a step that must see the whole corpus: `duplicates`

A recipe is a YAML file; `medical` and `code` are registered ones.

    name: clinic
    about: letters of our wards
    sensitive: true
    steps: [html, unicode, anonymise, {length: {minimum: 200}}, duplicates, "ours.py:no_drafts"]

    found = recipe("medical")
    out = through([step for step in found.steps if step.each], text, key)     # cleaners and filters, in their order
    out.text                       the cleaned text, or None where `out.taken` (a step's name) took the document
    step.call(texts)               a scorer's numbers, of which step.limit(all of them) is the largest to keep
    step.values["threshold"]       any parameter, as given or by default

No step holds anything between documents, and steps can be pickled: any number of processes may run them.
"""

import inspect
import math
import re
import typing
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

from harness.errors import HarnessError, InputError, one_line, said
from harness.hiding import quotes
from harness.plan import digest, file_digest
from harness.registry import find, installed

Kind = Literal["cleaner", "filter", "scorer", "corpus"]
EXAMPLE = "An example text."
"""What every step is tried on when it is named."""


class Marked(NamedTuple):
    """A cleaned text, and how many marks of each type were put into it."""

    text: str
    marks: Mapping[str, int]


class Outcome(NamedTuple):
    """What became of a document: its text, or None and the name of the step that took it; marks put in, by type."""

    text: str | None
    taken: str | None
    marks: Mapping[str, int]


@dataclass(frozen=True)
class Step:
    """A named step with its parameters.

    name    unique in its recipe
    word    registered name, or /path/to/file.py:function
    given   parameters that were given
    """

    name: str
    word: str
    kind: Kind
    given: Mapping[str, Any] = field(default_factory=dict)

    @property
    def each(self) -> bool:
        """Whether it looks at a document alone."""
        return self.kind in ("cleaner", "filter")

    @cached_property
    def values(self) -> dict[str, Any]:
        """All its parameters, as given or by default."""
        return {name: p.default for name, p in parameters(self.word).items()} | dict(self.given)

    @cached_property
    def key(self) -> str:
        """Identifies what it does: name, parameters, and the content of a file of the user's own."""
        path = _path(self.word)
        return digest([path and file_digest(path), path.name if path else self.word, self.values])

    def call(self, given: Any) -> Any:
        """Run it: on a text, on texts (scorer), on an index (corpus)."""
        own = {name: value for name, value in self.given.items() if self.kind != "scorer" or name not in LIMITS}
        return function(self.word)(given, **own)

    def run(self, given: Any, on: str) -> Any:
        """As `call`, where a step of the user's own may fail in any way; `on` says on what."""
        try:
            return self.call(given)
        except HarnessError:
            raise
        except (Exception, SystemExit) as error:
            raise InputError(f"{self.word} failed on {on}: {said(error)}") from error

    def limit(self, scores: Iterable[float]) -> float:
        """The largest score that is kept, of all scores of the corpus; one that is no number is never kept."""
        if self.values["quantile"] is None:
            return self.values["maximum"]
        import numpy as np

        finite = [score for score in scores if math.isfinite(score)]
        return float(np.quantile(finite, self.values["quantile"], method="inverted_cdf")) if finite else math.inf


LIMITS = {name: inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None) for name in ("maximum", "quantile")}
"""Parameters that every scorer has beside its own."""


@dataclass(frozen=True)
class Recipe:
    """Steps in their order; `sensitive` keeps the texts off pages, exports and trackers."""

    name: str
    about: str
    sensitive: bool
    steps: tuple[Step, ...]

    @property
    def key(self) -> str:
        """Identifies what it does to a text."""
        return digest([step.key for step in self.steps])


def recipe(word: str) -> Recipe:
    """A registered recipe, or one from a YAML file."""
    from harness.clean_recipe import read

    if word in installed("recipes"):
        return read(find("recipes", word).load()())
    if not word.endswith((".yaml", ".yml")):
        find("recipes", word)
    return read(Path(word))


def through(steps: Sequence[Step], text: str, key: str = "") -> Outcome:
    """One document through cleaners and filters; `key` names it in errors. A cleaner takes what it leaves nothing of."""
    marks: Counter[str] = Counter()
    for step in steps:
        made = step.run(text, f"document {key!r}")
        if isinstance(made, Marked):
            marks.update(made.marks)
            made = made.text
        if step.kind == "filter" and isinstance(made, bool):
            if not made:
                return Outcome(None, step.name, marks)
        elif step.kind == "cleaner" and isinstance(made, str) and (not _half(made) or _half(text)):
            if not made.strip():
                return Outcome(None, step.name, marks)
            text = made
        else:
            raise InputError(
                f"{step.word} returned {_told(made)} for document {key!r}; a {step.kind} returns {_RETURNS[step.kind]}"
            )
    return Outcome(text, None, marks)


def _told(made: Any) -> str:
    """What a step returned, in words that quote no text which must not be shown."""
    if isinstance(made, str) and _half(made):
        return "text with half of a character (a lone surrogate)"
    return one_line(repr(made)) if quotes() or made is None else f"a value of type {type(made).__name__}"


def _half(text: str) -> bool:
    """Whether a text holds half of a character, which no file can."""
    return not text.isascii() and re.search("[\ud800-\udfff]", text) is not None


_RETURNS = {"cleaner": "the text", "filter": "True or False"}


@cache
def function(word: str) -> Callable[..., Any]:
    """The function behind a word."""
    if not (path := _path(word)):
        return find("filters", word).load()
    from harness.plugins import module

    name = word.rpartition(":")[2]
    found: Any = getattr(module(path), name, None)
    if not inspect.isfunction(inspect.unwrap(found)):
        raise InputError(f"{path} defines no function {name}; write `def {name}(text: str) -> bool`, or -> str")
    return found


def _path(word: str) -> Path | None:
    file, colon, _ = word.rpartition(":")
    return Path(file) if colon else None


def parameters(word: str) -> dict[str, inspect.Parameter]:
    """The parameters of a step: those of its function but the first, and the limits of a scorer."""
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    known = list(inspect.signature(function(word)).parameters.items())[1:]
    return {name: one for name, one in known if one.kind in named} | (LIMITS if annotated(word) == "scorer" else {})


def annotated(word: str) -> Kind | None:
    """What a step is, by what its function says that it returns; None where it says nothing."""
    kinds: dict[Any, Kind] = {str: "cleaner", Marked: "cleaner", bool: "filter", list[float]: "scorer"}
    if function(word) is duplicates:
        return "corpus"
    if "return" not in hints(word):
        return None
    if (kind := kinds.get(hints(word)["return"])) is None:
        raise InputError(f"{word} must return bool (True keeps the document) or str (the cleaned text), and says so of neither")
    return kind


def hints(word: str) -> dict[str, Any]:
    """What a step's function says of its parameters and of what it returns."""
    try:
        return typing.get_type_hints(function(word), include_extras=True)
    except Exception as error:  # a step of the user's own may say anything
        raise InputError(f"{word}: what it says of its types cannot be read: {said(error)}") from error


def duplicates(index: Any, threshold: float = 0.8, near: bool = True) -> tuple[Any, Any]:
    """Keep one document of those that are copies of each other, exactly or nearly (MinHash), within and across sources.

    Parameters:
        threshold: share of word 5-grams, of those in either, that two near duplicates have in common (Jaccard, 0 to 1)
        near: also near duplicates; else only texts that are equal but for case and white space
    """
    return index.find(threshold, near)
