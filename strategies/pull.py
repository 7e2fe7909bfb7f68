"""The quadratic pull to the base that `ewc`, `l2sp`, `mas` and `si` share, and how strong it is. No strategy.

The penalty is weight·factor·Σ I·(θ - θ_base)², its gradient weight·2·factor·I·(θ - θ_base). It is added once a step and without
a graph, so that accumulation can neither repeat nor dilute it. What is logged is the penalty without its weight.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from harness.strategy import Frozen, Memory, Origin, within

RELATIVE = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Relative strengths worth trying: 0.01 is nearly plain training, 10 nearly frozen."""


@dataclass(frozen=True)
class Pull:
    """A penalty on leaving the base.

    base        where it pulls to
    importance  parameter name to I, fp32; None: 1 for every weight
    factor      1/2, or 1 where the paper has no half
    weight      its strength; 0: none
    """

    base: Frozen
    importance: Mapping[str, Tensor] | None
    factor: float = 0.5
    weight: float = 0.0

    def slope(self, name: str, weights: Tensor) -> tuple[Tensor, Tensor]:
        """(θ - θ_base, I·(θ - θ_base)) of one tensor, fp32."""
        moved = weights.float() - self.base.waiting(name).to(weights.device)
        return moved, moved if self.importance is None else moved * self.importance[name].to(weights.device)

    @torch.no_grad()
    def penalty(self, parameter: Callable[[str], Tensor]) -> float:
        """factor·Σ I·(θ - θ_base)² of the tensors that `parameter` gives by name."""
        names = dict(self.base.model.named_parameters()) if self.importance is None else self.importance
        return self.factor * sum(float((a * b).double().sum()) for a, b in (self.slope(n, parameter(n)) for n in names))


def check_strength(weight: float, relative: float, default: float) -> None:
    """Refuse strengths out of range, and two of them at once."""
    within("weight", weight, 0)
    within("relative", relative, 0)
    if relative and weight != default:
        raise ValueError(f"weight={weight:g} and relative={relative:g} both set the strength; give one of them")


def strengthened(pull: Pull, origin: Origin, weight: float, relative: float) -> tuple[Pull, dict[str, Any]]:
    """The pull at its weight; a relative one is relative·gain / penalty, both of the finished control, and is reported."""
    if pull.importance is not None:
        pull = replace(pull, importance=origin.waiting(pull.importance))
    if not relative:
        return replace(pull, weight=weight), {}
    gain = origin.control.gain
    if not gain > 0:
        raise ValueError(
            f"the control gained {gain:.3g} nats on held-out new text; give weight, for nothing is relative to no gain"
        )
    penalty = pull.penalty(origin.control.parameter)
    if not penalty > 0:
        raise ValueError("the control moved no weight that the penalty holds; give weight, for nothing is relative to no move")
    found = relative * gain / penalty
    return replace(pull, weight=found), {"weight": found, "control_penalty": penalty, "control_gain": gain}


@torch.no_grad()
def add(model: nn.Module, memory: Memory) -> None:
    """Add the pull that `memory.fixed` is to `.grad`, and log the penalty."""
    pull: Pull = memory.fixed
    if not pull.weight:
        return
    total: Any = 0.0
    for group in _groups(_held(pull, model)):
        weights, slopes, bases, *importance = (list(column) for column in zip(*group, strict=True))
        moved = torch._foreach_sub(weights, bases)  # pyright: ignore
        pulled = torch._foreach_mul(moved, importance[0]) if importance else moved  # pyright: ignore
        torch._foreach_add_(slopes, pulled, alpha=2 * pull.factor * pull.weight)  # pyright: ignore
        total = total + pull.factor * sum(torch.dot(a.flatten(), b.flatten()) for a, b in zip(moved, pulled, strict=True))
    memory.log["penalty"] = total


BLOCK = 2**18
"""Weights that are pulled at once: 1 MiB of each of the six tensors that this takes stays in a core's cache."""


def _held(pull: Pull, model: nn.Module) -> Iterator[tuple[Tensor, ...]]:
    """(weights, gradient, base, importance if there is any) of what is pulled, in blocks of rows, fp32."""
    for name, weights in model.named_parameters():
        if weights.grad is None or (pull.importance is not None and name not in pull.importance):
            continue
        tensors = [weights.float(), weights.grad, pull.base.waiting(name)]
        tensors += [] if pull.importance is None else [pull.importance[name]]
        blocks: Any = [tensors]
        if weights.numel() > BLOCK:
            rows = max(1, BLOCK * len(weights) // weights.numel())
            blocks = zip(*(t.split(rows) for t in tensors), strict=True)
        for block in blocks:
            yield tuple(t.to(weights.device) for t in block)  # what waits in host memory comes a block at a time


def _groups(blocks: Iterable[tuple[Tensor, ...]]) -> Iterator[list[tuple[Tensor, ...]]]:
    """Blocks together until they are a full one: many small tensors cost one call."""
    group: list[tuple[Tensor, ...]] = []
    size = 0
    for block in blocks:
        if size + block[0].numel() > BLOCK and group:
            yield group
            group, size = [], 0
        group.append(block)
        size += block[0].numel()
    if group:
        yield group
