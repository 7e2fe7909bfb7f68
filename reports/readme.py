"""The trade-off of a run as one still SVG for a README: no browser, no script, no network.

Across: adaptation, right is better. Down: forgetting, so that down is worse and the best place is the upper right.
"""

import math
from collections.abc import Sequence
from html import escape
from pathlib import Path

from harness import forgetting as fg
from harness import record
from harness.errors import InputError
from harness.statistics import Estimate
from reports import tradeoff, words
from reports.figure import BASE, Mark, marks
from reports.labels import OFFSETS, Points, anchor, box, half, overlap
from reports.tradeoff import Panel

WIDTH, HEIGHT = 760, 470
LEFT, RIGHT, TOP, BOTTOM = 92, 736, 66, 392
GROUND, INK, SOFT, GRID, ZERO = "#fcfcfb", "#1b1f24", "#59616b", "#e9ebee", "#b4bac2"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"
LETTER, LINE = 7.4, 16
HALO = f'stroke="{GROUND}" stroke-width="4" stroke-linejoin="round" paint-order="stroke"'
Box = tuple[float, float, float, float]


def svg(folder: Path) -> str:
    """The plane of accuracies of a run folder, or the first that the run can fill, as a standalone SVG."""
    study = fg.Study(record.read(folder))
    panel = choose(study)
    found = tradeoff.points(study, panel)
    scale = Scale(found, panel)
    looks = marks(study)
    drawn = [*grid(scale), *axes(panel), *crosshairs(found, scale, looks), *glyphs(found, scale, looks)]
    drawn += labels(found, scale)
    title = "What each way of training learns, and what it forgets"
    return document(title, note(study), drawn)


def choose(study: fg.Study) -> Panel:
    """Accuracies before bits: a point is read without a legend."""
    panels = tradeoff.panels(study)
    if not panels:
        raise InputError(f"{study.record.folder} holds no arm that was scored for keeping and for learning; run it first")
    return next((panel for panel in panels if panel.name == "plane-accuracy"), panels[0])


class Scale:
    """From figures in the units of the axes to pixels; the base at (0, 0) and every interval lie inside."""

    def __init__(self, found: Points, panel: Panel) -> None:
        self.factors = panel.scales
        pairs = [(gain, keep) for gain, keep in found.values()]
        across, down = self.factors
        self.x = _range([0.0, *(v * across for g, _ in pairs for v in (g.value - half(g), g.value + half(g)))])
        self.y = _range([0.0, *(v * down for _, k in pairs for v in (k.value - half(k), k.value + half(k)))])

    def across(self, value: float) -> float:
        """Pixels from the left of a value in the unit of the x axis."""
        return LEFT + (value - self.x[0]) / (self.x[1] - self.x[0]) * (RIGHT - LEFT)

    def down(self, value: float) -> float:
        """Pixels from the top: more forgetting lies lower."""
        return TOP + (value - self.y[0]) / (self.y[1] - self.y[0]) * (BOTTOM - TOP)

    def spot(self, pair: tuple[Estimate, Estimate]) -> Box:
        """An arm's x, y, and half its intervals each way, in pixels."""
        (gain, keep), (across, down) = pair, self.factors
        x, y = self.across(gain.value * across), self.down(keep.value * down)
        return x, y, self.across((gain.value + half(gain)) * across) - x, self.down((keep.value + half(keep)) * down) - y


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    edge = 0.07 * ((high - low) or 1.0)
    return low - edge, high + edge


def ticks(low: float, high: float) -> list[float]:
    """Round numbers, four to eight of them."""
    raw = (high - low) / 6
    size = 10 ** math.floor(math.log10(raw))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= raw)
    return [i * step for i in range(math.ceil(low / step), math.floor(high / step) + 1)]


def grid(scale: Scale) -> list[str]:
    """Faint lines with their numbers; those of the base are a little stronger."""
    drawn: list[str] = []
    for value in ticks(*scale.x):
        x = scale.across(value)
        drawn += [_line(x, TOP, x, BOTTOM, GRID if value else ZERO), _text(x, BOTTOM + 20, _number(value), "middle", SOFT)]
    for value in ticks(*scale.y):
        y = scale.down(value)
        drawn += [_line(LEFT, y, RIGHT, y, GRID if value else ZERO), _text(LEFT - 10, y + 4, _number(value), "end", SOFT)]
    return drawn


def _number(value: float) -> str:
    return f"{value:.6g}".replace("-", "−")


def axes(panel: Panel) -> list[str]:
    """What the axes show, in which unit, and which way is better."""
    middle = (TOP + BOTTOM) / 2
    learned = f"adaptation: {words.UNIT[panel.gain.kind]} learned on {panel.learned} (right is better →)"
    lost = f"forgetting: {words.UNIT[panel.keep.kind]} lost on {panel.lost}"
    turned = "".join(
        f'<g transform="rotate(-90 {x} {middle:g})">{_text(x, middle, text, "middle", SOFT)}</g>'
        for x, text in ((24, lost), (42, "(← down is worse)"))
    )
    return [_text((LEFT + RIGHT) / 2, BOTTOM + 44, learned, "middle", SOFT), turned]


def crosshairs(found: Points, scale: Scale, looks: dict[str, Mark]) -> list[str]:
    """95 % intervals, both ways."""
    drawn: list[str] = []
    for arm, pair in found.items():
        x, y, across, down = scale.spot(pair)
        colour = looks[arm].colour
        drawn += [_line(x - across, y, x + across, y, colour, 1.6), _line(x, y - down, x, y + down, colour, 1.6)]
    return drawn


def glyphs(found: Points, scale: Scale, looks: dict[str, Mark]) -> list[str]:
    """The base as a ring, every arm in its hue and shape."""
    ring = (
        f'<circle cx="{scale.across(0):.1f}" cy="{scale.down(0):.1f}" r="6" fill="{GROUND}" stroke="{BASE}" stroke-width="2"/>'
    )
    drawn = [ring]
    for arm, pair in found.items():
        x, y, _, _ = scale.spot(pair)
        place = f"translate({x - 8:.1f} {y - 8:.1f})"
        drawn.append(f'<path d="{looks[arm].path}" transform="{place}" fill="{looks[arm].colour}" stroke="{GROUND}"/>')
    return drawn


def labels(found: Points, scale: Scale) -> list[str]:
    """Names beside their points, each where it covers least (greedy)."""
    spots = {"base": (scale.across(0), scale.down(0), 0.0, 0.0)} | {arm: scale.spot(pair) for arm, pair in found.items()}
    zero, level, *_ = spots["base"]
    taken: list[Box] = [(zero - 2, TOP, zero + 2, BOTTOM), (LEFT, level - 2, RIGHT, level + 2)]
    for x, y, across, down in spots.values():
        taken += [(x - 9, y - 9, x + 9, y + 9), (x - across, y - 2, x + across, y + 2), (x - 2, y - down, x + 2, y + down)]
    drawn: list[str] = []
    for name, (x, y, _, _) in spots.items():
        shown = words.short(words.clean(name).replace("\n", " "), 32)
        boxes = [box(x + dx, y + dy, dx, len(shown) * LETTER) for dx, dy in OFFSETS]
        costs = [sum(overlap(each, other) for other in taken) + _outside(each) for each in boxes]
        best = costs.index(min(costs))
        taken.append(boxes[best])
        dx, dy = OFFSETS[best]
        side = {"left": "start", "right": "end", "center": "middle"}[anchor(dx)]
        drawn.append(_text(x + dx, y + dy + 4, shown, side, SOFT if name == "base" else INK, 600 if name != "base" else 400))
    return drawn


def _outside(a: Box) -> float:
    beyond = max(0.0, LEFT - a[0]) + max(0.0, a[2] - RIGHT) + max(0.0, TOP - a[1]) + max(0.0, a[3] - BOTTOM)
    return beyond * LINE * 2


def note(study: fg.Study) -> str:
    """What the bars contain."""
    seeds = len(study.record.plan["seeds"])
    return f"Bars: 95 % intervals, {words.several(seeds, 'training seed')}. Means over tasks; the base is at 0, 0."


def document(title: str, under: str, drawn: Sequence[str]) -> str:
    """A whole SVG with a title that screen readers say."""
    head = _text(LEFT, 28, title, "start", INK, 600, 17) + _text(LEFT, 49, under, "start", SOFT)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'role="img" aria-labelledby="t" font-family="{escape(FONT)}" font-size="13">\n'
        f'<title id="t">{escape(title)}</title>\n<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="{GROUND}"/>\n'
        + "\n".join([head, *drawn])
        + "\n</svg>\n"
    )


def _line(x: float, y: float, to_x: float, to_y: float, colour: str, width: float = 1.0) -> str:
    ends = f'x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{width:g}"/>'


def _text(x: float, y: float, text: str, side: str, colour: str, weight: int = 400, size: int = 13) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{side}"'
    return f'<text {place} {HALO} fill="{colour}" font-weight="{weight}" font-size="{size}">{escape(text)}</text>'
