"""Where the names of arms stand on a plane of forgetting and adaptation, so that they cover little of what is drawn."""

import math
from typing import Any

from harness.statistics import Estimate
from reports.figure import label

Points = dict[str, tuple[Estimate, Estimate]]
"""Arm -> adaptation and forgetting."""


def half(found: Estimate) -> float:
    """Half the width of the 95 % interval; none drawn where there is none."""
    return (found.high - found.low) / 2 if found.clusters > 1 and found.error < float("inf") else 0.0


# Beside the cross-hairs first: a label on a bar cannot be read.
OFFSETS = ((8, -12), (-8, -12), (8, 12), (-8, 12), (16, 0), (-16, 0), (8, -30), (-8, -30), (8, 30), (-8, 30), (0, -34))
WIDTH, HEIGHT, LETTER, LINE = 380, 300, 6.6, 15
"""Pixels of a plane, of a letter and of a line of text."""
Box = tuple[float, float, float, float]
"""Left, top, right, bottom, in pixels."""


def annotations(found: Points, scales: tuple[float, float]) -> list[dict[str, Any]]:
    """A label at each point, on the side where it covers least (greedy, on a plane of the usual size).

    scales  from stored figures to the units of the axes, across and up
    """
    taken, labels, (across, up) = obstacles(found), [], scales
    places = spots(found)
    for number, ((arm, (gain, keep)), (x, y, _, _)) in enumerate(zip(found.items(), places[1:], strict=True), 1):
        others = [place for place in places if place is not places[number]]
        name = label(arm, 28)
        boxes = [box(x + dx, y + dy, dx, len(name) * LETTER) for dx, dy in OFFSETS]
        covered = [sum(overlap(each, other) for other in taken) + outside(each) for each in boxes]
        costs = [cost + mistaken((x, y), each, others) for cost, each in zip(covered, OFFSETS, strict=True)]
        chosen = costs.index(min(costs))
        taken.append(boxes[chosen])
        dx, dy = OFFSETS[chosen]
        place = {"xshift": dx, "yshift": -dy, "xanchor": anchor(dx), "yanchor": "middle"}
        labels.append({"x": gain.value * across, "y": keep.value * up, "text": name, "showarrow": False} | place)
    return labels


def spots(found: Points) -> list[Box]:
    """Pixels of the base and of every arm: x, y, and half its cross-hairs each way."""
    pairs = [(0.0, 0.0, 0.0, 0.0), *((g.value, k.value, half(g), half(k)) for g, k in found.values())]
    left, right = min(x - e for x, _, e, _ in pairs), max(x + e for x, _, e, _ in pairs)
    low, high = min(y - e for _, y, _, e in pairs), max(y + e for _, y, _, e in pairs)
    across, up = WIDTH / ((right - left) or 1.0), HEIGHT / ((high - low) or 1.0)
    return [((x - left) * across, (high - y) * up, ex * across, ey * up) for x, y, ex, ey in pairs]


def obstacles(found: Points) -> list[Box]:
    """Marks and cross-hairs, which no label should cover."""
    boxes: list[Box] = []
    for x, y, across, up in spots(found):
        boxes += [(x - 8, y - 8, x + 8, y + 8), (x - across, y - 2, x + across, y + 2), (x - 2, y - up, x + 2, y + up)]
    return boxes


def mistaken(spot: tuple[float, float], offset: tuple[int, int], others: list[Box]) -> float:
    """What it costs to begin nearer to another point than to its own: three letters for each of them."""
    begins = spot[0] + offset[0], spot[1] + offset[1]
    nearer = [other for other in others if math.dist(begins, other[:2]) < math.dist(begins, spot)]
    return 3 * LETTER * LINE * len(nearer)


def anchor(dx: int) -> str:
    """The side of a label that touches its point."""
    return "left" if dx > 0 else "right" if dx < 0 else "center"


def box(x: float, y: float, dx: int, width: float) -> Box:
    """Left, top, right, bottom of a label in pixels."""
    left = x if dx > 0 else x - width if dx < 0 else x - width / 2
    return left, y - LINE / 2, left + width, y + LINE / 2


def overlap(a: Box, b: Box) -> float:
    """Area that two boxes share."""
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def outside(a: Box) -> float:
    """Area of a box beyond the plane, where it would be cut."""
    return (max(0.0, -a[0]) + max(0.0, a[2] - WIDTH)) * LINE * 2
