"""How was this made, and how is it made again? The plan, the digests, the words that the page uses."""

import json
from collections.abc import Mapping
from typing import Any

from harness import forgetting as fg
from reports import elsewhere, words
from reports.section import Block, Code, Section, Table, Text

MEASURES = (
    ("forgetting, text", "bits per byte after minus before, by document, mean over corpora with equal weights; above 0 is bad"),
    ("forgetting, accuracy", "accuracy before minus after, mean over tasks that the base knows; above 0 is bad"),
    ("adaptation", "the same on new text and new tasks, signed so that above 0 is good"),
    ("retention", "accuracy above chance after, over accuracy above chance before; a ratio of sums over tasks"),
    ("avoided share", "(control's forgetting − arm's forgetting) / control's forgetting"),
    ("bits an answer", "−log2 of the probability of the right answer's words; adaptation is its fall"),
    ("rehearsed", "scored on the source of the old text that arms may read; never averaged with unrehearsed"),
    ("items", "all that were scored, or, where the plan says items test, those that nothing was chosen by"),
    ("at chance, at the ceiling", "the base less than 2 standard errors above chance, or below all right; before training"),
    ("KL(base ‖ arm)", "sum over the vocabulary of p(base) · log(p(base) / p(arm)), per predicted token of held-out text"),
    (
        "interval",
        "95 %, t, paired by item, clustered where items share a source; with several seeds, seeds and items in quadrature",
    ),
)


def section(study: fg.Study) -> Section:
    """Command, plan, versions, digests, definitions."""
    plan = study.record.plan
    created = f" on {plan['created']}" if plan.get("created") else ""
    trials = f"{len(study.done)} of {words.several(len(study.record.trials), 'training')}"
    answer = f"Planned{created} and run on one base with the same new text in the same order; {trials} stand here."
    blocks: list[Block] = []
    commands = plan.get("commands") or [plan.get("command")]  # a folder that grew was made by several
    if any(commands):
        blocks.append(Code("To make it again", "\n".join(str(command) for command in commands if command)))
    blocks += [Text(str(note)) for note in plan.get("notes") or ()]
    if elsewhere.is_elsewhere(study):
        answer = f"Scored{created} on the same items as their base."
        blocks += [source_table(plan), elsewhere.table(study), reading_table(study), definitions(), versions(plan)]
    else:
        blocks += [source_table(plan), budget_table(plan), arm_table(plan), digest_table(study)]
        blocks += [reading_table(study), definitions(), versions(plan)]
    return Section("provenance", "How was this made, and how is it made again?", answer, tuple(blocks))


def _spell(value: Any) -> str:
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(value, ensure_ascii=False, default=str)
    return words.NOTHING if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _pairs(caption: str, head: tuple[str, str], values: Mapping[str, Any]) -> Table:
    return Table(caption, head, tuple((str(key), _spell(value)) for key, value in values.items()), words=2)


def source_table(plan: Mapping[str, Any]) -> Table:
    """Base and texts."""
    parameters = plan["base"].get("parameters")
    size = f"{words.count(parameters)} parameters" if parameters else ""
    rows = [("base", _spell(plan["base"].get("name")), size, _spell(plan["base"].get("digest"))[:16])]
    for role, facts in (plan.get("sources") or {}).items():
        size = f"{words.count(facts.get('documents'))} documents, {words.count(facts.get('tokens'))} tokens"
        rows.append((f"{role} text", _spell(facts.get("name")), size, _spell(facts.get("key"))[:16]))
    rows += [(f"suite {name}", "", "", _spell(key)[:16]) for name, key in (plan.get("suites") or {}).items()]
    return Table(
        "What went in, with the first characters of its digest",
        ("what", "name", "size", "digest"),
        tuple(rows),
        words=4,
        wide=True,
    )


def budget_table(plan: Mapping[str, Any]) -> Table:
    """What every arm had to share."""
    budget = dict(plan.get("budget") or {}) | {"micro_batch": plan.get("micro_batch"), "seeds": plan.get("seeds")}
    engine = {key: {True: "on", False: "off"}.get(value, value) for key, value in (plan.get("engine") or {}).items()}
    shared = {"updates of the control": budget.pop("steps", None), "equal": plan.get("equal"), **budget, **engine}
    return _pairs("The budget that every arm shares", ("setting", "value"), shared | dict(plan.get("options") or {}))


def arm_table(plan: Mapping[str, Any]) -> Table:
    """Every parameter of every arm, defaults included; lr is a multiple of the plan's peak."""
    trained = plan.get("trainings") or {}
    rows = tuple(_arm(str(arm), parts, trained.get(arm) or {}) for arm, parts in (plan.get("strategies") or {}).items())
    caption = "Every arm with all its parameters; lr is a multiple of the peak rate above"
    return Table(caption, ("arm", "parameters", "its controls", "lr", "updates"), rows, words=3, wide=True)


def _arm(arm: str, parts: Any, trained: Mapping[str, Any]) -> tuple[str, ...]:
    name = f"{arm} (experimental)" if trained.get("experimental") else arm
    controls = words.listing(list(trained.get("controls") or ())) or words.NOTHING
    return name, _spell(parts), controls, _spell(trained.get("lr")), _spell(trained.get("updates"))


def digest_table(study: fg.Study) -> Table:
    """Digests of the weights that were scored."""
    base = ("base", "", study.record.base.status, _spell(study.record.base.facts.get("digest"))[:16])
    rows = [(t.name, str(t.seed), t.status, _spell(t.facts.get("weights"))[:16]) for t in study.record.trials]
    return Table("The weights that were scored", ("arm", "seed", "status", "digest"), (base, *rows), words=4)


def reading_table(study: fg.Study) -> Table:
    """How models read what is scored: in packed rows, or plain and why."""
    found: dict[str, dict[str, None]] = {}
    for result in (study.record.base, *study.record.trials):
        for task, how in result.paths.items():
            found.setdefault(how, {})[task] = None
    rows = tuple((how, ", ".join(tasks)) for how, tasks in found.items())
    return Table("How models read the tasks; packed rows were compared with plain ones first", ("rows", "tasks"), rows, words=2)


def definitions() -> Table:
    """What the page's words mean."""
    return Table("What the words mean", ("word", "meaning"), MEASURES, words=2)


def versions(plan: Mapping[str, Any]) -> Table:
    """What results depend on, and the fingerprint of the plan."""
    found = dict(plan.get("versions") or {}) | {"plan": str(plan.get("fingerprint", ""))[:16]}
    return _pairs("Versions", ("of", "version"), found)
