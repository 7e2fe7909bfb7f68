"""How was this made, and how is it made again? The plan, the digests, the words that the page uses."""

import json
from collections.abc import Mapping
from typing import Any

from harness import forgetting as fg
from reports import elsewhere, words
from reports.section import Block, Cell, Code, Section, Table, Text

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
    ("lost, gained", "share of items right before and wrong after, and the reverse; in points of the task's items"),
    ("margin of an item", "log p of the right option less that of the best wrong one, in nats; above 0 is a right answer"),
    ("stability gap", "highest forgetting at a milestone less the last (De Lange et al. 2023); above 0: some came back"),
    ("interval", "95 %, t, paired by item and clustered where items share a source; with one seed it holds items alone"),
    ("layers", "with several seeds: variance over seeds plus that over items, less what both contain, taken once"),
    ("corrections", "Holm over every comparison with the control"),
    ("corrections of tables", "Benjamini and Hochberg, because they are exploration"),
)


def section(study: fg.Study) -> Section:
    """Command, plan, versions, digests, definitions."""
    plan = study.record.plan
    created = f" on {_moment(str(plan['created']))}" if plan.get("created") else ""
    trials = f"{len(study.done)} of {words.several(len(study.record.trials), 'training')}"
    answer = f"Planned{created} and run on one base with the same new text in the same order; {trials} stand here."
    blocks: list[Block] = []
    commands = plan.get("commands") or [plan.get("command")]  # a folder that grew was made by several
    if any(commands):
        blocks.append(Code("To make it again", "\n".join(str(command) for command in commands if command)))
    blocks += [Text(str(note)) for note in plan.get("notes") or ()]
    if elsewhere.is_elsewhere(study):
        answer = f"Scored{created} on the same items as their base."
        blocks += [
            source_table(plan),
            elsewhere.table(study),
            reading_table(study),
            pairing(study),
            margins(study),
            definitions(study),
            versions(plan),
        ]
    else:
        blocks += [source_table(plan), budget_table(plan), arm_table(plan), digest_table(study)]
        blocks += [reading_table(study), pairing(study), margins(study), definitions(study), versions(plan)]
    return Section("provenance", "How was this made, and how is it made again?", answer, tuple(blocks))


def _moment(text: str) -> str:
    """A moment to the minute: 2025-01-31 08:30 UTC."""
    day, _, time = text.partition("T")
    return f"{day} {time[:5]} UTC" if time else day


def _spell(value: Any) -> str:
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(value, ensure_ascii=False, default=str)
    return words.NOTHING if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _pairs(caption: str, head: tuple[str, str], values: Mapping[str, Any]) -> Table:
    return Table(caption, head, tuple((str(key), _spell(value)) for key, value in values.items()), words=2)


def _digest(key: Any) -> str:
    """What tells one content from another: the end of a key that begins with a name."""
    return _spell(key).rpartition("-")[2][:16]


def source_table(plan: Mapping[str, Any]) -> Table:
    """Base and texts."""
    parameters = plan["base"].get("parameters")
    size = f"{words.count(parameters)} parameters" if parameters else ""
    rows = [("base", _spell(plan["base"].get("name")), size, _spell(plan["base"].get("digest"))[:16])]
    for role, facts in (plan.get("sources") or {}).items():
        size = f"{words.count(facts.get('documents'))} documents, {words.count(facts.get('tokens'))} tokens"
        rows.append((f"{role} text", _spell(facts.get("name")), size, _digest(facts.get("key"))))
    rows += [(f"suite {name}", "", "", _digest(key)) for name, key in (plan.get("suites") or {}).items()]
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


def _arm(arm: str, parts: Any, trained: Mapping[str, Any]) -> tuple[str | Cell, ...]:
    name = f"{arm} (experimental)" if trained.get("experimental") else arm
    controls = words.listing(list(trained.get("controls") or ())) or words.NOTHING
    return name, _parameters(parts), controls, _spell(trained.get("lr")), _spell(trained.get("updates"))


def _parameters(parts: Any) -> str | Cell:
    """`weight 0.5, direction forward`, part by part where an arm has several, and below it which code that was."""
    if not isinstance(parts, Mapping) or not all(isinstance(given, Mapping) for given in parts.values()):
        return _spell(parts)
    said, codes = [], []
    for title, given in parts.items():
        values = ", ".join(f"{key} {_spell(value)}" for key, value in given.items() if key != "code") or "no parameters"
        said.append(f"{str(title).partition(' ')[2] or title}: {values}" if len(parts) > 1 else values)
        codes += [str(given["code"])] if "code" in given else []
    return Cell("; ".join(said), under=f"code {', '.join(codes)}" if codes else "")


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


def pairing(study: fg.Study) -> Table:
    """The proof that items are the same before and after: how many rows of trials had the base's digests."""
    rows = tuple(
        (s.task, f"{len(s.items):,}", str(s.base.clusters), str(len(s.after)), Cell(f"{n:,} of {n:,}", value=n))
        for s in study.samples.values()
        for n in [len(s.items) * len(s.after)]
    )
    caption = (
        "Pairing: rows of trials whose digests of document, prompt and right answer are those of the base's row of the same "
        "item; a single one that is not ends the report with an error"
    )
    return Table(caption, ("task", "items", "clusters", "trials", "rows that match"), rows)


def margins(study: fg.Study) -> Table:
    """Changes that do not matter, as the plan set them."""
    kinds: tuple[fg.Kind, ...] = ("text", "accuracy", "answer")
    rows = tuple((words.UNIT[kind], words.amount(study.margin(kind), kind)) for kind in kinds)
    return Table("Margins: changes that do not matter, set before the run", ("unit", "margin"), rows)


def definitions(study: fg.Study) -> Table:
    """What the page's words mean; without a control none that is about it."""
    rows = tuple((word, told) for word, told in MEASURES if study.control or "control" not in told)
    return Table("What the words mean", ("word", "meaning"), rows, words=2)


def versions(plan: Mapping[str, Any]) -> Table:
    """What results depend on, and the fingerprint of the plan."""
    found = dict(plan.get("versions") or {}) | {"plan": str(plan.get("fingerprint", ""))[:16]}
    return _pairs("Versions", ("of", "version"), found)
