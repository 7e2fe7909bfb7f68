"""One learning rate throughout, after the control's warm-up.

Source: Ibrahim et al. 2024, arXiv:2403.08763 (constant at the pre-training floor forgets least and learns least).
Cost: 1 plain step a step.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from harness.strategy import Budget, Strategy, within


@dataclass(frozen=True)
class Constant(Strategy):
    """Hold the learning rate at `share` of the peak; linear warm-up as in the control.

    Parameters:
        share: multiple of the peak, above 0 and at most 1.
    """

    share: float = 0.1

    family: ClassVar[str] = "learning rate"
    neutral: ClassVar[None] = None
    reason: ClassVar[str] = "no constant rate is the control's cosine; a floor of 1 would be, and that is the plan's to set"
    example: ClassVar[Mapping[str, Any]] = {"share": 0.1}
    sweep: ClassVar[Mapping[str, Sequence[Any]]] = {"share": (0.033, 0.1, 0.2, 0.33, 1.0)}

    def __post_init__(self) -> None:
        within("share", self.share, 0, 1, above=True)

    def schedule(self, budget: Budget) -> Callable[[int], float]:
        first = round(budget.warmup * budget.steps)
        return lambda update: self.share * min(1.0, update / first if first else 1.0)
