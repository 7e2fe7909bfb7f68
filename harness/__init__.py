"""The forgetting harness: what a language model forgets while it learns new text, and what that depends on."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.frames import Frames

__version__ = "0.1.0"


def load(runs: str | Path | Sequence[str | Path], show_text: bool = False) -> "Frames":
    """A run folder as tidy data frames (claims, figures, tasks, items, prices, trajectory, stages); several runs together.

    docs/data.md says what stands in their columns. Nothing heavy is loaded before this is called, and torch never.
    """
    from harness.frames import load as read

    return read(runs, show_text)
