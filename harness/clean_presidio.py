"""The cleaner `presidio`: names, places and what else has no form of its own, found by Microsoft's presidio.

It was run against a stand-in with presidio's interface (`AnalyzerEngine().analyze(text=, language=, entities=,
score_threshold=)` gives results with `entity_type`, `start`, `end` and `score`), not against presidio and its language model.
"""

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Any

from pydantic import Field

from harness.clean import Marked
from harness.errors import InputError, said

INSTALL = 'type pip install "forgetting-harness[presidio]" && python -m spacy download en_core_web_lg'


def presidio(
    text: str,
    entities: Sequence[str] = ("PERSON", "LOCATION"),
    language: str = "en",
    score: Annotated[float, Field(ge=0, le=1)] = 0.5,
) -> Marked:
    """Put a mark of its type where presidio finds an entity: [PERSON], [LOCATION].

    Needs the extra `presidio` and spaCy's model of the language. Where findings overlap the surer one is marked.

    Parameters:
        entities: presidio's names of what is marked
        language: language of the text
        score: smallest score of what is marked
    """
    found = _analyzer().analyze(text=text, language=language, entities=list(entities), score_threshold=score)
    marks: Counter[str] = Counter()
    chosen: list[Any] = []
    for one in sorted(found, key=lambda one: (-one.score, one.start - one.end, one.start, one.entity_type)):
        if all(one.end <= other.start or other.end <= one.start for other in chosen):
            chosen.append(one)
    for one in sorted(chosen, key=lambda one: -one.start):
        text = f"{text[: one.start]}[{one.entity_type}]{text[one.end :]}"
        marks[one.entity_type] += 1
    return Marked(text, marks)


@lru_cache(maxsize=1)
def _analyzer() -> Any:
    try:
        from presidio_analyzer import AnalyzerEngine  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise InputError(f"presidio is not installed; {INSTALL}") from None
    try:
        return AnalyzerEngine()
    except (Exception, SystemExit) as error:  # it fetches spaCy's model where that is missing, and may exit
        raise InputError(f"presidio cannot start ({said(error)}); {INSTALL}") from error
