"""Learn the tokens on which a reference model is furthest ahead: high loss that can be learned.

Source: Lin et al. 2024, Rho-1: not all tokens are what you need, arXiv:2404.07965.
Cost: one forward pass of the reference and one more of the model a micro-batch (1.67 plain steps a step). Needs a reference
model, trained on good text of the kind that is to be learned. It aims at learning faster and promises nothing about forgetting.
Departure: the share is taken within each row and not within the batch, so that micro-batches cannot change what is chosen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from harness.strategy import CROSS_ENTROPY, Batch, Budget, Memory, Origin, Strategy, within
from strategies.scores import of_new_text


@dataclass(frozen=True)
class Rho1(Strategy):
    """L = mean of ℓ over the share of each row's tokens with the highest excess loss ℓ - ℓ_reference; other text is kept whole.

    Parameters:
        share: share of each new row's predicted tokens that is learned, above 0 and at most 1.
    """

    share: float = 0.6

    family: ClassVar[str] = "loss"
    neutral: ClassVar[Mapping[str, Any]] = {"share": 1.0}
    example: ClassVar[Mapping[str, Any]] = {"share": 0.5}
    needs: ClassVar[tuple[str, ...]] = ("reference",)
    sweep: ClassVar[Mapping[str, Sequence[Any]]] = {"share": (0.2, 0.4, 0.6, 0.8, 0.9)}

    def __post_init__(self) -> None:
        within("share", self.share, 0, 1, above=True)

    def cost(self, budget: Budget) -> float:
        return 5 / 3 if self.share < 1 else 1.0

    def setup(self, origin: Origin) -> Memory:
        return Memory(fixed=origin.model("reference")) if self.share < 1 else Memory()

    def weigh(self, batch: Batch, memory: Memory) -> Mapping[str, Tensor]:
        if memory.fixed is None:
            return {}
        excess = batch.losses() - memory.fixed.losses(batch.tokens)  # (b, T-1)
        count = max(1, round(self.share * excess.shape[1]))
        highest = excess.argsort(dim=-1, descending=True, stable=True)[:, :count]
        kept = torch.zeros_like(excess).scatter_(1, highest, 1.0)
        return {CROSS_ENTROPY: kept.where(of_new_text(batch).unsqueeze(1), 1.0)}
