"""How a command ends: the page that it leaves, or a sentence and an exit code. Part of the command line, which alone prints."""

import shlex
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from harness.errors import said
from harness.hiding import hidden, quotes

AGAIN = "; type the same command again and it goes on from where it was"


def fail(sentence: str, code: int) -> NoReturn:
    """End with a sentence and an exit code; what was typed or came from elsewhere may hold a secret."""
    print(f"harness: {hidden(sentence)}", file=sys.stderr)
    sys.exit(code)


def broken() -> NoReturn:
    """End with the traceback of a fault of the program's own."""
    _, error, where = sys.exc_info()
    words = traceback.format_exc()
    if error and not quotes():
        words = f"{''.join(traceback.format_tb(where))}{said(error)}"
    print(hidden(words), file=sys.stderr)
    sys.exit(1)


def say(line: str) -> None:
    """A line for whoever waits."""
    print(hidden(line), flush=True)


def page(folder: Path, shown: bool) -> Path:
    """Build the page of a run folder; `shown`: with the sensitive texts that the run kept."""
    from reports.page import write

    return write(folder, shown).resolve()


def command() -> str:
    """What was typed, as it stands in a plan."""
    return hidden(shlex.join(["harness", *sys.argv[1:]]))


def end(folder: Path, failed: Sequence[str], what: str, shown: bool) -> None:
    """Name the page, and what failed: the exit code is 1 then."""
    from harness.announce import several

    say(f"page: {page(folder, shown)}")
    if failed:
        count, again = several(len(failed), what), "it" if len(failed) == 1 else "them"
        fail(f"{count} failed: {', '.join(failed)}; the page says why; the same command tries {again} again", 1)
