"""Evaluation while training: a few fixed items at geometric, then regular shares of it, for at most a twentieth of its cost.

The loop is handed a function that it calls with the number of updates done, and knows nothing of what is asked there. The
weights are those of the optimizer at that update: what a strategy averages or merges at the end is not in them yet.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from harness.distance import distance
from harness.errors import within_memory
from harness.files import read_table, writing
from harness.looks import MOST, TOO_SHORT, afford, milestones
from harness.model import tensors
from harness.record import Result
from harness.resolve import Ready
from harness.score_items import Asked, Item, choose
from harness.tabled import TRAJECTORY

if TYPE_CHECKING:
    from harness.train import Training

WITHOUT = "type --no-milestones, or give a smaller --limit"
"""What helps where memory is too short for a look."""


class Milestones:
    """The same items for every arm, seed and milestone of a run, chosen when the first trial is trained."""

    def __init__(self, ready: Ready) -> None:
        self.ready = ready
        self._chosen: tuple[list[Item], int] | None = None

    def of(
        self, training: "Training", folder: Path, tell: Callable[[str], None] = lambda sentence: None
    ) -> Callable[[int], dict[str, float]]:
        """What a training calls with the number of updates done."""
        ready = self.ready
        if self._chosen is None:
            base = Result(ready.folder / "base", None, None).scores
            if ready.plan.options.get("items") == "test":
                base = base[base["split"] == "test"]
            found = choose(training.model, ready.tokenizer, ready.suites, base, ready.bos, MOST)
            self._chosen = afford(found, ready.setting.budget)
            if found and not self._chosen[0]:
                tell(TOO_SHORT)
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
