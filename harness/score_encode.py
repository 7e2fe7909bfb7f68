"""Text to tokens as a base reads it: with the beginning-of-text token where its pre-training put one.

Text that spells a special token stays text, as in the rows of training: nothing that a document says is a border.
"""

from collections.abc import Sequence
from typing import Any

from harness.borders import borders


def prefix_token(tokenizer: Any, bos: bool | None = None) -> int:
    """The token that documents are conditioned on: what they begin behind in training."""
    return borders(tokenizer, {"bos": bos}).start


def encode(tokenizer: Any, texts: Sequence[str], bos: bool | None = None) -> list[list[int]]:
    """Tokens of every text.

    bos  True: the prefix token stands in front, also where the tokenizer does not put it there by itself;
         False: nothing is added; None: what the tokenizer does.
    """
    if not texts:
        return []
    if bos is None:
        return _tokens(tokenizer, texts, special=True)
    front = [prefix_token(tokenizer, bos)] if bos else []
    return [front + tokens for tokens in _tokens(tokenizer, texts, special=False)]


def _tokens(tokenizer: Any, texts: Sequence[str], special: bool) -> list[list[int]]:
    found = tokenizer(
        list(texts),
        add_special_tokens=special,
        split_special_tokens=True,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    )
    return found["input_ids"]


def window(config: Any, tokenizer: Any) -> int:
    """Tokens that a model of that configuration reads at once, as lm-eval tells it."""
    from lm_eval.models.utils import resolve_max_length

    return resolve_max_length(config, tokenizer)
