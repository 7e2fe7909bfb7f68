"""Text to tokens as a base reads it: with the beginning-of-text token where its pre-training put one."""

from collections.abc import Sequence
from typing import Any

from harness.errors import InputError


def prefix_token(tokenizer: Any) -> int:
    """The token that documents are conditioned on: BOS, or EOS for bases that only separate documents."""
    for token in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        if token is not None:
            return int(token)
    raise InputError(
        "the tokenizer declares neither a BOS nor an EOS token, so nothing can stand before a text; "
        "set bos_token or eos_token in tokenizer_config.json"
    )


def encode(tokenizer: Any, texts: Sequence[str], bos: bool | None = None) -> list[list[int]]:
    """Tokens of every text.

    bos  True: the prefix token stands in front, also where the tokenizer does not put it there by itself;
         False: nothing is added; None: what the tokenizer does. Never twice where the text spells it out.
    """
    if not texts:
        return []
    plain = _tokens(tokenizer, texts, special=False)
    if bos is False:
        return plain
    prefix = prefix_token(tokenizer)
    if bos:
        return [tokens if tokens[:1] == [prefix] else [prefix, *tokens] for tokens in plain]
    mark = tokenizer.decode([prefix])
    own = _tokens(tokenizer, texts, special=True)
    return [bare if text.startswith(mark) else full for text, bare, full in zip(texts, plain, own, strict=True)]


def _tokens(tokenizer: Any, texts: Sequence[str], special: bool) -> list[list[int]]:
    found = tokenizer(
        list(texts),
        add_special_tokens=special,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    )
    return found["input_ids"]


def window(config: Any, tokenizer: Any) -> int:
    """Tokens that a model of that configuration reads at once, as lm-eval tells it."""
    from lm_eval.models.utils import resolve_max_length

    return resolve_max_length(config, tokenizer)
