"""Add blocks that do nothing yet, and train these alone: the old blocks stay as they are.

Source: Wu et al. 2024, LLaMA Pro, arXiv:2401.02415 (32 blocks to 40: a copy after every fourth).
Cost: at most 2/3 + 1/`every` plain steps a step; less, as the backward pass ends at the lowest new block. The model stays
larger by 1/`every` of its blocks, and slower in use.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from harness.strategy import Budget, Memory, Origin, Strategy, blocks, within

LLAMA_LIKE = ("self_attn.o_proj", "mlp.down_proj")
OUTPUTS = {
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3"), LLAMA_LIKE),
    "gpt_neox": ("attention.dense", "mlp.dense_4h_to_h"),
}
"""By architecture, what a block writes to the residual stream with: zero there, and the block is the identity."""


@dataclass(frozen=True)
class Expand(Strategy):
    """x + attention(x) + mlp(x), with both output projections and their biases zero, is x: such a copy of the last of every
    `every` blocks stands behind it, and copies alone are trained.

    Where the blocks are no multiple of `every`, those left over at the top have no copy. Not for blocks that normalise what
    they write (Gemma 2, OLMo 2): architectures are named, and others refused.

    Parameters:
        every: old blocks to one new block, 1 or more and at most the blocks of the base.
    """

    every: int = 4

    family: ClassVar[str] = "fewer weights"
    neutral: ClassVar[None] = None
    reason: ClassVar[str] = "it trains new blocks alone; the control trains the old ones"
    example: ClassVar[Mapping[str, Any]] = {"every": 1}
    renames: ClassVar[str] = "for good"
    sweep: ClassVar[Mapping[str, Sequence[Any]]] = {"every": (1, 2, 4)}

    def __post_init__(self) -> None:
        within("every", self.every, 1)

    def cost(self, budget: Budget) -> float:
        return 2 / 3 + 1 / self.every

    def fits(self, config: Any, budget: Budget) -> None:
        if config.model_type not in OUTPUTS:
            known = ", ".join(OUTPUTS)
            raise ValueError(f"blocks can be added to the architectures {known}, and this is {config.model_type}")
        if (count := config.num_hidden_layers) < self.every:
            raise ValueError(f"every={self.every} is more than its {count} blocks; give every={count} or less")

    def adapt(self, model: nn.Module) -> nn.Module:
        model.requires_grad_(False)
        config: Any = model.config
        stack = blocks(model)
        for place in range(len(stack) // self.every * self.every, 0, -self.every):  # from the top, so that places stay
            stack.insert(place, _silent(stack[place - 1], OUTPUTS[config.model_type]))
            if kinds := getattr(config, "layer_types", None):
                config.layer_types = [*kinds[:place], kinds[place - 1], *kinds[place:]]
        config.num_hidden_layers = len(stack)
        for i, block in enumerate(stack):
            attention: Any
            for attention in block.modules():
                if hasattr(attention, "layer_idx"):
                    attention.layer_idx = i  # where the cache keeps its keys and values
        return model

    def finish(self, model: nn.Module, memory: Memory, origin: Origin) -> None:
        memory.facts["blocks"] = len(blocks(model))
        memory.facts["blocks_added"] = memory.facts["blocks"] // (self.every + 1)


def _silent(block: nn.Module, outputs: Sequence[str]) -> nn.Module:
    """A trainable copy of a block that adds nothing to the residual stream."""
    made = copy.deepcopy(block).requires_grad_(True)
    with torch.no_grad():
        for name in outputs:
            for p in made.get_submodule(name).parameters():
                p.zero_()
    return made
