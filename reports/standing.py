"""How arms stand to the control, in sentences: at its end, at what an arm itself learned, and all of them together."""

from collections.abc import Iterable

from harness import forgetting as fg
from harness.claims import OWN, Claim, Relation, primary
from reports import words

RELATIONS: dict[Relation, str] = {
    "better": "better than the control at this point",
    "worse": "worse than the control at this point",
    "trades": "a trade, which is not ranked",
    "same": "no different from the control",
}
TALLY: dict[Relation, tuple[str, str]] = {
    "better": ("learns more and keeps no less", "learn more and keep no less"),
    "trades": ("trades one for the other, which is not ranked", "trade one for the other, which is not ranked"),
    "same": ("does what the control does", "do what the control does"),
    "worse": ("keeps less or learns less, and is better in neither", "keep less or learn less, and are better in neither"),
    "unsettled": ("cannot be placed on this evidence", "cannot be placed on this evidence"),
}
"""What is said of one arm, and of several, that are not shown to keep most."""
UNREACHED = {
    "learned nothing": "It learned nothing, so there is nothing to compare it with at equal adaptation.",
    "learned more than the curve reaches": "It learned more than the control in at least one seed, so that nothing between the "
    "control and the base can be compared with it.",
}


def at_end(claim: Claim) -> str:
    """How the arm stands to the control at its end, on both axes."""
    keeps, learns = claim.keeps, claim.learns
    if keeps == learns == "unclear":
        return "Neither what it keeps nor what it learns can be told apart from the control."
    if keeps == "unclear":
        return f"Against the control it learns {learns}; whether it keeps more or less is not settled."
    if learns == "unclear":
        return f"Against the control it keeps {keeps}; whether it learns more or less is not settled."
    joint = "but" if claim.relation == "trades" else "and"
    return f"Against the control it keeps {keeps} {joint} learns {learns}: {RELATIONS[claim.relation]}."


def at_own(study: fg.Study, claim: Claim) -> str:
    """How it stands to the control interpolated with the base, at what the arm itself learned."""
    own, keep = study.at_own(claim.arm), primary(study)
    if own.keeps is None or own.curve is None or keep is None:
        return UNREACHED.get(own.reason or "", "")
    unit, size = words.UNIT[keep.kind], own.keeps if own.keeps.value >= 0 else own.keeps.times(-1)
    amount = f"{words.amount(size.value, keep.kind)} {'more' if own.keeps.value >= 0 else 'less'}"
    said = {
        "more": f"it keeps {amount}",
        "less": f"it keeps {amount}",
        "as much": f"it keeps as much, {amount}",
        "unclear": f"it keeps {amount}, which is not settled",
    }[claim.at[OWN]]
    there = f"the control interpolated with the base forgets {words.amount(own.curve, keep.kind)} {unit}"
    return f"At what it learned, {there}: {said} ({words.interval(size, keep.kind)})."


def keeps_most(claims: Iterable[Claim]) -> str:
    """Which way of training keeps most: what is shown to keep more at no less learning, then how the others stand."""
    claims = list(claims)
    winners = [claim.arm for claim in claims if claim.relation == "better" and claim.keeps == "more"]
    said = "No arm is shown to keep more than it and learn no less."
    if winners:
        said = f"{words.listing(winners)} {'are' if len(winners) > 1 else 'is'} shown to keep more than it and learn no less."
    others = [claim for claim in claims if claim.arm not in winners]
    alike = [(form, [claim.arm for claim in others if claim.relation == kind]) for kind, form in TALLY.items()]
    parts = [f"{words.listing(arms)} {form[len(arms) > 1]}" for form, arms in alike if arms]
    if parts:
        said += f" Of the others, {'; '.join(parts)}." if winners else f" {'; '.join(parts)}."
    own = [claim.arm for claim in others if claim.at.get(OWN) == "more"]
    if own:
        verb = "keeps" if len(own) == 1 else "keep"
        said += f" At what {'it' if len(own) == 1 else 'they'} learned, {words.listing(own)} {verb} more than the control "
        said += "interpolated with the base."
    return said
