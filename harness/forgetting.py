"""What was forgotten, learned and kept: a run folder's rows to figures with intervals.

    forgetting (text)       macro mean of BPB(after) - BPB(before), general text       bits per byte, > 0 is bad
    forgetting (accuracy)   macro mean of a(before) - a(after)                         share of items, > 0 is bad
    adaptation (text)       macro mean of BPB(before) - BPB(after), domain text        bits per byte, > 0 is good
    adaptation (accuracy)   macro mean of a(after) - a(before)                         share of items, > 0 is good
    adaptation (answers)    fall of -log2 p(right answer), per item                    bits, > 0 is good
    retention               sum (a(after) - chance) / sum (a(before) - chance)         share of what stood above chance
    recovered share         (F(control) - F(arm)) / F(control)                         share of the control's forgetting

Before is always the base scored by the same run, item by item. What was rehearsed (the source of the old text that
arms may read) and what was not are never one number, nor are bits and accuracies. Signed values are never clipped.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from harness import choosing, crossing, frontiers, statistics
from harness.items import Items
from harness.once import once
from harness.pairing import Kind, Sample
from harness.record import Result
from harness.statistics import Estimate

Source = Literal["same", "other"]
UNITS: dict[Kind, str] = {"text": "bits per byte", "accuracy": "share", "answer": "bits per answer"}
"""What figures are stored in; pages show a share in points (see reports/words.py)."""
MARGINS: dict[Kind, float] = {"text": 0.01, "accuracy": 0.01, "answer": 0.05}
"""Changes that do not matter, unless the plan says otherwise."""


@dataclass(frozen=True)
class Reading:
    """One way to read what happened: tasks of one kind, one purpose and one source; all of them, a suite's, or one."""

    measures: Literal["keep", "gain"]
    kind: Kind
    source: Source | None = None
    suite: str | None = None
    task: str | None = None

    @property
    def sign(self) -> int:
        """What makes positive forgetting bad and positive adaptation good: times the change after - before."""
        worse = -1 if self.kind == "accuracy" else 1
        return worse if self.measures == "keep" else -worse


OLD_TEXT = "old_only"
"""The arm that learns nothing: the control of what arms read of old text."""
FORGETTING, REHEARSED = Reading("keep", "text", "other"), Reading("keep", "text", "same")
LOST, LOST_REHEARSED = Reading("keep", "accuracy", "other"), Reading("keep", "accuracy", "same")
ADAPTATION, LEARNED, ANSWERS = Reading("gain", "text"), Reading("gain", "accuracy"), Reading("gain", "answer")


@dataclass(frozen=True)
class Study(Items):
    """A run, read for what was forgotten; everything is computed when first asked for.

    shown    whether sensitive texts that the run kept may be told
    """

    shown: bool = False

    @property
    def control(self) -> str:
        """Plain continued pre-training, the first arm of every plan; empty where models of elsewhere stand against none."""
        plan = self.record.plan
        typed = plan["control"] if "control" in plan else plan["arms"][0]
        return self.picks[typed].setting if typed in self.picks else typed

    @property
    def lead(self) -> str:
        """The arm that examples are of: the control, or the first of arms that stand against none."""
        return self.control or next(iter(self.arms), "")

    @cached_property
    def done(self) -> tuple[Result, ...]:
        """Trials that were trained and scored."""
        return tuple(trial for trial in self.record.trials if trial.status == "done")

    @cached_property
    def arms(self) -> tuple[str, ...]:
        """Arms with at least one finished trial, in the plan's order; of an arm with several settings the chosen one."""
        finished = dict.fromkeys(trial.name for trial in self.done)
        chosen = (*(pick.setting for pick in self.picks.values()), *(name for name in finished if name == OLD_TEXT))
        return tuple(dict.fromkeys(chosen))

    @cached_property
    def families(self) -> dict[str, tuple[str, ...]]:
        """Arm as typed -> its finished settings; one of its own name where nothing was swept or searched."""
        return choosing.families(self.record.plan, list(dict.fromkeys(trial.name for trial in self.done)))

    @cached_property
    def picks(self) -> dict[str, choosing.Choice]:
        """Arm as typed -> the setting of it that is reported, chosen on validation items where there are several."""
        return choosing.choices(self)

    @cached_property
    def swept(self) -> frontiers.Frontiers | None:
        """Every arm over its settings; None where nothing was swept."""
        return frontiers.frontiers(self)

    @property
    def competitors(self) -> tuple[str, ...]:
        """Arms that are compared with the control and ranked: all but itself and the control of old text."""
        return tuple(arm for arm in self.arms if self.control and arm not in (self.control, OLD_TEXT))

    def margin(self, kind: Kind) -> float:
        """The change that does not matter, declared in the plan before the run."""
        given = (self.record.plan.get("options") or {}).get("margin")
        if isinstance(given, Mapping):
            return float(given.get(kind, MARGINS[kind]))
        return float(given) if given is not None and kind == "text" else MARGINS[kind]

    @once
    def tasks(self, reading: Reading) -> list[Sample]:
        """The tasks of a reading.

        What the base did not know it cannot forget: an accuracy that is to be kept counts only where the base stands
        2 standard errors or more above chance, decided on the base alone.
        """
        pool = self.answers if reading.kind == "answer" else self.samples
        return [
            sample
            for task, sample in pool.items()
            if (facts := self.record.tasks[task])["measures"] == reading.measures
            and sample.kind == reading.kind
            and reading.source in (None, facts.get("source"))
            and reading.suite in (None, facts["suite"])
            and reading.task in (None, task)
            and (reading.measures == "gain" or self.known(sample))
        ]

    def seeds(self, arm: str, reading: Reading) -> tuple[int, ...]:
        """Seeds under which the arm was scored on every task of the reading."""
        found = [set(sample.seeds(arm)) for sample in self.tasks(reading)]
        return tuple(sorted(set.intersection(*found))) if found else ()

    @once
    def figure(self, reading: Reading, arm: str, seed: int | None = None) -> Estimate | None:
        """The arm's forgetting or adaptation, macro-averaged over tasks; None where nothing measures it."""
        seeds = self._asked(self.seeds(arm, reading), seed)
        if not seeds:
            return None
        return statistics.macro([s.cells(reading.sign * (s.stack(arm, seeds) - s.before)) for s in self.tasks(reading)])

    @once
    def against_control(self, reading: Reading, arm: str) -> Estimate | None:
        """The arm's figure minus the control's, paired by item and seed."""
        seeds = sorted(set(self.seeds(arm, reading)) & set(self.seeds(self.control, reading)))
        if not seeds or arm == self.control:
            return None
        pairs = [(s, s.stack(arm, seeds) - s.stack(self.control, seeds)) for s in self.tasks(reading)]
        return statistics.macro([s.cells(reading.sign * difference) for s, difference in pairs])

    def curve(self, seed: int) -> tuple[tuple[float, float, float], ...]:
        """The control interpolated with the base: (share of its weights, adaptation, forgetting); empty if not scored."""
        return crossing.points(self, seed)

    @once
    def at_own(self, arm: str) -> crossing.Own:
        """The arm beside the control interpolated with the base, at what the arm itself learned."""
        return crossing.at_own(self, arm)

    def retention(self, arm: str, reading: Reading, seed: int | None = None) -> Estimate | None:
        """Share of the accuracy above chance that is still there: a ratio of sums over what the base knows."""
        seeds = self._asked(self.seeds(arm, reading), seed)
        if not seeds:
            return None
        pairs = [(s, self.chance(s.task) or 0.0) for s in self.tasks(reading)]  # of what is known, chance is too
        parts = [s.cells(s.stack(arm, seeds) - chance) for s, chance in pairs]
        wholes = [s.cells(np.tile(s.before - chance, (len(seeds), 1))) for s, chance in pairs]
        return statistics.share(parts, wholes)

    def recovered(self, arm: str, reading: Reading = FORGETTING) -> Estimate | None:
        """Share of the control's forgetting that the arm avoids; None where the control's is not clearly above 0.

        Clearly: over all of its seeds, and over those alone that the share is of.
        """
        seeds = sorted(set(self.seeds(arm, reading)) & set(self.seeds(self.control, reading)))
        whole = self.figure(reading, self.control)
        if not seeds or arm == self.control or whole is None or whole.low <= 0:
            return None
        pairs = [(s, s.stack(self.control, seeds)) for s in self.tasks(reading)]
        parts = [s.cells(reading.sign * (control - s.stack(arm, seeds))) for s, control in pairs]
        wholes = [s.cells(reading.sign * (control - s.before)) for s, control in pairs]
        return statistics.share(parts, wholes) if statistics.macro(wholes).low > 0 else None

    @staticmethod
    def _asked(seeds: tuple[int, ...], seed: int | None) -> tuple[int, ...]:
        return seeds if seed is None else tuple(each for each in seeds if each == seed)
