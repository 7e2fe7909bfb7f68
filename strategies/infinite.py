"""A schedule without a planned end: warm up, cool to a constant rate, stay, and anneal when the run is to end.

Source: Ibrahim et al. 2024, arXiv:2403.08763 (tested there without a shift of the text).
Cost: 1 plain step a step.
The paper leaves the length of the constant phase open; here the annealing takes a share of the updates and ends with the last.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from harness.strategy import Budget, Strategy, within


@dataclass(frozen=True)
class Infinite(Strategy):
    """Multiples of the peak, with N_w the control's warm-up, N_c = cooldown·T, t_a = decay·T and N_d = T - t_a:

        u < N_w           u/N_w
        u < N_w + N_c     level + (1 - level)/2·(1 + cos(π·(u - N_w)/N_c))
        u < N_d           level
        u ≥ N_d           level·(floor/level)^((u - N_d)/t_a)

    Parameters:
        level: rate of the constant phase as a share of the peak, at least `floor` and at most 1.
        floor: rate of the last update as a share of the peak, above 0.
        cooldown: share of the updates that cool from the peak to `level`, 0 to 1.
        decay: share of the updates that anneal from `level` to `floor`, above 0.
    """

    level: float = 0.55
    floor: float = 0.1
    cooldown: float = 0.6
    decay: float = 0.2

    family: ClassVar[str] = "learning rate"
    neutral: ClassVar[None] = None
    reason: ClassVar[str] = "no four phases are the control's cosine"
    example: ClassVar[Mapping[str, Any]] = {"cooldown": 0.4, "decay": 0.2}
    sweep: ClassVar[Mapping[str, Sequence[Any]]] = {"level": (0.25, 0.4, 0.55, 0.75, 1.0), "decay": (0.1, 0.2)}

    def __post_init__(self) -> None:
        within("floor", self.floor, 0, 1, above=True)
        within("level", self.level, self.floor, 1)
        within("cooldown", self.cooldown, 0, 1)
        within("decay", self.decay, 0, 1, above=True)

    def fits(self, config: Any, budget: Budget) -> None:
        if budget.warmup + self.cooldown + self.decay > 1:
            raise ValueError(
                f"warm-up {budget.warmup:g}, cooldown {self.cooldown:g} and decay {self.decay:g} are more than all updates; "
                f"give a smaller cooldown= or decay="
            )

    def schedule(self, budget: Budget) -> Callable[[int], float]:
        first, cooling = round(budget.warmup * budget.steps), round(self.cooldown * budget.steps)
        annealing = max(1, round(self.decay * budget.steps))
        last = budget.steps - annealing

        def rate(update: int) -> float:
            if update < first:
                return update / first
            if update >= last:
                return self.level * (self.floor / self.level) ** ((update - last) / annealing)
            if update < first + cooling:
                return self.level + (1 - self.level) / 2 * (1 + math.cos(math.pi * (update - first) / cooling))
            return self.level

        return rate
