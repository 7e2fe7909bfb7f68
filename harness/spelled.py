"""What plan.yaml says of a text and of an arm."""

from collections.abc import Mapping
from typing import Any

from harness import registry
from harness.code import code
from harness.corpus import Corpus
from harness.model import Base
from harness.plan import Arm
from harness.sources import Mixed
from harness.strategy import Strategy, parameters, parts


def source(corpus: Corpus, table: Any) -> dict[str, Any]:
    """A text: name, key, and how many documents, rows of the plan's length, tokens and bytes it holds; of its parts too."""
    facts = table.facts
    described = {
        "name": corpus.name,
        "key": corpus.key,
        "documents": facts.documents,
        "rows": facts.rows,
        "tokens": facts.tokens,
        "bytes": facts.bytes,
        "sensitive": corpus.sensitive,
        **({"word": corpus.word} if corpus.word else {}),
    }
    if not isinstance(corpus, Mixed):
        return described
    weights = table.weights()
    each = zip(corpus.parts, table.parts, weights, strict=True)
    return described | {"parts": [source(one, part) | {"share": own / sum(weights)} for one, part, own in each]}


def spelled(
    arm: Arm, strategy: Strategy, extra: Mapping[str, registry.Entry], others: Mapping[str, Base]
) -> list[dict[str, Any]]:
    """Every parameter of every part, defaults included, whose code it is, and which other models it compares with."""
    return [
        {
            "name": part.name,
            **parameters(built),
            "code": f"{registry.find('strategies', part.name, dict(extra)).origin} {code(type(built).__module__)}".strip(),
            **{need: others[need].digest for need in built.needed() if need in others},
        }
        for part, built in zip(arm.parts, parts(strategy), strict=True)
    ]
