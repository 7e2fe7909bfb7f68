"""What was lost, task by task? Bits per byte and points in two maps, and the table with n, chance, base and intervals."""

from dataclasses import replace
from typing import Any

from harness import forgetting as fg
from harness import statistics
from harness.pairing import Sample
from harness.statistics import Estimate
from reports import words
from reports.figure import axis, label, plot
from reports.section import Cell, Figure, Figures, Section, Table, measured

PURPOSES = {"keep": "to keep", "gain": "to learn", "change": "should change", "probe": "probe, shown apart"}
SOURCES = {"other": ", unrehearsed", "same": ", rehearsed"}
# Vermillion for worse, blue for better, the page's own ground between: the two hues that every eye tells apart.
SCALE = [[0, "#0072B2"], [0.5, "rgba(138,143,152,0.10)"], [1, "#D55E00"]]


def section(study: fg.Study) -> Section:
    """Maps by unit, then every task."""
    question = "What was lost, task by task?"
    kinds: tuple[fg.Kind, ...] = ("text", "accuracy")
    if not study.samples:
        return Section("tasks", question, "No task has been scored on base and arms yet.")
    if not study.arms:
        alone = tuple(table(study, kind) for kind in kinds if ordered(study, kind))
        return Section("tasks", question, "The base alone has been scored: this is where it stands.", alone)
    maps = tuple(heatmap(study, kind) for kind in kinds if ordered(study, kind))
    tables = tuple(table(study, kind) for kind in kinds if ordered(study, kind))
    return Section("tasks", question, answer(study), (Figures(maps), *tables))


def ordered(study: fg.Study, kind: fg.Kind) -> list[Sample]:
    """Tasks of a unit: to keep first, unrehearsed before rehearsed."""
    samples = [sample for sample in study.samples.values() if sample.kind == kind and (sample.after or not study.arms)]
    places = list(PURPOSES)

    def place(sample: Sample) -> tuple[int, int]:
        facts = study.record.tasks[sample.task]
        return places.index(facts["measures"]), facts.get("source") == "same"

    return sorted(samples, key=place)


def purpose(study: fg.Study, task: str) -> str:
    """What a task is scored for."""
    facts = study.record.tasks[task]
    return PURPOSES[facts["measures"]] + (SOURCES.get(facts.get("source") or "", "") if facts["measures"] == "keep" else "")


def change(sample: Sample, arm: str) -> Estimate | None:
    """After minus before over the arm's seeds, in the task's own direction."""
    seeds = sample.seeds(arm)
    return sample.change(arm, seeds) if seeds else None


def worsening(sample: Sample, found: Estimate) -> float:
    """A change so signed that worse is positive."""
    return found.value if sample.kind == "text" else -found.value


def answer(study: fg.Study) -> str:
    """The task that the control lost most of, in either unit."""
    parts: list[str] = []
    asked, who = False, "the control" if study.control else study.lead
    for reading in (fg.LOST, fg.FORGETTING):
        losses = [(sample, found) for sample in study.tasks(reading) if (found := change(sample, study.lead))]
        asked = asked or bool(losses)
        worse = [(sample, found) for sample, found in losses if worsening(sample, found) > 0]
        if worse:
            sample, found = max(worse, key=lambda pair: worsening(*pair))
            value = f"{words.amount(found.value, sample.kind, True)} {words.UNIT[sample.kind]}"
            parts.append(f"{sample.task} ({value}, {words.interval(found, sample.kind, True)})")
    if not asked:
        return f"No unrehearsed task shows what {who} lost."
    if not parts:
        return f"Of what was not rehearsed, nothing changed for the worse in {who}."
    return f"Of what was not rehearsed, {who} changed for the worse most in {words.listing(parts)}."


def heatmap(study: fg.Study, kind: fg.Kind) -> Figure:
    """Strategy by task with the values printed; one scale, centred at no change, capped by the largest keep task."""
    samples = ordered(study, kind)
    found = [[change(sample, arm) for arm in study.arms] for sample in samples]
    rows = list(zip(samples, found, strict=True))
    worse = [[worsening(s, e) * words.SCALE[kind] if e else None for e in line] for s, line in rows]
    texts = [[words.amount(e.value, kind, True) if e else "" for e in line] for _, line in rows]
    limit, crowded = largest(study, samples, worse), len(study.arms) > 7 or len(samples) > 12
    trace: dict[str, Any] = {
        "type": "heatmap",
        "z": worse,
        "x": [label(arm, 24) for arm in study.arms],
        "y": [f"{label(s.task, 32)}{', ' if crowded else '<br>'}<i>{purpose(study, s.task)}</i>" for s in samples],
        "text": texts,
        "texttemplate": "%{text}",
        "zmin": -limit,
        "zmax": limit,
        "colorscale": SCALE,
        "showscale": False,
        "xgap": 3,
        "ygap": 3,
        "hoverinfo": "x+y+text",
    }
    x = axis("", side="top", type="category", showgrid=False, zeroline=False, tickangle=-40 if crowded else -30)
    y = axis("", type="category", autorange="reversed", showgrid=False, zeroline=False)
    title = f"Change in {words.UNIT[kind]} against the base"
    conclusion = "Orange is worse than the base, blue is better; " + (
        "more bits are worse." if kind == "text" else "fewer points are worse."
    )
    drawn = plot([trace], x, y, margin={"l": 8, "r": 70, "t": 110 if crowded else 60, "b": 8})
    height = (130 if crowded else 90) + (22 if crowded else 36) * len(samples)
    return Figure(f"map-{kind}", title, conclusion, drawn, behind(study, kind), height, 240 + 48 * len(study.arms))


def largest(study: fg.Study, samples: list[Sample], worse: list[list[float | None]]) -> float:
    """Where the colours end: at the largest change of a task to keep, so that learning does not make losses look pale."""
    keep = [study.record.tasks[s.task]["measures"] == "keep" for s in samples]
    lines = [line for line, kept in zip(worse, keep, strict=True) if kept] or worse
    return max((abs(value) for line in lines for value in line if value is not None), default=1.0) or 1.0


def behind(study: fg.Study, kind: fg.Kind) -> Table:
    """The map's own numbers."""
    rows = tuple((s.task, *(measured(change(s, arm), kind, True) for arm in study.arms)) for s in ordered(study, kind))
    return Table(
        f"Change in {words.UNIT[kind]}, after minus before, {words.intervals(study)} below",
        ("task", *study.arms),
        rows,
        wide=True,
    )


def table(study: fg.Study, kind: fg.Kind) -> Table:
    """Every task with n, chance, base, and each arm's change; what stands after correction over the table is marked."""
    samples = ordered(study, kind)
    found = {(s.task, arm): e for s in samples for arm in study.arms if (e := change(s, arm))}
    adjusted = dict(zip(found, statistics.benjamini_hochberg([e.p for e in found.values()]), strict=True))
    rows: list[tuple[str | Cell, ...]] = []
    for s in samples:
        sure = {arm: adjusted.get((s.task, arm), 1.0) < 0.05 for arm in study.arms}
        cells = [_cell(s, found.get((s.task, arm)), sure[arm]) for arm in study.arms]
        rows.append((s.task, purpose(study, s.task), size(study, s), guessed(study, s), measured(s.base, kind), *cells))
    unit = "Bits per byte (lower is better)" if kind == "text" else "Accuracy in points (higher is better)"
    caption = (
        f"{unit}: the base, of items, and each arm's change, with {words.intervals(study)}. Marked *: below 5 % after "
        "Benjamini and Hochberg's correction over this table, to be read as exploration. n of those that the task has, and in "
        "clusters where items are not independent; intervals are those of the n, for the task as a whole."
    )
    return Table(caption, ("task", "measures", "n", "chance", "base", *study.arms), tuple(rows), words=2, wide=True)


def size(study: fg.Study, sample: Sample) -> str:
    """Items that count, of how many where they are not all, and their clusters where these are fewer."""
    n = len(sample.items)
    kinds = "test items" if study.chosen else "items"
    whole = f"{n} of {sample.pool} {kinds}" if n < sample.pool else str(n)
    return f"{whole} in {sample.base.clusters}" if sample.base.clusters < n else whole


MARKS: dict[statistics.Mark, str] = {"chance": "the base is at chance", "ceiling": "the base is at the ceiling"}
"""What a reader must know of where the base stands."""


def guessed(study: fg.Study, sample: Sample) -> str | Cell:
    """The chance level of a task in words, and where the base stands beside it or beside all right."""
    chance = study.chance(sample.task)
    unknown = "none" if sample.kind == "text" else "unknown"
    said = unknown if chance is None else words.amount(chance, sample.kind)
    mark = MARKS.get(study.mark(sample))
    return Cell(said, under=mark) if mark else said


def _cell(sample: Sample, found: Estimate | None, sure: bool) -> Cell:
    cell = measured(found, sample.kind, True)
    if found is None or not sure:
        return cell
    return replace(cell, text=cell.text + " *", tone="bad" if worsening(sample, found) > 0 else "good")
