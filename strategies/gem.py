"""Never step against any part of the old text: one constraint a part, solved together (GEM).

Source: Lopez-Paz & Ranzato 2017, Gradient episodic memory, arXiv:1706.08840. Departures: the old text cut into parts stands for
the tasks seen, and fresh rows of it for the stored memories; its small quadratic programme is solved exactly.
Cost: 1 + `memories`·`share` plain steps a step and `memories` more gradients: for small models. Needs old text, which is read
beside the budget and counted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from harness.strategy import OLD, Budget, Memory, Origin, Strategy, within
from strategies.agem import dot, gradient, rows, same_flops


@dataclass(frozen=True)
class GEM(Strategy):
    """Where g·g_k < 0 for some part k: g ← g + Σ v_k·g_k, with v ≥ margin least in ½·vᵀ(GGᵀ + damping·I)v + (Gg)ᵀv.

    Parameters:
        memories: parts of the old text, each a constraint: 1 to 8.
        share: rows of each part a step as a share of the batch, 0 or more.
        margin: least multiple of every part's gradient that is added where one is violated, 0 or more.
        damping: added to the diagonal, above 0.
    """

    memories: int = 4
    share: float = 0.125
    margin: float = 0.5
    damping: float = 1e-3

    neutral: ClassVar[Mapping[str, Any]] = {"share": 0.0}
    example: ClassVar[Mapping[str, Any]] = {"memories": 3, "share": 0.5}
    needs: ClassVar[tuple[str, ...]] = (OLD,)
    experimental: ClassVar[bool] = True
    family: ClassVar[str] = "importance"
    sweep: ClassVar[Mapping[str, Sequence[Any]]] = {"margin": (0.0, 0.25, 0.5, 0.75, 1.0)}

    def __post_init__(self) -> None:
        within("memories", self.memories, 1, 8)
        within("share", self.share, 0)
        within("margin", self.margin, 0)
        within("damping", self.damping, 0, above=True)

    def controls(self) -> Sequence[str]:
        return same_flops(self.memories * self.share)

    def cost(self, budget: Budget) -> float:
        return 1 + self.memories * rows(self.share, budget) / budget.batch

    def setup(self, origin: Origin) -> Memory:
        if (total := len(origin.source(OLD))) < self.memories:
            raise ValueError(f"the old text has {total} rows, fewer than its {self.memories} parts; give fewer memories")
        cuts = [part * total // self.memories for part in range(self.memories + 1)]
        bits = torch.Generator().manual_seed(origin.seed)
        orders = [(cuts[i] + torch.randperm(cuts[i + 1] - cuts[i], generator=bits)).tolist() for i in range(self.memories)]
        return Memory(fixed=orders, moving={"position": 0})

    @torch.no_grad()
    def gradients(self, model: nn.Module, memory: Memory, origin: Origin) -> None:
        if not (count := rows(self.share, origin.budget)):
            return
        own = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        start = memory.moving["position"]
        parts = []
        for order in memory.fixed:
            tokens = origin.source(OLD).tokens([order[place % len(order)] for place in range(start, start + count)])
            parts.append({name: g for name, g in gradient(origin, model, tokens).items() if name in own})
        memory.moving["position"] += count
        along = torch.stack([dot(own, part) for part in parts]).cpu()  # (memories,): Gg
        memory.log["violated"] = float((along < 0).sum())
        if not (along < 0).any():
            return
        gram = torch.stack([torch.stack([dot(one, other) for other in parts]) for one in parts]).cpu()
        gram += self.damping * torch.eye(self.memories, dtype=gram.dtype)
        for v, part in zip(least(gram, along, self.margin).tolist(), parts, strict=True):
            for name, g in part.items():
                own[name].add_(g.to(own[name].dtype), alpha=v)


def least(matrix: Tensor, linear: Tensor, floor: float) -> Tensor:
    """The v ≥ floor that makes ½·vᵀ·matrix·v + linear·v least, (k,) fp64: every set of bounds that hold is tried.

    The matrix is positive definite, so that exactly one v meets the conditions; the one that meets them best is taken.
    """
    best, fault = torch.full_like(linear, floor), torch.inf
    for held in product((True, False), repeat=len(linear)):
        free = [i for i, bound in enumerate(held) if not bound]
        v = torch.full_like(linear, floor)
        if free:
            rest = linear[free] + matrix[free] @ (v * torch.tensor(held))
            v[free] = torch.linalg.solve(matrix[free][:, free], -rest)
        slope = matrix @ v + linear
        wrong = max(float((floor - v).max()), *(-float(slope[i]) for i, bound in enumerate(held) if bound), 0.0)
        if wrong < fault:
            best, fault = v, wrong
    return best
