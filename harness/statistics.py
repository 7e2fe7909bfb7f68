"""Intervals and claims: paired, clustered, in two layers (items and seeds), and what they allow to be said.

Every figure of the harness is a sum over items divided by a sum over items (nats by bytes, right answers by
questions), so one estimator serves all; a mean is the ratio with weights 1. Items are paired before they come here.
Formulas without a source are textbook results.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from harness.layers import Parts, crossed, numbered, satterthwaite, uneven

Floats = NDArray[np.float64]
Answer = Literal["forgotten", "not forgotten", "not enough evidence"]
Layers = Literal["items", "seeds", "items and seeds"]


@dataclass(frozen=True)
class Estimate:
    """A figure with its standard error.

    value, error    in the figure's unit; the error is infinite where a single cluster cannot give one
    freedom         degrees of freedom of the t distribution
    n, clusters     items, and groups of items that are not independent
    layers          which variance the error contains: of items, of training seeds, or both
    seeds           trainings behind the figure
    parts           the layers apart, where the error contains both
    """

    value: float
    error: float
    freedom: float
    n: int
    clusters: int
    layers: Layers = "items"
    seeds: int = 1
    parts: Parts | None = None

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Two-sided t interval."""
        half = float(special.stdtrit(self.freedom, (1 + level) / 2)) * self.error if self.error else 0.0
        return self.value - half, self.value + half

    @property
    def low(self) -> float:
        """Lower end of the 95 % interval."""
        return self.interval()[0]

    @property
    def high(self) -> float:
        """Upper end of the 95 % interval."""
        return self.interval()[1]

    @property
    def p(self) -> float:
        """Two-sided p of the value against 0."""
        if not self.error:
            return 1.0 if self.value == 0 else 0.0
        return float(2 * special.stdtr(self.freedom, -abs(self.value) / self.error))

    def times(self, factor: float) -> "Estimate":
        """The same figure in another unit or with the other sign."""
        parts = self.parts.times(factor**2) if self.parts else None
        return replace(self, value=self.value * factor, error=self.error * abs(factor), parts=parts)


@dataclass(frozen=True)
class Cells:
    """Item differences of one task under several seeds.

    values      (S, n) numerators: what changed in each item, a row a seed
    weights     (n,) denominators: 1 for questions, bytes for documents
    clusters    (n,) equal numbers for items that are not independent
    smallest    standard error that is believed at least where items hardly differ (see `smallest_error`)
    """

    values: Floats
    weights: Floats
    clusters: NDArray[np.int64]
    smallest: float = 0.0


def ratio(numerators: ArrayLike, weights: ArrayLike, clusters: ArrayLike | None = None) -> Estimate:
    """Ratio estimator R = sum(u) / sum(w) with clusters c.

    SE = sqrt(G/(G-1) * sum_c (sum_{i in c} (u_i - R w_i))^2) / sum(w)

    t with G-1 degrees of freedom where all clusters weigh the same, else with fewer (layers.uneven). With weights 1 and no
    clusters this is the mean and s/sqrt(n). Clustered form: Miller 2024, arXiv 2411.00640.
    """
    u, w = np.asarray(numerators, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    codes = np.arange(len(u)) if clusters is None else numbered(clusters)
    value = float(u.sum() / w.sum())
    groups = int(codes.max()) + 1
    if groups < 2:
        return Estimate(value, math.inf, 1, len(u), groups)
    within = np.bincount(codes, weights=u - value * w, minlength=groups)
    error = math.sqrt(groups / (groups - 1) * float(within @ within)) / abs(float(w.sum()))
    freedom = uneven(np.bincount(codes, weights=w, minlength=groups))
    return Estimate(value, error, freedom, len(u), groups)


def mean(values: ArrayLike, clusters: ArrayLike | None = None) -> Estimate:
    """Mean of item values, or of paired item differences, with a clustered error."""
    return ratio(values, np.ones(len(np.asarray(values))), clusters)


def average(parts: Sequence[Estimate]) -> Estimate:
    """Macro average: equal weights over independent figures; freedom after Welch and Satterthwaite."""
    k = len(parts)
    variances = [(part.error / k) ** 2 for part in parts]
    return Estimate(
        value=sum(part.value for part in parts) / k,
        error=math.sqrt(sum(variances)),
        freedom=satterthwaite(variances, [part.freedom for part in parts]),
        n=sum(part.n for part in parts),
        clusters=sum(part.clusters for part in parts),
    )


def over_seeds(values: ArrayLike) -> Estimate:
    """t interval over trainings: mean +- t_{S-1} s/sqrt(S). Says nothing of other items than these."""
    return replace(mean(values), layers="seeds", seeds=len(np.asarray(values)))


def two_layers(values: ArrayLike, items: Estimate, shared: float = 0.0) -> Estimate:
    """Seeds and items: Var = s^2/S + SE_items^2 - shared, and no less than either layer alone.

    The items are shared by all seeds, so their term does not shrink with S. What a training does to single items is in
    both terms and is taken away once, as in errors clustered two ways (Cameron, Gelbach and Miller 2011).

    values      (S,) the figure under each seed
    items       the figure of the item values averaged over seeds
    shared      variance of the seed x item term (layers.crossed)
    With one seed there is only the item layer, and the claim is about that checkpoint.
    """
    count = len(np.asarray(values))
    if count < 2:
        return items
    seeds = over_seeds(values)
    parts = Parts(items.error**2, seeds.error**2, shared, (items.freedom, seeds.freedom))
    error, freedom = parts.joint()
    return Estimate(seeds.value, error, freedom, items.n, items.clusters, "items and seeds", count, parts)


def macro(cells: Sequence[Cells]) -> Estimate:
    """The mean over tasks of sum(u)/sum(w), with both layers."""
    by_seed = np.mean([cell.values.sum(axis=1) / cell.weights.sum() for cell in cells], axis=0)  # (S,)
    return two_layers(by_seed, average([_over_items(cell) for cell in cells]), _crossed(cells))


def share(parts: Sequence[Cells], wholes: Sequence[Cells]) -> Estimate:
    """Ratio of sums over tasks, R = A/B, with the error of the residuals A - R B of every item, in both layers.

    Not the mean of ratios: a task with a small denominator would rule it. That B is not near 0 is the caller's care.
    """
    tops = np.sum([cell.values.sum(axis=1) / cell.weights.sum() for cell in parts], axis=0)
    bottoms = np.sum([cell.values.sum(axis=1) / cell.weights.sum() for cell in wholes], axis=0)
    value, bottom = float(np.mean(tops) / np.mean(bottoms)), float(np.mean(bottoms))
    pairs = zip(parts, wholes, strict=True)
    residuals = [replace(part, values=part.values - value * whole.values) for part, whole in pairs]
    scale = len(parts) / bottom
    items = replace(average([_over_items(cell) for cell in residuals]).times(scale), value=value)
    return replace(two_layers(tops / bottoms, items, _crossed(residuals) * scale**2), value=value)


def _crossed(cells: Sequence[Cells]) -> float:
    """Variance of a macro average over tasks by what each training does to single items."""
    return sum(crossed(cell.values, cell.weights, cell.clusters) for cell in cells) / len(cells) ** 2


def _over_items(cell: Cells) -> Estimate:
    """The item layer of a task: its seeds averaged item by item first.

    Items that all changed alike, or clusters that all did by luck, tell as little of others as items that did not change.
    """
    found = ratio(cell.values.mean(axis=0), cell.weights, cell.clusters)
    if not cell.smallest or found.error >= cell.smallest:
        return found
    unlike = np.count_nonzero((cell.values != np.median(cell.values)).any(axis=0))
    alike = unlike < 2 or found.error < ROUNDING
    return replace(found, error=cell.smallest) if alike else found


def smallest_error(n: int) -> float:
    """Standard error of a change in accuracy that is believed at least: one item flipped each way, sqrt(2)/(n+2).

    Where no item flips, or all do, the sample's own error is 0 and three questions would prove anything. This is the
    adjusted Wald error of Bonett and Price (2012) with no discordant pair, close to the rule of three.
    """
    return math.sqrt(2) / (n + 2)


Mark = Literal["chance", "ceiling", "between", "unknown"]
"""Where a base stands on a task: what it does not know it cannot forget, and what it knows wholly it cannot learn."""
ROUNDING = 1e-12


def mark(value: float, error: float, chance: float | None) -> Mark:
    """Less than 2 standard errors above chance, less than 2 below 1, or between; unknown where nobody knows chance."""
    if chance is None:
        return "unknown"
    near = 2 * error - ROUNDING
    return "chance" if value - chance < near else "ceiling" if 1 - value < near else "between"


def mcnemar(gained: int, lost: int) -> float:
    """Exact McNemar: p = min(1, 2 P[Bin(b+c, 1/2) <= min(b, c)]) of wrong -> right against right -> wrong."""
    return min(1.0, 2 * float(stats.binom.cdf(min(gained, lost), gained + lost, 0.5)))


def holm(p: Sequence[float]) -> list[float]:
    """Holm's adjusted p, for the primary family: max_{j <= i} (m - j + 1) p_j in ascending order."""
    order = np.argsort(p)
    adjusted = np.maximum.accumulate([(len(p) - rank) * p[i] for rank, i in enumerate(order)])
    found = dict(zip(order.tolist(), adjusted, strict=True))
    return [min(1.0, float(found[i])) for i in range(len(p))]


def benjamini_hochberg(p: Sequence[float]) -> list[float]:
    """Benjamini and Hochberg's adjusted p, for tables that are read as exploration: min_{j >= i} m p_j / j."""
    return [float(x) for x in stats.false_discovery_control(p)] if p else []


def answer(forgetting: Estimate, margin: float) -> Answer:
    """Three answers to "was something forgotten?", the margin declared before the run.

    Not forgotten: the one-sided 95 % upper bound lies below the margin (non-inferiority). Forgotten: the two-sided
    95 % interval lies above 0. Neither: a difference that is not significant is no evidence that there is none.
    """
    if forgetting.interval(0.9)[1] < margin:
        return "not forgotten"
    return "forgotten" if forgetting.low > 0 else "not enough evidence"
