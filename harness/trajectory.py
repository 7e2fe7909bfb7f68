"""What was forgotten and learned at each milestone of a training, on its few fixed items: figures with intervals.

    stability gap   max_t F(t) - F(T)                                    >= 0; as De Lange et al. 2023, arXiv:2205.13452
    recovered       the first milestone after the highest where F(t) <= F(T) + margin

F(t) is forgetting after t updates as harness/forgetting.py defines it, over the items asked at milestones: the paired
difference to the base, macro-averaged over tasks, with items and seeds in the interval. The highest of several noisy
figures is biased upward, and so is the gap. (Guo et al. 2024 call an early fall in the new domain's accuracy so.)
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from harness import statistics
from harness.forgetting import Reading, Study
from harness.statistics import Cells, Estimate


@dataclass(frozen=True)
class Point:
    """A milestone: updates done, tokens read, and the figure there."""

    update: int
    tokens: float
    figure: Estimate


@dataclass(frozen=True)
class Gap:
    """How far forgetting rose above where it ended.

    height      F at its highest minus F at the end, paired
    recovered   tokens at which it had come back; None where it is highest at the end
    """

    peak: Point
    end: Point
    height: Estimate
    recovered: float | None


@dataclass(frozen=True)
class Trajectories:
    """The milestones of a run's trials, those that failed or are not finished included."""

    study: Study
    known: dict[tuple[str, Reading], list[Point]] = field(default_factory=dict, repr=False)

    @cached_property
    def rows(self) -> Any:
        """Rows of all trials: arm, seed, and the columns of trajectory.parquet; items that were asked everywhere."""
        found = [t.trajectory.assign(arm=t.name, seed=t.seed) for t in self.study.record.trials if len(t.trajectory)]
        if not found:
            return pd.DataFrame()
        rows: Any = pd.concat(found, ignore_index=True)
        rows = rows[rows["task"].isin(self.study.record.tasks)]
        moments = len(rows[["arm", "seed", "update"]].drop_duplicates())
        rows = rows[rows.groupby(["task", "item"])["update"].transform("size") == moments]
        return rows.sort_values(
            ["arm", "update", "task", "seed", "item"]
        )  # so that a task's values are (seeds, items) as they lie

    @cached_property
    def _kinds(self) -> dict[str, str]:
        """Task to whether its items are texts or answers."""
        first: Any = self.rows.drop_duplicates("task") if len(self.rows) else {"task": [], "kind": []}
        return dict(zip(first["task"], first["kind"], strict=True))

    @property
    def arms(self) -> list[str]:
        """Arms that were looked at, in the plan's order."""
        found = set(self.rows["arm"]) if len(self.rows) else set()
        return [arm for arm in self.study.record.plan["arms"] if arm in found]

    def tasks(self, reading: Reading) -> list[str]:
        """Tasks of a reading that have items here; what the base did not know counts for keeping as little as at the end."""
        return [
            task
            for task, facts in self.study.record.tasks.items()
            if self._kinds.get(task) == reading.kind
            and facts["measures"] == reading.measures
            and reading.source in (None, facts.get("source"))
            and (reading.measures == "gain" or self._known(task))
        ]

    def _known(self, task: str) -> bool:
        return task not in self.study.samples or self.study.known(self.study.samples[task])

    def curve(self, arm: str, reading: Reading) -> list[Point]:
        """The arm's figure at every milestone that its furthest seed reached; each over the seeds that reached it."""
        if (arm, reading) not in self.known:
            self.known[arm, reading] = self._points(arm, reading)
        return self.known[arm, reading]

    def _points(self, arm: str, reading: Reading) -> list[Point]:
        rows = self.rows
        rows = rows[(rows["arm"] == arm) & rows["task"].isin(self.tasks(reading))] if len(rows) else rows
        return [
            Point(int(update), float(found["tokens"].mean()), statistics.macro(_cells(found, reading.sign)))
            for update, found in (rows.groupby("update") if len(rows) else ())
        ]

    def gap(self, arm: str, reading: Reading, margin: float) -> Gap | None:
        """The arm's stability gap; None where it was looked at less than three times."""
        points = self.curve(arm, reading)
        if len(points) < 3:
            return None
        peak, end = max(points, key=lambda point: point.figure.value), points[-1]
        rows = self.rows
        rows = rows[(rows["arm"] == arm) & rows["task"].isin(self.tasks(reading))]
        last = rows[rows["update"] == end.update]
        reached = last["seed"].unique()
        highest = rows[(rows["update"] == peak.update) & rows["seed"].isin(reached)]
        height = statistics.macro(_differences(highest, last, reading.sign))
        back = (p.tokens for p in points if p.update > peak.update and p.figure.value <= end.figure.value + margin)
        return Gap(peak, end, height, next(back, None))


def _cells(rows: Any, sign: int) -> list[Cells]:
    """After minus before of the items at one milestone, task by task: (seeds, items)."""
    changes = rows.assign(value=sign * (rows["after"] - rows["before"]))
    return [_task(found, found["value"]) for _, found in changes.groupby("task")]


def _differences(rows: Any, others: Any, sign: int) -> list[Cells]:
    """What stood at one milestone minus what stood at another, task by task: (seeds, items)."""
    changes = rows.assign(value=sign * (rows["after"].to_numpy() - others["after"].to_numpy()))
    return [_task(found, found["value"]) for _, found in changes.groupby("task")]


def _task(rows: Any, values: Any) -> Cells:
    items = rows[rows["seed"] == rows["seed"].iloc[0]]
    clusters = pd.factorize(items["cluster"])[0]
    return Cells(values.to_numpy().reshape(-1, len(items)), items["weight"].to_numpy(np.float64), clusters)
