"""Whether a model may read packed rows: from its configuration first, then by one row that is compared with plain passes.

A mask of its own replaces a model's sliding window, and is not seen by state-space layers; ALiBi and length-dependent RoPE
take distances from the place in a row instead of from positions. What a configuration does not tell, the comparison finds.
"""

from collections.abc import Iterator
from typing import Any

import torch

from harness.packing import Request, alone, pack
from harness.score_passes import Passes

STRETCHED = {"dynamic", "longrope"}
"""Kinds of RoPE whose frequencies depend on the length of the row."""
ATTENTION = {"full_attention", "sliding_attention", "chunked_attention", "attention", "global", "local", "moe", "mlp"}
RECURRENT = ("mamba", "ssm", "lru_", "state_size", "rwkv", "slstm", "mlstm")
"""What names of settings begin with where a state is carried from token to token."""
TOLERANCE = 1e-4
"""Nats a token that packed and plain may differ in fp32."""
ROUNDING = 4
"""The same in half precision: so many of its rounding steps at the size of the largest log-probability."""
SHARED, OTHERS, TAIL = 8, 3, 8
"""The compared row: how many of the longest request's tokens others begin with, how many of them are short, and how short."""


def limits(model: Any) -> Iterator[tuple[int, str]]:
    """Tokens of the longest request that may be packed, and why longer ones may not; 0: none."""
    config = model.config
    text = config.get_text_config()
    known = text.to_dict()
    kinds = {kind for name in ("layer_types", "layers_block_type", "block_types") for kind in known.get(name) or ()}
    if getattr(config, "is_encoder_decoder", False):
        yield 0, "it has an encoder"
    if (how := text._attn_implementation) not in ("eager", "sdpa"):
        yield 0, f"its attention, {how}, takes no mask"
    if known.get("alibi") or known.get("model_type") in ("bloom", "mpt") or known.get("position_embedding_type") == "alibi":
        yield 0, "its ALiBi positions are places in a row"
    for kind in sorted(_ropes(known.get("rope_parameters") or {}) & STRETCHED):
        yield 0, f"its RoPE ({kind}) depends on the length of the row"
    if odd := kinds - ATTENTION:
        yield 0, f"it has layers of kind {', '.join(sorted(odd))}"
    if any(name.startswith(RECURRENT) and value is not None for name, value in known.items()):
        yield 0, "it carries a state from token to token"
    windows = {"sliding_window": "sliding window", "attention_chunk_size": "attention chunk", "window_size": "local window"}
    for name, words in windows.items():
        if isinstance(size := known.get(name), int):
            yield size, f"its {words} of {size} tokens is shorter than the longest request"


def _ropes(parameters: dict[str, Any]) -> set[str]:
    """Kinds of RoPE, of all layers or of each kind of layer."""
    each = [parameters, *(value for value in parameters.values() if isinstance(value, dict))]
    return {kind for found in each if (kind := found.get("rope_type"))}


class Decision:
    """Packed or plain, for one model; what was compared is not compared again."""

    def __init__(self, passes: Passes) -> None:
        self.passes = passes
        self.limits = list(limits(passes.model))
        self.compared = (0, 0)
        """Tokens of the longest request, and of the widest row, for which packed was found to be plain."""
        self.fault = ""

    def obstacle(self, longest: Request, width: int) -> str:
        """Why requests as long as this one, in rows of at most `width` tokens, are not packed; empty: they are."""
        size, (seen, wide) = len(longest.fed), self.compared
        for limit, why in self.limits:
            if size > limit:
                return why
        if (size > seen or width > wide) and not self.fault:
            self.fault = self._compare(longest, width)
            self.compared = (max(size, seen), max(width, wide))
        return self.fault

    def _compare(self, longest: Request, width: int) -> str:
        """What is wrong with a packed row so wide that holds the longest request and others that share its beginning."""
        requests = probe(longest, self.passes.vocabulary, width)
        plain = torch.cat([nats for nats, _ in self.passes.score([[row] for row in alone(requests)], requests)])
        try:
            rows = pack(requests, sum(len(asked.fed) for asked in requests))
            packed = torch.cat([nats for nats, _ in self.passes.score([[row] for row in rows], requests)])
        except Exception as error:  # whatever a model says of a mask that it does not know
            return f"it refuses a mask ({type(error).__name__})"
        apart = float((packed - plain).abs().max())
        if apart <= tolerance(self.passes.dtype, float(plain.abs().max())):
            return ""
        return f"a packed row differed from plain passes by {apart:.1g} nats a token"


def tolerance(dtype: torch.dtype, largest: float) -> float:
    """Nats a token that packed and plain may differ: of sums in another order, not of a token too many."""
    return max(TOLERANCE, ROUNDING * torch.finfo(dtype).eps * largest if dtype != torch.float32 else 0.0)


def probe(longest: Request, vocabulary: int, width: int) -> list[Request]:
    """The longest request, and others in a row with it that leave it early, so many that the row has `width` tokens.

    Of some models a place that is far from another in the row counts as far, whatever its position: local windows (GPT-Neo).
    """
    found, size, held = [longest], len(longest.fed), len(longest.fed)
    while len(found) <= OTHERS or held < width:
        other = len(found) - 1
        begin = longest.fed[: min(SHARED + other % OTHERS, size - 1)]
        own = TAIL if other < OTHERS else max(TAIL, size - len(begin))
        tail = tuple((vocabulary - 1 - other - 7 * at) % vocabulary for at in range(own))
        found.append(Request((*begin, *tail), (*tail[1 - TAIL :], tail[0])))
        held += own
    return found
