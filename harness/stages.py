"""Several trainings after one another: what each stage's test shows after every stage, and what the whole matrix says.

Higher is better throughout; of losses the negative is given (minus bits per byte), so that signs carry over. The base is row 0.

    ACC     mean_j R[T, j]                                  Lopez-Paz and Ranzato 2017, arXiv 1706.08840
    BWT     mean_{j<T} (R[T, j] - R[j, j])                  the same; below 0 is forgetting, mixed with later improvement
    FWT     mean_{j>=2} (R[j-1, j] - R[0, j])               the same; here against the base, the effect of earlier stages
    F_k     mean_{j<k} (max_{l<k} R[l, j] - R[k, j])        Chaudhry et al. 2018, arXiv 1801.10112; the base counts in the max
    I_k     a*_k - R[k, k], a*_k of a model trained on stages 1..k together; of the same paper
    ID, Bwd, Fwd    means of the diagonal, below and above it (TiC-LM, arXiv 2504.02107; of regrets where scores are given as
                    the difference to one model trained on all stages)

F takes the best of noisy checkpoints and so lies high: by 0.56, 0.85 and 1.16 of their noise for the best of 2, 3 and 5 equal
ones. A model that never learned has F = 0: ACC or R[T, T] stands beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from harness.statistics import Floats


@dataclass(frozen=True)
class Stages:
    """Performance of one arm under one seed over T stages.

    scores      (T + 1, T): after the base and each stage, on each stage's own test
    general     (T + 1, m): the same, on m tests of what the base knew; m may be 0
    joint       (T,) on each stage's test of a model trained on all stages up to it; NaN where there is none
    """

    scores: Floats
    general: Floats = field(default_factory=lambda: np.empty((0, 0)))
    joint: Sequence[float] = ()

    @property
    def count(self) -> int:
        """T."""
        return self.scores.shape[1]

    @property
    def trained(self) -> Floats:
        """(T, T) without the base."""
        return self.scores[1:]

    @property
    def average(self) -> float:
        """ACC."""
        return float(self.trained[-1].mean())

    @property
    def backward(self) -> float | None:
        """BWT; None with one stage."""
        return _mean(self.trained[-1, :-1] - np.diag(self.trained)[:-1])

    @property
    def forward(self) -> float | None:
        """FWT; None with one stage."""
        return _mean(np.diag(self.trained, 1) - self.scores[0, 1:])

    def forgotten(self, stage: int | None = None) -> float | None:
        """F of the stages before `stage` (1..T; the last), which the base counts among; None before the second."""
        last = stage or self.count
        return _mean(_fallen(self.scores[: last + 1, : last - 1]))

    def general_forgotten(self, stage: int | None = None) -> float | None:
        """F of what the base knew, after `stage`: without the base's row this is invisible."""
        last = stage or self.count
        return _mean(_fallen(self.general[: last + 1])) if self.general.size else None

    def intransigence(self, stage: int | None = None) -> float | None:
        """I of a stage (1..T; the last); None without a model trained jointly."""
        last = stage or self.count
        known = last <= len(self.joint) and np.isfinite(self.joint[last - 1])
        return float(self.joint[last - 1] - self.trained[last - 1, last - 1]) if known else None

    @property
    def own(self) -> float | None:
        """ID: each stage's test just after it."""
        return _mean(np.diag(self.trained))

    @property
    def older(self) -> float | None:
        """Bwd: tests of earlier stages; None with one stage."""
        return _mean(self.trained[np.tril_indices(self.count, -1)])

    @property
    def later(self) -> float | None:
        """Fwd: tests of stages still to come; None with one stage."""
        return _mean(self.trained[np.triu_indices(self.count, 1)])


def _fallen(rows: Floats) -> Floats:
    """How far the last row lies below the best of the rows before it, column by column."""
    return rows[:-1].max(axis=0) - rows[-1]


def _mean(values: Floats) -> float | None:
    return float(values.mean()) if values.size else None
