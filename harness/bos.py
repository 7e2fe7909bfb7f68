"""Does the base read text better behind its beginning-of-text token, or without? Asked once, before anything is compared.

Documents are conditioned on a token in every score: BOS, or EOS (borders.py). A base that was pre-trained without BOS pays for
it, and one that was pre-trained with it cannot do without: a Llama read the same text with perplexity 39 and 17,832,760. The
same tokens are scored both ways, all but a document's first, which has nothing before it without the token.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from harness import statistics
from harness.suite import Suite

DOCUMENTS, TOKENS = 32, 256
"""At most so many, and so much of each."""
LEAST = 8
"""Documents below which nothing is said."""


def openings(suites: Sequence[Suite]) -> list[str]:
    """Documents of the suites' own text; what measures keeping on another source first."""
    tasks = [task for suite in suites for task in suite.tasks if task.metric == "bits_per_byte"]
    tasks.sort(key=lambda task: (task.measures != "keep", task.source != "other"))
    return list(islice((text for task in tasks for text in _texts(task)), DOCUMENTS))


def _texts(task: Any) -> Iterator[str]:
    from harness.score_tasks import build

    for leaf in build(task).values():
        yield from (str(leaf.doc_to_target(document)) for document in leaf.eval_docs)


def compare(model: Any, tokenizer: Any, texts: Iterable[str]) -> dict[str, Any] | None:
    """Bits a token with the token in front and without, and whether without is better beyond noise; None: too few documents.

    with, without   means over documents of the mean over a document's tokens
    low, high       95 % of with - without, paired by document
    """
    from harness.score_encode import encode, prefix_token
    from harness.score_model import Scorer
    from harness.score_state import quiet, unchanged

    with quiet(), unchanged(model):
        scorer = Scorer(model, tokenizer, length=None, bos=False)
        mark, most = prefix_token(tokenizer, True), min(TOKENS, scorer.max_length - 1)
        rows = [row[:most] for row in encode(scorer.tokenizer, list(texts), False) if len(row) > 1]
        if len(rows) < LEAST:
            return None
        behind, bare = (
            [-nats / math.log(2) / (len(row) - 1) for row, (nats, _) in zip(rows, found, strict=True)]
            for found in (
                scorer._loglikelihood_tokens([(None, [*front, row[0]], row[1:]) for row in rows]) for front in ([mark], [])
            )
        )
    worse = statistics.mean([one - other for one, other in zip(behind, bare, strict=True)])
    low, high = worse.interval()
    means = {"with": statistics.mean(behind).value, "without": statistics.mean(bare).value}
    found = {"token": tokenizer.decode([mark]), "documents": len(rows), **means, "low": low, "high": high}
    return {**found, "better_without": low > 0}
