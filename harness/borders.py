"""Where documents begin and end in a base's stream of tokens: one rule, for the rows of training and for scoring."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.errors import InputError


@dataclass(frozen=True)
class Borders:
    """Tokens that stand around every document, the first one too.

    start   the token that a document begins behind
    end     the token that a document ends with, where the base saw one of its own; else its end is the next one's start
    """

    start: int
    end: int | None = None

    def around(self, tokens: list[int]) -> list[int]:
        """A document's tokens with those that stand around it."""
        return [self.start, *tokens, *(() if self.end is None else (self.end,))]


def borders(tokenizer: Any, facts: Mapping[str, Any] | None = None) -> Borders:
    """The borders of documents as a base was pre-trained, by what is known of it (`bos`, `eos`), else by its tokenizer.

    A document begins behind BOS where the base was trained so (`bos` true; unknown: where the tokenizer puts it in front, as
    Llama's and Gemma's do), else behind the EOS that ended the document before it (GPT-NeoX, OLMo, Qwen). It has an end of
    its own where the base saw both (`eos` true).
    """
    known = facts or {}
    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    if bos is None and eos is None:
        raise InputError("the tokenizer names neither BOS nor EOS; set eos_token in its tokenizer_config.json")
    behind = known.get("bos")
    if behind is None:
        behind = bos is not None and tokenizer("a").input_ids[0] == bos
    start = next(int(token) for token in ((bos, eos) if behind else (eos, bos)) if token is not None)
    return Borders(start, int(eos) if known.get("eos") and eos not in (None, start) else None)
