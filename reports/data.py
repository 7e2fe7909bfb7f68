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
    if len(read(study).rows):
        blocks.append(read(study))
    blocks += [Text(sentence) for sentence in withheld(study)]
    return Section("data", question, overlap.answer(study), (*blocks, *overlap.blocks(study)))


UNKNOWN = (
    "These models were trained elsewhere, on text that is not known here: whether it holds the items that are scored cannot "
    "be told, and a score may be memory."
)


def sources(study: fg.Study) -> Mapping[str, Mapping[str, Any]]:
    """The texts of the plan by the part that they play."""
    return study.record.plan.get("sources") or {}


def texts(study: fg.Study) -> Table:
    """Every text of the plan, where it comes from and what may be done with it."""
    rows = tuple(
        (
            _role(name),
            str(facts.get("name") or words.NOTHING),
            str(facts.get("origin") or facts.get("about") or words.NOTHING),
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
    part, _, number = name.partition(".")
    return f"{ROLES.get(part, part)}{f', {number}' if number else ''}"


def read(study: fg.Study) -> Table:
    """What each arm read of every text: tokens, their share, and how often a token was read."""
    known = sources(study)
    first = {trial.name: trial for trial in reversed(study.done)}
    rows = []
    for arm in study.arms:
        spent = {name: int(count) for name, count in (first[arm].facts.get("tokens") or {}).items() if count}
        others = [name for name in spent if name not in known]
        whole = sum(spent.values()) or 1
        cells = [_read(spent.get(name, 0), whole, known[name].get("tokens")) for name in known]
        rows.append((arm, *cells, *([_read(sum(spent[name] for name in others), whole, None)] if any_other(study) else [])))
    made = ("made by the arm",) if any_other(study) else ()
    caption = "Tokens that each arm's first training read of every text; below, their share and the passes over the text"
    return Table(caption, ("arm", *map(_role, known), *made), tuple(rows), wide=True)


def any_other(study: fg.Study) -> bool:
    """Whether an arm read text that is none of the plan's: what a strategy drew or chose for itself."""
    return any(set(trial.facts.get("tokens") or {}) - set(sources(study)) for trial in study.done)


def _read(tokens: int, whole: int, there: Any) -> str | Cell:
    if not tokens:
        return words.NOTHING
    passes = [f"{tokens / there:.2g} epochs"] if there else []
    return Cell(words.count(tokens), under=", ".join([f"{100 * tokens / whole:.0f} %", *passes]))


def withheld(study: fg.Study) -> Iterator[str]:
    """What is kept off the page, and what may still hold it."""
    kept = [name for name, facts in sources(study).items() if facts.get("sensitive")]
    if kept:
        listed = words.listing([f"{name} text" for name in kept])
        yield (
            f"The {listed} {'are' if len(kept) > 1 else 'is'} sensitive. A model that was trained on it may recite it: what "
            "arms write is treated alike, and the weights in the run folder should be kept as the text is."
        )
