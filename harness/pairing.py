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
import pyarrow as pa
import pyarrow.compute as pc

from harness import statistics
from harness.errors import RecordError
from harness.once import once
from harness.record import Record, Result
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

    @once
    def change(self, arm: str, seeds: tuple[int, ...]) -> Estimate:
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
    rows: Any = result.scores
    rows = rows if split is None else rows[rows["split"] == split]
    if without:
        rows = rows[[key not in without for key in zip(rows["task"], rows["item"], strict=True)]]
    return _split(result, rows, tasks)


COMPARED = ("task", "item", "document_hash", "prompt_hash", "target_hash", "value", "loglikelihoods", "choice")
"""Columns of a trial's rows that are compared with the base's."""


@once
def compared(record: Record) -> dict[Key, dict[str, pd.DataFrame]]:
    """(arm, seed) -> task -> what `aligned` leaves of a finished trial's rows; one trial's rows are in memory at a time."""
    base = by_task(record.base, record.tasks)
    done = [trial for trial in record.trials if trial.status == "done"]
    return {(trial.name, trial.seed or 0): against(base, trial, record.tasks) for trial in done}


def against(base: Mapping[str, pd.DataFrame], result: Result, tasks: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """Task -> what `aligned` leaves of a result's rows."""
    key, tables = (result.name, result.seed or 0), _split(result, result.columns(COMPARED), tasks)
    return {task: aligned(base[task], rows, key, tasks[task]["metric"]) for task, rows in tables.items() if task in base}


def _split(result: Result, rows: pd.DataFrame, tasks: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """Rows task by task, indexed by item, in the plan's order."""
    kept = rows.groupby("task", sort=False)
    found = {str(task): each.set_index("item") for task, each in kept if task not in result.without}
    for task, each in found.items():
        if task not in tasks:
            raise RecordError(f"{result.folder} holds scores of {task!r}, which plan.yaml does not name; delete them")
        if not each.index.is_unique:
            raise RecordError(f"{result.folder} holds an item of {task!r} twice; delete its scores and run again")
    return {task: found[task] for task in tasks if task in found}


def is_choice(rows: pd.DataFrame) -> bool:
    """Whether items have several options and a right one."""
    return bool(rows["answer"].notna().all()) and len(rows["loglikelihoods"].iloc[0]) > 1


def pair(task: str, kind: Kind, rows: pd.DataFrame, scored: Mapping[Key, pd.DataFrame]) -> Sample:
    """The base's rows of a task beside those of every model that was scored on it."""
    return beside(task, kind, rows, {key: aligned(rows, found, key) for key, found in scored.items()})


def beside(task: str, kind: Kind, rows: pd.DataFrame, scored: Mapping[Key, pd.DataFrame]) -> Sample:
    """The base's rows of a task beside what `aligned` left of the trials'."""
    sizes = _lists(rows["option_bytes"])[0] if kind == "text" else np.ones(len(rows))
    return Sample(
        task=task,
        kind=kind,
        items=tuple(map(str, rows.index)),
        before=numerators(numbers(rows, rows), kind),
        weights=sizes,
        clusters=pd.factorize(rows["cluster"])[0],
        after={key: numerators(found, kind) for key, found in scored.items()},
        pool=int(rows["pool"].iloc[0]),
    )


def aligned(base: pd.DataFrame, rows: pd.DataFrame, key: Key, metric: str = "") -> pd.DataFrame:
    """The `numbers` of a trial's rows, in the base's order: of the same items, documents and prompts, or an error."""
    trial, task = f"{key[0]}, seed {key[1]},", base["task"].iloc[0]
    if not rows.index.equals(base.index):
        if len(rows) != len(base) or not base.index.isin(rows.index).all():
            raise RecordError(f"{trial} was scored on other items of {task!r} than the base; score it again")
        rows = rows.loc[base.index]
    for column in ("document_hash", "prompt_hash", "target_hash"):
        if not pc.all(pc.equal(pa.array(rows[column]), pa.array(base[column]))).as_py():  # pyright: ignore[reportAttributeAccessIssue]
            raise RecordError(f"{trial} and the base differ in {column} of {task!r}; score both again")
    return numbers(base, rows, metric)


def numbers(base: pd.DataFrame, rows: pd.DataFrame, metric: str = "") -> pd.DataFrame:
    """What is compared of rows, without a loop over items.

    value   of the item's metric
    choice  option that was chosen; NaN where none was
    bits    -log2 p of the base's right option; of a text; NaN where there is no right option
    margin  nats of the right option above the best wrong one, a character where the metric is acc_norm; NaN without options

    Of several right options the base's counts before and after: a change of answer must not look like a change of knowledge.
    """
    flat, sizes = _lists(rows["loglikelihoods"])
    starts = np.cumsum(sizes) - sizes
    choice, right = (each.to_numpy(np.float64, na_value=np.nan) for each in (rows["choice"], base["answer"]))
    right = np.where(np.isnan(right) & (sizes == 1), 0.0, right)  # a text's only number
    known = right < sizes  # False where there is no right option
    places = (starts[known] + right[known]).astype(np.int64)
    bits, margin = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    bits[known] = -flat[places] / math.log(2)
    by = flat / _lists(base["option_characters"])[0] if metric == "acc_norm" else flat
    others = by.copy()
    others[places] = -np.inf
    if len(flat):
        margin[sizes > 0] = np.maximum.reduceat(others, starts[sizes > 0])
        margin[known] = by[places] - margin[known]
    margin[~known | (sizes < 2)] = np.nan
    found = {"value": rows["value"].to_numpy(np.float64), "choice": choice, "bits": bits, "margin": margin}
    return pd.DataFrame(found, base.index)


def _lists(column: Any) -> tuple[Floats, np.ndarray]:
    """The numbers of a column of lists end to end, and how many each list has."""
    lists: Any = pa.array(column)
    flat, sizes = pc.list_flatten(lists), pc.list_value_length(lists)  # pyright: ignore[reportAttributeAccessIssue]
    return flat.to_numpy(zero_copy_only=False).astype(np.float64), sizes.to_numpy(zero_copy_only=False).astype(np.int64)


def numerators(found: pd.DataFrame, kind: Kind) -> Floats:
    """(n,) bits, or 1 for a right answer, of what is compared."""
    return found["value" if kind == "accuracy" else "bits"].to_numpy(np.float64)
