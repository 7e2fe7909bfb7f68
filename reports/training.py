"""Was each arm trained properly, or did it win by not learning? Loss, added terms, gradient norm, learning rate."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from harness import forgetting as fg
from harness.record import Result
from harness.statistics import Floats
from reports import words
from reports.arms import about
from reports.figure import axis, label, marks, plot, thin
from reports.section import Figure, Figures, Section, Table

Curve = tuple[str, list[float], list[float]]
"""Name of the arm (and term), tokens read, values."""


def section(study: fg.Study) -> Section:
    """Four curves, and how every training ended."""
    question = "Was each arm trained properly?"
    trials = [trial for trial in study.record.trials if "loss" in trial.training]
    if not trials:
        return Section("training", question, "No training has left a log yet.")
    figures = [
        figure(study, "loss", "Loss that is trained on", "nats per token that counts", curves(trials, ["loss"])),
        figure(study, "terms", "Added terms", "as weighted in the objective", curves(trials, terms(trials))),
        figure(study, "norm", "Gradient norm before clipping", "norm", curves(trials, ["norm"])),
        figure(study, "learning_rate", "Learning rate", "rate", curves(trials, ["learning_rate"])),
    ]
    drawn = tuple(each for each in figures if each)
    blocks = (Figures(drawn, legend=True), health(trials, weighing(study)), *logged(trials))
    return Section("training", question, answer(trials), blocks)


def weighing(study: fg.Study) -> list[str]:
    """Arms that weigh tokens."""
    return [arm for arm in study.arms if about(study, arm).get("weighs")]


def answer(trials: Sequence[Result]) -> str:
    """Whether losses fell and how often gradients were clipped."""
    fell = sum(_end(trial, "loss") < _start(trial, "loss") for trial in trials)
    clipped = [float(_column(trial, "clipped").mean()) for trial in trials if "clipped" in trial.training]
    sentence = f"The loss that is trained on ended below its start in {fell} of {words.several(len(trials), 'training')}"
    return f"{sentence}; at most {100 * max(clipped):.0f} % of a training's steps were clipped." if clipped else f"{sentence}."


def terms(trials: Sequence[Result]) -> list[str]:
    """Columns of added terms."""
    return sorted({column for trial in trials for column in trial.training if column.startswith("term.")})


def curves(trials: Sequence[Result], columns: Sequence[str]) -> list[Curve]:
    """One curve an arm and column: the mean over its seeds, update by update."""
    found: list[Curve] = []
    for arm in dict.fromkeys(trial.name for trial in trials):
        logs = [trial.training for trial in trials if trial.name == arm]
        for column in columns:
            kept = [log for log in logs if column in log]
            if kept:
                name = f"{arm}: {column.removeprefix('term.')}" if column.startswith("term.") else arm
                found.append((name, *mean_curve(kept, column)))
    return found


def mean_curve(logs: Sequence[pd.DataFrame], column: str) -> tuple[list[float], list[float]]:
    """Tokens read and the column's mean over trainings, at every update that any of them reached."""
    rows = np.concatenate([log[["update", "tokens", column]].dropna().to_numpy(np.float64) for log in logs])  # (U, 3)
    codes = np.unique(rows[:, 0], return_inverse=True)[1]
    counts = np.bincount(codes)
    tokens, values = (np.bincount(codes, weights=rows[:, i]) / counts for i in (1, 2))
    return thin(tokens.tolist()), thin(values.tolist())


def figure(study: fg.Study, name: str, title: str, unit: str, found: Sequence[Curve]) -> Figure | None:
    """Curves over the tokens read, with the arm's name at their hover and its mark in the legend below."""
    if not found:
        return None
    looks = marks(study)
    traces: list[dict[str, Any]] = []
    for curve, tokens, values in found:
        mark = looks[curve if curve in looks else curve.rpartition(": ")[0]]
        sparse = [values[i] if i % max(1, len(values) // 6) == len(values) // 12 else None for i in range(len(values))]
        line, stroke = (
            {"type": "scatter", "x": tokens, "name": label(curve)},
            {"color": mark.colour, "width": 1.8, "dash": mark.dash},
        )
        traces.append(line | {"mode": "lines", "y": values, "line": stroke, "hoverinfo": "name+y"})
        style = {"symbol": mark.symbol, "color": mark.colour, "size": 8}
        traces.append(line | {"mode": "markers", "y": sparse, "marker": style, "hoverinfo": "skip"})
    x = axis("tokens read", zeroline=False, tickformat="~s")
    y = axis(unit, rangemode="tozero", exponentformat="e")
    return Figure(f"curve-{name}", title, ends(found), plot(traces, x, y, hovermode="closest"), behind(title, found), 270)


def ends(found: Sequence[Curve]) -> str:
    """Where the curves end."""
    last = {curve: values[-1] for curve, _, values in found}
    low, high = min(last, key=lambda c: last[c]), max(last, key=lambda c: last[c])
    if len(last) > 1 and f"{last[low]:.3g}" == f"{last[high]:.3g}":
        return f"All end at {last[low]:.3g}."
    if low == high:
        return f"{low} ends at {last[low]:.3g}."
    return f"Ends between {last[low]:.3g} ({low}) and {last[high]:.3g} ({high})."


def behind(title: str, found: Sequence[Curve]) -> Table:
    """A curve at five moments."""
    shares = (0, 0.25, 0.5, 0.75, 1)
    rows = tuple((curve, *(f"{at(values, share):.4g}" for share in shares)) for curve, _, values in found)
    return Table(f"{title}, by share of the training", ("arm", *(f"{share:.0%}" for share in shares)), rows)


def at(values: Sequence[float], share: float) -> float:
    """A curve's value at a share of its length."""
    return values[round(share * (len(values) - 1))]


def health(trials: Sequence[Result], weighing: Sequence[str] = ()) -> Table:
    """How every training began and ended."""
    rows = tuple(health_row(trial) for trial in trials)
    caption = (
        "Every training: loss in nats per token over its first and last tenth; distance is that of the weights from the "
        "base's, over the base's norm, where they are the same tensors"
    )
    if weighing:
        verb, whose = ("weigh", "their losses do") if len(weighing) > 1 else ("weighs", "its loss does")
        caption += f". {words.listing(list(weighing))} {verb} tokens, so {whose} not compare with the others'"
    return Table(caption, HEALTH, rows, wide=True)


def logged(trials: Sequence[Result]) -> list[Table]:
    """What strategies logged of themselves, as it stood last; no table where they logged nothing."""
    rows = [
        (trial.name, str(trial.seed), column.removeprefix(OWN).replace("_", " "), f"{float(values.iloc[-1]):.4g}")
        for trial in trials
        for column in trial.training
        if column.startswith(OWN) and len(values := trial.training[column].dropna())
    ]
    if not rows:
        return []
    return [Table("What strategies logged, at its last", ("arm", "seed", "number", "last value"), tuple(rows), words=3)]


OWN = "strategy."
"""What a strategy logs bears this in front."""


HEALTH = (
    *("arm", "seed", "updates", "first loss", "last loss", "largest norm", "clipped", "tokens/s", "distance"),
    *("status", "facts"),
)


def health_row(trial: Result) -> tuple[str, ...]:
    """One training's beginning, end and extremes."""
    log = trial.training
    norm = f"{_column(trial, 'norm').max():.3g}" if "norm" in log else words.NOTHING
    clipped = f"{100 * _column(trial, 'clipped').mean():.0f} %" if "clipped" in log else words.NOTHING
    losses = (f"{_start(trial, 'loss'):.3f}", f"{_end(trial, 'loss'):.3f}")
    ended = (_rate(trial), _number((trial.facts.get("facts") or {}).get("distance")), trial.status, _facts(trial))
    return (trial.name, str(trial.seed), str(len(log)), *losses, norm, clipped, *ended)


def _column(trial: Result, name: str) -> Floats:
    """A column's values, where an update has one: one that was skipped has no loss."""
    return trial.training[name].dropna().to_numpy(np.float64)


def _start(trial: Result, name: str) -> float:
    values = _column(trial, name)
    return float(values[: max(1, len(values) // 10)].mean())


def _end(trial: Result, name: str) -> float:
    values = _column(trial, name)
    return float(values[-max(1, len(values) // 10) :].mean())


def _rate(trial: Result) -> str:
    """Tokens a second over the whole training: both columns are counted from its start."""
    if not {"tokens", "seconds"} <= set(trial.training) or not _column(trial, "seconds")[-1]:
        return words.NOTHING
    return words.count(round(float(_column(trial, "tokens")[-1] / _column(trial, "seconds")[-1]), 1))


def _number(value: Any) -> str:
    return words.NOTHING if value is None else f"{float(value):.3g}"


def _facts(trial: Result) -> str:
    """What the strategy told of itself, without what has a column of its own."""
    facts = {k.replace("_", " "): v for k, v in (trial.facts.get("facts") or {}).items() if k != "distance"}
    return ", ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in facts.items()) or words.NOTHING
