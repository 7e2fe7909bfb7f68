"""Stay near the base model's predictions on the text that is being learned: a Kullback-Leibler penalty.

Source: Li & Hoiem 2016, Learning without Forgetting, arXiv:1606.09282; temperature and its square: Hinton et al. 2015,
arXiv:1503.02531. Departure: next-token distributions of the whole vocabulary, on the new text, in both directions.
Cost: one more forward pass a micro-batch (1.33 plain steps a step); the base's weights stay in memory.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from harness.strategy import Batch, Budget, Chunk, Memory, Origin, Strategy, among, within

COST = 4 / 3
"""Plain steps of a step that runs the base forward too."""


@dataclass(frozen=True)
class KL(Strategy):
    """Add weight·τ²·KL, summed over the vocabulary, in nats per predicted token, p being softmax(logits / τ).

    forward: KL(p_base || p_trained), which covers all that the base gives weight to; reverse: KL(p_trained || p_base).

    Parameters:
        weight: 0 or more; forward, the adaptation's ceiling is a mixture of data and base, weight/(1 + weight) of it the base.
        direction: forward or reverse.
        temperature: τ, above 0; its square keeps the gradient's scale.
    """

    weight: float = 0.5
    direction: str = "forward"
    temperature: float = 1.0

    family: ClassVar[str] = "function space"
    neutral: ClassVar[Mapping[str, Any]] = {"weight": 0.0}
    example: ClassVar[Mapping[str, Any]] = {"weight": 1.0}
    anchor: ClassVar[bool] = True
    sweep: ClassVar[Mapping[str, Sequence[Any]]] = {"weight": (0.03, 0.1, 0.3, 1.0, 3.0)}

    def __post_init__(self) -> None:
        within("weight", self.weight, 0)
        among("direction", self.direction, ("forward", "reverse"))
        within("temperature", self.temperature, 0, above=True)

    def controls(self) -> Sequence[str]:
        return (f"none:steps={COST:.2f}",)

    def cost(self, budget: Budget) -> float:
        return COST if self.weight else 1.0

    def setup(self, origin: Origin) -> Memory:
        return Memory(fixed=origin.base)

    def observe(self, batch: Batch, memory: Memory) -> Mapping[str, Tensor]:
        return {"states": memory.fixed.states(batch.tokens)} if self.weight else {}  # (b, T-1, D)

    def loss(self, chunk: Chunk, memory: Memory) -> Mapping[str, Tensor]:
        if not self.weight:
            return {}
        before = memory.fixed.logits(chunk.beside["states"])  # (n, V)
        pair = [self._tempered(logits).log_softmax(-1) for logits in (before, chunk.logits)]
        first, second = pair if self.direction == "forward" else reversed(pair)
        return {"kl": self.weight * self.temperature**2 * divergence(first, second)}

    def _tempered(self, logits: Tensor) -> Tensor:
        return logits if self.temperature == 1 else logits / self.temperature  # dividing by 1 would be two more copies


def divergence(first: Tensor, second: Tensor) -> Tensor:
    """(n, V) log-probabilities to (n,) KL(first || second) in nats."""
    return (first.exp() * (first - second)).sum(-1)
