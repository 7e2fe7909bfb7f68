"""What was trained on, and does it hold what is scored? The texts, what each arm read of them, and their overlap with items."""

from collections.abc import Iterator, Mapping
from typing import Any

from harness import forgetting as fg
from reports import elsewhere, overlap, words
from reports.section import Block, Cell, Section, Table, Text

ROLES = {"new": "new text, to be learned", "old": "old text, which the base knows", "task": "task text"}


def section(study: fg.Study) -> Section:
    """Texts, who read how much of them, and what was found of the items."""
    question = "What was trained on, and does it hold what is scored?"
    if elsewhere.is_elsewhere(study):
        return Section("data", question, UNKNOWN)
    blocks: list[Block] = [texts(study)]
    if study.arms:
        blocks.append(read(study))
    blocks += [Text(sentence) for sentence in withheld(study)]
    return Section("data", question, overlap.answer(study), (*blocks, *overlap.blocks(study)))


UNKNOWN = (
    "These models were trained elsewhere, on text that is not known here: whether it holds the items that are scored cannot "
    "be told, and a score may be memory."
)


def sources(study: fg.Study) -> dict[str, Mapping[str, Any]]:
    """The texts of the plan by the part that they play; several that are mixed each on its own."""
    found: dict[str, Mapping[str, Any]] = {}
    for role, facts in (study.record.plan.get("sources") or {}).items():
        if "parts" in facts:
            found |= {f"{role}: {part['name']}": part for part in facts["parts"]}
        else:
            found[role] = facts
    return found


def texts(study: fg.Study) -> Table:
    """Every text of the plan, where it comes from and what may be done with it."""
    rows = tuple(
        (
            _role(name),
            str(facts.get("name") or words.NOTHING),
            Cell(str(facts.get("about") or words.NOTHING), under="; ".join(facts.get("notes") or ())),
            str(facts.get("licence") or "unknown"),
            "yes" if facts.get("sensitive") else "no",
            words.count(facts.get("documents")),
            words.count(facts.get("tokens")),
        )
        for name, facts in sources(study).items()
    )
    head = ("part", "text", "from", "licence", "sensitive", "documents", "tokens")
    return Table("The texts that may be trained on: their documents for training, and the tokens of these", head, rows, 5, True)


def _role(name: str) -> str:
    return ROLES.get(name.partition(": ")[0], name)


def read(study: fg.Study) -> Table:
    """What each arm read of every text: tokens, their share, how often it was read, and how much of it at all."""
    first = {trial.name: passed(trial.facts) for trial in reversed(study.done)}
    names = list(dict.fromkeys([*sources(study), *(name for found in first.values() for name in found)]))
    rows = []
    for arm in study.arms:
        whole = sum(found["tokens"] for found in first[arm].values()) or 1
        rows.append((arm, *(_read(first[arm].get(name), whole) for name in names)))
    caption = (
        "Tokens that each arm's first training read of every text; below, their share, the passes over the text and the tokens "
        "of it that were read at all"
    )
    return Table(caption, ("arm", *names), tuple(rows), wide=True)


def passed(facts: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """What a training read, by text; of a text that a strategy made, the tokens alone are known."""
    found: dict[str, Mapping[str, Any]] = {}
    for role, tokens in (facts.get("tokens") or {}).items():
        known = (facts.get("read") or {}).get(role, {"tokens": tokens})
        found |= {f"{role}: {name}": part for name, part in known["parts"].items()} if "parts" in known else {role: known}
    return {name: each for name, each in found.items() if each["tokens"]}


def _read(found: Mapping[str, Any] | None, whole: int) -> str | Cell:
    if not found:
        return words.NOTHING
    share = f"{100 * found['tokens'] / whole:.0f} %"
    more = [f"{found['epochs']:.2g} epochs", f"{words.count(found['unique_tokens'])} unique"] if "epochs" in found else []
    return Cell(words.count(found["tokens"]), under=", ".join([share, *more]))


def withheld(study: fg.Study) -> Iterator[str]:
    """What is kept off the page, and what may still hold it."""
    kept = [name for name, facts in sources(study).items() if facts.get("sensitive")]
    if kept:
        listed = words.listing([f"{name} text" for name in kept])
        yield (
            f"The {listed} {'are' if len(kept) > 1 else 'is'} sensitive. A model that was trained on it may recite it: what "
            "arms write is kept off pages and rows as the text itself is, and their weights are to be kept as it is."
        )
