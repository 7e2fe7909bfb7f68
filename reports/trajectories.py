"""When did forgetting set in, and did any of it come back? A few fixed items, asked again at milestones of every training."""

import math
from dataclasses import dataclass
from typing import Any

from harness import forgetting as fg
from harness.trajectory import Gap, Point, Trajectories
from reports import elsewhere, words
from reports.figure import axis, label, marks, plot
from reports.section import Cell, Figure, Figures, Section, Table, Text, measured


@dataclass(frozen=True)
class Panel:
    """A reading over the course of the training."""

    name: str
    title: str
    reading: fg.Reading
    what: str

    @property
    def unit(self) -> str:
        """What its axis shows, and which way is better."""
        way = "forgetting: up is worse" if self.reading.measures == "keep" else "adaptation: up is better"
        return f"{words.UNIT[self.reading.kind]}<br>{way}"


PANELS = (
    Panel("course-forgetting", "Forgetting on unrehearsed text", fg.FORGETTING, "forgetting on unrehearsed text"),
    Panel("course-adaptation", "Adaptation on new text", fg.ADAPTATION, "adaptation on new text"),
    Panel("course-answers-lost", "Right answers, unrehearsed", fg.Reading("keep", "answer", "other"), "forgetting of answers"),
    Panel("course-answers-learned", "Right answers on new facts", fg.ANSWERS, "adaptation in answers"),
    Panel("course-rehearsed", "Forgetting on rehearsed text", fg.REHEARSED, "forgetting on rehearsed text"),
)
SHORT = "No training was long enough for it: a look at a few items of every task would have cost more than 5 % of its time."
OFF = "It was not looked at while training; `--milestones` does, for at most 5 % of the time, in trainings from now on."


def section(study: fg.Study) -> Section:
    """Curves by reading, the stability gap in words, and what was looked at."""
    question = "When did forgetting set in, and did any of it come back?"
    found = Trajectories(study)
    drawn = tuple(figure(found, panel) for panel in PANELS if curves(found, panel))
    if not drawn:
        return Section("trajectories", question, absent(study))
    return Section("trajectories", question, answer(found), (Figures(drawn, legend=True), *gaps(found), Text(how(found))))


def absent(study: fg.Study) -> str:
    """Why there is nothing to see."""
    if not (study.record.plan.get("options") or {}).get("milestones"):
        return OFF
    return SHORT if study.done else "No training has come to its first milestone yet."


def curves(found: Trajectories, panel: Panel) -> dict[str, list[Point]]:
    """Arm -> its milestones."""
    drawn = {arm: found.curve(arm, panel.reading) for arm in found.arms}
    return {arm: points for arm, points in drawn.items() if points}


def answer(found: Trajectories) -> str:
    """Where forgetting was highest, and whether it came back, for the control and for the arms in which it clearly did."""
    keeping = [panel for panel in PANELS if panel.reading.measures == "keep" and curves(found, panel)]
    if not keeping:
        return "What was learned was looked at while training; nothing that is to be kept was."
    panel, control = keeping[0], found.study.control
    rises = _rises(found, panel)
    if not rises:
        return "No training has come to its third milestone yet."
    first = control if control in rises else next(iter(rises))
    told = [f"In {first}, {panel.what} {course(rises[first], panel, elsewhere.along(found.study))}."]
    if back := [arm for arm, gap in rises.items() if arm != first and clear(gap)]:
        told.append(f"Of the other arms, some of it came back in {words.listing(back)}.")
    elif len(rises) > 1:
        told.append("In no other arm did any of it clearly come back.")
    return " ".join(told)


def _rises(found: Trajectories, panel: Panel) -> dict[str, Gap]:
    """Arm -> its stability gap, where it was looked at often enough."""
    margin = found.study.margin(panel.reading.kind)
    return {arm: gap for arm in found.arms if (gap := found.gap(arm, panel.reading, margin))}


def gaps(found: Trajectories) -> tuple[Table, ...]:
    """The stability gap of every arm, on what the section's sentence is about."""
    panel = next((each for each in PANELS if each.reading.measures == "keep" and curves(found, each)), None)
    rises = _rises(found, panel) if panel else {}
    if not panel or not rises:
        return ()
    kind, unit = panel.reading.kind, elsewhere.along(found.study)
    rows = tuple(
        (arm, measured(gap.peak.figure, kind), words.count(gap.peak.tokens), measured(gap.end.figure, kind),
         measured(gap.height, kind)) for arm, gap in rises.items()
    )  # fmt: skip
    caption = f"{panel.title}: how far it rose above where it ended, {words.UNIT[kind]}, {words.intervals(found.study)} below"
    return (Table(caption, ("arm", "highest", f"after ({unit})", "at the end", "stability gap"), rows),)


def clear(gap: Gap) -> bool:
    """Whether the gap's interval lies above 0."""
    return gap.height.low > 0


def course(gap: Gap, panel: Panel, unit: str) -> str:
    """One arm's rise and fall in words."""
    kind = panel.reading.kind
    figure = gap.peak.figure
    highest = f"{words.amount(figure.value, kind)} {words.UNIT[kind]}, {words.interval(figure, kind)}"
    if gap.peak.update == gap.end.update:
        return f"was highest at the end ({highest}): none of it came back"
    where = f"was highest after {words.count(gap.peak.tokens)} of {words.count(gap.end.tokens)} {unit} ({highest})"
    height = f"{words.amount(gap.height.value, kind)}, {words.between(gap.height, kind)}"
    if not clear(gap):
        return f"{where}, and ended no clearly lower (stability gap {height})"
    when = "" if gap.recovered is None else f" by {words.count(gap.recovered)} {unit}"
    return f"{where} and had come back to where it ended{when} (stability gap {height})"


def how(found: Trajectories) -> str:
    """What was looked at, and what the figures are of."""
    items = found.rows.groupby("task")["item"].nunique()
    moments = found.rows.groupby(["arm", "seed"])["update"].nunique().max()
    if elsewhere.is_elsewhere(found.study):
        return f"At {moments} moments of a training, the base's included, over all items, as differences to the base."
    few, most = int(items.min()), int(items.max())
    number = str(few) if few == most else f"{few} to {most}"
    return (
        f"At {moments} moments of a training, {number} items of each task, the same for every arm, seed and moment, as "
        "differences to the base: too few for a verdict, which is taken at the end over all items. Figures are of the weights "
        "as the optimizer left them: what an arm averages or merges at the end is not in them yet. The stability gap is the "
        "highest forgetting minus the last (De Lange et al. 2023), not the early dip in the new domain's accuracy that Guo et "
        "al. 2024 call so; the highest of several noisy figures is biased upward, and so is the gap. Answers are in bits, "
        "−log2 p of the right one."
    )


def figure(found: Trajectories, panel: Panel) -> Figure:
    """A curve an arm over the tokens read, its 95 % interval as a band."""
    looks, kind = marks(found.study), panel.reading.kind
    scale, drawn, unit = words.SCALE[kind], curves(found, panel), elsewhere.along(found.study)
    traces: list[dict[str, Any]] = []
    for arm, points in drawn.items():
        mark, tokens = looks[arm], [point.tokens for point in points]
        low, high = ([scale * limit for limit in side] for side in zip(*map(limits, points), strict=True))
        band = {"x": [*tokens, *tokens[::-1]], "y": [*high, *low[::-1]], "fill": "toself", "fillcolor": faint(mark.colour)}
        traces.append({"type": "scatter", "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"} | band)
    for arm, points in drawn.items():
        mark = looks[arm]
        shown = [f"<b>{label(arm)}</b><br>{words.count(p.tokens)} {unit}<br>{words.cell(p.figure, kind)}" for p in points]
        style = {"symbol": mark.symbol, "color": mark.colour, "size": 7}
        line = {"x": [p.tokens for p in points], "y": [scale * p.figure.value for p in points], "text": shown}
        stroke = {
            "line": {"color": mark.colour, "width": 1.8, "dash": mark.dash},
            "marker": style,
            "hoverinfo": "text",
            "name": label(arm),
        }
        traces.append({"type": "scatter", "mode": "lines+markers"} | line | stroke)
    x, y = axis("tokens read" if unit == "tokens" else unit, zeroline=False, tickformat="~s"), axis(panel.unit)
    return Figure(panel.name, panel.title, ends(found, panel, drawn), plot(traces, x, y), table(found, panel, drawn), 320)


def limits(point: Point) -> tuple[float, float]:
    """The 95 % interval; nothing wide where a single cluster gives none."""
    found = point.figure
    return (found.low, found.high) if math.isfinite(found.error) else (found.value, found.value)


def faint(colour: str) -> str:
    """A hue for a band behind curves."""
    return f"rgba({int(colour[1:3], 16)},{int(colour[3:5], 16)},{int(colour[5:7], 16)},0.10)"


def ends(found: Trajectories, panel: Panel, drawn: dict[str, list[Point]]) -> str:
    """Where the arms stand at their last milestone."""
    kind, bands = panel.reading.kind, f"Bands: {words.intervals(found.study)}."
    last = {arm: points[-1].figure for arm, points in drawn.items()}
    low, high = min(last, key=lambda arm: last[arm].value), max(last, key=lambda arm: last[arm].value)
    if low == high:
        return f"{low} stands at {words.amount(last[low].value, kind)} at the last milestone. {bands}"
    least, most = (f"{words.amount(last[arm].value, kind)} ({arm})" for arm in (low, high))
    return f"Between {least} and {most} at the last milestone. {bands}"


def table(found: Trajectories, panel: Panel, drawn: dict[str, list[Point]]) -> Table:
    """Every milestone, by its share of the arm's training."""
    kind = panel.reading.kind
    by_share = {arm: {share(found, arm, point): point for point in points} for arm, points in drawn.items()}
    shares = sorted({each for points in by_share.values() for each in points})
    rows = tuple((f"{each:.0%}", *(_cell(by_share[arm].get(each), kind) for arm in drawn)) for each in shares)
    tasks = ", ".join(found.tasks(panel.reading))
    below = f"{words.intervals(found.study)} below"
    caption = f"{panel.title}, {words.UNIT[kind]} by share of the training, {below}; macro averages over {tasks}"
    return Table(caption, ("trained", *drawn), rows, wide=True)


def share(found: Trajectories, arm: str, point: Point) -> float:
    """Of the arm's own training, so that arms of other lengths stand beside each other."""
    return round(point.update / found.study.record.plan["trainings"][arm]["updates"], 2)


def _cell(point: Point | None, kind: fg.Kind) -> Cell:
    return measured(point.figure, kind) if point else Cell(words.NOTHING)
