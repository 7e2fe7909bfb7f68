"""Which answers changed? Counts of items that flipped, and a few questions that the base knew and the control lost."""

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from harness import forgetting as fg
from harness import sensitive
from harness.pairing import Sample
from harness.transitions import transitions
from reports import words
from reports.section import Cell, Section, Table

EXAMPLES = 8


def section(study: fg.Study) -> Section:
    """Transitions under one seed, and examples."""
    question = "Which answers changed?"
    samples = [sample for sample in study.samples.values() if sample.kind == "accuracy" and sample.after]
    if not samples:
        return Section("items", question, "No question was asked of base and arms, so none could flip.")
    blocks = (counts(study, samples), *examples(study, samples))
    return Section("items", question, answer(study, samples), blocks)


def lead(study: fg.Study) -> str:
    """The arm that is looked at first, in words."""
    return "the control" if study.control else study.lead


def first_seed(study: fg.Study, sample: Sample, arm: str) -> int | None:
    """The seed whose checkpoint is shown: items flip in a checkpoint, not in a strategy."""
    return next(iter(sample.seeds(arm)), None)


def answer(study: fg.Study, samples: list[Sample]) -> str:
    """What an average of losses and gains hides, in the control."""
    lost = gained = known = 0
    for sample in samples:
        seed = first_seed(study, sample, study.lead)
        if seed is not None and study.record.tasks[sample.task]["measures"] == "keep":
            found = transitions(study, sample, study.lead, seed)
            lost, gained, known = lost + found.lost, gained + found.gained, known + found.kept + found.lost
    if not known:
        return f"No question that the base answered was asked of {lead(study)}."
    return f"Of {known} answers to keep that the base had right, {lead(study)} lost {lost}; it gained {gained} others."


def counts(study: fg.Study, samples: list[Sample]) -> Table:
    """Right to wrong and wrong to right, not adjusted for guessing."""
    rows: list[tuple[str, ...]] = []
    for sample in samples:
        cells: list[str] = []
        for arm in study.arms:
            seed = first_seed(study, sample, arm)
            found = transitions(study, sample, arm, seed) if seed is not None else None
            cells.append(f"−{found.lost} +{found.gained} ({_p(found.p)})" if found else words.NOTHING)
        rows.append((sample.task, str(len(sample.items)), *cells))
    caption = "Right answers lost and wrong ones put right in each arm's first seed, with exact McNemar's p, one test a cell"
    return Table(caption, ("task", "n", *study.arms), tuple(rows), wide=True)


def _p(p: float) -> str:
    return "p < .001" if p < 0.001 else f"p = {p:.2g}"


def examples(study: fg.Study, samples: list[Sample]) -> list[Table]:
    """Questions that the base knew and the control lost, those first on which the arms differ most."""
    rows: list[Scored] = []
    for sample in samples:
        if study.record.tasks[sample.task]["measures"] == "keep":
            rows += _lost(study, sample)
    rows.sort(key=lambda row: row[:2])
    if not rows:
        return []
    caption = (
        f"{min(EXAMPLES, len(rows))} of {len(rows)} questions that the base had right and {lead(study)} (first seed) has "
        "wrong, those first on which arms differ; each arm's answer, right ones marked ✓"
    )
    head = ("task", "question", "right answer", *study.arms)
    return [Table(caption, head, tuple(row[2] for row in rows[:EXAMPLES]), words=3 + len(study.arms), wide=True)]


Scored = tuple[int, float, tuple[str | Cell, ...]]
"""Place within its task, how evenly the arms are split on it, and the row to show."""


def _lost(study: fg.Study, sample: Sample) -> list[Scored]:
    """Candidates of a task, those first on which the arms differ most."""
    seeds = {arm: seed for arm in study.arms if (seed := first_seed(study, sample, arm)) is not None}
    if study.lead not in seeds:
        return []
    right = {arm: sample.after[arm, seed] > 0.5 for arm, seed in seeds.items()}
    picks = [i for i in range(len(sample.items)) if sample.before[i] > 0.5 and not right[study.lead][i]]
    shares = {i: sum(bool(flags[i]) for flags in right.values()) / len(right) for i in picks}
    picks = sorted(picks, key=lambda i: (abs(shares[i] - 0.5), i))[:EXAMPLES]
    kept = sensitive.hidden(study, sample.task)
    tables = {arm: study.rows[arm, seed][sample.task] for arm, seed in seeds.items()}
    return [
        (place, abs(shares[i] - 0.5), _row(study, sample.task, sample.items[i], tables, kept)) for place, i in enumerate(picks)
    ]


def _row(study: fg.Study, task: str, item: str, tables: dict[str, pd.DataFrame], kept: bool) -> tuple[str | Cell, ...]:
    """A question of the table; `kept`: its words are not to be told, whether rows hold them or not."""
    rows = {arm: table.loc[[item]].to_dict("records")[0] for arm, table in tables.items()}
    asked = next(iter(rows.values()))
    hidden = kept or not (asked["prompt"] or len(asked["options"]))
    prompt = _hidden(item, asked) if hidden else words.short(str(asked["prompt"]))
    cells = [_given(rows[arm], hidden) if arm in rows else words.NOTHING for arm in study.arms]
    return (task, prompt, _option(asked, asked["answer"], hidden), *cells)


def _given(row: Mapping[Hashable, Any], hidden: bool) -> Cell:
    right = bool(row["value"] > 0.5)
    text = _option(row, row["choice"], hidden)
    return Cell(f"✓ {text}" if right else text, "good" if right else "bad")


def _option(row: Mapping[Hashable, Any], which: Any, hidden: bool) -> str:
    """An option's words; its number where the suite keeps its texts off pages or has none."""
    if bool(pd.isna(which)):
        return "right" if float(row["value"]) > 0.5 else "wrong"
    number, options = int(which), list(row["options"] if row["options"] is not None else ())
    named = len(options) > number and not hidden
    return words.short(str(options[number]), 60) if named else f"option {number + 1}"


def _hidden(item: str, row: Mapping[Hashable, Any]) -> str:
    """A question that is kept off the page: its item, and what stands for its words."""
    prompt = str(row["prompt"])
    return f"item {item}, {prompt if sensitive.marked(prompt) else 'sha256 ' + str(row['prompt_hash'])[:12]}"
