"""Learn only the tokens that the base finds likely; the others are read and not trained on.

Source: Wu et al. 2025, selective token masking (STM), arXiv:2501.14315, there for instruction tuning with LoRA.
Cost: one more forward pass a micro-batch (1.33 plain steps a step), and one over a sample of the new text before the first.
Departure: the threshold is by default a quantile of the text, since on raw domain text the paper's fixed perplexity of 2.5 can
drop most tokens, and first of all the domain's own.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from harness.strategy import CROSS_ENTROPY, NEW, Batch, Budget, Memory, Origin, Strategy, within
from strategies.scores import of_new_text, token_losses


@dataclass(frozen=True)
class TokenMask(Strategy):
    """L = Σ_kept ℓ / #kept, where a token of new text is kept if exp(ℓ_base) is at most a threshold; all other text is kept.

    Parameters:
        share: share of the tokens of the new text that is kept, above 0 and at most 1: the threshold is that quantile.
        perplexity: above 0, instead of share: the threshold itself, 1 or more; 2.5 in the paper.
        tokens: tokens of new text that quantile and kept share are estimated on, in rows spread evenly.
    """

    share: float = 0.75
    perplexity: float = 0.0
    tokens: int = 2**20

    family: ClassVar[str] = "loss"
    neutral: ClassVar[Mapping[str, Any]] = {"share": 1.0}
    example: ClassVar[Mapping[str, Any]] = {"share": 0.5}
    sweep: ClassVar[Mapping[str, Sequence[Any]]] = {"share": (0.25, 0.5, 0.75, 0.9, 0.95)}

    def __post_init__(self) -> None:
        within("share", self.share, 0, 1, above=True)
        if self.perplexity:
            within("perplexity", self.perplexity, 1)
        within("tokens", self.tokens, 1)

    def cost(self, budget: Budget) -> float:
        return 4 / 3 if self._masking else 1.0

    def setup(self, origin: Origin) -> Memory:
        if not self._masking:
            return Memory()
        losses = token_losses(origin, NEW, self.tokens).double().sort().values  # (m,)
        highest = math.log(self.perplexity) if self.perplexity else threshold(losses, self.share)
        kept = float((losses <= highest).double().mean())
        return Memory(fixed=(origin.base, highest), facts={"kept_share": kept, "highest_base_loss": highest})

    def weigh(self, batch: Batch, memory: Memory) -> Mapping[str, Tensor]:
        if memory.fixed is None:
            return {}
        base, highest = memory.fixed
        kept = base.losses(batch.tokens) <= highest  # (b, T-1)
        return {CROSS_ENTROPY: (kept | ~of_new_text(batch).unsqueeze(1)).float()}

    @property
    def _masking(self) -> bool:
        return bool(self.perplexity) or self.share < 1


def threshold(losses: Tensor, share: float) -> float:
    """The loss below which a share of ascending losses lies: half-way between two of them, so that no rounding can tip one."""
    kept = max(1, round(share * len(losses)))
    return float(losses[kept - 1 : kept + 1].mean())
