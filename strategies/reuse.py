"""Do not warm up again: begin where pre-training's learning rate ended, and keep decaying.

Source: Parmar et al. 2024, Reuse, Don't Retrain, arXiv:2407.07263 (from the floor of pre-training to a hundredth of it).
Cost: 1 plain step a step.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from harness.strategy import Budget, Strategy, within


@dataclass(frozen=True)
class Reuse(Strategy):
    """floor + (1 - floor)/2·(1 + cos(π·u/T)) of the arm's peak, without warm-up.

    The arm's peak stands for the floor of pre-training: so it does at a plan's default peak, a tenth of the base's, if
    pre-training decayed to a tenth. Where it ended elsewhere, or the plan's peak is another, `lr` sets the start.

    Parameters:
        floor: share of the start that is left at the end, 0 to 1.
    """

    floor: float = 0.01

    family: ClassVar[str] = "learning rate"
    neutral: ClassVar[None] = None
    reason: ClassVar[str] = "it has no warm-up; whether the control has one is the plan's to set"
    example: ClassVar[Mapping[str, Any]] = {"floor": 0.01}
    sweep: ClassVar[Mapping[str, Sequence[Any]]] = {"floor": (0.0, 0.01, 0.03, 0.1, 0.3)}

    def __post_init__(self) -> None:
        within("floor", self.floor, 0, 1)

    def schedule(self, budget: Budget) -> Callable[[int], float]:
        return replace(budget, warmup=0.0, floor=self.floor).schedule
