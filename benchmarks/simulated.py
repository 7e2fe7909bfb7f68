"""Simulated runs whose truth is known, read by what the page calls: calibrate.py counts how often it is wrong.

A run is one task of so many clusters, of unequal sizes, scored under so many training seeds for a control and ten arms that
share its items, what differs between items, and the control's own noise. Text: a ratio of sums with unequal bytes. Accuracy:
items that flip, some more easily than others. With one seed the truth is that checkpoint's, so trainings then do not differ.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from harness import claims, power, statistics
from harness.crossing import SHARES, Axis, compare
from harness.pairing import Kind, Sample
from harness.statistics import Estimate, Floats

PAGES = (1, 3, 10)
"""Arms beside the control on a page."""
ARMS = tuple(f"arm{number}" for number in range(max(PAGES)))
NAMES = ("none", *ARMS)
POINTS = np.array((0.0, *SHARES, 1.0))
OWN_LEVEL = 0.7
"""What an arm learns where it is compared at its own adaptation, as a share of what the control does."""
SCALE: dict[Kind, float] = {"text": 1.0, "accuracy": 0.15}
"""About the standard error of a change, times the root of the clusters."""
SIZES: dict[Kind, tuple[int, int]] = {"text": (1, 6), "accuracy": (5, 16)}
"""Items of a cluster, from and below: parts of a document, questions of a passage."""


@dataclass(frozen=True)
class Case:
    """What is simulated; `luck` is the deviation between trainings, about in standard errors of the item layer."""

    kind: Kind
    clusters: int
    seeds: int
    luck: float = 0.0

    @property
    def curved(self) -> int:
        """Arms that are compared at their own adaptation: all of them in the middle of the grid, as that takes longest."""
        return max(PAGES) if (self.clusters, self.seeds, self.luck) == (30, 3, 1) else 3

    @property
    def margin(self) -> float:
        """About one standard error, so that no answer comes by itself."""
        return SCALE[self.kind] / math.sqrt(self.clusters)


CASES = [
    Case(kind, clusters, seeds, float(seeds > 1))
    for kind in ("text", "accuracy")
    for clusters in (8, 30, 300)
    for seeds in (1, 3, 5)
]  # fmt: skip
CASES += [Case("text", 30, 3, 0.3), Case("text", 30, 3, 3.0), Case("accuracy", 30, 3, 0.3), Case("text", 300, 5, 3.0)]


@dataclass(frozen=True)
class World:
    """So many clusters, scored under so many trainings, which differ by `luck` in the figure's unit."""

    case: Case
    clusters: int
    seeds: int
    generator: np.random.Generator

    @property
    def luck(self) -> float:
        """Of the case, whatever the number of clusters is now: a larger run of the same trainings."""
        return self.case.luck * self.case.margin

    def changes(self, truths: Sequence[float], learning: bool = False) -> Axis:
        """Forgetting (or learning) of the control and arms, of these true sizes, and along the control's curve."""
        sizes = self.generator.integers(*SIZES[self.case.kind], self.clusters)
        codes = np.repeat(np.arange(self.clusters), sizes)
        make, sign = (self._text, 1) if self.case.kind == "text" else (self._accuracy, -1)
        sign, course = (-sign, 1 - (1 - POINTS) ** 2) if learning else (sign, POINTS**2)
        before, weights, after, curve = make(codes, sign * np.array(truths)[:, None, None], course[:, None])
        seeds = range(self.seeds)
        found = {(name, seed): after[arm, seed] for arm, name in enumerate(NAMES[: len(after)]) for seed in seeds}
        sample = Sample("task", self.case.kind, tuple(map(str, codes)), before, weights, codes, found)
        return Axis(sign, [sample], {seed: [curve[seed]] for seed in seeds})

    def _text(self, codes: np.ndarray, changes: Floats, course: Floats) -> tuple[Floats, ...]:
        """Bits: what all items change by, and what their cluster, the item, the arm there, the training and noise add."""
        normal, n, arms = self.generator.normal, len(codes), len(changes)
        weights = np.exp(normal(6, 0.7, n))
        shared = normal(0, 0.8, self.clusters)[codes] + normal(0, 0.3, n)
        own = normal(0, 0.3, (arms, 1, self.clusters))[..., codes] + normal(0, 0.3, (arms, 1, n))
        noise = normal(0, 0.5, (arms, self.seeds, n)) + normal(0, self.luck, (arms, self.seeds, 1))
        after = weights * (changes + shared + own + noise)
        wiggle = weights * course * (1 - course) * normal(0, 0.3, (self.seeds, 1, n))
        return np.zeros(n), weights, after, course * after[0][:, None] + wiggle

    def _accuracy(self, codes: np.ndarray, changes: Floats, course: Floats) -> tuple[Floats, ...]:
        """Right answers: right ones are lost and wrong ones gained, in some items and clusters more easily."""
        uniform, n, arms = self.generator.random, len(codes), len(changes)
        known = 0.3 if changes[0] > 0 else 0.6  # a task to be learned, and one to be kept
        right = uniform(n) < known
        ease = self.generator.uniform(0.8, 1.2, self.clusters)[codes] * self.generator.choice([0.8, 1.2], n)
        shift = self.generator.uniform(-0.05, 0.05, self.clusters)[codes]
        shift = shift + self.luck / 2 * self.generator.uniform(-math.sqrt(3), math.sqrt(3), (arms, self.seeds, 1))
        # of all items 10 % fall and 10 % rise where nothing changes on the whole
        lost = (0.1 + np.maximum(-changes, 0) - shift) / known
        gained = (0.1 + np.maximum(changes, 0) + shift) / (1 - known)
        chance, drawn = ease * np.where(right, lost, gained), uniform((arms, self.seeds, n))
        after = (right ^ (drawn < chance)).astype(np.float64)
        curve = (right ^ (drawn[0][:, None] < course * chance[0][:, None])).astype(np.float64)
        return right.astype(np.float64), np.ones(n), after, curve


Seen = Iterator[tuple[str, bool]]
"""What is counted, and whether it came in."""


def world(case: Case, generator: np.random.Generator) -> World:
    """As the case says."""
    return World(case, case.clusters, case.seeds, generator)


def forgotten(axis: Axis, arm: str) -> Estimate:
    """As forgetting.Study.figure."""
    (sample,), seeds = axis.samples, tuple(axis.curve)
    return sample.change(arm, seeds).times(axis.sign)


def kept(axis: Axis, arm: str) -> Estimate:
    """How much more than the control, as forgetting.Study.against_control."""
    (sample,), seeds = axis.samples, tuple(axis.curve)
    return statistics.macro([sample.cells(sample.stack(arm, seeds) - sample.stack("none", seeds))]).times(-axis.sign)


def nothing_forgotten(case: Case, generator: np.random.Generator) -> Seen:
    """No arm forgets, and none keeps more than the control."""
    axis = world(case, generator).changes([0.0] * len(NAMES))
    own, beside = forgotten(axis, ARMS[0]), [{claims.END: kept(axis, arm)} for arm in ARMS]
    yield "covers", own.low <= 0 <= own.high
    yield "covers the difference", beside[0][claims.END].low <= 0 <= beside[0][claims.END].high
    yield "forgotten", statistics.answer(own, case.margin) == "forgotten"
    for size in PAGES:
        yield f"more of {size}", any(claim.keeps == "more" for claim in judge(own, beside[:size], case))


def on_the_curve(case: Case, generator: np.random.Generator) -> Seen:
    """Every arm learns less than the control and keeps what the control does at that adaptation: truly more than at its end."""
    size = case.margin * (4 if case.kind == "text" else 2)
    gain = 8 * case.margin if case.kind == "text" else 0.25
    place, arms = 1 - math.sqrt(1 - OWN_LEVEL), ARMS[: case.curved]
    keep = world(case, generator).changes([size, *[place**2 * size] * len(arms)])
    learned = world(case, generator).changes([gain, *[OWN_LEVEL * gain] * len(arms)], learning=True)
    beside: list[dict[str, Estimate]] = []
    for arm in arms:
        own = compare(keep, learned, arm, tuple(keep.curve)).keeps
        beside.append({claims.END: kept(keep, arm)} | ({claims.OWN: own} if own else {}))
    for count in (count for count in PAGES if count <= len(arms)):
        judged = judge(forgotten(keep, "none"), beside[:count], case)
        yield f"more at own of {count}", any(claim.at.get(claims.OWN) == "more" for claim in judged)


def judge(own: Estimate, beside: Sequence[dict[str, Estimate]], case: Case) -> list[claims.Claim]:
    """The claims of a page; what each arm forgets itself does not bear on how it stands to the control."""
    page = {arm: claims.Evidence(own, None, kept) for arm, kept in zip(ARMS, beside, strict=False)}
    return list(claims.judge(page, case.kind, {case.kind: case.margin}).values())


def at_the_margin(case: Case, generator: np.random.Generator) -> Seen:
    """The margin itself is forgotten."""
    found = forgotten(world(case, generator).changes([case.margin]), "none")
    yield "not forgotten", statistics.answer(found, case.margin) == "not forgotten"


def at_twice_the_margin(case: Case, generator: np.random.Generator) -> Seen:
    """Where the evidence is not enough, a new run of the size that was named."""
    truth = 2 * case.margin
    pilot = forgotten(world(case, generator).changes([truth]), "none")
    wanted = power.needed(pilot, case.margin)
    if wanted is None:
        return
    choices = [(wanted.items, case.seeds), (pilot.n, wanted.seeds), wanted.together or (None, None)]
    named = [(items, seeds) for items, seeds in choices if items and seeds]
    yield "has no number", not named
    if named:
        items, seeds = named[generator.integers(len(named))]
        larger = World(case, math.ceil(case.clusters * items / pilot.n), seeds, generator)
        found = forgotten(larger.changes([truth]), "none")
        yield "not enough evidence", statistics.answer(found, case.margin) == "not enough evidence"


Part = Callable[[Case, np.random.Generator], Seen]
PARTS: tuple[Part, ...] = (nothing_forgotten, on_the_curve, at_the_margin, at_twice_the_margin)
