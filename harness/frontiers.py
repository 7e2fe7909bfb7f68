"""Frontiers of a run that swept its arms: what each forgets at equal adaptation, and how much of what is attainable it attains.

Which settings lie on a frontier is chosen on validation items, and read on the others. Levels are shares of what the control's
best-adapting setting learns. Under each seed forgetting at a level A is read between the two settings around it, linearly:

    F(A) = (1 - w) F_low + w F_high,  w = (A - A_low) / (A_high - A_low)          never beyond the last setting
    dF   = (1 - w) dF_low + w dF_high - m ((1 - w) dA_low + w dA_high),  m = (F_high - F_low) / (A_high - A_low)

By the second line errors of items enter, of what is kept and of what is learned (delta method); seeds enter by F(A) itself.
Hypervolumes are of means over seeds, and only of grids that were finished: more points and more noise both make them larger.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from harness import choosing
from harness.crossing import summed
from harness.frontier import Point, bracket, pareto, references, share_of_volume
from harness.pairing import Sample
from harness.statistics import Estimate, Floats

if TYPE_CHECKING:
    from harness.forgetting import Reading, Study

LEVELS = (0.5, 0.75, 0.9)
"""Shares of what the control's best-adapting setting learns."""


@dataclass(frozen=True)
class Level:
    """Forgetting at a share of the control's best adaptation.

    forgetting   mean over seeds; None where it was not attained under each of them
    difference   minus the control's at the same adaptation
    missed       seeds under which it was not attained
    wide         whether it was read across a gap that is too wide to be more than a guess
    """

    share: float
    forgetting: Estimate | None
    difference: Estimate | None
    missed: tuple[int, ...]
    wide: bool


@dataclass(frozen=True)
class Frontier:
    """An arm over its settings.

    points      setting that was finished under every seed -> adaptation and forgetting on reported items, means over seeds
    best        of these, the ones that no other setting of the arm dominates on validation items
    volumes     share of what can be attained, to both references; None where the grid is not whole
    planned     settings of the plan
    failed      of these, the ones that failed under a seed
    """

    arm: str
    points: Mapping[str, Point]
    best: tuple[str, ...]
    levels: tuple[Level, ...]
    volumes: tuple[float | None, ...]
    planned: int
    failed: int


@dataclass(frozen=True)
class Frontiers:
    """The frontiers of all arms, the control's first.

    keep, gain  what is lost, and what is learned
    top, reach  the control's best-adapting setting, chosen on validation items, and what it learns
    best        settings that none of any arm dominates on validation items
    """

    keep: "Reading"
    gain: "Reading"
    top: str
    reach: float
    seeds: tuple[int, ...]
    arms: tuple[Frontier, ...]
    best: tuple[str, ...]


@dataclass(frozen=True)
class Spot:
    """Where a level lies under a seed: the settings around it with their weights, and the slope between them."""

    mix: Mapping[str, float]
    slope: float
    wide: bool


@dataclass(frozen=True)
class Planes:
    """Settings on reported items, and on those that may be chosen by."""

    study: "Study"
    held: "Study"
    keep: "Reading"
    gain: "Reading"

    def points(self, study: "Study", names: Sequence[str], seed: int | None = None, seeds: int = 1) -> dict[str, Point]:
        """Setting -> adaptation and forgetting, of those that were finished under that seed, or under so many."""
        pairs = {name: (study.figure(self.gain, name, seed), study.figure(self.keep, name, seed)) for name in names}
        return {name: (a.value, f.value) for name, (a, f) in pairs.items() if a and f and min(a.seeds, f.seeds) >= seeds}

    def best(self, names: Sequence[str], seed: int | None = None) -> list[str]:
        """The settings that no other dominates on validation items."""
        points = self.points(self.held, names, seed)
        flags = pareto(list(points.values()))
        return [name for name, best in zip(points, flags, strict=True) if best]

    def spot(self, names: Sequence[str], seed: int, level: float, reach: float) -> Spot | None:
        """Where a level lies between the settings of a frontier under a seed; None where it was not attained."""
        points = self.points(self.study, self.best(names, seed), seed)
        found = bracket(list(points.values()), level, [True] * len(points))
        if found is None:
            return None
        low, high = list(points)[found.low], list(points)[found.high]
        rise = points[high][1] - points[low][1]
        mix = {low: 1 - found.weight, high: found.weight} if low != high else {low: 1.0}
        return Spot(mix, rise / found.gap if found.gap else 0.0, found.wide(reach))

    def estimate(self, level: float, spots: Mapping[int, Spot], minus: Mapping[int, Spot]) -> Estimate:
        """Forgetting at a level over seeds, minus another arm's where one is given, with errors of items and of seeds."""
        none = Spot({}, 0.0, False)
        pairs = [(seed, spot, minus.get(seed, none)) for seed, spot in spots.items()]
        kept = [(seed, _minus(a.mix, b.mix, 1.0, 1.0)) for seed, a, b in pairs]
        learned = [(seed, _minus(a.mix, b.mix, -a.slope, -b.slope)) for seed, a, b in pairs]
        keep, gain = self.study.tasks(self.keep), self.study.tasks(self.gain)
        # What is learned is the level itself, so that it moves no mean: only its items' distances from it count.
        cells = [each.cells(mixed(each, kept, self.keep.sign, 0.0)) for each in keep]
        cells += [each.cells(mixed(each, learned, self.gain.sign, level)) for each in gain]
        return summed(cells, (len(keep), len(gain)))


def _minus(first: Mapping[str, float], second: Mapping[str, float], a: float, b: float) -> dict[str, float]:
    """a times the first coefficients minus b times the second."""
    return {name: a * first.get(name, 0.0) - b * second.get(name, 0.0) for name in dict.fromkeys([*first, *second])}


def mixed(sample: Sample, mixes: Sequence[tuple[int, Mapping[str, float]]], sign: int, level: float) -> Floats:
    """(S, n) items: of each seed the changes of settings times their coefficients, as distances from a level."""
    rows = []
    for seed, mix in mixes:
        changes = [factor * sign * (sample.after[name, seed] - sample.before) for name, factor in mix.items()]
        rows.append(np.sum(changes, axis=0) - sum(mix.values()) * level * sample.weights)
    return np.stack(rows)


def frontiers(study: "Study") -> Frontiers | None:
    """The frontiers of a run; None where nothing was swept, or nothing was finished of the control."""
    held = replace(study, split="validation", without=frozenset())
    axes = choosing.axes(held) if "sweep" in study.record.plan else None
    control = study.record.plan["arms"][0]
    if axes is None or control not in study.families:
        return None
    plane, names = Planes(study, held, *axes), study.families[control]
    seeds = tuple(sorted({trial.seed or 0 for trial in study.done if trial.name in names}))
    gains = {name: gain for name, (gain, _) in plane.points(held, names, seeds=len(seeds)).items()}
    top = max(gains, key=lambda name: gains[name], default=None)
    points = {arm: plane.points(study, each, seeds=len(seeds)) for arm, each in study.families.items()}
    if top not in points[control] or (reach := points[control][top][0]) <= 0:  # shares of nothing are no levels
        return None
    spots = {
        arm: [_spots(plane, each, seeds, share * reach, reach) for share in LEVELS] for arm, each in study.families.items()
    }
    found = [
        Frontier(
            arm,
            points[arm],
            tuple(plane.best(list(points[arm]))),
            _levels(plane, reach, spots[arm], spots[control] if arm != control else None, seeds),
            _volumes(plane, points[arm], points[control], study.record.plan["sweep"]["settings"]),
            len(study.record.plan["families"][arm]),
            len(
                {trial.name for trial in study.record.trials if trial.status == "failed"}
                & set(study.record.plan["families"][arm])
            ),
        )
        for arm in study.families
    ]
    everything = list(dict.fromkeys(name for each in points.values() for name in each))
    return Frontiers(*axes, top, reach, seeds, tuple(found), tuple(plane.best(everything)))


def _spots(plane: Planes, names: Sequence[str], seeds: Sequence[int], level: float, reach: float) -> dict[int, Spot]:
    """Where a level lies under each seed under which it was attained."""
    found = {seed: plane.spot(names, seed, level, reach) for seed in seeds}
    return {seed: spot for seed, spot in found.items() if spot}


def _levels(
    plane: Planes,
    reach: float,
    spots: Sequence[Mapping[int, Spot]],
    control: Sequence[Mapping[int, Spot]] | None,
    seeds: Sequence[int],
) -> tuple[Level, ...]:
    """What an arm forgets at every level; a level that was missed under one seed is missed: leaving that out would be luck."""
    made = []
    for i, (share, found) in enumerate(zip(LEVELS, spots, strict=True)):
        missed = tuple(seed for seed in seeds if seed not in found)
        forgetting = None if missed else plane.estimate(share * reach, found, {})
        beside = control[i] if control else {}
        both = not missed and len(beside) == len(seeds)
        difference = plane.estimate(share * reach, found, beside) if both else None
        wide = any(spot.wide for spot in (*found.values(), *(beside.values() if difference else ())))
        made.append(Level(share, forgetting, difference, missed, wide))
    return tuple(made)


def _volumes(plane: Planes, points: Mapping[str, Point], plain: Mapping[str, Point], whole: int) -> tuple[float | None, ...]:
    """Shares of the hypervolume to both references, of settings that validation items put on the frontier."""
    if len(points) != whole or len(plain) != whole:
        return (None, None)
    best, others = [points[name] for name in plane.best(list(points))], list(plain.values())
    return tuple(share_of_volume(best, others, reference) for reference in references(others))


def differences(study: "Study") -> dict[str, dict[str, Estimate]]:
    """Chosen setting -> level -> forgetting minus the control's at that level: what joins the one family of claims."""
    found = study.swept.arms if study.swept else ()
    return {
        study.picks[each.arm].setting: {f"{level.share:.0%}": level.difference for level in each.levels if level.difference}
        for each in found
    }
