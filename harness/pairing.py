"""The same items before and after: proven to be the same, then laid side by side.

Every difference of the harness is taken between two rows of one item. A trial that was scored on other items, or on
other documents under the same number, is an error here and not a wrong figure later.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd

from harness import statistics
from harness.errors import RecordError
from harness.record import Result
from harness.statistics import Cells, Estimate, Floats

Kind = Literal["text", "accuracy", "answer"]
Key = tuple[str, int]
"""Arm and seed."""


@dataclass(frozen=True)
class Sample:
    """A task's items before and after: numerators (bits, or 1 for a right answer) and denominators (bytes, or 1).

    before      (n,)
    after       (arm, seed) -> (n,), the same items in the same order
    pool        items that the task has, of which these n were scored and are reported
    """

    task: str
    kind: Kind
    items: tuple[str, ...]
    before: Floats
    weights: Floats
    clusters: np.ndarray
    after: Mapping[tuple[str, int], Floats] = field(repr=False)
    pool: int = 0

    def seeds(self, arm: str) -> tuple[int, ...]:
        """Seeds under which the arm was scored on this task."""
        return tuple(sorted(seed for name, seed in self.after if name == arm))

    def stack(self, arm: str, seeds: Sequence[int]) -> Floats:
        """(S, n) numerators after training."""
        return np.stack([self.after[arm, seed] for seed in seeds])

    def cells(self, values: Floats) -> Cells:
        """Item values (S, n) of this task, ready to be estimated."""
        smallest = statistics.smallest_error(len(self.items)) if self.kind == "accuracy" else 0.0
        return Cells(values, self.weights, self.clusters, smallest)

    def change(self, arm: str, seeds: Sequence[int]) -> Estimate:
        """After minus before, in the task's own direction."""
        return statistics.macro([self.cells(self.stack(arm, seeds) - self.before)])

    @cached_property
    def base(self) -> Estimate:
        """The base's own figure."""
        return statistics.ratio(self.before, self.weights, self.clusters)


def by_task(
    result: Result, tasks: Mapping[str, Any], split: str | None = None, without: Collection[tuple[str, str]] = ()
) -> dict[str, pd.DataFrame]:
    """A result's rows (of one split), task by task, indexed by item; tasks the plan does not know are an error.

    without  (task, item) of rows that are left out
    """
    rows = result.scores if split is None else result.scores[result.scores["split"] == split]
    if without:
        rows = rows[[key not in without for key in zip(rows["task"], rows["item"], strict=True)]]
    found = {str(task): rows.set_index("item") for task, rows in rows.groupby("task", sort=False)}
    for task, rows in found.items():
        if task not in tasks:
            raise RecordError(f"{result.folder} holds scores of {task!r}, which plan.yaml does not name; delete them")
        if not rows.index.is_unique:
            raise RecordError(f"{result.folder} holds an item of {task!r} twice; delete its scores and run again")
    return {task: found[task] for task in tasks if task in found}


def is_choice(rows: pd.DataFrame) -> bool:
    """Whether items have several options and a right one."""
    return bool(rows["answer"].notna().all()) and len(rows["loglikelihoods"].iloc[0]) > 1


def pair(task: str, kind: Kind, rows: pd.DataFrame, scored: Mapping[Key, pd.DataFrame]) -> Sample:
    """The base's rows of a task beside those of every trial that was scored on it."""
    # Of several right options the base's counts before and after: a change of answer must not look like a change of knowledge.
    picks = [int(pick) for pick in rows["answer"]] if kind == "answer" else [0] * len(rows)
    sizes = [float(size[0]) for size in rows["option_bytes"]] if kind == "text" else np.ones(len(rows))
    return Sample(
        task=task,
        kind=kind,
        items=tuple(str(item) for item in rows.index),
        before=_numerators(rows, kind, picks),
        weights=np.asarray(sizes, dtype=np.float64),
        clusters=pd.factorize(rows["cluster"])[0],
        after={key: _numerators(_matched(rows, found, key), kind, picks) for key, found in scored.items()},
        pool=int(rows["pool"].iloc[0]),
    )


def _matched(base: pd.DataFrame, rows: pd.DataFrame, key: Key) -> pd.DataFrame:
    """The trial's rows in the base's order: the same items, documents and prompts, or an error."""
    trial, task = f"{key[0]}, seed {key[1]},", base["task"].iloc[0]
    if len(rows) != len(base) or not base.index.isin(rows.index).all():
        raise RecordError(f"{trial} was scored on other items of {task!r} than the base; score it again")
    rows = rows.loc[base.index]
    for column in ("document_hash", "prompt_hash", "target_hash"):
        if rows[column].tolist() != base[column].tolist():
            raise RecordError(f"{trial} and the base differ in {column} of {task!r}; score both again")
    return rows


def _numerators(rows: pd.DataFrame, kind: Kind, picks: Sequence[int]) -> Floats:
    if kind == "accuracy":
        return rows["value"].to_numpy(np.float64)
    nats = [likelihoods[pick] for likelihoods, pick in zip(rows["loglikelihoods"], picks, strict=True)]
    return -np.asarray(nats, dtype=np.float64) / math.log(2)
