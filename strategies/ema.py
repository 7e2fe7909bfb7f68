"""End with a running average of the weights instead of the last ones.

Source: Polyak & Juditsky 1992, Acceleration of stochastic approximation by averaging; as an exponential average with the bias
correction of Kingma & Ba 2015, arXiv:1412.6980.
Cost: 1 plain step a step; one fp32 copy of the weights, also in every checkpoint. The training itself is the control's.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from harness.strategy import Memory, Origin, Strategy, within
from strategies.copies import copied, trained


@dataclass(frozen=True)
class MovingAverage(Strategy):
    """θ̄_n = mu·θ̄_{n-1} + (1 - mu)·θ_n after each update n; the training ends with θ̄_T.

    Corrected, θ̄_0 is zero and θ̄_n is divided by 1 - mu^n, so that only trained weights are averaged. Uncorrected, θ̄_0 is the
    start point, which keeps the weight mu^T: over a run shorter than 1/(1 - mu) updates that is a pull to the base.

    Parameters:
        mu: weight of the average so far, per update; 0 (the last weights) to 1, below 1 where corrected. 1/(1 - mu) updates are
            averaged: 0.999 is usual over thousands of updates.
        corrected: whether the start point is left out.
    """

    mu: float = 0.99
    corrected: bool = True

    family: ClassVar[str] = "averages"
    neutral: ClassVar[Mapping[str, Any]] = {"mu": 0.0}
    example: ClassVar[Mapping[str, Any]] = {"mu": 0.5}
    by_name: ClassVar[bool] = True
    sweep: ClassVar[Mapping[str, Sequence[Any]]] = {"mu": (0.9, 0.97, 0.99, 0.997, 0.999)}

    def __post_init__(self) -> None:
        within("mu", self.mu, 0, 1)
        if self.corrected and self.mu == 1.0:
            raise ValueError("mu=1 with corrected=true divides by zero; take a mu below 1, or corrected=false")

    def gradients(self, model: nn.Module, memory: Memory, origin: Origin) -> None:
        if self.mu and not memory.moving:  # before the first step: the start point
            memory.moving.update(updates=0, average={} if self.corrected else copied(trained(model)))

    @torch.no_grad()
    def weights(self, model: nn.Module, memory: Memory, origin: Origin) -> None:
        if not self.mu:
            return
        memory.moving["updates"] += 1
        newest = 1 - self.mu
        if self.corrected:  # the same as dividing by 1 - mu^n at the end, without a sum that starts near zero
            newest /= -math.expm1(memory.moving["updates"] * math.log(self.mu))
        average = memory.moving["average"]
        for name, weights in trained(model).items():
            if name in average:
                average[name].lerp_(weights.float(), newest)
            else:
                average[name] = weights.detach().to(torch.float32, copy=True)

    @torch.no_grad()
    def finish(self, model: nn.Module, memory: Memory, origin: Origin) -> None:
        for name, average in memory.moving.get("average", {}).items():
            model.get_parameter(name).copy_(average)
