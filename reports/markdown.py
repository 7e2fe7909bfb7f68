"""A run as Markdown, for pull requests: verdict, prices, warnings. GitHub's flavour, and nothing in it but what was meant.

Words from models, data and paths cannot begin a link, a mention, an element or a column.
"""

import re

from harness import claims as claimed
from harness import sensitive
from harness.forgetting import Study
from reports import arms, page, verdict, words
from reports.cautions import STANDINGS, warnings
from reports.section import Cell, Table, measured

MARKS = re.compile(r"([\\`*_\[\]|~#])")
LINKS = re.compile(r"@|\\#(?=\d)|(?<=[Gg][Hh]-)(?=\d)|(?<=[a-zA-Z]):(?=//)|(?<=www)(?=\.)")
"""Where GitHub would see a mention, a reference or an address."""
BREAKS = "&#8203;"
"""A space without width: it ends a mention or an address, and a reader does not see it."""


def rendered(study: Study) -> str:
    """The page in short."""
    kind, status = page.status(study)
    head = [f"## {escaped(page.title(study))}", f"**{escaped(status)}**" if kind == "partial" else escaped(status)]
    facts = " · ".join(f"{escaped(name)}: {escaped(value)}" for name, value in page.facts(study))
    found = claimed.claims(study)
    notice = [f"*{escaped(text)}*"] if (text := sensitive.notice(study)) else []
    parts = [*head, *notice, facts, escaped(verdict.summary(study, found))]
    if found:
        sentences = [verdict.finding(study, claim) for claim in found.values()]
        parts += [table(verdicts(study, found)), "\n".join(f"- **{escaped(f.arm)}**: {escaped(f.sentence)}" for f in sentences)]
    if study.arms and kept_prices(study):
        parts += ["### What did it cost?", table(arms.prices(study))]
    if told := warnings(study):
        parts += ["### Before you use this", "\n".join(f"- {escaped(sentence)}" for sentence in told)]
    return "\n\n".join(parts) + "\n"


def kept_prices(study: Study) -> bool:
    """Whether what training cost is known here."""
    return "models" not in study.record.plan


def verdicts(study: Study, found: dict[str, claimed.Claim]) -> Table:
    """An arm's answer, how it stands, and its two figures."""
    keep, gain = claimed.primary(study), claimed.learned(study)
    assert keep
    head = ["arm", "answer", "standing", f"forgetting ({words.UNIT[keep.kind]})"]
    head += [f"learned ({words.UNIT[gain.kind]})"] if gain else []
    lines: list[tuple[str | Cell, ...]] = []
    for claim in found.values():
        competes = claim.arm in study.competitors
        standing = STANDINGS[claim.relation] if competes else "control" if claim.arm == study.control else words.NOTHING
        line = [claim.arm, claim.answer, standing, measured(claim.forgetting, keep.kind)]
        lines.append((*line, *([measured(claim.adaptation, gain.kind)] if gain else [])))
    return Table("", tuple(head), tuple(lines), words=3)


def table(found: Table) -> str:
    """A table; what stands small below a cell's text follows it in brackets."""
    rules = [":--" if place < found.words else "--:" for place in range(len(found.head))]
    lines = [[escaped(name) for name in found.head], rules, *([_cell(value) for value in row] for row in found.rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: str | Cell) -> str:
    if isinstance(value, str):
        return escaped(value)
    return escaped(value.text) + (f" ({escaped(value.under)})" if value.under else "")


def escaped(text: str) -> str:
    """Text that GitHub shows as it is: on one line, without marks, elements, mentions, references and addresses."""
    line = " ".join(words.clean(str(text)).split())
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    line = MARKS.sub(r"\\\1", line)
    line = LINKS.sub(lambda found: found[0] + BREAKS, line)
    return re.sub(r"^(\d*)([-+.)])(?=\s)", r"\1\\\2", line)
