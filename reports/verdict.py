"""What was forgotten, and is it real? One sentence an arm, then what would make the sentences wrong."""

from harness import forgetting as fg
from harness import power
from harness.claims import Claim, claims, primary
from harness.statistics import Estimate
from reports import elsewhere, old_text, words
from reports.arms import about
from reports.cautions import STANDINGS, warnings
from reports.section import Finding, Findings, Section, Text, Tone, Warnings
from reports.standing import at_end, at_own, keeps_most

TONES: dict[str, Tone] = {"forgotten": "bad", "not forgotten": "good", "not enough evidence": "quiet"}


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
    others = [found[arm] for arm in study.competitors if arm in found]
    return f"{sentence} {keeps_most(others)}" if others else sentence


def _forgets(claim: Claim, keep: fg.Reading, margin: float) -> str:
    value, unit = words.amount(claim.forgetting.value, keep.kind), words.UNIT[keep.kind]
    where = "of unrehearsed text" if keep.kind == "text" else "on unrehearsed tasks"
    interval = f"({words.interval(claim.forgetting, keep.kind)})"
    if claim.answer == "forgotten":
        return f"forgets {value} {unit} {where} {interval}"
    if claim.answer == "not forgotten":
        return f"forgets nothing that matters {where}: {value} {unit} {interval}"
    enough = _needed(claim.forgetting, keep, margin)
    return f"gives not enough evidence on forgetting {where}: {value} {unit} {interval}; {enough}"


def _needed(found: Estimate, keep: fg.Reading, margin: float) -> str:
    """What would be enough for an answer, at a change of twice the margin in four runs of five."""
    need, noun = power.needed(found, margin), "document" if keep.kind == "text" else "question"
    assert need, "there is no answer yet"
    if need.reason:
        return need.reason
    if need.together:
        return f"{_more(need.together[0], found, noun)} under {need.together[1]} seeds would be enough"
    parts = [_more(need.items, found, noun)] if need.items else []
    parts += [f"{need.seeds} seeds"] if need.seeds else []
    return f"{' or '.join(parts)} would be enough"


def _more(items: int, found: Estimate, noun: str) -> str:
    """`about 1,200 more documents`: two digits, rounded up."""
    lacking = max(items - found.n, 1)
    unit = 10 ** max(0, len(str(lacking)) - 2)
    return f"about {words.several(-(-lacking // unit) * unit, f'more {noun}')}"


def _kept(study: fg.Study, claim: Claim, keep: fg.Reading) -> str:
    """What is claimed, and the accuracies that stand with it in their own unit."""
    claimed, lost = _forgets(claim, keep, study.margin(keep.kind)), study.figure(fg.LOST, claim.arm)
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
    if claim.arm == fg.OLD_TEXT:
        tag, line = "the control of old text", old_text.sentence(study, claim.forgetting, keep)
        if claim.answer == "not enough evidence":
            line += f"; {_needed(claim.forgetting, keep, study.margin(keep.kind))}"
        return Finding(claim.arm, claim.answer, TONES[claim.answer], tag, f"{line}.", tuple(beside(study, claim.arm)))
    subject = "This checkpoint" if claim.forgetting.seeds == 1 else "This strategy"
    sentence = f"{subject} {_kept(study, claim, keep)}"
    if learning := _learned(study, claim.arm):
        sentence += f"; it {learning}"
    sentence += "."
    if study.control and claim.arm != study.control:
        compared = " ".join(filter(None, (at_end(claim), at_own(study, claim))))
        sentence += f"{_alone(study, claim)} {compared}{_reservations(study, claim.arm)}"
    tag = "the control" if claim.arm == study.control else STANDINGS[claim.relation] if study.control else "against the base"
    return Finding(claim.arm, claim.answer, TONES[claim.answer], tag, sentence, tuple(beside(study, claim.arm)))


def _alone(study: fg.Study, claim: Claim) -> str:
    """That an arm of several seeds shares one alone with the control, so that they are compared as checkpoints."""
    keep = primary(study)
    assert keep
    both = {*study.seeds(claim.arm, keep)} & {*study.seeds(study.control, keep)}
    if len(both) != 1 or claim.forgetting.seeds < 2:
        return ""
    return f" It shares seed {min(both)} alone with the control, so that what follows is of one checkpoint."


def _reservations(study: fg.Study, arm: str) -> str:
    """What an arm's comparison lacks: controls that were not trained, and a validation."""
    wanted = [control for control in about(study, arm).get("controls", ()) if control not in study.arms]
    lacks = f" Its {'controls' if len(wanted) > 1 else 'control'} {words.listing(wanted)} " if wanted else ""
    if wanted:
        lacks += f"{'were' if len(wanted) > 1 else 'was'} not trained, so what makes the difference stays open."
    return lacks + (" It is experimental: checked against its formula alone." if about(study, arm).get("experimental") else "")


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
    where = "unrehearsed text" if keep.kind == "text" else "unrehearsed tasks"
    against = (
        "comparisons with the control are paired by item and corrected together (Holm), over all arms and wherever they are "
        f"compared. {curve(study)}"
        if study.control
        else "differences to the base are paired by item."
    )
    return (
        f"Forgetting is claimed on {where}; text and tasks are never averaged. "
        f"Not forgotten: the one-sided 95 % bound lies below {margin}, a margin set before the run, even where less than "
        "that was surely lost. Forgotten: it does not, and the 95 % interval lies above 0. Otherwise there is not enough "
        "evidence. "
        f"Figures have {words.intervals(study)}; {against}"
    )


def curve(study: fg.Study) -> str:
    """What arms are compared with at equal adaptation, or why they are not."""
    if any(study.curve(seed) for seed in study.record.plan["seeds"]):
        return (
            "At what it learned, an arm stands beside the control's weights interpolated with the base's, which costs no "
            "training: eleven points, linear between two, nothing beyond the last."
        )
    if not (study.record.plan.get("options") or {}).get("curve"):
        return "Without the control interpolated with the base (--curve scores it) no arm is compared at what it learned."
    return "The control interpolated with the base has not been scored, so no arm is compared at what it learned."
