"""Freeze half of the weight matrices, chosen at random in every block.

Source: Hui et al. 2024, Half Fine-Tuning, arXiv:2404.18466: by category, 2 of the 4 attention matrices, 1 or 2 of the 3
feed-forward matrices (2 in half of the blocks), 1 of the 2 norms; embeddings and head always train. Read in a summary of the
paper and in the reimplementation that comes with arXiv:2512.04844, not in the paper's own text. There a round is one
fine-tuning, with a new draw for the next; here that is `every=0`, and drawing within a training is an addition.
Cost: at most 1 plain step a step (gradients of the frozen half are made and dropped: the paper's saving of time is not
realised).
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from harness.strategy import Memory, Origin, Strategy, blocks, within


@dataclass(frozen=True)
class Half(Strategy):
    """θ_i moves only where M_i = 1; M is drawn by (seed, round), for a `share` of the modules of each category set to 0.

    A frozen tensor has no gradient: no step, no weight decay, no part in the clipped norm, and its moments stand still until it
    moves again. A category is what a block calls its parts (attention, feed-forward), and all its norms; where the share is
    no whole number of modules, blocks drawn at random freeze one more.

    Parameters:
        share: share of the modules of each category that is frozen, 0 (plain training) to 1.
        every: updates between two draws; 0: one draw for the whole training.
    """

    share: float = 0.5
    every: int = 0

    family: ClassVar[str] = "importance"
    neutral: ClassVar[Mapping[str, Any]] = {"share": 0.0}
    example: ClassVar[Mapping[str, Any]] = {"share": 0.5, "every": 2}
    sweep: ClassVar[Mapping[str, Sequence[Any]]] = {"share": (0.1, 0.25, 0.5, 0.75, 0.9)}

    def __post_init__(self) -> None:
        within("share", self.share, 0, 1)
        within("every", self.every, 0)

    def setup(self, origin: Origin) -> Memory:
        before = origin.earlier.moving["rounds"] if origin.earlier else 0
        return Memory(moving={"updates": 0, "rounds": before})

    def gradients(self, model: nn.Module, memory: Memory, origin: Origin) -> None:
        place = memory.moving["updates"]
        if place == 0 or (self.every and place % self.every == 0):
            memory.moving["rounds"] += 1
        memory.moving["updates"] += 1
        for module in drawn(model, self.share, f"{origin.seed}/{memory.moving['rounds']}"):
            for weights in module.parameters(recurse=False):
                weights.grad = None  # AdamW passes over it: weight decay and moments too


def drawn(model: nn.Module, share: float, key: str) -> list[nn.Module]:
    """The modules that are frozen: a share of each category, in all blocks together and in each block as nearly as it goes."""
    bits = random.Random(key)
    found: list[nn.Module] = []
    stack = [_categories(block) for block in blocks(model)]
    for category in sorted({name for each in stack for name in each}):
        members = [each.get(category, []) for each in stack]
        whole = [int(share * len(modules) + 1e-9) for modules in members]
        more = int(share * sum(map(len, members)) + 1e-9) - sum(whole)
        partly = [i for i, modules in enumerate(members) if whole[i] < len(modules)]
        for i in bits.sample(partly, min(more, len(partly))):
            whole[i] += 1
        found += [module for modules, count in zip(members, whole, strict=True) for module in bits.sample(modules, count)]
    return found


def _categories(block: nn.Module) -> dict[str, list[nn.Module]]:
    """The modules of a block that hold trained weights, by category."""
    found: dict[str, list[nn.Module]] = {}
    for name, module in block.named_modules():
        own = [weights for weights in module.parameters(recurse=False) if weights.requires_grad]
        if own:
            category = "norm" if all(weights.ndim < 2 for weights in own) else name.split(".")[0]
            found.setdefault(category, []).append(module)
    return found
