"""Items that count as seen in training, and the figures that are left without them.

A text shares licences, boilerplate and phrases with other texts: on real data at most 0.12 of its 13-grams where nothing was
copied (docs/log.md). FLAG and COPIED are Llama 2's bounds of clean and dirty (Touvron et al. 2023, appendix A.6).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.forgetting import Study

if TYPE_CHECKING:
    import pandas as pd

FLAG, COPIED = 0.2, 0.8
"""Share of an item's n-grams, or of those that reach into its answer, from which it is flagged; and counts as a whole copy."""
FEWEST = 30
"""Items that a figure without flagged ones takes at least."""


def flagged(rows: "pd.DataFrame") -> "pd.Series":
    """Which rows of a table of contamination are flagged; what cannot be judged is not."""
    return rows[["share", "answer"]].max(axis=1) >= FLAG


@dataclass(frozen=True)
class Tally:
    """What was found of the items of a task that are reported.

    items    that are reported
    judged   of them, long enough to be looked for
    flagged  of them, in any source
    copied   of them, as a whole
    largest  share of an item that a source holds
    """

    task: str
    items: int
    judged: int
    flagged: frozenset[str]
    copied: int
    largest: float

    @property
    def clean(self) -> int:
        """Items that are not flagged; those too short to be judged are among them."""
        return self.items - len(self.flagged)


def tallies(study: Study) -> dict[str, Tally]:
    """Task -> what was found, for every task that was looked for."""
    return {tally.task: tally for tally in _tallies(study)}


def _tallies(study: Study) -> Iterator[Tally]:
    rows = {str(task): found for task, found in study.record.contamination.groupby("task", sort=False)}
    for task, sample in study.samples.items():
        if task in rows:
            found = rows[task]
            judged = found.loc[found["item"].isin(sample.items) & (found["n"] > 0)]
            items, shares = judged["item"].to_numpy(str), judged["share"].to_numpy(float)
            marked = frozenset(map(str, items[flagged(judged).to_numpy(bool)]))
            copied = len(set(items[shares >= COPIED]))
            yield Tally(task, len(sample.items), len(set(items)), marked, copied, float(shares.max(initial=0.0)))


def clean(study: Study) -> Study | None:
    """The same run without flagged items, and without tasks that keep fewer than FEWEST; None where nothing is flagged."""
    left: set[tuple[str, str]] = set()
    for task, tally in tallies(study).items():
        items = study.samples[task].items if tally.flagged and tally.clean < FEWEST else tally.flagged
        left |= {(task, item) for item in items}
    return replace(study, without=frozenset(left)) if left else None
