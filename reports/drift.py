"""How far did each arm drift, and does that foretell what it forgot? Divergence on held-out text, weights, predicted rise."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from harness import forgetting as fg
from harness import statistics
from harness.claims import primary
from harness.once import once
from harness.statistics import Cells, Estimate, Floats
from reports import words
from reports.figure import axis, label, marks, plot
from reports.section import Block, Cell, Figure, Figures, Section, Table, Text

NEW = fg.ADAPTATION
"""Where drift is the predictor of forgetting: on the new text."""
TOP = 8
"""Tensors of the table: those that moved furthest in any arm."""
HOW = (
    "Divergences are in nats per predicted token over the whole vocabulary, on at most 64 held-out documents of a text, in the "
    "windows of its loss, after words of the text and not of the model. The predicted rise is half the squared move of the "
    "weights, weighed by the base's Fisher on old text, entry by entry; beside it stands the rise measured on held-out text of "
    "that source. Where they agree, a penalty by that Fisher means what it says. A measured rise far above the predicted one "
    "says that the weights moved too far for it, or along directions in which entries act together, of which it knows nothing."
)


def section(study: fg.Study) -> Section:
    """The plane of drift and forgetting, a row an arm, and the tensors that moved furthest."""
    question = "How far did each arm drift, and does that foretell what it forgot?"
    if not (arms := measured(study)):
        return Section("drift", question, absent(study))
    drawn = plane(study, arms)
    figures: tuple[Block, ...] = (Figures((drawn,)),) if drawn else ()
    return Section("drift", question, answer(study, arms), (*figures, table(study, arms), tensors(study, arms), Text(HOW)))


def measured(study: fg.Study) -> list[str]:
    """Arms whose drift is known."""
    return [arm for arm in study.arms if tables(study, arm)]


@once
def tables(study: fg.Study, arm: str) -> dict[int, pd.DataFrame]:
    """Seed -> drift, where it was measured."""
    found = {trial.seed or 0: trial.drift for trial in study.done if trial.name == arm}
    return {seed: rows for seed, rows in found.items() if "tensor" in set(rows["kind"])}


def absent(study: fg.Study) -> str:
    """Why there is nothing to see."""
    why = [str(reason) for trial in study.done for reason in trial.drift.loc[trial.drift["kind"] == "skipped", "item"]]
    return f"Drift was not measured: {why[0]}." if why else "No trial's drift has been measured yet."


@once
def divergence(study: fg.Study, arm: str, reading: fg.Reading, columns: tuple[str, ...]) -> Estimate | None:
    """Sum of a column (less that of a second one) by predicted token, macro-averaged over the texts of a reading."""
    cells = []
    for task, facts in study.record.tasks.items():
        if facts["measures"] == reading.measures and reading.source in (None, facts.get("source")):
            cells += _cells(texts(study, arm).get(task, []), columns)
    sizes = {len(cell.values) for cell in cells}
    return statistics.macro(cells) if len(sizes) == 1 else None


@once
def texts(study: fg.Study, arm: str) -> dict[str, list[pd.DataFrame]]:
    """Task -> its documents under every seed, those that all seeds were measured on, in the same order."""
    found: dict[str, list[pd.DataFrame]] = {}
    for rows in tables(study, arm).values():
        for task, documents in rows[rows["kind"] == "text"].groupby("task"):
            found.setdefault(str(task), []).append(documents.set_index("item"))
    whole = {task: each for task, each in found.items() if len(each) == len(tables(study, arm))}
    shared = {task: sorted(set.intersection(*(set(rows.index) for rows in each))) for task, each in whole.items()}
    return {task: [rows.loc[shared[task]] for rows in each] for task, each in whole.items() if shared[task]}


def _cells(kept: list[pd.DataFrame], columns: tuple[str, ...]) -> list[Cells]:
    """A text's documents under every seed."""
    if not kept:
        return []
    values: Floats = np.stack([(rows[columns[0]] - (rows[columns[1]] if columns[1:] else 0.0)).to_numpy() for rows in kept])
    weights = kept[0]["tokens"].to_numpy(np.float64)
    return [Cells(values, weights, pd.factorize(kept[0]["cluster"])[0])]


def predicted(study: fg.Study, arm: str) -> float | None:
    """Nats per token of old text that the Fisher predicts, the mean over seeds."""
    values = [value for rows in tables(study, arm).values() for value in rows.loc[rows["kind"] == "predicted", "forward"]]
    return float(np.mean(values)) if values else None


@once
def moved(study: fg.Study, arm: str) -> tuple[float, float, pd.Series]:
    """Weight distance over the base's norm, share of entries that changed, and the distance of each tensor."""
    distances, changed, each = [], [], []
    for rows in tables(study, arm).values():
        found = rows[rows["kind"] == "tensor"].set_index("item")
        distances.append(float(np.sqrt((found["moved"] ** 2).sum() / (found["whole"] ** 2).sum())))
        changed.append(float(np.average(found["changed"].to_numpy(np.float64), weights=found["entries"].to_numpy(np.float64))))
        each.append(found["moved"] / found["whole"].where(found["whole"] > 0))
    return float(np.mean(distances)), float(np.mean(changed)), pd.concat(each, axis=1).mean(axis=1)


def answer(study: fg.Study, arms: Sequence[str]) -> str:
    """Who drifted furthest on new text, and in how many pairs of arms further meant forgetting more."""
    drifts = {arm: found.value for arm in arms if (found := divergence(study, arm, NEW, ("forward",)))}
    if not drifts:
        return "No held-out new text was scored, so drift is known of the weights alone."
    furthest = max(drifts, key=lambda arm: drifts[arm])
    sentence = f"On new text {furthest} drifted furthest from the base, by {drifts[furthest]:.3g} nats per token"
    keep = primary(study)
    lost = {arm: found.value for arm in drifts if keep and (found := study.figure(keep, arm))}
    pairs = list(combinations(lost, 2))
    alike = sum((drifts[a] - drifts[b]) * (lost[a] - lost[b]) > 0 for a, b in pairs)
    if len(pairs) == 1:
        sentence += f", and {'forgot more than' if alike else 'yet forgot no more than'} the other arm"
    elif pairs:
        sentence += f"; in {alike} of {len(pairs)} pairs of arms, the one that drifted further forgot more"
    return f"{sentence}.{foretold(study, furthest)}"


def foretold(study: fg.Study, arm: str) -> str:
    """What the Fisher predicted of an arm, beside what was measured."""
    rise, before = divergence(study, arm, fg.REHEARSED, ("after", "before")), predicted(study, arm)
    if rise is None or before is None:
        return ""
    measured = f"a {'fall' if rise.value < 0 else 'rise'} of {abs(rise.value):.2g}"
    return f" The Fisher foretells a rise of {before:.2g} nats per token of old text in {arm}; {measured} was measured."


def plane(study: fg.Study, arms: Sequence[str]) -> Figure | None:
    """Forgetting over the divergence on new text, a mark an arm."""
    keep, looks = primary(study), marks(study)
    if keep is None:
        return None
    found = [(arm, divergence(study, arm, NEW, ("forward",)), study.figure(keep, arm)) for arm in arms]
    points = [(arm, drift, lost) for arm, drift, lost in found if drift and lost]
    if not points:
        return None
    scale = words.SCALE[keep.kind]
    traces: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "markers",
            "x": [drift.value],
            "y": [lost.value * scale],
            "name": label(arm),
            "marker": {"symbol": looks[arm].symbol, "color": looks[arm].colour, "size": 11},
            "hoverinfo": "name+x+y",
        }
        for arm, drift, lost in points
    ]
    x = axis("nats per token of new text, KL(base ‖ arm)<br>further from the base →", rangemode="tozero")
    y = axis(f"{words.UNIT[keep.kind]} lost on what was not rehearsed<br>forgetting: up is worse →", rangemode="tozero")
    rows = tuple((arm, _small(drift), _lost(lost, keep)) for arm, drift, lost in points)
    behind = Table(f"Drift on new text and forgetting, {words.intervals(study)} below", ("arm", "drift", "forgetting"), rows)
    said = "Where drift foretells forgetting, the marks rise to the right."
    drawn = plot(traces, x, y, margin={"l": 72, "r": 24, "t": 16, "b": 64})
    return Figure("plane-drift", "Forgetting over drift on new text", said, drawn, behind, 380)


HEAD = (
    *(
        "arm",
        "new text, KL(base ‖ arm)",
        "new text, KL(arm ‖ base)",
        "unrehearsed, KL(base ‖ arm)",
        "unrehearsed, KL(arm ‖ base)",
    ),
    *("weights moved", "entries changed", "predicted rise", "measured rise"),
)


def table(study: fg.Study, arms: Sequence[str]) -> Table:
    """Function, weights, and what the Fisher predicts, a row an arm."""
    rows: list[tuple[str | Cell, ...]] = []
    for arm in arms:
        each = [divergence(study, arm, r, (column,)) for r in (NEW, fg.FORGETTING) for column in ("forward", "reverse")]
        distance, changed, _ = moved(study, arm)
        rise, before = divergence(study, arm, fg.REHEARSED, ("after", "before")), predicted(study, arm)
        weights = (f"{100 * distance:.3g} %", f"{100 * changed:.3g} %")
        rows.append((arm, *map(_small, each), *weights, words.NOTHING if before is None else f"{before:.3g}", _small(rise)))
    caption = (
        "Drift from the base: divergences and rises in nats per token, with 95 % intervals over documents, and over seeds "
        "where there are several; weights as a share of the base's norm"
    )
    return Table(caption, HEAD, tuple(rows), wide=True)


def tensors(study: fg.Study, arms: Sequence[str]) -> Table:
    """The tensors that moved furthest in any arm, as a share of their own norm."""
    found = pd.concat({arm: moved(study, arm)[2] for arm in arms}, axis=1)
    furthest = found.max(axis=1).sort_values(ascending=False).index[:TOP]
    rows = tuple((str(name), *(_share(found.loc[name, arm]) for arm in arms)) for name in furthest)
    caption = f"The {len(rows)} tensors that moved furthest, as a share of their norm in the base"
    return Table(caption, ("tensor", *arms), rows, wide=True)


def _share(value: Any) -> str:
    return words.NOTHING if pd.isna(value) else f"{100 * value:.3g} %"


def _small(found: Estimate | None) -> Cell:
    """A figure of three digits, whatever its size, with its interval below it."""
    if found is None:
        return Cell(words.NOTHING)
    ends = f"{found.low:.2g} to {found.high:.2g}" if np.isfinite(found.error) else "no interval, a single cluster"
    return Cell(_true(f"{found.value:.3g}"), under=_true(ends))


def _lost(found: Estimate, keep: fg.Reading) -> Cell:
    return Cell(words.amount(found.value, keep.kind), under=words.between(found, keep.kind))


def _true(text: str) -> str:
    """With true minus signs."""
    return text.replace("-", "−")
