"""What a model says after a prompt, greedily: base and arms complete the same openings."""

import copy
from collections.abc import Sequence
from typing import Any

import pandas as pd

from harness.score_encode import encode, prefix_token
from harness.score_state import unchanged

GREEDY = {"num_beams": 1, "repetition_penalty": 1.0}
"""Against what a checkpoint's own generation settings may say."""


def complete(model: Any, tokenizer: Any, prompts: Sequence[str], tokens: int = 40, bos: bool | None = None) -> pd.DataFrame:
    """Greedy completions of at most `tokens` tokens, as columns prompt and completion; changes nothing.

    bos  as in `score`: whether a prompt begins with BOS; None: what the tokenizer does
    """
    from harness.score_generate import Prompt, Way, Writer

    reader = copy.deepcopy(tokenizer)
    prefix = prefix_token(reader, bos)
    room = getattr(model.config.get_text_config(), "max_position_embeddings", None) or 2048
    rows = [row[-max(1, room - tokens) :] or [prefix] for row in encode(reader, list(prompts), bos)]
    with unchanged(model):
        texts = Writer(model, reader).write([Prompt(row) for row in rows], Way(tokens, options=GREEDY))
    return pd.DataFrame({"prompt": list(prompts), "completion": texts}, dtype="str")
