"""Warm up again and decay again: the cosine of pre-training, with a warm-up and a floor of its own.

Source: Ibrahim et al. 2024, arXiv:2403.08763, equations 1 and 2 (re-warming and re-decaying).
Cost: 1 plain step a step.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from harness.strategy import Budget, Strategy, within


@dataclass(frozen=True)
class Cosine(Strategy):
    """With W = warmup·T: u/W of the peak up to W, then floor + (1 - floor)/2·(1 + cos(π·(u - W)/(T - W))).

    The paper warms up to the peak of pre-training or near it; a plan's default peak is a tenth of that, and `lr` multiplies it.

    Parameters:
        warmup: share of the updates that warm up, 0 to 1.
        floor: share of the peak that is left at the end, 0 to 1.
    """

    warmup: float = 0.01
    floor: float = 0.1

    family: ClassVar[str] = "learning rate"
    neutral: ClassVar[None] = None
    reason: ClassVar[str] = "the warm-up and floor of the control are the plan's to set"
    example: ClassVar[Mapping[str, Any]] = {"warmup": 0.4, "floor": 0.01}
    sweep: ClassVar[Mapping[str, Sequence[Any]]] = {"warmup": (0.0, 0.005, 0.01, 0.02, 0.05), "floor": (0.0, 0.01, 0.1)}

    def __post_init__(self) -> None:
        within("warmup", self.warmup, 0, 1)
        within("floor", self.floor, 0, 1)

    def schedule(self, budget: Budget) -> Callable[[int], float]:
        return replace(budget, warmup=self.warmup, floor=self.floor).schedule
