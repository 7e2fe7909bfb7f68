"""How many items or trainings would be enough, where a run gives not enough evidence.

Enough: at a true change of twice the margin, "not enough evidence" comes in at most one run of five. The answer is then
"forgotten", for which the 95 % interval must lie above 0. The pilot's own variances are uncertain, so an upper limit of
each is planned for (chi-square). More items do not shrink what differs between trainings, nor more trainings what differs
between items.
"""

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, replace

from scipy import special

from harness.layers import Parts, upper
from harness.statistics import Estimate, answer

POWER = 0.8
MOST = 1000
"""No more than so many times the items; nobody has more."""
SEEDS = 100
"""Nor so many trainings."""


@dataclass(frozen=True)
class Needed:
    """What would be enough; None where no number of it alone is.

    items       as many items in all, of the same tasks in the same proportion, under as many trainings as there were
    seeds       as many trainings, on the same items; None too where one training says nothing of how trainings differ
    together    items and trainings, where neither is enough alone; None where that is out of reach as well
    reason      why there is no number at all; empty where there is one
    """

    items: int | None = None
    seeds: int | None = None
    together: tuple[int, int] | None = None
    reason: str = ""


def needed(estimate: Estimate, margin: float) -> Needed | None:
    """What would be enough for an answer at this margin; None where there is an answer already."""
    if answer(estimate, margin) != "not enough evidence":
        return None
    if math.isinf(estimate.error):
        return Needed(reason="all items belong together, so that nothing tells how others would differ")
    parts, n, count, change = _planned(estimate), estimate.n, estimate.seeds, 2 * margin

    def enough(items: int, seeds: int) -> bool:
        return _enough(_grown(parts, items / n, seeds / count, seeds), change)

    while estimate.error and enough(n, count):  # this run was large enough for such a change: it must be a smaller one
        change /= 2
    items = _least(lambda items: enough(items, count), n, MOST * n)
    if not parts.seed:
        return Needed(items, reason="" if items else f"not even {MOST} times the items would be enough")
    seeds = _least(lambda seeds: enough(n, seeds), count, SEEDS)
    if items or seeds:
        return Needed(items, seeds)
    fewest = _least(lambda seeds: enough(MOST * n, seeds), count, SEEDS)
    if fewest is None:
        return Needed(reason=f"not even {MOST} times the items and {SEEDS} trainings would be enough")
    several = min(SEEDS, 2 * fewest)  # leaves both layers half of the room
    more = _least(lambda items: enough(items, several), n, MOST * n)
    return Needed(together=(more or MOST * n, several))


def _planned(estimate: Estimate) -> Parts:
    """The layers at their upper limits."""
    found = estimate.parts or Parts(estimate.error**2, 0.0, 0.0, (estimate.freedom, math.inf))
    item, seed = (upper(*layer) for layer in zip((found.item, found.seed), found.freedoms, strict=True))
    return replace(found, item=item, seed=seed, crossed=min(found.crossed, item, seed))


def _grown(parts: Parts, items: float, seeds: float, count: int) -> Parts:
    """The layers with so many times the items and trainings: the part that both contain shrinks with either."""
    crossed = parts.crossed / (items * seeds)
    item, seed = (parts.item - parts.crossed) / items + crossed, (parts.seed - parts.crossed) / seeds + crossed
    return Parts(item, seed, crossed, (parts.freedoms[0] * items, count - 1))


def _enough(parts: Parts, change: float) -> bool:
    """Whether an interval lies above 0 with the power asked for."""
    return shown(*(parts.joint() if parts.seed else (math.sqrt(parts.item), parts.freedoms[0]))) <= change


def shown(error: float, freedom: float) -> float:
    """The smallest change whose interval lies above 0 in four of five runs, in the error's unit: (t_.975 + t_.8) SE."""
    return float(special.stdtrit(freedom, 0.975) + special.stdtrit(freedom, POWER)) * error


def _least(holds: Callable[[int], bool], low: int, high: int) -> int | None:
    """The smallest number from low to high that holds, where every larger one does too; None where none does."""
    found = low + bisect_left(range(low, high + 1), True, key=holds)
    return found if found <= high else None
