"""What may be said of an arm: forgotten or not, and how it stands to the control.

Forgetting is claimed on text of another source than the old text that arms may read; where no such text was scored, on the
accuracies of such tasks. Whether an arm keeps more than the control, at the control's end or at equal adaptation, is decided on
paired differences that are corrected together (Holm), over all arms and comparisons: any false "keeps more" on a page stays
under 5 %. So is, in a family of its own, whether it learns more.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from harness import forgetting as fg
from harness import frontiers, statistics
from harness.pairing import Kind
from harness.statistics import Answer, Estimate

Amount = Literal["more", "as much", "less", "unclear"]
Relation = Literal["better", "worse", "trades", "same", "unsettled"]
END, OWN = "end", "own"
"""Where an arm is compared with the control: at the control's end, and at what the arm itself learned."""


@dataclass(frozen=True)
class Evidence:
    """What was measured of an arm.

    kept        where it is compared with the control (END, OWN, or a level of adaptation) -> how much more it keeps
    learned     how much more it learns than the control, by what is read
    Both are empty of an arm that competes with none.
    """

    forgetting: Estimate
    adaptation: Estimate | None = None
    kept: Mapping[str, Estimate] = field(default_factory=dict)
    learned: Mapping[Kind, Estimate] = field(default_factory=dict)


@dataclass(frozen=True)
class Claim:
    """An arm's answer, its two figures, and how it stands to the control.

    keeps, learns   against the control's end
    at              how much it keeps where it is compared at equal adaptation: OWN, or a level
    p               of what it keeps, by where (END, OWN, or a level): corrected over all comparisons of the page
    """

    arm: str
    answer: Answer
    forgetting: Estimate
    adaptation: Estimate | None
    keeps: Amount
    learns: Amount
    at: Mapping[str, Amount] = field(default_factory=dict)
    p: Mapping[str, float] = field(default_factory=dict)

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
    found: dict[str, Evidence] = {}
    for arm in study.arms:
        figure = study.figure(keep, arm)
        if figure is not None:
            adaptation = study.figure(gain, arm) if gain else None
            kept, learning = _against_control(study, keep, arm) if arm in study.competitors else ({}, {})
            found[arm] = Evidence(figure, adaptation, kept, learning)
    kinds: tuple[Kind, ...] = ("text", "accuracy")
    return judge(found, keep.kind, {kind: study.margin(kind) for kind in kinds})


def _against_control(study: fg.Study, keep: fg.Reading, arm: str) -> tuple[dict[str, Estimate], dict[Kind, Estimate]]:
    """How much more than the control an arm keeps, and learns."""
    end, own = study.against_control(keep, arm), study.at_own(arm).keeps
    kept = {END: end and end.times(-1), OWN: own} | at_levels(study, keep, arm)
    learning = [(reading, study.against_control(reading, arm)) for reading in (fg.ADAPTATION, fg.LEARNED)]
    kinds: dict[Kind, Estimate] = {reading.kind: found for reading, found in learning if found}
    return {where: found for where, found in kept.items() if found}, kinds


def at_levels(study: fg.Study, keep: fg.Reading, arm: str) -> dict[str, Estimate]:
    """After a sweep: how much more an arm keeps than the control at each level of adaptation that both attain."""
    if not study.swept or study.swept.keep != keep:
        return {}
    return {level: found.times(-1) for level, found in frontiers.differences(study).get(arm, {}).items()}


def judge(found: Mapping[str, Evidence], kind: Kind, margins: Mapping[Kind, float]) -> dict[str, Claim]:
    """The claims that estimates allow: each arm's answer, and one family of comparisons for each axis.

    kind        what forgetting is measured in
    margins     changes that do not matter, declared before the run
    """
    family = {(arm, at): (e, margins[kind]) for arm, one in found.items() for at, e in one.kept.items()}
    kept, adjusted = _amounts(family), _adjusted(family)
    learning = {(arm, read): (e, margins[read]) for arm, one in found.items() for read, e in one.learned.items()}
    learns = _amounts(learning)
    claims: dict[str, Claim] = {}
    for arm, one in found.items():
        keeps, amount = kept.get((arm, END), "unclear"), _all(learns[arm, read] for read in one.learned)
        at: dict[str, Amount] = {where: kept[arm, where] for where in one.kept if where != END}
        answer = statistics.answer(one.forgetting, margins[kind])
        p = {where: adjusted[arm, where] for where in one.kept}
        claims[arm] = Claim(arm, answer, one.forgetting, one.adaptation, keeps, amount, at, p)
    return claims


def _amounts(family: Mapping[tuple[str, str], tuple[Estimate, float]]) -> dict[tuple[str, str], Amount]:
    """More, as much or less than the control, of estimates with their margins that are corrected together."""
    adjusted = _adjusted(family)
    return {key: compare(*tested, adjusted[key]) for key, tested in family.items()}


def _adjusted(family: Mapping[tuple[str, str], tuple[Estimate, float]]) -> dict[tuple[str, str], float]:
    return dict(zip(family, statistics.holm([difference.p for difference, _ in family.values()]), strict=True))


def compare(difference: Estimate, margin: float, p: float) -> Amount:
    """As much: both one-sided 95 % bounds within the margin. More or less: the corrected p is below 5 %."""
    low, high = difference.interval(0.9)
    if -margin < low and high < margin:
        return "as much"
    if p >= 0.05:
        return "unclear"
    return "more" if difference.value > 0 else "less"


def _all(amounts: Iterable[Amount]) -> Amount:
    """Text and accuracies together: less in one is less, unless the other says more; nothing is claimed on half a reading."""
    kinds = set(amounts)
    if not kinds or {"more", "less"} <= kinds:
        return "unclear"
    for amount in ("less", "unclear", "more"):
        if amount in kinds:
            return amount
    return "as much"
