"""How a command ends: the page that it leaves, or a sentence and an exit code. Part of the command line, which alone prints."""

import shlex
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from harness.hiding import hidden

AGAIN = "; type the same command again and it goes on from where it was"


def fail(sentence: str, code: int) -> NoReturn:
    """End with a sentence and an exit code; what was typed or came from elsewhere may hold a secret."""
    print(f"harness: {hidden(sentence)}", file=sys.stderr)
    sys.exit(code)


def broken() -> NoReturn:
    """End with the traceback of a fault of the program's own."""
    print(hidden(traceback.format_exc()), file=sys.stderr)
    sys.exit(1)


def say(line: str) -> None:
    """A line for whoever waits."""
    print(hidden(line), flush=True)


def page(folder: Path) -> Path:
    """Build the page of a run folder."""
    from reports.page import write

    return write(folder).resolve()


def command() -> str:
    """What was typed, as it stands in a plan."""
    return hidden(shlex.join(["harness", *sys.argv[1:]]))


def end(folder: Path, failed: Sequence[str], what: str) -> None:
    """Name the page, and what failed: the exit code is 1 then."""
    from harness.announce import several

    say(f"page: {page(folder)}")
    if failed:
        count, again = several(len(failed), what), "it" if len(failed) == 1 else "them"
        fail(f"{count} failed: {', '.join(failed)}; the page says why; the same command tries {again} again", 1)
