"""Hold the weights that old text depends on: elastic weight consolidation.

Source: Kirkpatrick et al. 2017, arXiv:1612.00796; over several stages Schwarz et al. 2018, arXiv:1805.06370, with one penalty
at the latest weights (Huszár 2017, arXiv:1712.03847). The Fisher is estimated as `strategies/fisher.py` says: labels drawn from
the model, not those of the text.
Cost: `tokens` of forward and backward before the first step; two fp32 copies of the weights; a step costs about 1 plain step.
Needs old text, and never the new text: a Fisher of new text protects the wrong weights.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from harness.strategy import OLD, Memory, Origin, Strategy, within
from strategies import fisher, pull


@dataclass(frozen=True)
class EWC(Strategy):
    """Add weight/2 · Σ F·(θ - θ_base)²: weight·F·(θ - θ_base) on the gradient, once a step.

    F is in nats per token per squared unit, so ½·ΔᵀFΔ, which is logged, predicts the rise of the old loss in nats per token;
    `weight` is the ratio of old to new tokens that the penalty stands for. After stage i, F ← gamma·F + F_i.

    Parameters:
        weight: 0 or more, in old tokens per new token; give it or `relative`, not both.
        relative: 0 or more: the penalty at the control's end point as a multiple of the control's gain; 0: `weight` counts.
        gamma: share of the earlier stages' Fisher that is kept, 0 to 1; nothing in the first stage.
        tokens: old tokens that the Fisher is estimated on, at most a tenth of the budget or 2^16.
        draw: seed of the drawn labels; one Fisher serves all seeds of a plan.
    """

    weight: float = 100.0
    relative: float = 0.0
    gamma: float = 0.95
    tokens: int = fisher.TOKENS
    draw: int = 0

    family: ClassVar[str] = "weight space"
    neutral: ClassVar[Mapping[str, Any]] = {"weight": 0.0}
    example: ClassVar[Mapping[str, Any]] = {"weight": 1000.0, "tokens": 2**10}
    needs: ClassVar[tuple[str, ...]] = (OLD,)
    anchor: ClassVar[bool] = True
    by_name: ClassVar[bool] = True
    sweep: ClassVar[Mapping[str, Sequence[Any]]] = {"relative": pull.RELATIVE}

    def __post_init__(self) -> None:
        pull.check_strength(self.weight, self.relative, type(self).weight)
        within("gamma", self.gamma, 0, 1)
        within("tokens", self.tokens, 1)
        within("draw", self.draw, 0, 2**32)

    def controls(self) -> Sequence[str]:
        return (f"l2sp:relative={self.relative:g}",) if self.relative else ("l2sp",)

    def setup(self, origin: Origin) -> Memory:
        found, facts = fisher.of_base(origin, self.tokens, self.draw)
        if origin.earlier is not None:
            before = origin.earlier.fixed.importance
            found = {name: self.gamma * before[name].to(own.device) + own for name, own in found.items()}
        held, strength = pull.strengthened(pull.Pull(origin.base, found), origin, self.weight, self.relative)
        return Memory(fixed=held, facts=facts | strength)

    def fisher(self, origin: Origin) -> Mapping[str, Tensor]:
        return fisher.of_base(origin, self.tokens, self.draw)[0]

    def gradients(self, model: nn.Module, memory: Memory, origin: Origin) -> None:
        pull.add(model, memory)
