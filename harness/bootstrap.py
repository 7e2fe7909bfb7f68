"""Paired bootstrap in two layers: clusters of items and training seeds are drawn again, the same ones for every arm.

Used where no closed form is at hand: shares that solve an equation, areas under frontiers. With fewer than five seeds the
seed layer comes out too narrow, by about sqrt((S-1)/S); the t intervals of statistics.py are then the better ones.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness.layers import numbered

Floats = NDArray[np.float64]
DRAWS = 2000
BATCH = 4_000_000
"""Numbers that are drawn at once: 32 MB."""


def totals(tables: Sequence[Floats], draws: int = DRAWS, seed: int = 0) -> list[Floats]:
    """Column sums of each table in every draw: (draws, m) for each (S, G, m), averaged over the seeds drawn.

    tables      one a task: seeds x clusters x columns, whose columns (arms, say) share every draw. All tables share the
                draw of seeds and have the same S; clusters are drawn table by table.
    """
    generator = np.random.default_rng(seed)
    seeds = len(tables[0])
    drawn = generator.multinomial(seeds, np.full(seeds, 1 / seeds), size=draws) / seeds  # (B, S)
    return [_totals(table, drawn, generator) for table in tables]


def _totals(table: Floats, drawn: Floats, generator: np.random.Generator) -> Floats:
    """Clusters with equal rows are drawn as one: as good, and of answers there are few kinds."""
    seeds, groups, columns = table.shape
    kinds, counts = np.unique(table.transpose(1, 0, 2).reshape(groups, -1), axis=0, return_counts=True)  # (K, S * m)
    step = max(1, BATCH // len(kinds))
    parts = [
        generator.multinomial(groups, counts / groups, size=len(some)) @ kinds
        for some in (drawn[start : start + step] for start in range(0, len(drawn), step))
    ]
    return np.einsum("bs,bsm->bm", drawn, np.concatenate(parts).reshape(len(drawn), seeds, columns))


def by_cluster(columns: Floats, clusters: NDArray[np.int64]) -> Floats:
    """Item values (n, m) summed by cluster: (G, m)."""
    codes = numbered(clusters)
    return np.stack([np.bincount(codes, weights=column) for column in columns.T], axis=1).astype(np.float64, copy=False)


def between(values: Floats, level: float = 0.95) -> tuple[float, float]:
    """The percentile interval of one figure's draws (B,)."""
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
