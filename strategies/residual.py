"""Train the base, then add what instruction tuning had changed.

Source: Huang et al. 2023, Chat Vector, arXiv:2310.04799; Jindal et al. 2024, arXiv:2410.10739 (instruction residuals).
Cost: nothing but scoring: the training is the control's, and is shared with it; needs an instruction-tuned model of the same
base.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from harness.strategy import Memory, Origin, Strategy, within

INSTRUCT = "instruct"


@dataclass(frozen=True)
class Residual(Strategy):
    """θ = θ_trained + weight·(θ_instruct - θ_base), over all tensors, in fp32.

    Parameters:
        weight: 0 (what was trained) or more; 1 adds the whole difference.
    """

    weight: float = 1.0

    family: ClassVar[str] = "averages"
    neutral: ClassVar[Mapping[str, Any]] = {"weight": 0.0}
    example: ClassVar[Mapping[str, Any]] = {"weight": 1.0}
    needs: ClassVar[tuple[str, ...]] = (INSTRUCT,)
    experimental: ClassVar[bool] = True
    by_name: ClassVar[bool] = True
    sweep: ClassVar[Mapping[str, Sequence[Any]]] = {"weight": (0.1, 0.3, 0.5, 0.7, 1.0)}

    def __post_init__(self) -> None:
        within("weight", self.weight, 0)

    def setup(self, origin: Origin) -> Memory:
        if self.weight:
            base, tuned = (_shapes(model) for model in (origin.base.model, origin.model(INSTRUCT).model))
            for name in sorted(base.keys() | tuned.keys()):
                if base.get(name) != tuned.get(name):
                    raise ValueError(
                        f"the base and the instruction-tuned model differ in {name}: {base.get(name, 'none')} and "
                        f"{tuned.get(name, 'none')}; give one that was tuned from this base with its vocabulary"
                    )
        return Memory()

    @torch.no_grad()
    def finish(self, model: nn.Module, memory: Memory, origin: Origin) -> None:
        if self.weight:
            tuned = origin.model(INSTRUCT)
            for name, weights in model.named_parameters():
                weights.add_(tuned.parameter(name) - origin.base.parameter(name), alpha=self.weight)


def _shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(weights.shape) for name, weights in model.named_parameters()}
