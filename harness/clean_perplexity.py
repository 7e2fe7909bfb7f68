"""The scorer `perplexity`: how surprising a model finds a document.

Formula: exp(-(1/N) sum of log p(token | before)), in nats: over the N tokens of a document, or over its N bytes.
Cost: one forward pass of the model over the text, on the accelerator where there is one.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple


class Document(NamedTuple):
    """A text as the scorer is asked about it."""

    args: tuple[str]
    task_name: str
    doc_id: int


def perplexity(texts: Sequence[str], model: str = "world", per: Literal["token", "byte"] = "token") -> list[float]:
    """Keep documents that a model finds likely: the perplexity of each is at most `maximum`, or in the lowest share `quantile`.

    Documents longer than the model reads at once are read in windows: every token is scored once, behind as much text as fits.
    The same text has the same perplexity in any batch, to rounding. A blank text has none, and is not kept.

    Parameters:
        model: what `harness run --model` takes: a folder, a hub name, or a registered model
        per: token: tokens of that model's tokenizer; byte: bytes of UTF-8, which compares between models
        maximum: largest perplexity that is kept
        quantile: share of the documents that is kept, those with the lowest perplexity
    """
    from harness.score_state import quiet

    scorer = _scorer(model) if any(texts) else _located(model)
    asked = [Document((text,), "perplexity", place) for place, text in enumerate(texts) if text.strip()]
    found = [math.inf] * len(texts)
    if asked:
        scorer.predicted.clear()
        with quiet():
            nats = scorer.loglikelihood_rolling(asked, disable_tqdm=True)
        for document, value in zip(asked, nats, strict=True):
            length = scorer.predicted[document.args] if per == "token" else len(document.args[0].encode("utf-8", "replace"))
            found[document.doc_id] = _exp(-value / length)
    return found


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf  # a model that gives no numbers gives no perplexity


def _located(model: str) -> Any:
    """Refuse a model that is not there."""
    from harness.model import locate

    return locate(model)


@lru_cache(maxsize=1)
def _scorer(model: str) -> Any:
    """The model, loaded once a process."""
    import torch

    from harness.model import load_model, load_tokenizer
    from harness.score_model import Scorer
    from harness.score_state import quiet

    base = _located(model)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with quiet():
        return Scorer(load_model(base.folder).to(device), load_tokenizer(base.folder), length=None, bos=base.facts.get("bos"))
