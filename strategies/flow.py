"""Weigh rows by how well the base knows them: text of low base loss counts more.

Source: Sanyal et al. 2025, Upweighting easy samples in fine-tuning (FLOW), arXiv:2502.02797.
Cost: one forward pass over all rows of new text before the first step, kept for all arms and seeds; 1 plain step a step.
Departures: a sample is a packed row, f its mean loss per token, and weights are scaled to mean 1 over all new rows, so that the
loss keeps its scale beside weight decay and penalties. Easy rows are often duplicates: clean the text first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from harness.strategy import CROSS_ENTROPY, NEW, Batch, Memory, Origin, Strategy, within
from strategies.scores import of_new_text, row_losses


@dataclass(frozen=True)
class Flow(Strategy):
    """w_i = exp(-f_i/τ) / mean_j exp(-f_j/τ), τ = median_j f_j / weight, over the new rows j; fixed before training.

    Rows of other sources count 1.

    Parameters:
        weight: 0 or more; τ is the median of f divided by this: 1 is the paper's, 0 is τ = ∞.
    """

    weight: float = 1.0

    family: ClassVar[str] = "loss"
    neutral: ClassVar[Mapping[str, Any]] = {"weight": 0.0}
    example: ClassVar[Mapping[str, Any]] = {"weight": 2.0}
    sweep: ClassVar[Mapping[str, Sequence[Any]]] = {"weight": (0.25, 0.5, 1.0, 2.0, 4.0)}

    def __post_init__(self) -> None:
        within("weight", self.weight, 0)

    def setup(self, origin: Origin) -> Memory:
        if not self.weight:
            return Memory()
        losses = row_losses(origin, NEW).double()  # (n,)
        ordered = losses.sort().values
        middle = (ordered[(len(losses) - 1) // 2] + ordered[len(losses) // 2]) / 2
        logs = -self.weight * losses / middle
        weights = (logs - logs.logsumexp(0)).exp() * len(losses)  # mean 1
        facts = {
            "median_base_loss": float(middle),
            "lowest_weight": float(weights.min()),
            "highest_weight": float(weights.max()),
        }
        return Memory(fixed=weights.float(), facts=facts)

    def weigh(self, batch: Batch, memory: Memory) -> Mapping[str, Tensor]:
        if memory.fixed is None:
            return {}
        new = of_new_text(batch)  # (b,)
        places = torch.tensor(batch.rows, device=new.device).where(new, 0)
        rows = memory.fixed[places].where(new, 1.0)  # (b,)
        return {CROSS_ENTROPY: rows.unsqueeze(1).expand(-1, batch.tokens.shape[1] - 1)}
