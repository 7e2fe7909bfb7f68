"""The course of a training of which several steps were scored: what every item cost at each, as milestones are kept."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from harness.pairing import Kind, Sample, by_task, is_choice, pair
from harness.record import Record, Result


def course(record: Record, places: Mapping[int, tuple[int | None, Path]]) -> pd.DataFrame:
    """Rows of trajectory.parquet; `places`: update -> tokens read until then (None: not told), folder of its scores.

    Before the first update every item cost what it costs the base.
    """
    base = by_task(record.base, record.tasks)
    steps = {update: by_task(Result(folder, None, None), record.tasks) for update, (_, folder) in places.items()}
    rows: list[dict[str, Any]] = []
    for task, before in base.items():
        kind = _kind(record, task, before)
        if kind is None:
            continue
        scored = {("", update): found[task] for update, found in steps.items() if task in found}
        sample = pair(task, kind, before, scored)
        if 0 not in places:
            rows += _rows(sample, 0, 0, sample.before)
        for (_, update), after in sample.after.items():
            tokens = places[update][0]
            rows += _rows(sample, update, update if tokens is None else tokens, after)
    return pd.DataFrame(rows)


def _kind(record: Record, task: str, rows: pd.DataFrame) -> Kind | None:
    """Whether bits are of a text or of an answer; None where neither, or where it is nothing to keep or to gain."""
    if record.tasks[task]["measures"] not in ("keep", "gain"):
        return None
    if record.tasks[task]["metric"] == "bits_per_byte":
        return "text"
    return "answer" if is_choice(rows) else None


def _rows(sample: Sample, update: int, tokens: int, after: Any) -> list[dict[str, Any]]:
    return [
        {
            "update": update, "tokens": tokens, "task": sample.task, "item": item, "cluster": str(cluster),
            "kind": sample.kind, "weight": float(weight), "before": float(was), "after": float(now),
        }
        for item, cluster, weight, was, now in zip(
            sample.items, sample.clusters, sample.weights, sample.before, after, strict=True
        )
    ]  # fmt: skip
