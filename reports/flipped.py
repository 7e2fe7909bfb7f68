"""The questions whose answers flipped, with what base and arms chose: a table to search, capped, with where the rest lies."""

from itertools import zip_longest
from typing import Any

import numpy as np
import pandas as pd

from harness import forgetting as fg
from harness import sensitive
from harness.pairing import Sample, is_choice
from harness.transitions import margins
from reports import words
from reports.section import Cell, Table

MOST = 200
"""Rows of the table."""
WHERE = " The rest stand in scores/*.parquet of base and arms, beside this page."


def tables(study: fg.Study, samples: list[Sample]) -> list[Table]:
    """Questions that any arm's first seed lost or gained, those first that moved furthest from right."""
    found = {sample.task: flips(study, sample) for sample in samples}
    total = sum(len(each) for each in found.values())
    if not total:
        return []
    picks = chosen(found)
    by_task = [_rows(study, sample, picks[sample.task]) for sample in samples if picks[sample.task]]
    rows = [row for place in zip_longest(*by_task) for row in place if row]  # the worst of every task first
    drawn, rest = (", drawn from every task", WHERE) if len(rows) < total else ("", "")
    caption = (
        f"{len(rows):,} of {total:,} questions that flipped in an arm's first seed{drawn}, those first whose margin fell "
        "furthest. Right answers are marked ✓; below, what the margin of the right option over the best wrong one changed by, "
        f"in nats.{rest}"
    )
    head = ("task", "question", "right answer", "base", *study.arms)
    return [Table(caption, head, tuple(rows), words=len(head), wide=True, search=True)]


def flips(study: fg.Study, sample: Sample) -> list[int]:
    """Places of a task's items that any arm answers otherwise than the base, those first whose margin fell furthest."""
    after = [sample.after[arm, seeds[0]] > 0.5 for arm in study.arms if (seeds := sample.seeds(arm))]
    flipped = np.flatnonzero(np.any([each != (sample.before > 0.5) for each in after], axis=0))
    worst = np.zeros(len(sample.items))
    if is_choice(study.before[sample.task]):
        worst = np.min([_moved(study, sample, arm) for arm in study.arms if sample.seeds(arm)], axis=0)
    return [int(i) for i in flipped[np.argsort(worst[flipped], kind="stable")]]


def _moved(study: fg.Study, sample: Sample, arm: str) -> np.ndarray:
    """(n,) what the margins changed by in an arm's first seed."""
    rows = study.rows[arm, sample.seeds(arm)[0]][sample.task]
    return rows["margin"].to_numpy(np.float64) - margins(study, sample.task)


def chosen(found: dict[str, list[int]]) -> dict[str, list[int]]:
    """At most MOST items, as many of every task as there are while they last."""
    picks: dict[str, list[int]] = {task: [] for task in found}
    left = MOST
    for task in sorted(found, key=lambda task: len(found[task])):
        share = left // sum(not picks[each] for each in found)
        picks[task] = found[task][: max(1, share)] if left else []
        left -= len(picks[task])
    return picks


def _rows(study: fg.Study, sample: Sample, places: list[int]) -> list[tuple[str | Cell, ...]]:
    """The chosen items of a task; its words are not told where they are sensitive or were not kept."""
    base, hidden = study.before[sample.task].iloc[places], sensitive.hidden(study, sample.task)
    asked: list[Any] = base.reset_index().to_dict("records")
    graded = is_choice(study.before[sample.task])
    cells = [_answers(asked, base, sample.before[places], None, hidden)]
    for arm in study.arms:
        seeds = sample.seeds(arm)
        rows = study.rows[arm, seeds[0]][sample.task].iloc[places] if seeds else None
        moved = _moved(study, sample, arm)[places] if seeds and graded else None
        right = sample.after[arm, seeds[0]][places] if seeds else None
        cells.append([Cell(words.NOTHING)] * len(places) if rows is None else _answers(asked, rows, right, moved, hidden))
    return [
        (sample.task, _question(row, hidden), _option(row, row["answer"], True, hidden), *(column[i] for column in cells))
        for i, row in enumerate(asked)
    ]


def _answers(asked: list[Any], rows: pd.DataFrame, right: Any, moved: Any, hidden: bool) -> list[Cell]:
    """What a model answered to each question, and what its margin changed by."""
    found: list[Cell] = []
    for i, (row, choice) in enumerate(zip(asked, rows["choice"], strict=True)):
        good = bool(right[i] > 0.5)
        text = _option(row, choice, good, hidden)
        under = f"{words.fixed(float(moved[i]), 1, True)}\u00a0nats" if moved is not None else ""
        found.append(Cell(f"✓\u00a0{text}" if good else text, "good" if good else "bad", under))
    return found


def _option(row: Any, which: Any, right: bool, hidden: bool) -> str:
    """An option's words; its number where its task keeps them off pages or has none; right or wrong where none is chosen."""
    if bool(pd.isna(which)):
        return "right" if right else "wrong"
    options = list(row["options"] if row["options"] is not None else ())
    named = len(options) > int(which) and not hidden
    return words.short(str(options[int(which)]).strip(), 60) if named else f"option {int(which) + 1}"


def _question(row: Any, hidden: bool) -> Cell:
    """The question with its options below it, or its item and what stands for its words."""
    prompt, options = (
        str(row["prompt"]),
        [str(option).strip() for option in (row["options"] if row["options"] is not None else ())],
    )
    if hidden or not (prompt or options):
        kept = prompt if sensitive.marked(prompt) else f"sha256 {str(row['prompt_hash'])[:12]}"
        return Cell(f"item {row['item']}, {kept}")
    return Cell(words.short(prompt), under=words.short(" · ".join(options), 200))
