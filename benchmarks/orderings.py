"""The thirteen orderings: what each claims of the runs of `validate.py`, exact p values, Holm, and the table.

A claim is made of trends (`trends.py`); one that needs several takes the largest p (intersection-union). `docs/validation.md`
says the rest.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from trends import Trend
from validate import (
    ADAPTERS,
    ALPHAS,
    BASES,
    FROZEN,
    RATES,
    SCHEDULES,
    SEEDS,
    SHARES,
    SHIFTS,
    STRENGTHS,
    cell_of,
    cells,
)

from harness.files import read_json
from harness.forgetting import ADAPTATION, FORGETTING, REHEARSED, Study
from harness.frontier import at_adaptation
from harness.record import read
from harness.statistics import holm
from strategies.lora import LoRA

LEVEL = 0.05


@dataclass(frozen=True)
class Cell:
    """One base and one training seed, scored."""

    folder: Path
    number: tuple[int, int]

    @cached_property
    def study(self) -> Study:
        return Study(read(cell_of(self.folder, *self.number)))

    @cached_property
    def measured(self) -> Mapping[str, Mapping[str, float]]:
        return read_json(cell_of(self.folder, *self.number) / "measured.json")

    def forgetting(self, arm: str) -> float:
        """Bits per byte on general text that no arm reads."""
        return _value(self.study, FORGETTING, arm)

    def adaptation(self, arm: str) -> float:
        """Bits per byte on held-out domain text."""
        return _value(self.study, ADAPTATION, arm)

    def divergence(self, arm: str) -> float:
        """KL(base || arm) on held-out new text, nats a token."""
        return self.measured[arm]["kl"]

    def penalty(self, arm: str) -> float:
        """What the arm's penalty is at the end, without its weight: mean over the last tenth of the updates."""
        rows = self.trial(arm).training
        last = rows[rows["update"] > 0.9 * len(rows)]
        if "term.kl" in rows:
            return float(last["term.kl"].mean()) / float(arm.rpartition("=")[2])
        return float(last["strategy.penalty"].mean())

    def trial(self, arm: str) -> Any:
        return next(trial for trial in self.study.done if trial.name == arm)

    def clipped(self, arm: str) -> float:
        """Share of the updates after warm-up whose gradient was clipped."""
        rows = self.trial(arm).training
        return float(rows["clipped"][rows["update"] > 0.03 * len(rows)].mean())

    def shift(self, corpus: str) -> tuple[float, float]:
        """The base's loss on a corpus (its first update, nats a token), and what the control forgets there."""
        study = Study(read(cell_of(self.folder, *self.number, corpus)))
        return float(study.done[0].training["loss"].iloc[0]), _value(study, FORGETTING, "none")


def _value(study: Study, reading: Any, arm: str) -> float:
    found = study.figure(reading, arm)
    assert found is not None, f"{study.record.folder} has no {reading} of {arm}"
    return found.value


@dataclass(frozen=True)
class Claim:
    """One row of the table."""

    number: int
    text: str
    p: float
    holds: bool
    effect: str
    bases: str


def claim(number: int, text: str, found: Sequence[Cell], make: Callable[[Sequence[Cell]], Sequence[Trend]]) -> Claim:
    """A claim made of trends over all cells, and which bases alone show it."""
    trends = make(found)
    own = {base: all(trend.holds for trend in make([c for c in found if c.number[0] == base])) for base in BASES}
    effect = "; ".join(f"{trend.name} {trend.effect:+.3f}" for trend in trends)
    agreed = "all" if all(own.values()) else "none" if not any(own.values()) else ", ".join(str(b) for b in own if own[b])
    return Claim(number, text, max(t.p for t in trends), all(t.holds for t in trends), effect, agreed)


def over(found: Sequence[Cell], arms: Sequence[str], value: Callable[[Cell, str], float], name: str, sign: int = 1) -> Trend:
    """A figure of arms, one a level."""
    return Trend(name, np.array([[value(cell, arm) for arm in arms] for cell in found]), sign)


def rates() -> list[str]:
    return ["none" if rate == 1 else f"none:lr={rate}" for rate in RATES]


def claims(found: Sequence[Cell]) -> list[Claim]:
    """All of them; the eighth is exact algebra and stands among the tests."""
    forgetting, adaptation = Cell.forgetting, Cell.adaptation
    replay = ["none", *(f"replay:share={share}" for share in SHARES)]
    wise = ["none", *(f"wise:alpha={alpha}" for alpha in reversed(ALPHAS))]
    freeze = ["none", *(f"freeze:share={share}" for share in FROZEN)]
    kl = [f"kl:weight={weight}" for weight in STRENGTHS]

    def moved(some: Sequence[Cell]) -> list[Trend]:
        return [
            Trend("forgetting", np.array([[0, cell.forgetting("none")] for cell in some])),
            Trend("adaptation", np.array([[0, cell.adaptation("none")] for cell in some])),
        ]

    def replayed(some: Sequence[Cell]) -> list[Trend]:
        trend = over(some, replay, forgetting, "forgetting", -1)
        drops = -np.diff(trend.values, axis=1)
        return [trend, Trend("first step over the largest later one", np.stack([drops[:, 1:].max(1), drops[:, 0]], 1))]

    def anchored(some: Sequence[Cell]) -> list[Trend]:
        names = {"ewc": "relative", "l2sp": "relative", "kl": "weight"}
        arms = {name: [f"{name}:{knob}={s}" for s in STRENGTHS] for name, knob in names.items()}
        return [
            over(some, typed, value, f"{name} {what}", -1)
            for name, typed in arms.items()
            for what, value in (("penalty", Cell.penalty), ("adaptation", adaptation), ("forgetting", forgetting))
        ]

    def least(some: Sequence[Cell]) -> list[Trend]:
        others = ["none", *(name for name in SCHEDULES if name != "constant")]
        return [
            Trend(what, np.array([[value(c, "constant"), min(value(c, arm) for arm in others)] for c in some]))
            for what, value in (("forgetting", forgetting), ("adaptation", adaptation))
        ]

    def adapters(some: Sequence[Cell]) -> list[Trend]:
        def best(cell: Cell, arms: Sequence[str]) -> str:
            return min(arms, key=lambda arm: cell.measured[arm]["loss"])

        pairs = [
            (best(cell, ["lora" if rate == LoRA.lr else f"lora:lr={rate}" for rate in ADAPTERS]), best(cell, rates()), cell)
            for cell in some
        ]
        return [
            Trend(what, np.array([[value(cell, lora), value(cell, full)] for lora, full, cell in pairs]))
            for what, value in (("forgetting", forgetting), ("adaptation", adaptation))
        ]

    def shifted(some: Sequence[Cell]) -> list[Trend]:
        ordered = [sorted(cell.shift(corpus) for corpus in SHIFTS) for cell in some]
        return [Trend("forgetting", np.array([[forgot for _, forgot in row] for row in ordered]))]

    def matched(some: Sequence[Cell]) -> list[Trend]:
        rows = []
        for cell in some:
            path = [(0.0, 0.0), *((cell.adaptation(arm), cell.forgetting(arm)) for arm in rates())]
            pairs = [(cell.forgetting(arm), at_adaptation(path, cell.adaptation(arm))) for arm in replay[1:]]
            gaps = [naive - own for own, naive in pairs if naive is not None]
            rows.append([0.0, float(np.mean(gaps)) if gaps else 0.0])
        return [Trend("forgetting saved at the same adaptation", np.array(rows))]

    def together(some: Sequence[Cell]) -> list[Trend]:
        rows = []
        for cell in some:
            arms = [arm for arm in cell.measured if arm in cell.study.arms]
            drift, lost = [cell.divergence(a) for a in arms], [cell.forgetting(a) for a in arms]
            rows.append([0.0, float(stats.spearmanr(drift, lost).statistic)])
        return [Trend("Spearman's correlation", np.array(rows))]

    return [
        claim(1, "the control forgets and adapts", found, moved),
        claim(2, "more replay, less forgetting; the first step removes most", found, replayed),
        claim(3, "a higher peak rate forgets more and adapts more", found,
              lambda s: [over(s, rates(), forgetting, "forgetting"), over(s, rates(), adaptation, "adaptation")]),
        claim(4, "a constant low rate forgets least and adapts least of the schedules", found, least),
        claim(5, "a stronger shift is forgotten over more", found, shifted),
        claim(6, "a heavier anchor has less penalty, adapts less and forgets less", found, anchored),
        claim(7, "a heavier KL stays nearer to the base's predictions", found,
              lambda s: [over(s, kl, Cell.divergence, "KL to the base", -1)]),
        claim(9, "LoRA forgets less and adapts less than full training, each at its best rate", found, adapters),
        claim(10, "freezing more blocks adapts less", found, lambda s: [over(s, freeze, adaptation, "adaptation", -1)]),
        claim(11, "nearer to the base, less forgetting (WiSE-FT)", found,
              lambda s: [over(s, wise, forgetting, "forgetting", -1)]),
        claim(12, "at the same adaptation replay forgets less than the control at some rate", found, matched),
        claim(13, "forgetting goes with KL to the base on new text", found, together),
    ]  # fmt: skip


def preconditions(found: Sequence[Cell]) -> list[str]:
    """Without them no ordering has a meaning; a line each, with its figures."""
    forgot = np.array([[cell.forgetting("none") for cell in found if cell.number[0] == base] for base in BASES])
    learned = np.array([[cell.adaptation("none") for cell in found if cell.number[0] == base] for base in BASES])
    alone = {
        reading: max(abs(_value(c.study, reading, "replay:share=1")) / _value(c.study, reading, "none") for c in found)
        for reading in (FORGETTING, REHEARSED)
    }
    clipped = max(cell.clipped(trial.name) for cell in found for trial in cell.study.done if trial.name in rates())
    ratios = [(values.mean(1) / values.std(1, ddof=1)).min() for values in (forgot, learned)]
    return [
        f"the control's forgetting is at least {ratios[0]:.0f} standard deviations over seeds, its adaptation {ratios[1]:.0f} "
        f"(5 are asked)",
        f"replay alone moves general text that it does not read by at most {alone[FORGETTING]:.0%} of the control's rise, and "
        f"text of its own source by {alone[REHEARSED]:.0%} (20 % are allowed)",
        f"at most {clipped:.0%} of a control's updates are clipped after warm-up (below 50 % is asked)",
    ]


def table(folder: Path) -> str:
    """The table in Markdown."""
    found = [Cell(folder, cell) for cell in cells() if (cell_of(folder, *cell) / "measured.json").is_file()]
    if len(found) < len(BASES) * len(SEEDS):
        return f"{len(found)} of {len(BASES) * len(SEEDS)} cells are finished; the table is made of all"
    rows = claims(found)
    corrected = holm([row.p for row in rows])
    lines = [
        "| | ordering | effect, bits per byte unless named | p | p, Holm | trend | bases | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row, p in zip(rows, corrected, strict=True):
        verdict = "passes" if row.holds and p < LEVEL else "missed"
        trend = "holds" if row.holds else "fails"
        lines.append(
            f"| {row.number} | {row.text} | {row.effect} | {row.p:.2g} | {p:.2g} | {trend} | {row.bases} | {verdict} |"
        )
    return "\n".join([*(f"- {line}" for line in preconditions(found)), "", *lines])
