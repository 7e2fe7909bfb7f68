"""Every arm of a sweep over its settings: the plane, forgetting at equal adaptation, and hypervolumes."""

from collections.abc import Mapping
from typing import Any

from harness import forgetting as fg
from harness.claims import claims
from harness.frontiers import LEVELS, Frontiers, Level
from reports import words
from reports.figure import axis, label, marks, plot
from reports.section import Cell, Figure, Table, measured


def plane(study: fg.Study, found: Frontiers) -> Figure:
    """Every setting as a small mark, the chosen one large, and each arm's frontier as a line between what was trained."""
    across, up = words.SCALE[found.gain.kind], words.SCALE[found.keep.kind]
    traces: list[dict[str, Any]] = []
    for each in found.arms:
        look, chosen = marks(study)[study.picks[each.arm].setting], study.picks[each.arm].setting
        corners = sorted(each.points[name] for name in each.best)
        traces.append({
            "type": "scatter", "mode": "lines", "x": [x * across for x, _ in corners], "y": [y * up for _, y in corners],
            "line": {"color": look.colour, "width": 1.2, "dash": "dot"}, "hoverinfo": "skip",
        })  # fmt: skip
        traces.append({
            "type": "scatter", "mode": "markers",
            "x": [x * across for x, _ in each.points.values()], "y": [y * up for _, y in each.points.values()],
            "marker": {"symbol": look.symbol, "color": look.colour, "size": [13 if n == chosen else 6 for n in each.points],
                       "opacity": [1.0 if name in {chosen, *each.best} else 0.35 for name in each.points]},
            "text": [label(name) for name in each.points], "hoverinfo": "text",
        })  # fmt: skip
    x = axis(f"{words.UNIT[found.gain.kind]} learned<br>adaptation: right is better →")
    y = axis(f"{words.UNIT[found.keep.kind]} lost<br>forgetting: up is worse →")
    conclusion = (
        "Down and to the right is better. Small: every setting, the mean over seeds; large: the chosen one; dotted: frontiers."
    )
    drawn = plot(traces, x, y, margin={"l": 72, "r": 24, "t": 16, "b": 64})
    return Figure("sweep", "Every setting of every arm", conclusion, drawn, settings(study, found), 460)


def settings(study: fg.Study, found: Frontiers) -> Table:
    """The numbers of the plane."""
    rows = [
        (name, each.arm, measured(study.figure(found.keep, name), found.keep.kind),
         measured(study.figure(found.gain, name), found.gain.kind), "yes" if name in each.best else "no",
         "yes" if name == study.picks[each.arm].setting else "no")
        for each in found.arms for name in each.points
    ]  # fmt: skip
    head = ("setting", "arm", "forgetting", "adaptation", "on the arm's frontier", "chosen")
    caption = f"Settings finished under every seed, {words.intervals(study)} below"
    return Table(caption, head, tuple(rows), words=2, wide=True)


def levels(study: fg.Study, found: Frontiers) -> Table:
    """Forgetting at equal adaptation, and how it stands to the control's there."""
    told = claims(study)
    rows = []
    for each in found.arms:
        claim = told.get(study.picks[each.arm].setting)
        p = claim.p if claim else {}
        cells = [cell for level in each.levels for cell in (attained(level, found), _beside(level, found, p))]
        rows.append((each.arm, *cells))
    head = [title for share in LEVELS for title in (f"forgetting at {share:.0%}", f"minus control's at {share:.0%}")]
    unit = words.UNIT[found.keep.kind]
    caption = (
        f"Forgetting at shares of the control's best adaptation, in {unit}, {words.intervals(study)} below; p corrected over "
        "the page"
    )
    return Table(caption, ("arm", *head), tuple(rows), wide=True)


def attained(level: Level, found: Frontiers) -> Cell:
    """Forgetting at a level, or that it was not attained, and where it was read across a wide gap."""
    if level.forgetting is None:
        whole = len(level.missed) == len(found.seeds)
        under = "" if whole else f"under seed {words.listing([str(seed) for seed in level.missed])}"
        return Cell("not attained", "quiet", under)
    cell = measured(level.forgetting, found.keep.kind)
    return Cell(cell.text, cell.tone, f"{cell.under}; wide gap" if level.wide else cell.under, cell.value)


def _beside(level: Level, found: Frontiers, p: Mapping[str, float]) -> Cell:
    if level.difference is None:
        return Cell(words.NOTHING)
    cell, own = measured(level.difference, found.keep.kind, True), p.get(f"{level.share:.0%}")
    return Cell(cell.text, cell.tone, cell.under if own is None else f"{cell.under}; p {own:.2g}", cell.value)


def volumes(found: Frontiers) -> Table:
    """What each arm attains of the plane, to two references, and what became of its settings."""
    rows = tuple(
        (each.arm, *(_volume(volume) for volume in each.volumes), str(len(each.points)), str(each.failed), str(each.planned))
        for each in found.arms
    )
    head = ("arm", "volume from 0 %", "volume from 50 %", "settings finished", "failed", "planned")
    caption = (
        "Hypervolume below the control's most forgetting, from no adaptation on and from half of the control's best, both axes "
        "in units of the control's; where the two rank arms differently there is no ranking. Only whole grids have one"
    )
    return Table(caption, head, rows)


def _volume(volume: float | None) -> Cell:
    return Cell("grid not whole", "quiet") if volume is None else Cell(words.fixed(volume, 3), value=volume)
