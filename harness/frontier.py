"""What can be had at what price: frontiers of points (adaptation, forgetting), one to be large, the other small.

The attained region is a staircase: between two points no third model was trained, and mixing two by a coin is none.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

Point = tuple[float, float]
"""Adaptation and forgetting."""
WIDE = 0.2
"""A gap between two points, as a share of plain training's adaptation, across which a straight line is only a guess."""


def pareto(points: Sequence[Point]) -> list[bool]:
    """Which points no other dominates: learns at least as much and forgets at most as much, one of them strictly."""

    def dominates(p: Point, q: Point) -> bool:
        return p[0] >= q[0] and p[1] <= q[1] and p != q

    return [not any(dominates(other, point) for other in points) for point in points]


def hypervolume(points: Sequence[Point], reference: Point) -> float:
    """Area between the frontier and a reference (least adaptation, most forgetting), in the product of both units.

    Only comparable between arms with equal numbers of points: more points and more noise both make it larger.
    """
    volume, level = 0.0, reference[1]
    inside = [(x, y) for x, y in points if x > reference[0] and y < reference[1]]
    for x, y in sorted(inside, key=lambda point: (-point[0], point[1])):
        if y < level:
            volume += (x - reference[0]) * (level - y)
            level = y
    return volume


def references(plain: Sequence[Point]) -> tuple[Point, Point]:
    """The two references that hypervolumes are taken to: a ranking that changes between them is none.

    Both lie at the most that plain training's own sweep forgets: from no adaptation on, and from half of the most that it
    learns, so that what hardly trained counts for nothing.
    """
    most = max(y for _, y in plain)
    return (0.0, most), (max(x for x, _ in plain) / 2, most)


def share_of_volume(points: Sequence[Point], plain: Sequence[Point], reference: Point) -> float | None:
    """The hypervolume with adaptation counted in the most that plain training learns and forgetting in the reference's.

    None where plain training learned nothing, or the reference is no forgetting: then there is no unit.
    """
    learned = max(x for x, _ in plain)
    if learned <= 0 or reference[1] <= 0:
        return None
    return hypervolume([(x / learned, y / reference[1]) for x, y in points], (reference[0] / learned, 1.0))


@dataclass(frozen=True)
class Bracket:
    """The two points of a frontier around an adaptation: forgetting there is (1 - weight) y[low] + weight y[high].

    low, high   places in the points that were given; equal where a point lies at the adaptation
    gap         adaptation between the two
    """

    low: int
    high: int
    weight: float
    gap: float

    def wide(self, plain: float) -> bool:
        """Whether the gap is to be flagged, against the adaptation of plain training."""
        return self.gap > WIDE * plain


def bracket(points: Sequence[Point], level: float, chosen: Sequence[bool] | None = None) -> Bracket | None:
    """Where an adaptation lies between non-dominated points; None outside of them: nothing is extrapolated.

    chosen  the points that were non-dominated on other items, where these are only read
    """
    best = pareto(points) if chosen is None else chosen
    front = sorted((i for i in range(len(points)) if best[i]), key=lambda i: points[i])
    for low, high in itertools.pairwise(front):
        start, end = points[low][0], points[high][0]
        if start < level < end:
            return Bracket(low, high, (level - start) / (end - start), end - start)
    exact = next((i for i in front if points[i][0] == level), None)
    return None if exact is None else Bracket(exact, exact, 0.0, 0.0)


def at_adaptation(points: Sequence[Point], level: float) -> float | None:
    """Forgetting at an adaptation, linear between the two frontier points around it; None where it was not attained."""
    found = bracket(points, level)
    return None if found is None else (1 - found.weight) * points[found.low][1] + found.weight * points[found.high][1]
