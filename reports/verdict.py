"""What was forgotten, and is it real? One sentence an arm, then what would make the sentences wrong."""

from harness import forgetting as fg
from harness.claims import Claim, Relation, claims, primary
from harness.statistics import Estimate
from reports import elsewhere, words
from reports.arms import about
from reports.cautions import STANDINGS, warnings
from reports.section import Finding, Findings, Section, Text, Tone, Warnings

TONES: dict[str, Tone] = {"forgotten": "bad", "not forgotten": "good", "not enough evidence": "quiet"}
RELATIONS: dict[Relation, str] = {
    "better": "better than the control at this point",
    "worse": "worse than the control at this point",
    "trades": "a trade, which is not ranked",
    "same": "no different from the control",
}


def section(study: fg.Study) -> Section:
    """Findings and warnings."""
    found = claims(study)
    findings = tuple(finding(study, claim) for claim in found.values())
    blocks = (Findings(findings), Text(rule(study))) if findings else ()
    return Section("verdict", question(study), summary(study, found), (*blocks, Warnings(tuple(warnings(study)))))


def question(study: fg.Study) -> str:
    """The question that the whole page answers."""
    if not study.control:
        return "What was forgotten?"
    return "What was forgotten, and which way of training keeps most?"


def unread(study: fg.Study) -> str:
    """Why no forgetting is claimed: nothing measures it, or the base knows nothing of what does."""
    tasks = study.record.tasks
    asked = [task for task in study.samples if (tasks[task]["measures"], tasks[task].get("source")) == ("keep", "other")]
    if asked:
        return (
            f"On no unrehearsed task ({words.listing(asked)}) is the base known to do better than by guessing, "
            "so no forgetting can be claimed."
        )
    return "No suite of this run measures keeping on another source than the old text, so no forgetting is claimed."


def summary(study: fg.Study, found: dict[str, Claim]) -> str:
    """The page in one sentence."""
    keep = primary(study)
    if not study.record.base.facts or not study.arms:
        return "Nothing has been trained and scored yet, so nothing can be said."
    if keep is None:
        return unread(study)
    if not study.control:
        return elsewhere.summary(study, {arm: claim.answer for arm, claim in found.items()})
    if study.control not in found:
        return "The control has not been scored, so the arms stand against the base alone."
    control = found[study.control]
    sentence = f"Plain training ({study.control}) {_kept(study, control, keep)}."
    others = [claim for arm, claim in found.items() if arm != study.control]
    return f"{sentence} {_tally(others)}" if others else sentence


KINDS: dict[Relation, tuple[str, str]] = {
    "better": ("keeps more or learns more, with no less of the other", "keep more or learn more, with no less of the other"),
    "trades": ("trades one for the other", "trade one for the other"),
    "same": ("does what the control does", "do what the control does"),
    "worse": ("keeps less or learns less, with no more of the other", "keep less or learn less, with no more of the other"),
    "unsettled": ("cannot be placed on this evidence", "cannot be placed on this evidence"),
}
"""What is said of one arm, and of several."""


def _tally(others: list[Claim]) -> str:
    """Every other arm by name, those that stand alike together."""
    alike = [(said, [claim.arm for claim in others if claim.relation == kind]) for kind, said in KINDS.items()]
    parts = [f"{words.listing(arms)} {said[len(arms) > 1]}" for said, arms in alike if arms]
    return f"Against it, {'; '.join(parts)}."


def _forgets(claim: Claim, keep: fg.Reading) -> str:
    value, unit = words.amount(claim.forgetting.value, keep.kind), words.UNIT[keep.kind]
    where = "of unrehearsed text" if keep.kind == "text" else "on unrehearsed tasks"
    interval = f"(95 % interval {words.between(claim.forgetting, keep.kind)})"
    if claim.answer == "forgotten":
        return f"forgets {value} {unit} {where} {interval}"
    if claim.answer == "not forgotten":
        return f"forgets nothing that matters {where}: {value} {unit} {interval}"
    return f"gives not enough evidence on forgetting {where}: {value} {unit} {interval}"


def _kept(study: fg.Study, claim: Claim, keep: fg.Reading) -> str:
    """What is claimed, and the accuracies that stand with it in their own unit."""
    claimed, lost = _forgets(claim, keep), study.figure(fg.LOST, claim.arm)
    if not lost or keep == fg.LOST:
        return claimed
    joint = " and " if claim.answer == "forgotten" else "; it "
    return claimed + joint + _moved(lost, "accuracy", ("loses", "gains"), "on unrehearsed tasks")


def _learned(study: fg.Study, arm: str) -> str:
    """Text and tasks, each in its own unit."""
    text, tasks = study.figure(fg.ADAPTATION, arm), study.figure(fg.LEARNED, arm)
    parts = [_moved(text, "text", ("learns", "loses"), "of new text")] if text else []
    parts += [_moved(tasks, "accuracy", ("gains", "loses"), "on new tasks")] if tasks else []
    return words.listing(parts)


def _moved(found: Estimate, kind: fg.Kind, verbs: tuple[str, str], where: str) -> str:
    """`loses 4.2 points on unrehearsed tasks (3.1 to 5.3)`: the verb bears the sign, of the interval's ends too."""
    shown = found if found.value >= 0 else found.times(-1)
    verb = verbs[found.value < 0]
    return f"{verb} {words.amount(shown.value, kind)} {words.UNIT[kind]} {where} ({words.between(shown, kind)})"


def finding(study: fg.Study, claim: Claim) -> Finding:
    """An arm's sentence: kept and learned, text and tasks; below it what was rehearsed, which proves less."""
    keep = primary(study)
    assert keep
    subject = "This checkpoint" if claim.forgetting.seeds == 1 else "This strategy"
    sentence = f"{subject} {_kept(study, claim, keep)}"
    if learning := _learned(study, claim.arm):
        sentence += f"; it {learning}"
    sentence += "."
    if study.control and claim.arm != study.control:
        sentence += f" {standing(claim)}{_reservations(study, claim.arm)}"
    tag = "the control" if claim.arm == study.control else STANDINGS[claim.relation] if study.control else "against the base"
    return Finding(claim.arm, claim.answer, TONES[claim.answer], tag, sentence, tuple(beside(study, claim.arm)))


def _reservations(study: fg.Study, arm: str) -> str:
    """What an arm's comparison lacks: controls that were not trained, and a validation."""
    wanted = [control for control in about(study, arm).get("controls", ()) if control not in study.arms]
    lacks = f" Its {'controls' if len(wanted) > 1 else 'control'} {words.listing(wanted)} " if wanted else ""
    if wanted:
        lacks += f"{'were' if len(wanted) > 1 else 'was'} not trained, so what makes the difference stays open."
    return lacks + (" It is experimental: checked against its formula alone." if about(study, arm).get("experimental") else "")


def standing(claim: Claim) -> str:
    """How the arm stands to the control, on both axes."""
    keeps, learns = claim.keeps, claim.learns
    if keeps == learns == "unclear":
        return "Neither what it keeps nor what it learns can be told apart from the control."
    if keeps == "unclear":
        return f"Against the control it learns {learns}; whether it keeps more or less is not settled."
    if learns == "unclear":
        return f"Against the control it keeps {keeps}; whether it learns more or less is not settled."
    joint = "but" if claim.relation == "trades" else "and"
    return f"Against the control it keeps {keeps} {joint} learns {learns}: {RELATIONS[claim.relation]}."


def beside(study: fg.Study, arm: str) -> list[str]:
    """What an arm read again, or measured itself on: never averaged with what it did not."""
    source = _read_old(study, arm)
    if not source:
        return []
    text, tasks = study.figure(fg.REHEARSED, arm), study.figure(fg.LOST_REHEARSED, arm)
    parts = [_moved(text, "text", ("forgets", "gains"), "of text")] if text else []
    parts += [_moved(tasks, "accuracy", ("loses", "gains"), "on tasks")] if tasks else []
    return [f"{source}, it {words.listing(parts)}"] if parts else []


def _read_old(study: fg.Study, arm: str) -> str:
    """How an arm met the source of the old text, if it did."""
    trials = [trial for trial in study.done if trial.name == arm]
    if any((trial.facts.get("tokens") or {}).get("old") for trial in trials):
        return "of what it rehearsed"
    return "of the source that it read beside training" if "old" in about(study, arm).get("needs", ()) else ""


def rule(study: fg.Study) -> str:
    """What the three answers mean."""
    keep = primary(study)
    assert keep
    margin = f"{words.amount(study.margin(keep.kind), keep.kind)} {words.UNIT[keep.kind]}"
    layers = "items and training seeds" if max(len(study.seeds(a, keep)) for a in study.arms) > 1 else "items only"
    where = "unrehearsed text" if keep.kind == "text" else "unrehearsed tasks"
    against = (
        "comparisons with the control are paired by item and corrected for the number of arms."
        if study.control
        else "differences to the base are paired by item."
    )
    return (
        f"Forgetting is claimed on {where}; text and tasks are never averaged. "
        f"Forgotten: the 95 % interval lies above 0. Not forgotten: the one-sided 95 % bound lies below {margin}, "
        f"a margin set before the run. Otherwise there is not enough evidence. Intervals contain {layers}; {against}"
    )
