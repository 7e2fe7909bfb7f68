"""What would make the page's sentences wrong: too little evidence, and trainings that did not go as planned."""

from harness import flags, sensitive
from harness import forgetting as fg
from harness.claims import OWN, Claim, Relation, claims, learned, primary
from harness.record import Result
from harness.unfinished import unfinished
from reports import elsewhere, old_text, words

FEW_ITEMS = 300
CEILING = {"keep": "what is lost there changes no answer at first, and is seen late", "gain": "there is nothing left to learn"}
"""What a ceiling hides, by what a task is scored for."""
STANDINGS: dict[Relation, str] = {
    "better": "better than the control",
    "worse": "worse than the control",
    "trades": "trades, not ranked",
    "same": "as the control",
    "unsettled": "standing not settled",
}
"""How an arm stands to the control, in short."""


def warnings(study: fg.Study) -> list[str]:
    """What a reader must know before using a sentence of this page."""
    plan = study.record.plan
    found = [elsewhere.UNKNOWN] if elsewhere.is_elsewhere(study) and elsewhere.models(study) else []
    found += [*(plan.get("joined") or ()), *dict.fromkeys(note for note in (plan.get("suite_notes") or {}).values() if note)]
    if study.arms and max(len({t.seed for t in study.done if t.name == arm}) for arm in study.arms) == 1:
        found.append(
            "Each arm was trained under one seed: the sentences are about these checkpoints and not about the strategies. "
            "Three seeds or more are needed for a claim about a strategy."
        )
    parts = (_begun, _apart, _chosen, _seen, _best, _skipped, _halved, _unfinished, _uncurved, old_text.warning, _weak)
    return found + [line for part in parts for line in part(study)]


def _apart(study: fg.Study) -> list[str]:
    """Arms that were not scored under the same seeds: they are compared under those that both have, which may be one."""
    keep = primary(study)
    under = {arm: study.seeds(arm, keep) for arm in study.arms} if keep else {}
    if len(set(under.values())) < 2:
        return []
    told = "; ".join(f"{arm}: {', '.join(map(str, seeds)) or 'none'}" for arm, seeds in under.items())
    own = under.get(study.control, ())
    one = [arm for arm in study.competitors if len(own) + len(under[arm]) > 2 and len({*own} & {*under[arm]}) == 1]
    line = f"Not all arms were scored under the same seeds ({told}), and each is compared with the control under those of both."
    if one:
        line += f" That is one for {words.listing(one)}: a comparison of two checkpoints and not of strategies."
    return [line]


def _begun(study: fg.Study) -> list[str]:
    """A base that reads text better without the token that documents begin with."""
    found = study.record.base.facts.get("bos") or {}
    if not found.get("better_without"):
        return []
    behind, bare = (f"{2 ** found[name]:,.2f}" for name in ("with", "without"))
    return [
        f"The base reads text better without {found['token']} in front of it: perplexity {bare} instead of {behind}, on "
        f"{words.several(found['documents'], 'document')}. It was hardly pre-trained behind that token, and every document "
        "here is scored behind it, for base and arms alike: part of a change may be getting used to it."
    ]


def _chosen(study: fg.Study) -> list[str]:
    """Items that are not shown, because something may have been chosen by them."""
    if not study.chosen:
        return []
    return [
        "Figures are of test items alone. Of every task without a validation set of its own a fifth of the items is left to "
        "choose by; results.csv has their figures apart."
    ]


def _seen(study: fg.Study) -> list[str]:
    """What would be said otherwise without the items that training text holds."""
    clean = flags.clean(study)
    if clean is None:
        return []
    now, then = claims(study), claims(clean)
    lines = [
        f"{arm}: {_said(then.get(arm))} instead of {_said(now[arm])}" for arm in now if _said(now[arm]) != _said(then.get(arm))
    ]
    if not lines:
        return []
    few = [task for task in study.samples if task not in clean.samples]
    lacks = f" Without them fewer than {flags.FEWEST} items are left of {words.listing(few)}, so nothing is said of these."
    return [
        "Training text holds parts of items that are scored, and without these other things would be said "
        f"({'; '.join(lines)}).{lacks if few else ''} "
        "The headline is of all items; figures without the flagged ones stand with the data."
    ]


def _said(claim: Claim | None) -> str:
    """What the page claims of an arm, in short."""
    if claim is None:
        return "nothing"
    own = f", at its own adaptation {claim.at[OWN]}" if OWN in claim.at else ""
    return f"{claim.answer}, {STANDINGS[claim.relation]}{own}"


def _best(study: fg.Study) -> list[str]:
    """Arms that are scored where they were best, and where that was before the end."""
    if not (study.record.plan.get("options") or {}).get("scored_at"):
        return []
    updates = {trial: (int(trial.facts["scored_at"]), int(trial.facts["steps"])) for trial in study.done}
    early = [f"{_name(trial)}: after {at} of {last} updates" for trial, (at, last) in updates.items() if at < last]
    scored = "Every arm is scored at its best checkpoint by loss on held-out new text"
    if not early:
        return [f"{scored}; so far that was the final step in all of them."]
    return [
        f"{scored} and not at its final step: before the last update in some ({'; '.join(early)}). "
        "Arms are stopped at different adaptation, so read what they keep beside what they learn."
    ]


def _skipped(study: fg.Study) -> list[str]:
    """Trainings that left out steps: they learned from less than the others."""
    steps = {trial: int(trial.facts.get("skipped_steps") or 0) for trial in study.done}
    lines = [f"{_name(trial)}: {left_out} of {trial.facts['steps']}" for trial, left_out in steps.items() if left_out]
    if not lines:
        return []
    return [
        f"Steps were skipped, because their loss or gradient was not finite ({'; '.join(lines)}); their text was not learned."
    ]


def _halved(study: fg.Study) -> list[str]:
    """Trainings that memory was too short for, as it was planned."""
    lines = [
        f"{_name(trial)}: {words.several(rows, 'row')} from update {update} on"
        for trial in study.done
        for update, rows in (trial.facts.get("halved") or [])[-1:]
    ]
    if not lines:
        return []
    planned = words.several(int(study.record.plan["micro_batch"]), "row")
    return [
        f"Memory ran out, and micro-batches were made smaller than the {planned} of the plan ({'; '.join(lines)}). "
        "Every step still learned from the same rows: these trainings differ from what was planned by rounding alone."
    ]


def _unfinished(study: fg.Study) -> list[str]:
    """Failed and missing trials, and what they would take."""
    left = unfinished(study)
    lines = [
        f"{_name(trial)} failed: {sensitive.error(study, trial.facts.get('error') or 'no reason was stored')}"
        for trial in left.failed
    ]
    if left.missing:
        missing = [f"{trial.name} (seed {trial.seed})" for trial in left.missing]
        lines.append(f"Not yet run: {words.listing(missing)}.")
    if not left.complete:
        guess = "--dry-run says what it takes" if left.seconds is None else f"about {words.duration(left.seconds)}"
        again = "".join(f" {command}" for command in left.commands)
        count = words.several(len(left.failed) + len(left.missing), "trial")
        lines.append(f"The same command again does only what is missing ({count}, {guess}){':' * bool(again)}{again}")
    if not left.base:
        lines.append("The base has not been scored; without it nothing can be compared.")
    return lines


def _uncurved(study: fg.Study) -> list[str]:
    """Controls whose weights could not be scored in between."""
    found = {trial: Result(trial.folder / "curve", trial.arm, trial.seed).facts for trial in study.done}
    return [
        f"{_name(trial)}: between the base and this control nothing was scored, so no arm is compared with it at equal "
        f"adaptation: {sensitive.error(study, facts['error'])}; the same command tries it again."
        for trial, facts in found.items()
        if facts.get("status") == "failed"
    ]


def _name(trial: Result) -> str:
    return f"{trial.name}, seed {trial.seed}"


def _weak(study: fg.Study) -> list[str]:
    """Where the evidence is thin, or the comparison has nothing to compare."""
    lines: list[str] = []
    keep, gain = primary(study), learned(study)
    learning = study.figure(gain, study.control) if gain else None
    if learning and learning.low <= 0:
        lines.append("The control did not clearly learn the new text; what an arm keeps then proves little.")
    losing = study.figure(keep, study.control) if keep else None
    if losing and losing.low <= 0:
        lines.append("The control did not clearly forget; this run cannot show that a strategy prevents forgetting.")
    small = [s.task for s in study.tasks(fg.LOST) if len(s.items) < FEW_ITEMS]
    if small:
        lines.append(f"Fewer than {FEW_ITEMS} questions in {words.listing(small)}: small changes stay invisible there.")
    kept = [s for s in study.samples.values() if not study.known(s) and _is(study, s.task, "keep")]
    guessed = [s.task for s in kept if study.mark(s) == "chance"]
    if guessed:
        lines.append(
            f"The base answers {words.listing(guessed)} no better than by guessing: what it does not know it cannot forget, "
            "so these tasks are left out of the averages."
        )
    full = [s.task for s in study.samples.values() if study.mark(s) == "ceiling"]
    for way, hidden in CEILING.items():
        if tasks := [task for task in full if _is(study, task, way)]:
            lines.append(f"The base is at the ceiling in {words.listing(tasks)}: {hidden}.")
    if unknown := [s.task for s in kept if study.mark(s) == "unknown"]:
        lines.append(
            f"Nobody said what guessing would score in {words.listing(unknown)}, so these tasks are left out of the averages; "
            "give their chance in the suite."
        )
    return lines


def _is(study: fg.Study, task: str, measures: str) -> bool:
    return study.record.tasks[task]["measures"] == measures
