"""What can go wrong, as sentences for a reader.

    HarnessError             printed as one sentence, without a traceback; exit code 1
    ├── InputError           what was typed or given cannot be used; nothing was written; exit code 2
    ├── RecordError          a run folder holds something that does not belong, or not what it should
    └── TrialError           one arm under one seed failed; the others go on

A message says what was found, where, what is allowed, and what to type.
"""

import contextlib
import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from harness.hiding import hidden, quotes


class HarnessError(Exception):
    """A sentence for the person who runs the program."""

    exit_code = 1


class InputError(HarnessError):
    """What was typed or given cannot be used; nothing was written."""

    exit_code = 2


class RecordError(HarnessError):
    """A run folder holds something that does not belong there, or lacks what it should hold."""


class TrialError(HarnessError):
    """One trial failed; the others go on."""


LONGEST = 600
"""Characters of somebody else's words that a sentence quotes."""


def said(error: BaseException) -> str:
    """Kind and words of somebody else's exception, on one line, short, and without what a terminal would obey."""
    if not quotes():
        return f"{type(error).__name__} (its words may quote sensitive text, and are withheld; --show-text shows them)"
    try:
        words = str(error)
    except Exception as other:  # a plugin may fail in any way
        words = f"its own words cannot be had ({type(other).__name__})"
    return one_line(hidden(f"{type(error).__name__}: {words}"))


def out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out: of a device, or of the machine."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _ALLOCATORS)


_ALLOCATORS = ("can't allocate memory", "not enough memory", "CUDA out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
"""What torch's allocators say where they have no exception of their own: Linux, Windows, CUDA's libraries."""


@contextlib.contextmanager
def within_memory(doing: str, instead: str) -> Iterator[None]:
    """Where memory runs out, a sentence: what was being done, and what to type instead."""
    try:
        yield
    except Exception as error:
        if not out_of_memory(error):
            raise
        raise TrialError(too_large(error, doing, instead)) from error


def too_large(error: BaseException, doing: str, instead: str) -> str:
    """A sentence about memory that ran out, with the size that was asked for where it is said."""
    size = re.search(r"tried to allocate ([\d.]+ \w+)", one_line(str(error)), re.IGNORECASE)
    return f"memory ran out {doing}{f' (for another {size[1]})' if size else ''}; {instead}"


def one_line(text: str) -> str:
    """Text without control characters and line ends, cut where it is long."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}..."


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown word: the nearest known ones, or all of them."""
    names = sorted(set(known))
    near = get_close_matches(word, names, n=3, cutoff=0.5)
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"known: {', '.join(names)}"
