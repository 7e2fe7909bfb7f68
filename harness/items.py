"""A run's items before and after, task by task, and where the base stands on each task."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd

from harness import statistics
from harness.pairing import Kind, Sample, beside, by_task, compared, is_choice, numbers
from harness.record import Record


@dataclass(frozen=True)
class Items:
    """The rows of a run, laid side by side when first asked for.

    split    the items that are read where the plan keeps some for choosing; else all are read
    without  (task, item) of items that are left out
    """

    record: Record
    split: Literal["test", "validation"] = "test"
    without: frozenset[tuple[str, str]] = frozenset()

    @cached_property
    def samples(self) -> dict[str, Sample]:
        """Task -> its items under the metric that counts."""
        texts = {task for task, facts in self.record.tasks.items() if facts["metric"] == "bits_per_byte"}
        return {task: self._pair(task, "text" if task in texts else "accuracy") for task in self.before}

    @cached_property
    def answers(self) -> dict[str, Sample]:
        """Choice task -> bits of the right answer, -log2 p, by item: moves before the choice does."""
        return {task: self._pair(task, "answer") for task, rows in self.before.items() if is_choice(rows)}

    def _pair(self, task: str, kind: Kind) -> Sample:
        scored = {key: tables[task] for key, tables in self.rows.items() if task in tables}
        return beside(task, kind, self.before[task], scored)

    @cached_property
    def before(self) -> dict[str, pd.DataFrame]:
        """Task -> the base's rows, indexed by item."""
        return by_task(self.record.base, self.record.tasks, self.split if self.chosen else None, self.without)

    @cached_property
    def start(self) -> dict[str, pd.DataFrame]:
        """Task -> the base's own value, choice, bits and margin."""
        return {task: numbers(rows, rows, self.record.tasks[task]["metric"]) for task, rows in self.before.items()}

    @cached_property
    def rows(self) -> dict[tuple[str, int], dict[str, pd.DataFrame]]:
        """(arm, seed) -> task -> value, choice, bits and margin of the base's items, as `pairing.numbers` says."""
        return {
            key: {task: rows.loc[self.before[task].index] for task, rows in tables.items() if task in self.before}
            for key, tables in compared(self.record).items()
        }

    @property
    def chosen(self) -> bool:
        """Whether the plan keeps items for choosing, so that only the others are reported."""
        return (self.record.plan.get("options") or {}).get("items") == "test"

    def mark(self, sample: Sample) -> statistics.Mark:
        """Where the base stands on a task, decided on the base alone; a text has neither floor nor ceiling."""
        if sample.kind != "accuracy":
            return "between"
        error = max(sample.base.error, statistics.smallest_error(len(sample.items)))
        return statistics.mark(sample.base.value, error, self.chance(sample.task))

    def known(self, sample: Sample) -> bool:
        """Whether the base stands above chance, so that there is something to forget."""
        return self.mark(sample) in ("between", "ceiling")

    def chance(self, task: str) -> float | None:
        """Expected accuracy by guessing: the plan's, else 1/k over the base's items of k options; 0 for exact match.

        None where it is unknown, and for texts, which nobody guesses.
        """
        facts, rows = self.record.tasks[task], self.before[task]
        if facts.get("chance") is not None:
            return float(facts["chance"])
        if is_choice(rows):
            return float(np.mean([1 / len(options) for options in rows["loglikelihoods"]]))
        return 0.0 if facts["metric"] == "exact_match" else None
