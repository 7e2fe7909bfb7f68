"""What may be said of an arm: forgotten or not, and how it stands to the control.

Forgetting is claimed on text of another source than the old text that arms may read; where no such text was scored, on the
accuracies of such tasks. Whether an arm keeps more and learns less is decided on paired differences from the control, corrected
over the arms (Holm): every arm is compared with the same control.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from harness import forgetting as fg
from harness import statistics
from harness.statistics import Answer, Estimate

Amount = Literal["more", "as much", "less", "unclear"]
Relation = Literal["better", "worse", "trades", "same", "unsettled"]


@dataclass(frozen=True)
class Claim:
    """An arm's answer, its two figures, and how it stands to the control."""

    arm: str
    answer: Answer
    forgetting: Estimate
    adaptation: Estimate | None
    keeps: Amount
    learns: Amount

    @property
    def relation(self) -> Relation:
        """Better needs one axis at least as good and the other strictly; more of one for less of the other is a trade."""
        pair = {self.keeps, self.learns}
        if "unclear" in pair:
            return "unsettled"
        if pair == {"more", "less"}:
            return "trades"
        return "better" if "more" in pair else "worse" if "less" in pair else "same"


def primary(study: fg.Study) -> fg.Reading | None:
    """What forgetting is claimed on: unrehearsed text, else unrehearsed accuracies."""
    return next((reading for reading in (fg.FORGETTING, fg.LOST) if study.tasks(reading)), None)


def learned(study: fg.Study) -> fg.Reading | None:
    """What adaptation is read on first, in the same unit as forgetting where both exist."""
    reading = primary(study)
    order = (fg.LEARNED, fg.ADAPTATION) if reading == fg.LOST else (fg.ADAPTATION, fg.LEARNED)
    return next((each for each in order if study.tasks(each)), None)


def claims(study: fg.Study) -> dict[str, Claim]:
    """Arm -> claim, for every arm whose forgetting can be read."""
    keep, gain = primary(study), learned(study)
    if keep is None:
        return {}
    kept = _amounts(study, keep)
    learning = [_amounts(study, reading) for reading in (fg.ADAPTATION, fg.LEARNED) if study.tasks(reading)]
    found: dict[str, Claim] = {}
    for arm in study.arms:
        figure = study.figure(keep, arm)
        if figure is not None:
            answer = statistics.answer(figure, study.margin(keep.kind))
            adaptation = study.figure(gain, arm) if gain else None
            amounts: list[Amount] = [each[arm] for each in learning if arm in each]
            found[arm] = Claim(arm, answer, figure, adaptation, kept.get(arm, "unclear"), _all(amounts))
    return found


def _amounts(study: fg.Study, reading: fg.Reading) -> Mapping[str, Amount]:
    """Arm -> more, as much or less than the control, of what is kept or of what is learned."""
    found = {arm: study.against_control(reading, arm) for arm in study.arms}
    differences = {arm: e.times(-1 if reading.measures == "keep" else 1) for arm, e in found.items() if e is not None}
    adjusted = statistics.holm([difference.p for difference in differences.values()])
    margin = study.margin(reading.kind)
    return {arm: compare(e, margin, p) for (arm, e), p in zip(differences.items(), adjusted, strict=True)}


def compare(difference: Estimate, margin: float, p: float) -> Amount:
    """As much: both one-sided 95 % bounds within the margin. More or less: the corrected p is below 5 %."""
    low, high = difference.interval(0.9)
    if -margin < low and high < margin:
        return "as much"
    if p >= 0.05:
        return "unclear"
    return "more" if difference.value > 0 else "less"


def _all(amounts: list[Amount]) -> Amount:
    """Text and accuracies together: less in one is less, unless the other says more; nothing is claimed on half a reading."""
    kinds = set(amounts)
    if not kinds or {"more", "less"} <= kinds:
        return "unclear"
    for amount in ("less", "unclear", "more"):
        if amount in kinds:
            return amount
    return "as much"
