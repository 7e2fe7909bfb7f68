"""The control's curve, read at what an arm learned.

Weights between the base's and the control's, theta(a) = (1 - a) theta_base + a theta_control (WiSE-FT, Wortsman et al. 2021,
arXiv:2109.01903), cost no training, so that an arm should keep more than the one of them that learns as much. Per seed:

    k, w    the first two points around the arm's adaptation: A_k < A_arm <= A_k+1, and w = (A_arm - A_k) / (A_k+1 - A_k)
    D       F_arm - ((1 - w) F_k + w F_k+1), linear between the two points, and nothing beyond the last
    b       (F_k+1 - F_k) / (A_k+1 - A_k), the slope there

w is itself measured, on the items of the domain. To first order (delta method) D varies as the mean of

    u_arm - (1 - w) u_k - w u_k+1                   over items of what is to be kept, u: what was forgotten in an item
    -b (v_arm - (1 - w) v_k - w v_k+1)              over items of what is to be learned, v: what was learned in an item

and these linearised items are estimated like all others, in both layers: seeds over D, items averaged over seeds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from harness import statistics
from harness.once import once
from harness.pairing import Sample, against, by_task, numerators
from harness.record import Record
from harness.statistics import Cells, Estimate, Floats

if TYPE_CHECKING:
    from harness.forgetting import Reading, Study

SHARES = tuple(round(0.1 * step, 1) for step in range(1, 10))
"""Of the control's weights, at the points that are scored beside the base and the control themselves."""
Why = Literal["learned nothing", "learned more than the curve reaches", "no curve", "it is the control"]


@dataclass(frozen=True)
class Axis:
    """One axis of the plane: its tasks, and their items along the control's curve.

    sign     what makes the change after - before forgetting, or learning, where it is positive
    samples  the tasks
    curve    seed -> for each task (P, n) numerators at the P points of the curve, the base first and the control last
    """

    sign: int
    samples: Sequence[Sample]
    curve: Mapping[int, Sequence[Floats]]

    def along(self, seed: int) -> Floats:
        """(P,) macro means at the points of the curve."""
        parts = zip(self.samples, self.curve[seed], strict=True)
        return np.mean([self.sign * (at - s.before).sum(axis=1) / s.weights.sum() for s, at in parts], axis=0)

    def at(self, arm: str, seed: int) -> float:
        """The arm's macro mean."""
        return float(np.mean([self.sign * (s.after[arm, seed] - s.before).sum() / s.weights.sum() for s in self.samples]))


@dataclass(frozen=True)
class Crossing:
    """Where a curve first reaches a level: between the points `below` and `below` + 1, `share` of the way."""

    below: int
    share: float

    def between(self, values: Floats) -> Floats:
        """(P, ...) values at the points, read there."""
        return (1 - self.share) * values[self.below] + self.share * values[self.below + 1]


def first(levels: Floats, level: float) -> Crossing | Why:
    """Where levels (P,) that begin at 0 first reach a level above 0."""
    if level <= 0:
        return "learned nothing"
    reached = np.flatnonzero(levels >= level)
    if not len(reached):
        return "learned more than the curve reaches"
    below = int(reached[0]) - 1
    return Crossing(below, float((level - levels[below]) / (levels[below + 1] - levels[below])))


@dataclass(frozen=True)
class Own:
    """An arm beside the control interpolated with the base, at the arm's own adaptation.

    keeps    how much more the arm keeps; None where it cannot be said, and then `reason` says why
    curve    what the control forgets there, the mean over seeds
    """

    keeps: Estimate | None = None
    curve: float | None = None
    reason: Why | None = None


def at_own(study: "Study", arm: str) -> Own:
    """The comparison over all seeds that both were trained under."""
    if arm == study.control:
        return Own(reason="it is the control")
    if not (found := axes(study)):
        return Own(reason="no curve")
    keep, gain = found
    both = sorted(keep.curve.keys() & gain.curve.keys())
    seeds = [seed for seed in both if all((arm, seed) in s.after for s in (*keep.samples, *gain.samples))]
    return compare(keep, gain, arm, seeds) if seeds else Own(reason="no curve")


def points(study: "Study", seed: int) -> tuple[tuple[float, float, float], ...]:
    """Of the control's curve under a seed (share of its weights, adaptation, forgetting); empty where it was not scored."""
    found = axes(study)
    if not found or any(seed not in axis.curve for axis in found):
        return ()
    keep, gain = (axis.along(seed).tolist() for axis in found)
    return tuple(zip((0.0, *SHARES, 1.0), gain, keep, strict=True))


@once
def axes(study: "Study") -> tuple[Axis, Axis] | None:
    """What is kept and what is learned along the curve; None where forgetting or learning was not measured."""
    from harness.claims import learned, primary

    keep, gain = primary(study), learned(study)
    if keep is None or gain is None:
        return None
    seeds = [trial.seed or 0 for trial in study.done if trial.name == study.control]
    return _axis(study, keep, seeds), _axis(study, gain, seeds)


def _axis(study: "Study", reading: "Reading", seeds: Sequence[int]) -> Axis:
    """An axis with the seeds under which every task of it was scored at every point."""
    samples = study.tasks(reading)
    found = {seed: [_along(study, sample, seed) for sample in samples] for seed in seeds}
    whole = {seed: [each for each in along if each is not None] for seed, along in found.items()}
    return Axis(reading.sign, samples, {seed: along for seed, along in whole.items() if len(along) == len(samples)})


def _along(study: "Study", sample: Sample, seed: int) -> Floats | None:
    """(P, n) numerators of a task along the curve of the control of a seed; None where a point lacks it."""
    key, items = (study.control, seed), study.before[sample.task].index
    rows = [
        numerators(found[sample.task].loc[items], sample.kind)
        for found in scored(study.record).get(key, ())
        if sample.task in found
    ]
    if len(rows) != len(SHARES) or key not in sample.after:
        return None
    return np.stack([sample.before, *rows, sample.after[key]])


@once
def scored(record: Record) -> dict[tuple[str, int], list[dict[str, pd.DataFrame]]]:
    """(arm, seed) -> task -> what is compared of the rows of each point of its curve."""
    base = by_task(record.base, record.tasks)
    curves = {(trial.name, trial.seed or 0): trial.curve for trial in record.trials if trial.status == "done"}
    return {key: [against(base, point, record.tasks) for _, point in curve] for key, curve in curves.items()}


def compare(keep: Axis, gain: Axis, arm: str, seeds: Sequence[int]) -> Own:
    """The comparison over these seeds: where the curve does not reach one of them, leaving it out would be luck."""
    crossings: list[Crossing] = []
    for seed in seeds:
        found = first(gain.along(seed), gain.at(arm, seed))
        if not isinstance(found, Crossing):
            return Own(reason=found)
        crossings.append(found)
    slopes = [
        float(np.diff(keep.along(seed))[each.below] / np.diff(gain.along(seed))[each.below])
        for seed, each in zip(seeds, crossings, strict=True)
    ]
    parts = [*_contrasts(keep, arm, seeds, crossings, [1.0] * len(seeds))]
    parts += _contrasts(gain, arm, seeds, crossings, [-slope for slope in slopes])
    read = [float(each.between(keep.along(seed))) for seed, each in zip(seeds, crossings, strict=True)]
    return Own(summed(parts, (len(keep.samples), len(gain.samples))).times(-1), float(np.mean(read)))


def _contrasts(
    axis: Axis, arm: str, seeds: Sequence[int], crossings: Sequence[Crossing], factors: Sequence[float]
) -> list[Cells]:
    """Task by task, (S, n) items of the arm minus those of the curve at its crossing, each seed's times its factor."""
    found = []
    for number, sample in enumerate(axis.samples):
        rows = [
            axis.sign * factor * (sample.after[arm, seed] - each.between(axis.curve[seed][number]))
            for seed, each, factor in zip(seeds, crossings, factors, strict=True)
        ]
        cells = sample.cells(np.stack(rows))
        found.append(replace(cells, smallest=cells.smallest * float(np.mean(np.abs(factors)))))
    return found


def summed(parts: Sequence[Cells], sizes: tuple[int, int]) -> Estimate:
    """The macro mean over the tasks of one axis, plus that over the tasks of the other."""
    whole = sum(sizes)
    factors = [whole / size for size in sizes for _ in range(size)]
    scaled = [
        replace(cells, values=factor * cells.values, smallest=factor * cells.smallest)
        for cells, factor in zip(parts, factors, strict=True)
    ]
    return statistics.macro(scaled)
