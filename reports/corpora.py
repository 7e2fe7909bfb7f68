"""How well is each text predicted, before and after? Bits per byte of every corpus that was scored."""

from dataclasses import dataclass
from typing import Any

from harness import forgetting as fg
from harness import statistics
from harness.statistics import Estimate
from reports import words
from reports.figure import BASE, axis, label, marks, plot
from reports.labels import half
from reports.section import Cell, Figure, Figures, Section, Table, Text, measured
from reports.tasks import change, ordered, purpose, size

QUESTION = "How well is each text predicted, before and after?"
HOW = (
    "Bits per byte: −log2 p of a text over its UTF-8 bytes, summed over its documents before it is divided; lower is better. "
    "Intervals are clustered by document; those at the arms are of the paired change "
    "against the base, which is what is to be read. Macro averages give every corpus the same weight, however long it is."
)


@dataclass(frozen=True)
class Row:
    """A corpus, or the macro average over those of one purpose."""

    name: str
    purpose: str
    documents: str
    base: Estimate
    changes: dict[str, Estimate]


def section(study: fg.Study) -> Section:
    """A dot plot, corpora first and macro averages last."""
    found = rows(study)
    if not found:
        return Section("corpora", QUESTION, "No text was scored in bits per byte.")
    return Section("corpora", QUESTION, answer(study, found), (Figures((figure(study, found),), legend=True), Text(HOW)))


def rows(study: fg.Study) -> list[Row]:
    """Every corpus in the order of the tasks, then their macro averages by purpose."""
    samples, made = ordered(study, "text"), []
    for s in samples:
        changes = {arm: found for arm in study.arms if (found := change(s, arm))}
        made.append(Row(s.task, purpose(study, s.task), size(study, s), s.base, changes))
    for what in dict.fromkeys(row.purpose for row in made):
        parts = [s for s in samples if purpose(study, s.task) == what]
        changes = {arm: found for arm in study.arms if (found := _macro(parts, arm))}
        if len(parts) > 1:
            made.append(Row(f"macro average of {len(parts)}", what, "", statistics.average([s.base for s in parts]), changes))
    return made


def _macro(parts: list[Any], arm: str) -> Estimate | None:
    """The mean change over corpora, equal weights, under the seeds that all were scored under."""
    seeds = sorted(set.intersection(*(set(s.seeds(arm)) for s in parts)))
    return statistics.macro([s.cells(s.stack(arm, seeds) - s.before) for s in parts]) if seeds else None


def answer(study: fg.Study, found: list[Row]) -> str:
    """What the control did to the text that it learned best and to the one that it lost most of."""
    lead, who = study.lead, "the control" if study.control else study.lead
    known = [row for row in found if lead in row.changes and row.documents]
    if not known:
        low, high = (pick(row.base.value for row in found) for pick in (min, max))
        return f"The base needs between {words.amount(low, 'text')} and {words.amount(high, 'text')} bits per byte."
    best, worst = (pick(known, key=lambda row: row.changes[lead].value) for pick in (min, max))
    first, *others = [_course(row, lead) for row in ((best,) if best is worst else (best, worst))]
    return f"In {who}, {words.listing([f'{first} bits per byte', *others])}."


def _course(row: Row, arm: str) -> str:
    before, after = row.base.value, row.base.value + row.changes[arm].value
    verb = "fell" if after < before else "rose"
    return f"{row.name} {verb} from {words.amount(before, 'text')} to {words.amount(after, 'text')}"


def figure(study: fg.Study, found: list[Row]) -> Figure:
    """The base as a ring, every arm beside it, on one axis in bits per byte."""
    looks, arms = marks(study), [arm for arm in study.arms if any(arm in row.changes for row in found)]
    step = 0.8 / (len(arms) + 1)
    ring = {"symbol": "circle-open", "size": 10, "color": BASE, "line": {"width": 2, "color": BASE}}
    told = [f"<b>base</b><br>{label(row.name)}<br>{words.cell(row.base, 'text')}" for row in found]
    bars = {"type": "data", "array": [half(row.base) for row in found], "color": BASE, "thickness": 1.2, "width": 0}
    base = {"x": [row.base.value for row in found], "y": [number - 0.4 + step / 2 for number in range(len(found))]}
    traces: list[dict[str, Any]] = [
        {"type": "scatter", "mode": "markers", "marker": ring, "error_x": bars, "text": told, "hoverinfo": "text"} | base
    ]
    for place, arm in enumerate(arms, 1):
        lines = [(number, row, row.changes[arm]) for number, row in enumerate(found) if arm in row.changes]
        hover = [
            f"<b>{label(arm)}</b><br>{label(row.name)}<br>{words.amount(row.base.value + e.value, 'text')}, "
            f"change {words.cell(e, 'text')}"
            for _, row, e in lines
        ]
        bars = {"type": "data", "array": [half(e) for *_, e in lines], "color": looks[arm].colour, "thickness": 1.4, "width": 0}
        spots = {
            "x": [row.base.value + e.value for _, row, e in lines],
            "y": [number - 0.4 + step * (place + 0.5) for number, *_ in lines],
        }
        style = {"symbol": looks[arm].symbol, "color": looks[arm].colour, "size": 8}
        traces.append(
            {"type": "scatter", "mode": "markers", "marker": style, "error_x": bars, "text": hover, "hoverinfo": "text"} | spots
        )
    names = [f"{label(row.name, 26)}<br><i>{row.purpose}</i>" for row in found]
    y = axis("", tickvals=list(range(len(found))), ticktext=names, range=[len(found) - 0.5, -0.5], zeroline=False)
    x = axis("bits per byte<br>← left is better", zeroline=False)
    drawn = plot(traces, x, y | {"showgrid": False}, margin={"l": 8, "r": 16, "t": 8, "b": 56})
    said = "Ring: the base. Text to learn should move left, text to keep should stay where it is."
    height = 90 + len(found) * max(40, 11 * len(arms) + 20)
    return Figure("corpora-dots", "Bits per byte of every corpus", said, drawn, table(found, arms), height)


def table(found: list[Row], arms: list[str]) -> Table:
    """Before and after, the paired change below."""
    lines = tuple(
        (row.name, row.purpose, row.documents, measured(row.base, "text"), *(_after(row, arm) for arm in arms)) for row in found
    )
    caption = (
        "Bits per byte, the base with its 95 % interval of items; after training, with the paired change and its interval, "
        "of seeds too where there are several"
    )
    return Table(caption, ("corpus", "measures", "documents", "base", *arms), lines, words=2, wide=True)


def _after(row: Row, arm: str) -> Cell:
    if arm not in row.changes:
        return Cell(words.NOTHING)
    found, after = row.changes[arm], row.base.value + row.changes[arm].value
    return Cell(words.amount(after, "text"), under=words.cell(found, "text", True), value=after)
