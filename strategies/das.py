"""Let the units that old text depends on move less: soft masks on the update.

Source: Ke et al. 2023, DAS, arXiv:2302.03241, and the authors' code (ContinualLM). Departures: the mask is on AdamW's update,
because a constant factor on the gradient cancels in Adam; the importance of old text comes from its language-model loss,
because decoders are not trained with the dropout that the paper compares representations under; key and value heads that
several query heads share take the largest importance among these; rows of the query, key and value matrices are masked, where
the released code multiplies their columns; a bias behind the heads is left free; the contrastive loss is left out.
Cost: `tokens` of forward and backward before the first step; 1 plain step a step; one fp32 copy of the masked weights within
each step.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from harness.strategy import OLD, Budget, Memory, Origin, Strategy, among, within
from strategies.calibration import groups
from strategies.copies import copied
from strategies.units import KNOWN, gates, importance_of, masks


@dataclass(frozen=True)
class SoftMask(Strategy):
    """Each unit's weights take (1 - weight·I) of AdamW's step, weight decay included; I = |tanh(z)|, z the gradient of the old
    text's loss to a gate of 1 on the unit's output, standardised over the units of its kind in its block.

    Units are attention heads, feed-forward intermediate neurons and feed-forward outputs. Either sign of z counts, so that
    about half of all movement goes in any case: compare with shuffled importances.

    Parameters:
        weight: 0 (plain training) to 1 (a unit with I = 1 does not move).
        tokens: old tokens that the importance is measured on, at most a tenth of the budget or 2^16.
        score: gradient, or random: the same importances, shuffled among the units of a kind in a block by the seed.
    """

    weight: float = 1.0
    tokens: int = 2**20
    score: str = "gradient"

    family: ClassVar[str] = "importance"
    neutral: ClassVar[Mapping[str, Any]] = {"weight": 0.0}
    example: ClassVar[Mapping[str, Any]] = {"weight": 1.0, "tokens": 2**10}
    needs: ClassVar[tuple[str, ...]] = (OLD,)
    by_name: ClassVar[bool] = True
    sweep: ClassVar[Mapping[str, Sequence[Any]]] = {"weight": (0.1, 0.3, 0.6, 0.8, 1.0)}

    def __post_init__(self) -> None:
        within("weight", self.weight, 0, 1)
        within("tokens", self.tokens, 1)
        among("score", self.score, ("gradient", "random"))

    def controls(self) -> Sequence[str]:
        return (f"das:weight={self.weight:g}:score=random",) if self.score == "gradient" and self.weight else ()

    def fits(self, config: Any, budget: Budget) -> None:
        if (kind := config.get_text_config().model_type) not in KNOWN:
            raise ValueError(f"the units of a {kind} model are not known; known are {', '.join(sorted(KNOWN))}")

    def setup(self, origin: Origin) -> Memory:
        model, read = origin.base.model, groups(origin, self.tokens)
        self.fits(model.config, origin.budget)
        found = origin.remember({"what": "gradients to gates behind units", "rows": read}, lambda: gates(origin, read))
        importance = {name: importance_of(gate) for name, gate in found.items()}
        if self.score == "random":
            importance = {name: _shuffled(units, f"{origin.seed}/{name}") for name, units in importance.items()}
        mean = float(torch.cat(list(importance.values())).mean())
        return Memory(fixed=masks(model, importance), facts={"mean_importance": mean})

    def gradients(self, model: nn.Module, memory: Memory, origin: Origin) -> None:
        if self.weight:
            memory.moving["before"] = copied({name: model.get_parameter(name) for name in memory.fixed})

    @torch.no_grad()
    def weights(self, model: nn.Module, memory: Memory, origin: Origin) -> None:
        for name, before in memory.moving.pop("before", {}).items():
            weights = model.get_parameter(name)
            moves = 1 - self.weight * memory.fixed[name].to(weights.device)
            weights.copy_(before.lerp_(weights.float(), moves))


def _shuffled(units: Tensor, key: str) -> Tensor:
    return units[torch.tensor(random.Random(key).sample(range(len(units)), len(units)), device=units.device)]
