"""What does each arm give up for what it learns? Forgetting against adaptation, bits and points never on one axis."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness import forgetting as fg
from harness.frontier import pareto
from reports import words
from reports.figure import BASE, axis, label, marks, plot
from reports.labels import Points, annotations, half
from reports.paths import Path, paths, rows, trace
from reports.section import Cell, Figure, Figures, Section, Table, measured


@dataclass(frozen=True)
class Panel:
    """A plane: what is kept against what is learned, each axis in its own unit."""

    name: str
    title: str
    keep: fg.Reading
    gain: fg.Reading
    lost: str
    learned: str

    @property
    def scales(self) -> tuple[float, float]:
        """From stored figures to the units of the axes, across and up."""
        return words.SCALE[self.gain.kind], words.SCALE[self.keep.kind]


PANELS = (
    Panel("plane-text", "In bits per byte", fg.FORGETTING, fg.ADAPTATION, "unrehearsed text", "new text"),
    Panel("plane-accuracy", "In accuracy, points", fg.LOST, fg.LEARNED, "unrehearsed tasks", "new tasks"),
)
# Where no unit has both axes: whatever was scored, rehearsed text named as such.
OTHERWISE = (
    Panel("plane-mixed", "Accuracy kept, text learned", fg.LOST, fg.ADAPTATION, "unrehearsed tasks", "new text"),
    Panel("plane-turned", "Text kept, accuracy learned", fg.FORGETTING, fg.LEARNED, "unrehearsed text", "new tasks"),
    Panel("plane-rehearsed", "Rehearsed text, which proves less", fg.REHEARSED, fg.ADAPTATION, "rehearsed text", "new text"),
)
HOW = (
    "An arm is on it if by the means no other learns as much and forgets no more. That alone shows none to be better than "
    "another: bars say how sure a place is, and the verdict says what is shown against the control."
)


def section(study: fg.Study) -> Section:
    """Both planes."""
    figures = tuple(figure(study, panel) for panel in panels(study))
    question = "What does each arm give up for what it learns?"
    if not figures:
        return Section("tradeoff", question, "No arm has both a figure for keeping and one for learning yet.")
    return Section("tradeoff", question, answer(study), (Figures(figures),))


def answer(study: fg.Study) -> str:
    """Which arms are on the frontier, by the means."""
    if not study.control:
        return "Every model stands against the base, which is at (0, 0); without a control none is said to beat another."
    found = {panel: ranked(points(study, panel)) for panel in panels(study)}
    told = [f"On {panel.lost} and {panel.learned}, {standing(arms)}." for panel, arms in found.items()]
    return " ".join(told + [HOW] * any(len(arms) > 1 for arms in found.values()))


def standing(found: Points) -> str:
    """Who is on the frontier of a plane, and who is not."""
    best = frontier(found)
    inside = [arm for arm in found if arm not in best]
    if len(found) == 1:
        return f"{best[0]} is the only arm"
    if not inside:
        return "all arms are on the frontier"
    verb = "lies" if len(inside) == 1 else "lie"
    front = f"the frontier is {words.listing(best)}" if len(best) > 1 else f"{best[0]} alone is the frontier"
    return f"{front}, and {words.listing(inside)} {verb} inside it"


def panels(study: fg.Study) -> list[Panel]:
    """The planes that this run can fill."""
    found = [panel for panel in PANELS if points(study, panel)]
    return found or [panel for panel in OTHERWISE if points(study, panel)]


def points(study: fg.Study, panel: Panel) -> Points:
    """Arm -> (adaptation, forgetting)."""
    pairs = {arm: (study.figure(panel.gain, arm), study.figure(panel.keep, arm)) for arm in study.arms}
    return {arm: (gain, keep) for arm, (gain, keep) in pairs.items() if gain and keep}


def ranked(found: Points) -> Points:
    """Without the control of old text, which learns nothing on purpose."""
    return {arm: figures for arm, figures in found.items() if arm != fg.OLD_TEXT}


def figure(study: fg.Study, panel: Panel) -> Figure:
    """A plane: base at (0, 0), 95 % cross-hairs, seeds as small marks, the frontier as a staircase, the control's paths."""
    found, lines = points(study, panel), paths(study, panel.keep, panel.gain)
    best = frontier(ranked(found))
    traces = [staircase(found, best, panel)] if study.control else []
    traces += [*(trace(line, panel.scales) for line in lines), base()]
    for arm in found:
        traces += [seeds(study, panel, arm), point(study, panel, arm)]
    x = axis(f"{words.UNIT[panel.gain.kind]} learned on {panel.learned}<br>adaptation: right is better →")
    y = axis(f"{words.UNIT[panel.keep.kind]} lost on {panel.lost}<br>forgetting: up is worse →")
    drawn_too = [*(["dotted: the frontier by the means"] if study.control else []), *(line.told for line in lines)]
    shown = "; ".join([f"bars: {words.intervals(study)}", "small marks: single seeds", *drawn_too])
    conclusion = f"Down and to the right is better; {shown}."
    labels = annotations(found, panel.scales)
    drawn = plot(traces, x, y, annotations=labels, margin={"l": 72, "r": 24, "t": 16, "b": 64})
    return Figure(panel.name, panel.title, conclusion, drawn, table(study, panel, found, lines), 430)


def frontier(found: Points) -> list[str]:
    """Arms that no other arm dominates; the base, which learned nothing, is no arm."""
    arms = list(found)
    flags = pareto([(gain.value, keep.value) for gain, keep in found.values()])
    return [arm for arm, best in zip(arms, flags, strict=True) if best]


def staircase(found: Points, best: Sequence[str], panel: Panel) -> dict[str, Any]:
    """What is attained: each point until the next one costs more."""
    across, up = panel.scales
    corners = sorted([(0.0, 0.0), *((found[a][0].value * across, found[a][1].value * up) for a in best)])
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [x for x, _ in corners],
        "y": [y for _, y in corners],
        "line": {"shape": "vh", "color": BASE, "width": 1.5, "dash": "dot"},
        "hoverinfo": "skip",
    }


def base() -> dict[str, Any]:
    """The base: nothing learned, nothing forgotten."""
    return {
        "type": "scatter",
        "mode": "markers+text",
        "x": [0],
        "y": [0],
        "text": ["base"],
        "textposition": "bottom right",
        "marker": {"symbol": "circle-open", "size": 11, "color": BASE, "line": {"width": 2, "color": BASE}},
        "hoverinfo": "text",
    }


def seeds(study: fg.Study, panel: Panel, arm: str) -> dict[str, Any]:
    """A small mark a seed."""
    mark, (across, up) = marks(study)[arm], panel.scales
    shared = sorted(set(study.seeds(arm, panel.keep)) & set(study.seeds(arm, panel.gain)))
    pairs = [(study.figure(panel.gain, arm, seed), study.figure(panel.keep, arm, seed)) for seed in shared]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [gain.value * across for gain, _ in pairs if gain],
        "y": [keep.value * up for _, keep in pairs if keep],
        "marker": {"symbol": mark.symbol, "size": 5, "color": mark.colour, "opacity": 0.45},
        "text": [f"{label(arm)}, seed {seed}" for seed in shared],
        "hoverinfo": "text",
    }


def point(study: fg.Study, panel: Panel, arm: str) -> dict[str, Any]:
    """An arm with its cross-hairs."""
    mark, (across, up) = marks(study)[arm], panel.scales
    gain, keep = points(study, panel)[arm]
    learned, lost = words.cell(gain, panel.gain.kind), words.cell(keep, panel.keep.kind)
    hover = f"<b>{label(arm)}</b><br>learned {learned}<br>forgotten {lost}"
    bars = {"color": mark.colour, "thickness": 1.3, "width": 0, "type": "data"}
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [gain.value * across],
        "y": [keep.value * up],
        "error_x": bars | {"array": [half(gain) * across]},
        "error_y": bars | {"array": [half(keep) * up]},
        "marker": {"symbol": mark.symbol, "size": 13, "color": mark.colour},
        "text": [hover],
        "hoverinfo": "text",
    }


def table(study: fg.Study, panel: Panel, found: Points, lines: Sequence[Path]) -> Table:
    """The numbers of a plane."""
    lost, learned, best = panel.keep.kind, panel.gain.kind, set(frontier(ranked(found)))
    shown: list[tuple[str | Cell, ...]] = [
        (arm, measured(keep, lost), measured(gain, learned), *_beside(study, panel, arm, best), str(keep.seeds), keep.layers)
        for arm, (gain, keep) in found.items()
    ]
    beside = ("forgetting minus control's", "on the frontier") if study.control else ()
    between = [words.NOTHING] * len(beside)
    shown += [row for line in lines for row in rows(line, (lost, learned), between)]
    head = ("arm", "forgetting", "adaptation", *beside, "seeds", "interval of")
    tasks = ", ".join(s.task for s in [*study.tasks(panel.keep), *study.tasks(panel.gain)])
    units = words.listing(list(dict.fromkeys([words.UNIT[lost], words.UNIT[learned]])))
    return Table(f"In {units}, {words.intervals(study)} below; macro averages over {tasks}", head, tuple(shown), wide=True)


def _beside(study: fg.Study, panel: Panel, arm: str, best: set[str]) -> tuple[str | Cell, ...]:
    """How an arm stands to the control and to the others; nothing where there is no control."""
    if not study.control:
        return ()
    less = measured(study.against_control(panel.keep, arm), panel.keep.kind, True)
    return less, "a control" if arm == fg.OLD_TEXT else "yes" if arm in best else "no"
