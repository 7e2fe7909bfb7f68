"""Change the mixture over the run: from balanced to mostly new text.

Source: two blends with a switch at a share of the learning rate, Parmar et al. 2024, arXiv:2407.07263; the linear form is this
program's. With source=task and a switch from start=1 to end=0 it is domain- and then task-adaptive pre-training, Gururangan et
al. 2020, arXiv:2004.10964.
Cost: 1 plain step a step; reads old text. Controls: the constant mixture of the same mean, and the reversed order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

from harness.strategy import OLD, TASK, Budget, Course, Strategy, among, within

NOMINAL = 10_000
"""Updates of the control's schedule on which a switch by the rate is placed to name the controls."""


@dataclass(frozen=True)
class Curriculum(Strategy):
    """Share of new text d_u of update u = 1..T; the rest is old text. Linear: d_u = start + (end - start)·(u - 1)/(T - 1).

    Switch: d_u = start in the first round(at·T) updates (by=steps), or until the arm's learning rate, once it has been at its
    highest, is at most `at` of that (by=rate); end afterwards.

    Parameters:
        start: share of new text in the first update, 0 to 1.
        end: share of new text in the last update, 0 to 1.
        shape: linear or switch.
        by: what places the switch: rate or steps.
        at: share of the highest rate, or of the updates, at which it happens, 0 to 1; a fifth of the rate in Parmar et al.
        source: what the rest is: old, or task, the text given with --task.
    """

    start: float = 0.5
    end: float = 0.9
    shape: str = "linear"
    by: str = "rate"
    at: float = 0.2
    source: str = OLD

    family: ClassVar[str] = "data"
    neutral: ClassVar[Mapping[str, Any]] = {"start": 1.0, "end": 1.0}
    example: ClassVar[Mapping[str, Any]] = {"start": 0.5, "end": 0.9}
    needs: ClassVar[tuple[str, ...]] = (OLD,)
    sweep: ClassVar[Mapping[str, Sequence[Any]]] = {"start": (0.3, 0.5, 0.7, 0.8, 0.9), "shape": ("linear", "switch")}

    def __post_init__(self) -> None:
        for name in ("start", "end", "at"):
            within(name, getattr(self, name), 0, 1)
        among("shape", self.shape, ("linear", "switch"))
        among("by", self.by, ("rate", "steps"))
        among("source", self.source, (OLD, TASK))

    def needed(self) -> Sequence[str]:
        return (self.source,)

    def controls(self) -> Sequence[str]:
        """The mean of a switch by the rate is that under the control's schedule; without one where that never falls so far."""
        schedule = Budget(NOMINAL, 1, 1, 1.0).schedule
        if self.start == self.end or (self._asks_rate() and schedule(NOMINAL) > self.at):
            return ()
        whose = "" if self.source == OLD else f":source={self.source}"
        reversed_ = f"curriculum:start={self.end:g}:end={self.start:g}{whose}"
        if self.shape == "linear":
            return f"replay:share={1 - (self.start + self.end) / 2:g}{whose}", reversed_
        before = self.at if self.by == "steps" else fallen(schedule, NOMINAL, self.at) / NOMINAL
        new = before * self.start + (1 - before) * self.end
        return f"replay:share={1 - new:g}{whose}", f"{reversed_}:shape=switch:by=steps:at={1 - before:g}"

    def fits(self, config: Any, budget: Budget) -> None:
        if self._asks_rate():
            fallen(budget.schedule, budget.steps, self.at)

    def _asks_rate(self) -> bool:
        return self.shape == "switch" and self.by == "rate" and self.start != self.end

    def mixture(self, update: int, course: Course) -> Mapping[str, float]:
        steps = course.budget.steps
        if self.shape == "linear":
            new = self.start + (self.end - self.start) * (update - 1) / max(1, steps - 1)
        else:
            first = fallen(course.rate, steps, self.at) if self._asks_rate() else round(self.at * steps)
            new = self.start if update <= first else self.end
        return {self.source: max(0.0, 1 - new)}  # rounding


@lru_cache(maxsize=8)
def fallen(rate: Any, steps: int, share: float) -> int:
    """Updates until a learning rate, a function of u = 1..steps, has fallen to a share of its highest."""
    rates = [rate(update) for update in range(1, steps + 1)]
    top = rates.index(max(rates))
    found = next((done for done in range(top, steps) if rates[done] <= share * rates[top]), None)
    if found is None:
        raise ValueError(
            f"the arm's learning rate never falls to at={share:g} of its highest (it ends at {rates[-1] / rates[top]:g}), so "
            f"that its mixture never switches; give a larger at, or by=steps"
        )
    return found
