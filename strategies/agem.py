"""Never step against old text: project the gradient where it would raise the loss of a batch of old rows (A-GEM).

Source: Chaudhry et al. 2019, Efficient lifelong learning with A-GEM, arXiv:1812.00420. Departures: fresh old text each step
instead of a stored memory; the gradient is projected before Adam, so that the promise holds for plain descent alone.
Cost: 1 + `share` plain steps a step and one more gradient. Needs old text, which is read beside the budget and counted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from harness.strategy import OLD, Budget, Memory, Origin, Strategy, within

GROUP = 4
"""Rows of one forward and backward."""


@dataclass(frozen=True)
class AGEM(Strategy):
    """Where g·g_old < 0: g ← g - (g·g_old / g_old·g_old)·g_old, over all weights at once; else g stays.

    The cosine of g and g_old and whether g was projected are logged each update, with the share of updates that were so far.

    Parameters:
        share: rows of old text a step as a share of the batch, 0 or more.
    """

    share: float = 0.25

    neutral: ClassVar[Mapping[str, Any]] = {"share": 0.0}
    example: ClassVar[Mapping[str, Any]] = {"share": 0.5}
    needs: ClassVar[tuple[str, ...]] = (OLD,)
    experimental: ClassVar[bool] = True
    family: ClassVar[str] = "importance"
    sweep: ClassVar[Mapping[str, Sequence[Any]]] = {"share": (0.0625, 0.125, 0.25, 0.5, 1.0)}

    def __post_init__(self) -> None:
        within("share", self.share, 0)

    def controls(self) -> Sequence[str]:
        return same_flops(self.share)

    def cost(self, budget: Budget) -> float:
        return 1 + rows(self.share, budget) / budget.batch

    def setup(self, origin: Origin) -> Memory:
        return Memory(moving={"position": 0, "projected": 0, "updates": 0})

    @torch.no_grad()
    def gradients(self, model: nn.Module, memory: Memory, origin: Origin) -> None:
        if not (count := rows(self.share, origin.budget)):
            return
        moving = memory.moving
        own = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        found = gradient(origin, model, origin.read(OLD, moving["position"], count))
        old = {name: g for name, g in found.items() if name in own}  # another part of the arm may have dropped some
        product, length, size = float(dot(own, old)), float(dot(old, old)), float(dot(own, own))
        if against := product < 0 < length:
            for name, g in old.items():
                own[name].sub_(g.to(own[name].dtype), alpha=product / length)
        moving["position"] += count
        moving["updates"] += 1
        moving["projected"] += int(against)
        memory.log["cosine"] = product / (size * length) ** 0.5 if size * length else 0.0
        memory.log["projected"] = float(against)
        memory.log["projection_rate"] = moving["projected"] / moving["updates"]


def rows(share: float, budget: Budget) -> int:
    """Old rows of a step: a share of the batch, one at least where there is a share."""
    return max(1, round(share * budget.batch)) if share else 0


def same_flops(share: float) -> tuple[str, ...]:
    """Rehearsal of as many old rows, at the same new rows and FLOPs."""
    return (f"replay:share={share / (1 + share):.4g}:steps={1 + share:.4g}",) if share else ()


def gradient(origin: Origin, model: nn.Module, tokens: Tensor) -> dict[str, Tensor]:
    """The gradient of the mean loss over (n, T) tokens, a few rows at a time."""
    found: dict[str, Tensor] = {}
    for some in tokens.split(GROUP):
        for name, g in origin.gradient(model, some).items():
            part = g.mul_(len(some) / len(tokens))
            found[name] = found[name].add_(part) if name in found else part
    return found


def dot(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> Tensor:
    """The inner product over all tensors that both have, in fp64."""
    products = [(one[name].double() * other[name].double()).sum() for name in one if name in other]
    return torch.stack(products).sum()
