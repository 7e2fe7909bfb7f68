"""End with the mean of the last few snapshots of the training.

Source: Kaddour 2022, Stop wasting my time! (latest weight averaging), arXiv:2209.14981.
Cost: 1 plain step a step; one fp32 copy of the weights while snapshots are taken. The training itself is the control's: where
its rate falls to almost nothing the snapshots hardly differ, so this belongs beside `constant` or the stable phase of `wsd`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from harness.strategy import Budget, Memory, Origin, Strategy, among, within
from strategies.copies import copied, trained

SHAPES = ("equal", "linear")


@dataclass(frozen=True)
class SnapshotAverage(Strategy):
    """θ̄ = Σ_i w_i·θ_i / Σ_i w_i over snapshots i = 1..last, taken after the updates T - (last - i)·every.

    Parameters:
        last: number of snapshots, 1 (the last weights) or more.
        every: updates between two snapshots, counted back from the last update.
        shape: w_i: equal 1, linear i (the newest counts most).
    """

    last: int = 10
    every: int = 10
    shape: str = "equal"

    family: ClassVar[str] = "averages"
    neutral: ClassVar[Mapping[str, Any]] = {"last": 1}
    example: ClassVar[Mapping[str, Any]] = {"last": 2, "every": 2}
    by_name: ClassVar[bool] = True
    sweep: ClassVar[Mapping[str, Sequence[Any]]] = {"last": (2, 3, 5, 7, 10)}

    def __post_init__(self) -> None:
        within("last", self.last, 1)
        within("every", self.every, 1)
        among("shape", self.shape, SHAPES)

    def fits(self, config: Any, budget: Budget) -> None:
        if (self.last - 1) * self.every >= budget.steps:
            raise ValueError(
                f"{self.last} snapshots {self.every} updates apart do not fit into {budget.steps} updates; "
                f"lower last or every, or give more tokens"
            )

    @torch.no_grad()
    def weights(self, model: nn.Module, memory: Memory, origin: Origin) -> None:
        memory.moving["update"] = memory.moving.get("update", 0) + 1
        back, between = divmod(origin.budget.steps - memory.moving["update"], self.every)
        if self.last == 1 or between or back >= self.last:
            return
        weight = self.last - back if self.shape == "linear" else 1
        memory.moving["sum"] = memory.moving.get("sum", 0) + weight
        if "mean" not in memory.moving:
            memory.moving["mean"] = copied(trained(model))
        for name, weights in trained(model).items():
            memory.moving["mean"][name].lerp_(weights.float(), weight / memory.moving["sum"])

    @torch.no_grad()
    def finish(self, model: nn.Module, memory: Memory, origin: Origin) -> None:
        for name, mean in memory.moving.get("mean", {}).items():
            model.get_parameter(name).copy_(mean)
