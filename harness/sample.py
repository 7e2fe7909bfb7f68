"""Text and labels drawn from a model, by (seed, row) alone.

Each row has random numbers of its own; and rows go through the model in groups of one fixed size, the last one filled up, since
another number of rows rounds differently, which can turn a token that lies on the edge. So on one machine the text of a row
depends, bit for bit, neither on how many rows are asked for nor on the micro-batch.
"""

from typing import Any

import torch
from torch import Tensor, nn

TOKENS, FEWEST, MOST = 2**15, 8, 256
"""Tokens that are drawn at once, and the bounds of the rows they make."""


def uniform(seed: int, row: int, length: int) -> Tensor:
    """(length,) uniform numbers of a row."""
    return torch.rand(length, generator=torch.Generator().manual_seed(seed * 1_000_003 + row))


def label(logits: Tensor, drawn: Tensor) -> Tensor:
    """(n, V) logits and (n,) uniform numbers to (n,) tokens, by inverting the cumulative distribution."""
    cumulative = logits.float().softmax(-1).cumsum(-1)
    threshold = drawn.to(logits.device).unsqueeze(-1) * cumulative[:, -1:]
    return torch.searchsorted(cumulative, threshold, right=True).clamp_(max=cumulative.shape[-1] - 1).squeeze(-1)


@torch.no_grad()
def sample(model: nn.Module, start: int, rows: int, length: int, seed: int, temperature: float = 1.0) -> Tensor:
    """(rows, length) tokens: `start`, which documents start after, and what softmax(logits / temperature) continues it with."""
    groups = [group(model, start, of, length, seed, temperature) for of in groups_of(rows, length)]
    return torch.cat(groups)[:rows] if groups else torch.empty(0, length, dtype=torch.int64)


def groups_of(rows: int, length: int) -> list[range]:
    """The rows that go through the model together; the last group is filled up."""
    together = max(FEWEST, min(MOST, TOKENS // length))
    return [range(first, first + together) for first in range(0, rows, together)]


@torch.no_grad()
def group(model: nn.Module, start: int, rows: range, length: int, seed: int, temperature: float = 1.0) -> Tensor:
    """(len(rows), length) tokens of one such group."""
    built: Any = model
    device = next(model.parameters()).device
    drawn = torch.stack([uniform(seed, row, length - 1) for row in rows])  # (rows, length - 1)
    tokens, past = [torch.full((len(rows), 1), start, dtype=torch.int64, device=device)], None
    for place in range(length - 1):
        out = built(input_ids=tokens[-1], past_key_values=past, use_cache=True)
        past = out.past_key_values
        tokens.append(label(out.logits[:, -1].float() / temperature, drawn[:, place]).unsqueeze(1))
    return torch.cat(tokens, dim=1).cpu()
