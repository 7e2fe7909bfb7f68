"""How often the page would be wrong: its own statistics on simulated runs (simulated.py) whose truth is known.

    python benchmarks/calibrate.py docs/calibration.md

Everything is estimated by what the page calls: statistics.macro and answer, crossing.compare, claims.judge, power.needed.
"""

import math
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from simulated import CASES, PAGES, PARTS, Case, Part

DRAWS, CHUNK = 4000, 250


@dataclass(frozen=True)
class Rate:
    """Of so many draws, so many came in."""

    came: int
    draws: int

    @property
    def value(self) -> float:
        """As a share."""
        return self.came / self.draws

    @property
    def error(self) -> float:
        """Binomial standard error, of a rate that is not quite 0 or 1."""
        share = (self.came + 1) / (self.draws + 2)
        return math.sqrt(share * (1 - share) / self.draws)

    def within(self, low: float, high: float, errors: float) -> bool:
        """Whether the rate lies between, give or take so many of its errors."""
        return low - errors * self.error <= self.value <= high + errors * self.error


Rates = dict[str, Rate]
LIMITS = {
    "covers": (0.93, 0.97),
    "covers the difference": (0.93, 0.97),
    "not enough evidence": (0.0, 0.2),
    "has no number": (0.0, 1.0),
}
"""What is promised of a rate; 5 % at most where nothing stands here."""


def simulate(case: Case, draws: int, seed: Sequence[int], parts: Sequence[Part] = PARTS) -> Rates:
    """Rates by what is counted."""
    came, all_draws, generator = Counter[str](), Counter[str](), np.random.default_rng(seed)
    for _ in range(draws):
        for part in parts:
            for name, was in part(case, generator):
                came[name] += was
                all_draws[name] += 1
    return {name: Rate(came[name], count) for name, count in all_draws.items()}


def broken(rates: Rates, errors: float = 2.0) -> list[str]:
    """The promises that rates do not keep."""
    return [name for name, rate in rates.items() if not rate.within(*LIMITS.get(name, (0.0, 0.05)), errors)]


def together(parts: Sequence[Rates]) -> Rates:
    """Of several simulations of one case."""
    names = dict.fromkeys(name for part in parts for name in part)
    found = {name: [part[name] for part in parts if name in part] for name in names}
    return {name: Rate(sum(rate.came for rate in rates), sum(rate.draws for rate in rates)) for name, rates in found.items()}


COLUMNS = {
    "interval covers": ("covers",),
    "of a difference": ("covers the difference",),
    'false "forgotten"': ("forgotten",),
    'false "not forgotten"': ("not forgotten",),
    'any false "keeps more"': tuple(f"more of {size}" for size in PAGES),
    "the same at own adaptation": tuple(f"more at own of {size}" for size in PAGES),
    '"not enough" with the number named': ("not enough evidence",),
    "no number named": ("has no number",),
}
"""Heading -> what is counted; of several a cell holds one for each size of the page."""


def row(case: Case, rates: Rates) -> str:
    """A case of the table; promises that are not kept stand out."""
    failed = broken(rates)

    def cell(name: str) -> str:
        if name not in rates:
            return "–"
        said = f"{100 * rates[name].value:.1f} ± {100 * rates[name].error:.1f}"
        return f"**{said}**" if name in failed else said

    cells = [" / ".join(map(cell, names)) for names in COLUMNS.values()]
    return (
        f"| {case.kind} | {case.clusters} | {case.seeds} | {case.luck:g} | {' | '.join(cells)} | {'no' if failed else 'yes'} |"
    )


def page(found: dict[Case, Rates], draws: int, seconds: float) -> str:
    """docs/calibration.md."""
    failed = [case for case, rates in found.items() if broken(rates)]
    kept = f"{len(found) - len(failed)} of {len(found)} cases keep every promise"
    head = ["data", "clusters", "seeds", "luck", *COLUMNS, "passes"]
    rows = [row(case, rates) for case, rates in found.items()]
    table = "\n".join([f"| {' | '.join(head)} |", "|---" * len(head) + "|", *rows])
    return PAGE.format(today=datetime.now(UTC).date(), draws=draws, minutes=seconds / 60, kept=kept, table=table)


PAGE = """# How often the page would be wrong

The page's own statistics on simulated runs whose truth is known. Made by `make calibrate` (`python benchmarks/calibrate.py
docs/calibration.md`) on {today}: {draws:,} draws a case, {minutes:.0f} minutes; {kept}.

- A run is one task of so many **clusters** of unequal sizes, scored under so many **seeds** for a control and ten arms, which
  share the items, what differs between items, and the control's own noise. Text is a ratio of sums with unequal bytes, one to
  five parts a cluster; accuracy is made of items that flip, some more easily than others, 5 to 15 a cluster. **Luck** is the
  deviation between trainings, about in standard errors of the item layer; with one seed the truth is that checkpoint's.
- Promised: 95 % intervals cover 93 to 97 %; at most 5 % for every false claim; at most 20 % "not enough evidence" at twice the
  margin in a new run of the size that was named. Rates are percent ± their binomial standard error; a promise is broken, and
  printed bold, where a rate lies more than two of these outside. The margin is about one standard error, where no answer
  comes by itself.
- False "forgotten": nothing was. False "not forgotten": exactly the margin was. Any false "keeps more": on a page of 1 / 3 / 10
  arms none of which keeps more than the control. At own adaptation: none keeps more than the control's curve there, and all
  truly more than its end. "Not enough": of new runs of the size that a run without an answer named, in items, seeds or both.

{table}
"""


def chunk(task: tuple[int, int]) -> Rates:
    """So many draws of a case."""
    case, number = task
    return simulate(CASES[case], CHUNK, (case, number))


def main(target: Path) -> None:
    """Two processes, fixed seeds; the table is written anew after every round over the cases."""
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    began, found = time.monotonic(), dict[Case, Rates]()
    with ProcessPoolExecutor(2) as pool:
        for number in range(DRAWS // CHUNK):
            rates = list(pool.map(chunk, [(case, number) for case in range(len(CASES))]))
            found = {case: together([found.get(case, {}), new]) for case, new in zip(CASES, rates, strict=True)}
            target.write_text(page(found, (number + 1) * CHUNK, time.monotonic() - began), encoding="utf-8")
    for case, rates in found.items():
        if failed := broken(rates):
            print(f"{case}: {', '.join(failed)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
