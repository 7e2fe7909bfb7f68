"""Freeze the input columns that old text depends on: source-shielded updates.

Source: Yamaguchi et al. 2025, arXiv:2512.04844; the score is Wanda's (Sun et al. 2023, arXiv:2306.11695). Equations as
printed in summaries of the paper; the released code differs (norm of the column times the mean square of the input) and is
not followed. There, frozen columns have no gradient but still decay; here they stay as they are, bit for bit. Embeddings and
head are trained as in the paper; norms and biases are trained too, where the released code freezes single entries of them.
Cost: `tokens` of forward before the first step; 1 plain step a step; a copy of the frozen columns within each step.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from harness.strategy import OLD, Memory, Origin, Strategy, among, blocks, within
from strategies.calibration import groups


@dataclass(frozen=True)
class SourceShield(Strategy):
    """In every linear layer of the blocks the columns j with the largest S_j = Σ_i |W_ij|·‖x_j‖ do not move; x_j is the layer's
    input j at all positions of the old text, ‖·‖ the Euclidean norm over them.

    Parameters:
        share: share of the columns of a layer that is frozen, 0 (plain training) to 1.
        tokens: old tokens that the norms are measured on, at most a tenth of the budget or 2^16.
        score: wanda, or random columns by the seed: the same share without the choice.
    """

    share: float = 0.5
    tokens: int = 2**20
    score: str = "wanda"

    family: ClassVar[str] = "importance"
    neutral: ClassVar[Mapping[str, Any]] = {"share": 0.0}
    example: ClassVar[Mapping[str, Any]] = {"share": 0.5, "tokens": 2**10}
    needs: ClassVar[tuple[str, ...]] = (OLD,)
    by_name: ClassVar[bool] = True
    sweep: ClassVar[Mapping[str, Sequence[Any]]] = {"share": (0.1, 0.25, 0.5, 0.75, 0.9)}

    def __post_init__(self) -> None:
        within("share", self.share, 0, 1)
        within("tokens", self.tokens, 1)
        among("score", self.score, ("wanda", "random"))

    def needed(self) -> Sequence[str]:
        return self.needs if self.score == "wanda" else ()

    def controls(self) -> Sequence[str]:
        return (f"ssu:share={self.share:g}:score=random",) if self.score == "wanda" else ()

    def setup(self, origin: Origin) -> Memory:
        layers = linear_layers(origin.base.model)
        if self.score == "random":
            frozen = {name: self._random(layer.in_features, f"{origin.seed}/{name}") for name, layer in layers.items()}
            return Memory(fixed=frozen)
        read = groups(origin, self.tokens)
        scores = origin.remember(
            {"what": "Wanda's score by input column", "rows": read}, lambda: column_scores(origin, layers, read)
        )
        return Memory(fixed={name: score.topk(self._count(len(score))).indices for name, score in scores.items()})

    def _count(self, columns: int) -> int:
        return round(self.share * columns)

    def _random(self, columns: int, key: str) -> Tensor:
        return torch.tensor(random.Random(key).sample(range(columns), self._count(columns)), dtype=torch.long)

    @torch.no_grad()
    def gradients(self, model: nn.Module, memory: Memory, origin: Origin) -> None:
        before = memory.moving["before"] = {}
        for name, columns in memory.fixed.items():
            weights = model.get_parameter(name)
            before[name] = weights[:, columns.to(weights.device)]
            if weights.grad is not None:
                weights.grad[:, columns.to(weights.device)] = 0  # the clipped norm is that of what is trained

    @torch.no_grad()
    def weights(self, model: nn.Module, memory: Memory, origin: Origin) -> None:
        for name, before in memory.moving.pop("before").items():
            weights = model.get_parameter(name)
            weights[:, memory.fixed[name].to(weights.device)] = before  # undoes the weight decay


def linear_layers(model: nn.Module) -> dict[str, nn.Linear]:
    """The linear layers of the blocks, by the names of their weights."""
    inside = {module for block in blocks(model) for module in block.modules() if isinstance(module, nn.Linear)}
    found = {f"{name}.weight": module for name, module in model.named_modules() if module in inside}
    if not found:
        raise ValueError(f"the blocks of {type(model).__name__} have no linear layers whose columns could be frozen")
    return found  # pyright: ignore[reportReturnType]


@torch.no_grad()
def column_scores(origin: Origin, layers: Mapping[str, nn.Linear], read: Sequence[Sequence[int]]) -> dict[str, Tensor]:
    """S_j of every layer, (columns,) each, from forward passes of the base over old text."""
    squares = {name: torch.zeros(layer.in_features, device=layer.weight.device) for name, layer in layers.items()}

    def watched(name: str) -> Any:
        def hook(module: nn.Module, given: tuple[Tensor, ...]) -> None:
            squares[name] += given[0].float().square().flatten(0, -2).sum(0)

        return hook

    hooks = [layer.register_forward_pre_hook(watched(name)) for name, layer in layers.items()]
    try:
        for rows in read:
            origin.base.states(origin.source(OLD).tokens(rows).to(next(iter(squares.values())).device))
    finally:
        for hook in hooks:
            hook.remove()
    return {name: layer.weight.float().abs().sum(0) * squares[name].sqrt() for name, layer in layers.items()}
