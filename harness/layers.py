"""The two layers of an error, apart and together: other items under the same trainings, other trainings on the same items."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special


@dataclass(frozen=True)
class Parts:
    """The variances that an error of both layers is made of, in the figure's unit squared.

    item, seed      of other items under these trainings, and of other trainings on these items
    crossed         of what a training does to single items: part of both, counted once in the error
    freedoms        degrees of freedom of item and seed
    """

    item: float
    seed: float
    crossed: float
    freedoms: tuple[float, float]

    def times(self, square: float) -> "Parts":
        """The same in another unit, whose square is given."""
        return Parts(self.item * square, self.seed * square, self.crossed * square, self.freedoms)

    def joint(self) -> tuple[float, float]:
        """Standard error and degrees of freedom: Var = item + seed - crossed, and no less than either layer alone.

        The freedom is Satterthwaite's with the seeds' variance at its upper limit: of three trainings that lie together by
        luck the variance comes out small, and would then be believed with the freedom of hundreds of items.
        """
        error = math.sqrt(max(self.item, self.seed, self.item + self.seed - self.crossed))
        return error, satterthwaite([self.item, upper(self.seed, self.freedoms[1])], self.freedoms)


SURE = 0.8


def upper(variance: float, freedom: float) -> float:
    """One-sided 80 % upper limit of a variance that was estimated with so many degrees of freedom (chi-square)."""
    return variance if math.isinf(freedom) else variance * freedom / float(special.chdtri(freedom, SURE))


def satterthwaite(variances: Sequence[float], freedoms: Sequence[float]) -> float:
    """Degrees of freedom of a sum of variances: (sum v)^2 / sum(v^2 / df)."""
    total = sum(variances)
    if total == 0 or math.isinf(total):
        return min(freedoms)
    return total**2 / sum(v**2 / df for v, df in zip(variances, freedoms, strict=True))


def uneven(sizes: ArrayLike) -> float:
    """Degrees of freedom of a variance over clusters that hold (G,) of the weight: G-1 where all hold the same, else fewer.

    Satterthwaite's, tr(K)^2 / tr(K^2), of the quadratic form that the variance is where clusters differ by one random amount
    each (as Bell and McCaffrey 2002 do for regressions): K = (I - 1h')' diag(h^2) (I - 1h') with h the shares of the weight.
    K has rank G-1, so that they lie between 1 and G-1; where one cluster holds all of the weight rounding would say otherwise.
    """
    weight = np.asarray(sizes, dtype=np.float64)
    h = weight / weight.sum()
    two, three, four = (float((h**power).sum()) for power in (2, 3, 4))
    trace = two - 2 * three + two**2
    equal = float((h**4 * ((1 - 2 * h + two) ** 2 - (two - 2 * h) ** 2)).sum())
    other = two**4 + 2 * two * four - 4 * two**2 * three + 2 * three**2
    whole = equal + other
    return min(max(trace**2 / whole, 1.0), max(len(h) - 1.0, 1.0)) if whole > 0 and trace > 0 else 1.0


def numbered(clusters: ArrayLike) -> NDArray[np.int64]:
    """Clusters as numbers from 0 without a gap; those that are so already need no sorting."""
    given = np.asarray(clusters)
    if given.dtype.kind == "i" and given.min() == 0 and given.max() < len(given) and np.bincount(given).all():
        return given
    return np.unique(given, return_inverse=True)[1]


def crossed(values: NDArray[np.float64], weights: NDArray[np.float64], clusters: NDArray[np.int64]) -> float:
    """Variance of sum(u)/sum(w), averaged over trainings, that comes from what each training does to single clusters.

    G/(G-1) * sum_c sum_s (r_sc - mean_s r_sc)^2 / ((S-1) S W^2), r_sc the residual of cluster c under training s

    values (S, n), weights (n,), clusters (n,) as in statistics.Cells; 0 where one training or one cluster cannot tell
    """
    seeds, codes = len(values), numbered(clusters)
    groups, total = int(codes.max()) + 1, float(weights.sum())
    if seeds < 2 or groups < 2:
        return 0.0
    residuals = values - np.outer(values.sum(axis=1) / total, weights)  # (S, n)
    places = codes + groups * np.arange(seeds)[:, None]
    by_group = np.bincount(places.ravel(), weights=residuals.ravel(), minlength=seeds * groups).reshape(seeds, groups)
    return groups / (groups - 1) * float(by_group.var(axis=0, ddof=1).sum()) / (seeds * total**2)
