"""Evaluation while training: a few fixed items at geometric, then regular shares of it, for at most a twentieth of its cost.

The loop is handed a function that it calls with the number of updates done, and knows nothing of what is asked there. The
weights are those of the optimizer at that update: what a strategy averages or merges at the end is not in them yet.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from harness.distance import distance
from harness.errors import within_memory
from harness.files import read_table, writing
from harness.model import tensors
from harness.plan import Budget
from harness.record import TRAJECTORY, Result
from harness.resolve import Ready
from harness.score_items import Asked, Item, choose

if TYPE_CHECKING:
    from harness.train import Training

SHARE = 0.05
"""Of the time that the control trains, at most."""
FORWARD = 0.5
"""Time of a token that is only read, in tokens that are trained on: a third of the arithmetic, in rows of unequal length."""
MOST, LEAST = 32, 4
"""Items of a task."""
SPACINGS = (5, 10, 20)
"""Per cent of a training between two milestones, the finest that leaves LEAST items of every task."""


def milestones(steps: int, spacing: int) -> list[int]:
    """Updates: 0; 1, 2, 4, ... % of the training; then every `spacing` %, and the last.

    >>> milestones(200, 20)
    [0, 2, 4, 8, 16, 32, 40, 80, 120, 160, 200]
    """
    doubled = [2**power for power in range(7) if 2**power < spacing]
    return sorted({round(steps * percent / 100) for percent in (0, *doubled, *range(spacing, 101, spacing))})


def afford(items: Sequence[Item], budget: Budget) -> tuple[list[Item], int]:
    """The items, and the spacing, that SHARE of the control's training pays for; no items where it pays for too few."""
    for spacing in SPACINGS:
        left = SHARE / FORWARD * budget.tokens / len(milestones(budget.steps, spacing))
        kept: list[Item] = []
        for item in items:
            left -= item.tokens
            if left < 0:
                break
            kept.append(item)
        each = Counter(item.task for item in kept)
        if kept and all(each[task] >= min(LEAST, count) for task, count in Counter(item.task for item in items).items()):
            return kept, spacing
    return [], 0


WITHOUT = "type --no-milestones, or give a smaller --limit"
"""What helps where memory is too short for a look."""


class Milestones:
    """The same items for every arm, seed and milestone of a run, chosen when the first trial is trained."""

    def __init__(self, ready: Ready) -> None:
        self.ready = ready
        self._chosen: tuple[list[Item], int] | None = None

    def of(self, training: "Training", folder: Path) -> Callable[[int], dict[str, float]]:
        """What a training calls with the number of updates done."""
        ready = self.ready
        if self._chosen is None:
            base = Result(ready.folder / "base", None, None).scores
            found = choose(training.model, ready.tokenizer, ready.suites, base, ready.bos, MOST)
            self._chosen = afford(found, ready.setting.budget)
        items, spacing = self._chosen
        budget = training.setting.budget
        due = set(milestones(budget.steps, spacing)) if items else set()
        asked = Asked(training.model, ready.tokenizer, items)

        def evaluate(update: int) -> dict[str, float]:
            if update not in due:
                return {}
            with within_memory(f"while milestones were looked at, at update {update}", WITHOUT):
                with training.as_stored():
                    bits = asked.bits()
                moved = distance(training, tensors(ready.base.folder))
            keep(folder, update, update * budget.batch * budget.length, items, bits)
            return changes(items, bits) | ({} if moved is None else {"distance": moved})

        return evaluate


def changes(items: Sequence[Item], bits: Sequence[float]) -> dict[str, float]:
    """Task by task, how many bits per byte of text, or per right answer, more than on the base; for the log and trackers."""
    whole, weight = defaultdict[str, float](float), defaultdict[str, float](float)
    for item, after in zip(items, bits, strict=True):
        whole[item.task] += after - item.before
        weight[item.task] += item.weight
    return {f"milestone.{task}": whole[task] / weight[task] for task in whole}


def keep(folder: Path, update: int, tokens: int, items: Sequence[Item], bits: Sequence[float]) -> None:
    """Add a milestone to a trial's table, in place of it and of later ones that an earlier attempt left."""
    asked = zip(items, bits, strict=True)
    found = pd.DataFrame([{"update": update, "tokens": tokens, **item.facts, "after": after} for item, after in asked])
    path = folder / TRAJECTORY
    if update and path.exists():
        before = read_table(path)
        found = pd.concat([before[before["update"] < update], found], ignore_index=True)
    with writing(path) as beside:
        found.to_parquet(beside, index=False)
