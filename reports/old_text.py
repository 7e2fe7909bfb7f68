"""What old text alone changes: the cost of re-warming and of the proxy, and whether the old text is itself a shift."""

from dataclasses import replace

from harness import forgetting as fg
from harness.claims import primary
from harness.statistics import Estimate
from reports import words

SHIFT = 0.2
"""Share of the control's forgetting above which the old text is itself a shift."""


def sentence(study: fg.Study, found: Estimate, keep: fg.Reading) -> str:
    """The change, and how much of the control's forgetting that is where the control forgets."""
    where = "unrehearsed text" if keep.kind == "text" else "unrehearsed tasks"
    amount = f"{words.amount(found.value, keep.kind, signed=True)} {words.UNIT[keep.kind]}"
    begin = "This checkpoint: training" if found.seeds == 1 else "Training"
    said = f"{begin} on old text alone changes {where} by {amount} ({words.interval(found, keep.kind)})"
    share = of_control(study, keep)
    part = f", {words.percent(share)} of what the control forgets ({words.percents(share)})" if share else ""
    return f"{said}{part}: the cost of re-warming and of the proxy"


def of_control(study: fg.Study, keep: fg.Reading) -> Estimate | None:
    """Share of the control's forgetting that old text alone makes; None where the control's is not clearly above 0."""
    recovered = study.recovered(fg.OLD_TEXT, keep) if fg.OLD_TEXT in study.arms else None
    if recovered is None:
        return None
    return replace(recovered.times(-1), value=1 - recovered.value)


def warning(study: fg.Study) -> list[str]:
    """Whether the old text is itself a shift, or may be."""
    keep = primary(study)
    share = of_control(study, keep) if keep else None
    if share is None or share.value <= SHIFT:
        return []
    sure = "is itself" if share.low > SHIFT else "may itself be"
    return [
        f"The old text {sure} a shift: trained on alone, it makes {words.percent(share)} of what the control forgets "
        f"({words.percents(share)}). What arms rehearse is then no stand-in for what the base knows."
    ]
