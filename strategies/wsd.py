"""Warm up, stay, decay: hold the peak and come down only at the end.

Source: Hu et al. 2024, MiniCPM, arXiv:2404.06395; decay shape 1-sqrt: Hägele et al. 2024, arXiv:2405.18392.
Cost: 1 plain step a step.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from harness.strategy import Budget, Strategy, among, within

SHAPES = {
    "linear": lambda x, half_life: 1 - x,
    "sqrt": lambda x, half_life: 1 - math.sqrt(x),
    "exponential": lambda x, half_life: 0.5 ** (x / half_life),
}


@dataclass(frozen=True)
class WarmupStableDecay(Strategy):
    """With D = decay·T and x = (t - (T - D)) / D for t > T - D: floor + (1 - floor)·f(x) of the peak; the peak before.

    Parameters:
        decay: share of the updates that decay, above 0 and at most 1.
        shape: f(x): linear 1 - x, sqrt 1 - √x, exponential 2^(-x / half_life).
        floor: share of the peak that is left at the end, 0 to 1 (exponential: that it falls towards).
        half_life: share of the decay in which the exponential shape halves, above 0.
    """

    decay: float = 0.2
    shape: str = "sqrt"
    floor: float = 0.0
    half_life: float = 0.1

    family: ClassVar[str] = "learning rate"
    neutral: ClassVar[None] = None
    reason: ClassVar[str] = "no decay shape here is the control's cosine"
    example: ClassVar[Mapping[str, Any]] = {"decay": 0.5}
    sweep: ClassVar[Mapping[str, Sequence[Any]]] = {
        "decay": (0.05, 0.1, 0.2, 0.3, 0.5),
        "shape": ("linear", "sqrt", "exponential"),
    }

    def __post_init__(self) -> None:
        within("decay", self.decay, 0, 1, above=True)
        within("floor", self.floor, 0, 1)
        within("half_life", self.half_life, 0, above=True)
        among("shape", self.shape, SHAPES)

    def schedule(self, budget: Budget) -> Callable[[int], float]:
        first = round(budget.warmup * budget.steps)
        decay = max(1, round(self.decay * budget.steps))
        falling = SHAPES[self.shape]

        def rate(update: int) -> float:
            x = max(0.0, (update - (budget.steps - decay)) / decay)
            warm = min(1.0, update / first) if first else 1.0
            return min(warm, self.floor + (1 - self.floor) * falling(x, self.half_life))

        return rate
