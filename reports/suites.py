"""What did each arm forget, suite by suite? Paired changes to the base beside the smallest change that this run could show."""

import math
from dataclasses import dataclass
from statistics import median
from typing import Any

from harness import forgetting as fg
from harness import power
from harness.statistics import Estimate
from reports import words
from reports.figure import BAND, axis, label, marks, plot
from reports.labels import half
from reports.section import Block, Cell, Figure, Figures, Section, Table, Text, measured

SOURCES: dict[fg.Source, str] = {"other": "unrehearsed", "same": "rehearsed"}
KINDS: tuple[fg.Kind, ...] = ("text", "accuracy")
HOW = (
    "Every mark is the macro average over the suite's tasks that the base knows, paired by item, with its 95 % interval. Grey: "
    "changes that this run would have missed more often than in one of five such runs, the median over arms of "
    "(t(0.975) + t(0.8)) standard errors; a mark within it is no proof that nothing was lost."
)


@dataclass(frozen=True)
class Row:
    """A suite's tasks to keep, of one unit and one source, and what each arm forgot of them."""

    suite: str
    reading: fg.Reading
    found: dict[str, Estimate]

    @property
    def smallest(self) -> float:
        """The smallest change that is found in four of five runs like this one, the median over arms; infinite of a cluster."""
        return median(power.shown(e.error, e.freedom) for e in self.found.values())

    @property
    def source(self) -> str:
        """Whether arms could read the source of it."""
        assert self.reading.source
        return SOURCES[self.reading.source]


def section(study: fg.Study) -> Section:
    """One forest a unit."""
    question = "What did each arm forget, suite by suite?"
    found: dict[fg.Kind, list[Row]] = {kind: rows(study, kind) for kind in KINDS}
    figures = tuple(figure(study, kind, lines) for kind, lines in found.items() if lines)
    if not figures:
        return Section("suites", question, "No suite holds a task to keep that the base knows and an arm was scored on.")
    blocks: tuple[Block, ...] = (Figures(figures, legend=True), Text(HOW))
    return Section("suites", question, answer(study, [row for lines in found.values() for row in lines]), blocks)


def rows(study: fg.Study, kind: fg.Kind) -> list[Row]:
    """Unrehearsed before rehearsed, suites in the plan's order."""
    suites = list(dict.fromkeys(facts["suite"] for facts in study.record.tasks.values()))
    made: list[Row] = []
    for source in SOURCES:
        for suite in suites:
            reading = fg.Reading("keep", kind, source, suite)
            found = {arm: figure for arm in study.arms if (figure := study.figure(reading, arm))}
            made += [Row(suite, reading, found)] if found else []
    return made


def answer(study: fg.Study, found: list[Row]) -> str:
    """Where the control clearly forgot, and most."""
    lead, who = study.lead, "The control" if study.control else study.lead
    lost = [(row, row.found[lead]) for row in found if lead in row.found]
    sure = [(row, e) for row, e in lost if e.low > 0]
    some = "every row" if len(sure) == len(lost) else f"{len(sure)} of the {len(lost)} rows"
    told = f"{who} clearly forgot in {some if sure else 'no row'} below"
    parts: list[str] = []
    for kind in KINDS:
        if pairs := [(row, e) for row, e in sure if row.reading.kind == kind]:
            row, most = max(pairs, key=lambda pair: pair[1].value)
            size = f"{words.amount(most.value, kind)} {words.UNIT[kind]}, {words.interval(most, kind)}"
            parts.append(f"{row.suite}, {row.source} ({size})")
    return f"{told}, most in {words.listing(parts)}." if parts else f"{told}."


def figure(study: fg.Study, kind: fg.Kind, found: list[Row]) -> Figure:
    """A forest: rows are suites, marks are arms, grey is what could not have been seen."""
    looks, scale, arms = marks(study), words.SCALE[kind], [arm for arm in study.arms if any(arm in row.found for row in found)]
    traces: list[dict[str, Any]] = []
    for place, arm in enumerate(arms):
        mark, lines = looks[arm], [(number, row.found[arm]) for number, row in enumerate(found) if arm in row.found]
        bars = {
            "type": "data",
            "array": [half(e) * scale for _, e in lines],
            "color": mark.colour,
            "thickness": 1.4,
            "width": 0,
        }
        told = [f"<b>{label(arm)}</b><br>{label(found[number].suite)}<br>{words.cell(e, kind)}" for number, e in lines]
        spots = {
            "x": [e.value * scale for _, e in lines],
            "y": [number + (place - (len(arms) - 1) / 2) * 0.8 / len(arms) for number, _ in lines],
        }
        style = {"marker": {"symbol": mark.symbol, "color": mark.colour, "size": 9}, "text": told, "hoverinfo": "text"}
        traces.append({"type": "scatter", "mode": "markers", "error_x": bars} | spots | style)
    bands = [
        {"type": "rect", "x0": -row.smallest * scale, "x1": row.smallest * scale, "y0": number - 0.46, "y1": number + 0.46}
        | {"fillcolor": BAND, "line": {"width": 0}, "layer": "below"}
        for number, row in enumerate(found)
        if math.isfinite(row.smallest)
    ]
    names = [f"{label(row.suite, 26)}<br><i>{row.source}</i>" for row in found]
    y = axis(
        "", tickvals=list(range(len(found))), ticktext=names, range=[len(found) - 0.5, -0.5], zeroline=False, showgrid=False
    )
    x = axis(f"{words.UNIT[kind]} lost<br>forgetting: right is worse →")
    drawn = plot(traces, x, y, shapes=bands, margin={"l": 8, "r": 16, "t": 8, "b": 56})
    title = {"text": "Text, bits per byte", "accuracy": "Accuracy, points"}[kind]
    height = 90 + len(found) * max(44, 14 * len(arms) + 16)
    return Figure(f"forest-{kind}", title, seen(kind, found), drawn, table(study, kind, found, arms), height)


def seen(kind: fg.Kind, found: list[Row]) -> str:
    """The smallest change that could be seen; of items that all belong together no change could."""
    sizes = [row.smallest for row in found if math.isfinite(row.smallest)]
    if not sizes:
        return "This run could show no change: all items of a row belong together."
    few, most = words.amount(min(sizes), kind), words.amount(max(sizes), kind)
    size = few if few == most else f"{few} to {most}"
    return f"The smallest change that this run could show is {size} {words.UNIT[kind]}."


def table(study: fg.Study, kind: fg.Kind, found: list[Row], arms: list[str]) -> Table:
    """The forest's numbers."""
    lines = tuple(
        (
            row.suite,
            row.source,
            ", ".join(sample.task for sample in study.tasks(row.reading)),
            Cell(words.amount(row.smallest, kind), value=row.smallest if math.isfinite(row.smallest) else None),
            *(measured(row.found.get(arm), kind) for arm in arms),
        )
        for row in found
    )
    head = ("suite", "source", "tasks", "smallest change to be seen", *arms)
    caption = f"Forgetting in {words.UNIT[kind]}, {words.intervals(study)} below; above 0 is lost"
    return Table(caption, head, lines, words=3, wide=True)
