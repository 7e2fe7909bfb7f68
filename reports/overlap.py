"""Items that stand in training text: how many of which tasks, the figures without them, and a list of them."""

from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import pandas as pd

from harness import flags
from harness import forgetting as fg
from harness.flags import COPIED, FEWEST, FLAG, Tally
from harness.pairing import Sample
from reports import words
from reports.section import Block, Cell, Table, Text, measured

LISTED = 100
READINGS: dict[str, fg.Reading] = {
    "forgetting, text": fg.FORGETTING,
    "forgetting, tasks": fg.LOST,
    "adaptation, text": fg.ADAPTATION,
    "adaptation, tasks": fg.LEARNED,
}


def answer(study: fg.Study) -> str:
    """What was found of all items, in one sentence."""
    found = list(flags.tallies(study).values())
    if not found:
        return "The items that are scored were not looked for in the training text."
    judged, flagged, copied = (
        sum(counts) for counts in zip(*((t.judged, len(t.flagged), t.copied) for t in found), strict=True)
    )
    short = sum(tally.items - tally.judged for tally in found)
    rest = f" {words.several(short, 'other')} {'is' if short == 1 else 'are'} too short to be told." if short else ""
    if not flagged:
        return f"Of {words.several(judged, 'item')} that could be judged, the training text holds none.{rest}"
    largest = max(found, key=lambda tally: tally.largest).largest
    whole = f"{copied} of them as good as whole" if copied else f"none of them whole ({100 * largest:.0f} % at most)"
    held = f"{copied} as good as whole" if copied == flagged else f"parts of {flagged}, {whole}"
    seen = f"Of {words.several(judged, 'item')} that could be judged, the training text holds {held}."
    return seen + (_repeats(study) if not copied else " Figures without them stand below.") + rest


def _repeats(study: fg.Study) -> str:
    """Where parts were found of texts alone: what repeats itself resembles what is held out of it."""
    marked = [task for task, tally in flags.tallies(study).items() if tally.flagged]
    if any(study.samples[task].kind != "text" for task in marked):
        return ""
    return (
        f" All are documents ({words.listing(marked)}): text that is made from patterns or quotes itself repeats its sentences "
        "in what is held out of it, and measures less than new sentences would."
    )


def blocks(study: fg.Study) -> Iterator[Block]:
    """Counts by task; figures with and without flagged items, and these items, where there are any."""
    tallies = flags.tallies(study)
    if not tallies:
        return
    yield Text(RULE)
    yield counts(tallies)
    clean = flags.clean(study)
    if clean is not None and study.arms:
        yield from beside(study, clean, [tally for tally in tallies.values() if tally.flagged])
    if clean is not None:
        yield listed(study)


RULE = (
    "Each text is looked through as a whole, however much of it an arm read. An item is looked for as runs of 13 words (all of "
    "its words where it has 8 to 12; shorter ones stand together by chance). "
    f"It is flagged where one text holds {100 * FLAG:.0f} % of them, or of those that reach into its right answer: unrelated "
    f"texts share less. From {100 * COPIED:.0f} % on it is there as good as whole. Other words for the same are not found."
)


def counts(tallies: dict[str, Tally]) -> Table:
    """What was found, task by task."""
    rows = tuple(
        (
            task,
            str(tally.items),
            str(tally.judged),
            Cell(str(len(tally.flagged)), "bad" if tally.copied else ""),
            str(tally.copied),
            f"{100 * tally.largest:.0f} %" if tally.judged else words.NOTHING,
        )
        for task, tally in tallies.items()
    )
    head = ("task", "items", "long enough", "flagged", "whole", "largest share")
    return Table("Items that are scored and what of them stands in the texts above", head, rows, wide=True)


def beside(study: fg.Study, clean: fg.Study, found: list[Tally]) -> Iterator[Table]:
    """Figures with all items above those without the flagged ones: task by task, and averaged."""
    rows: list[tuple[str | Cell, ...]] = []
    for tally in found:
        sample = study.samples[tally.task]
        few = f"too few: {tally.clean}, and a figure takes {FEWEST}" if tally.clean < FEWEST else ""
        rows.append((tally.task, "all", str(tally.items), *_figures(study, sample)))
        left = clean.samples.get(tally.task)
        cells = _figures(study, left) if left else [Cell(words.NOTHING)] * (1 + len(study.arms))
        rows.append((tally.task, Cell("without flagged", under=few), str(tally.clean), *cells))
    caption = (
        f"The base and each arm's change against it, with all items and without flagged ones, {words.intervals(study)} below, "
        "of the base of items alone; bits per byte of texts, points of questions"
    )
    yield Table(caption, ("task", "items", "n", "base", *study.arms), tuple(rows), words=2, wide=True)
    averaged = [
        (name, which, *(measured(each.figure(reading, arm), reading.kind, True) for arm in study.arms))
        for name, reading in READINGS.items()
        if {sample.task for sample in study.tasks(reading)} & {tally.task for tally in found}
        for which, each in (("all", study), ("without flagged", clean))
    ]
    if averaged:
        caption = (
            "Forgetting and adaptation over tasks, with all items and without flagged ones; tasks with too few are left out"
        )
        yield Table(caption, ("figure", "items", *study.arms), tuple(averaged), words=2, wide=True)


def _figures(study: fg.Study, sample: Sample) -> list[Cell]:
    """A base's figure and every arm's change."""
    changes = [sample.change(arm, seeds) if (seeds := sample.seeds(arm)) else None for arm in study.arms]
    return [measured(sample.base, sample.kind), *(measured(change, sample.kind, True) for change in changes)]


def listed(study: fg.Study) -> Table:
    """Flagged items, the largest shares first."""
    rows = study.record.contamination
    rows = rows.loc[flags.flagged(rows) & rows["task"].isin(list(study.samples))]
    rows = rows.sort_values(["share", "answer"], ascending=False, kind="stable")
    shown = tuple(_listed(row) for row in rows.head(LISTED).to_dict("records"))
    caption = (
        f"Flagged items: {min(LISTED, len(rows))} of {len(rows)}, an item once a text, with the first document that holds "
        "part of it; all stand in contamination.parquet"
    )
    head = ("task", "item", "text", "document", "words", "share", "question", "answer")
    return Table(caption, head, shown, words=4, wide=True)


def _listed(row: Mapping[Hashable, Any]) -> tuple[str, ...]:
    """A flagged item, where it was found, and the shares of it that were."""
    shares = (float(row[name]) for name in ("share", "question", "answer"))
    named = (words.short(str(row[name]), 80) for name in ("task", "item", "source", "document"))
    return (*named, str(row["words"]), *(words.NOTHING if pd.isna(share) else f"{100 * share:.0f} %" for share in shares))
