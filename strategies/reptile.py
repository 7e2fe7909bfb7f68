"""Train for a block of steps, then go only part of the way: interpolate with where the block began.

Source: Nichol et al. 2018, Reptile, arXiv:1803.02999; in continued pre-training Abbes et al. 2025, arXiv:2508.01908 (a block
of 500 updates, epsilon 0.1). With replay (`replay+reptile`) it is their meta-experience replay, after Riemer et al. 2019,
arXiv:1810.11910.
The optimizer's moments go on untouched. A last block that is not full is interpolated at the end; nothing happens before
update 1.
Cost: 1 plain step a step; one fp32 copy of the weights, also in every checkpoint.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from harness.strategy import Memory, Origin, Strategy, within
from strategies.copies import copied, trained


@dataclass(frozen=True)
class Reptile(Strategy):
    """After every `every` updates θ ← θ_a + epsilon·(θ - θ_a) and θ_a ← θ, where θ_a are the weights that the block began with.

    Net movement shrinks to about a share epsilon, as at a lower learning rate: compare with the control at lr times epsilon.

    Parameters:
        epsilon: share of each block's movement that is kept, 0 (the base) to 1 (plain training).
        every: updates of a block, 1 or more; where not one is full, the training is interpolated once, at its end.
    """

    epsilon: float = 0.1
    every: int = 100

    family: ClassVar[str] = "averages"
    neutral: ClassVar[Mapping[str, Any]] = {"epsilon": 1.0}
    example: ClassVar[Mapping[str, Any]] = {"epsilon": 0.3, "every": 2}
    by_name: ClassVar[bool] = True
    sweep: ClassVar[Mapping[str, Sequence[Any]]] = {"epsilon": (0.03, 0.05, 0.1, 0.3, 0.5), "every": (20, 100, 500)}

    def __post_init__(self) -> None:
        within("epsilon", self.epsilon, 0, 1)
        within("every", self.every, 1)

    def controls(self) -> Sequence[str]:
        return (f"none:lr={self.epsilon:g}",) if 0 < self.epsilon < 1 else ()

    def gradients(self, model: nn.Module, memory: Memory, origin: Origin) -> None:
        if self.epsilon < 1.0 and not memory.moving:  # before the first step
            memory.moving.update(anchor=copied(trained(model)), updates=0)

    def weights(self, model: nn.Module, memory: Memory, origin: Origin) -> None:
        if self.epsilon < 1.0:
            memory.moving["updates"] += 1
            if memory.moving["updates"] % self.every == 0:
                self._interpolate(model, memory)

    def finish(self, model: nn.Module, memory: Memory, origin: Origin) -> None:
        if memory.moving.get("updates", 0) % self.every:
            self._interpolate(model, memory)

    @torch.no_grad()
    def _interpolate(self, model: nn.Module, memory: Memory) -> None:
        for name, anchor in memory.moving["anchor"].items():
            weights = model.get_parameter(name)
            weights.copy_(anchor.lerp_(weights.float(), self.epsilon))
