"""Decay with the inverse square root of the update, and come down in a straight line at the end.

Source: Li et al. 2025, TiC-LM, arXiv:2504.02107 (rsqrt with cooldown; 400 of 1,887 updates a month).
Cost: 1 plain step a step.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from harness.strategy import Budget, Strategy, within


@dataclass(frozen=True)
class InverseSquareRoot(Strategy):
    """With W the control's warm-up (at least 1 update) and C = decay·T: u/W of the peak for u < W, then
    floor + (1 - floor)·√W/√u for u < T - C, then linear from the value at T - C to the floor.

    Parameters:
        decay: share of the updates that come down in a line, 0 to 1.
        floor: share of the peak that is left at the end, 0 to 1.
    """

    decay: float = 0.2
    floor: float = 0.1

    family: ClassVar[str] = "learning rate"
    neutral: ClassVar[None] = None
    reason: ClassVar[str] = "no inverse square root is the control's cosine"
    example: ClassVar[Mapping[str, Any]] = {"decay": 0.4}
    sweep: ClassVar[Mapping[str, Sequence[Any]]] = {"decay": (0.05, 0.1, 0.2, 0.3, 0.5)}

    def __post_init__(self) -> None:
        within("decay", self.decay, 0, 1)
        within("floor", self.floor, 0, 1)

    def schedule(self, budget: Budget) -> Callable[[int], float]:
        first = max(1, round(budget.warmup * budget.steps))
        decay = round(self.decay * budget.steps)
        last = budget.steps - decay

        def before(update: int) -> float:
            return update / first if update < first else self.floor + (1 - self.floor) * math.sqrt(first / update)

        def rate(update: int) -> float:
            if update < last or not decay:
                return before(update)
            start = before(last)
            return start + (self.floor - start) * (update - last) / decay

        return rate
