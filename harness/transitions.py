"""Which answers changed, item by item: what an average of losses and gains hides.

    F, BT               n10 / n and n01 / n: right answers lost, and wrong ones put right
    adjusted            less what guessing alone would flip, if guesses were drawn anew each time (Harmon et al. 2025, arXiv
                        2510.17776): corr = (1 - a_before)(1 - a_after) / (k - 1); clipped at 0
    persistent          shares of items that were known and are not, and the reverse, where a guess is kept with the
                        probability that both-wrong items tell: a model that did not change its mind repeats its guess
    confident           F among the items whose margin lies above the base's median margin
    churn               F and BT of two trainings of one arm against each other, averaged: what a seed alone flips

Raw counts come first, the rest is beside them. k is the number of options; where it differs from item to item, every formula is
applied to the items of one k, and the parts are added by their share of the items.
"""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from harness import bootstrap, statistics
from harness.forgetting import Study
from harness.pairing import Sample, is_choice
from harness.statistics import Estimate, Floats

Pair = tuple[float, float]
"""A figure of what was lost, and of what was gained."""


@dataclass(frozen=True)
class Latent:
    """What was known before and after, beneath the guesses; shares of all items, signed: below 0 the model does not fit.

    repeats     probability that a guess is kept
    lost, gained, known, unknown    known before and not after; the reverse; both; neither
    lost_between, gained_between    95 % percentile intervals over clusters of items
    """

    repeats: float
    lost: float
    gained: float
    known: float
    unknown: float
    lost_between: tuple[float, float]
    gained_between: tuple[float, float]


@dataclass(frozen=True)
class Transitions:
    """Items of a task by right and wrong, before and after: kept (n11), lost (n10), gained (n01), never (n00).

    options     the K numbers of options that items have; 0 where nothing was chosen from
    clusters    (G, K * 5) items by cluster and, for each number of options: kept, lost, gained, never right with the same
                wrong option twice, never right with two different ones
    confident   items whose margin lies above the base's median, and how many of those were lost; None without options
    """

    options: tuple[int, ...]
    clusters: Floats
    confident: tuple[int, int] | None

    @cached_property
    def table(self) -> Floats:
        """(K, 5) items by number of options."""
        return self.clusters.sum(axis=0).reshape(-1, 5)

    @property
    def kept(self) -> int:
        """n11."""
        return int(self.table[:, 0].sum())

    @property
    def lost(self) -> int:
        """n10."""
        return int(self.table[:, 1].sum())

    @property
    def gained(self) -> int:
        """n01."""
        return int(self.table[:, 2].sum())

    @property
    def never(self) -> int:
        """n00."""
        return int(self.table[:, 3:].sum())

    @property
    def n(self) -> int:
        """Items."""
        return int(self.table.sum())

    @property
    def rates(self) -> Pair:
        """F and BT."""
        return self.lost / self.n, self.gained / self.n

    @property
    def p(self) -> float:
        """Exact McNemar of lost against gained."""
        return statistics.mcnemar(self.gained, self.lost)

    @property
    def adjusted(self) -> Pair | None:
        """F and BT less what guessing alone would flip; None where nothing was chosen from."""
        if 0 in self.options:
            return None
        guessed = sum(
            (gained + never) * (lost + never) / row.sum() / (k - 1)
            for k, row in zip(self.options, self.table, strict=True)
            for lost, gained, never in [(row[1], row[2], row[3] + row[4])]
        )
        return max(0.0, (self.lost - guessed) / self.n), max(0.0, (self.gained - guessed) / self.n)

    @property
    def most(self) -> float | None:
        """The largest F that the base can show: (k a - 1)/(k - 1)."""
        if 0 in self.options:
            return None
        tops = (k * (row[0] + row[1]) - row.sum() for k, row in zip(self.options, self.table, strict=True))
        return float(sum(top / (k - 1) for k, top in zip(self.options, tops, strict=True)) / self.n)

    @cached_property
    def persistent(self) -> Latent | None:
        """Shares known and unknown; None where no item with three options or more was answered wrongly twice."""
        told = [number for number, k in enumerate(self.options) if k > 2]
        if 0 in self.options or not self.table[told, 3:].sum():
            return None
        (draws,) = bootstrap.totals([self.clusters[None]])
        shares = latent(draws.reshape(len(draws), -1, 5), self.options)
        repeats, lost, gained, known, unknown = (float(share) for share in latent(self.table, self.options))
        between = [bootstrap.between(draws) for draws in shares[1:3]]
        return Latent(repeats, lost, gained, known, unknown, *between)


def latent(counts: Floats, options: Iterable[int]) -> tuple[Floats, ...]:
    """Repeats, lost, gained, known and unknown of counts (..., K, 5) with k options each.

    s = P(same wrong option | wrong twice) = (1 + rho (k-1)) / (k-1+rho)            solved for rho over all items with k > 2
    unknown = p00 k/(k-1) / (rho + (1-rho)(k-1)/k);   lost = p10 k/(k-1) - unknown (1-rho)/k;   gained the same with p01
    """
    k = np.array(list(options), dtype=np.float64)
    never = counts[..., 3] + counts[..., 4]
    rho = _repeats(counts[..., 3], never, k)[..., None]
    shares = counts / counts.sum(axis=(-2, -1), keepdims=True)
    unknown = (shares[..., 3] + shares[..., 4]) * k / (k - 1) / (rho + (1 - rho) * (k - 1) / k)
    lost, gained = (shares[..., column] * k / (k - 1) - unknown * (1 - rho) / k for column in (1, 2))
    lost, gained, unknown = (part.sum(axis=-1) for part in (lost, gained, unknown))
    return rho[..., 0], lost, gained, 1 - lost - gained - unknown, unknown


def _repeats(same: Floats, never: Floats, k: Floats) -> Floats:
    """rho in [0, 1] that expects as many equal wrong options as there were, by bisection; two options tell nothing."""
    same, never = np.where(k > 2, same, 0.0).sum(axis=-1), np.where(k > 2, never, 0.0)
    low, high = np.zeros(same.shape), np.ones(same.shape)
    for _ in range(40):
        rho = ((low + high) / 2)[..., None]
        above = (never * (1 + rho * (k - 1)) / (k - 1 + rho)).sum(axis=-1) > same
        low, high = np.where(above, low, rho[..., 0]), np.where(above, rho[..., 0], high)
    return (low + high) / 2


def transitions(study: Study, sample: Sample, arm: str, seed: int) -> Transitions:
    """Of an accuracy task under one training: items flip in a checkpoint, not in a strategy."""
    rows, later = study.before[sample.task], study.rows[arm, seed][sample.task]
    right, still = sample.before > 0.5, sample.after[arm, seed] > 0.5
    choice = is_choice(rows)
    lengths = rows["loglikelihoods"].map(len).to_numpy() if choice else np.zeros(len(rows), dtype=np.int64)
    counts = np.where(lengths > 1, lengths, 0)  # of one option nothing is chosen
    same = (rows["choice"] == later["choice"]).to_numpy(bool) if choice else np.zeros(len(rows), dtype=bool)
    kinds = np.stack([right & still, right & ~still, ~right & still, ~right & ~still & same, ~right & ~still & ~same], axis=1)
    options, codes = np.unique(counts, return_inverse=True)
    columns = np.concatenate([kinds * (codes == code)[:, None] for code in range(len(options))], axis=1).astype(np.float64)
    return Transitions(
        options=tuple(int(k) for k in options),
        clusters=bootstrap.by_cluster(columns, sample.clusters),
        confident=_confident(margins(study, sample.task), right & ~still) if choice else None,
    )


def _confident(margin: Floats, lost: np.ndarray) -> tuple[int, int]:
    sure = margin > np.median(margin)
    return int(sure.sum()), int((sure & lost).sum())


def margins(study: Study, task: str) -> Floats:
    """(n,) the base's margins: above 0 where the answer is right under the metric that counts (`pairing.numbers`)."""
    return study.start[task]["margin"].to_numpy(np.float64)


def margin_change(study: Study, sample: Sample, arm: str) -> Estimate | None:
    """Mean change of the margin, after - before: graded, so that it moves before an answer does; None without options."""
    before, seeds = study.before[sample.task], sample.seeds(arm)
    if not seeds or not is_choice(before):
        return None
    start = margins(study, sample.task)
    values = np.stack([study.rows[arm, seed][sample.task]["margin"].to_numpy(np.float64) - start for seed in seeds])
    return statistics.macro([statistics.Cells(values, np.ones(len(start)), sample.clusters)])


def churn(sample: Sample, arm: str) -> float | None:
    """The share of items that one training has right and another has wrong, averaged over pairs; None with one training.

    Half of the items on which two seeds differ: what F would be of a base that is only another seed of the same arm.
    """
    pairs = [np.mean(one != two) / 2 for one, two in itertools.combinations(sample.stack(arm, sample.seeds(arm)) > 0.5, 2)]
    return float(np.mean(pairs)) if pairs else None
