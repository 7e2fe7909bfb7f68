"""Train low-rank adapters beside frozen weights, and merge them in at the end.

Source: Hu et al. 2021, LoRA, arXiv:2106.09685; for continued pre-training: Biderman et al. 2024, arXiv:2405.09673.
Cost: about 2/3 of a plain step a step (no gradients of the frozen weights), and what the adapters add; optimizer state for the
adapters alone. Departure: no dropout on the adapters, as no arm has any.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, ClassVar

from torch import nn

from harness.strategy import Budget, Memory, Origin, Strategy, within


@dataclass(frozen=True)
class LoRA(Strategy):
    """W = W_base + scale·B·A for every linear layer of the blocks: A (rank, in) random, B (out, rank) zero; A and B train.

    Embeddings, norms and head stay as they are. A is drawn from the training's seed. The best learning rate of adapters is
    about ten times that of all weights, hence an own default; compare with full training at *its* best rate, never at this one.

    Parameters:
        rank: rank of B·A, 1 or more and at most the width of the base.
        scale: factor of B·A, alpha/rank in the paper's terms, above 0.
    """

    rank: int = 16
    scale: float = 2.0

    family: ClassVar[str] = "fewer weights"
    neutral: ClassVar[None] = None
    reason: ClassVar[str] = "at no rank does it train the weights that the control trains"
    example: ClassVar[Mapping[str, Any]] = {"rank": 4}
    lr: ClassVar[float] = 10.0
    extra: ClassVar[str] = "peft"
    renames: ClassVar[str] = "while training"
    sweep: ClassVar[Mapping[str, Sequence[Any]]] = {"rank": (16, 32, 64, 128, 256)}

    def __post_init__(self) -> None:
        within("rank", self.rank, 1)
        within("scale", self.scale, 0, above=True)

    def controls(self) -> Sequence[str]:
        return ("none:lr=0.3", "none:lr=3")

    def cost(self, budget: Budget) -> float:
        return 2 / 3

    def fits(self, config: Any, budget: Budget) -> None:
        if find_spec("peft") is None:
            raise ValueError("adapters are made by peft, which is not installed; type pip install 'forgetting-harness[lora]'")
        if self.rank > (width := config.get_text_config().hidden_size):
            raise ValueError(f"rank={self.rank} is above its width of {width}; give rank={width} or less")

    def adapt(self, model: nn.Module) -> nn.Module:
        from peft import LoraConfig, inject_adapter_in_model

        asked = LoraConfig(r=self.rank, lora_alpha=self.scale * self.rank, lora_dropout=0.0, target_modules="all-linear")  # pyright: ignore[reportArgumentType]
        return inject_adapter_in_model(asked, model)

    def finish(self, model: nn.Module, memory: Memory, origin: Origin) -> None:
        from peft.tuners.lora import LoraLayer

        for name, module in list(model.named_modules()):
            if isinstance(module, LoraLayer):
                module.merge()  # pyright: ignore[reportCallIssue]  W_base += scale·B·A, in fp32 as both are
                model.set_submodule(name, module.get_base_layer())
        del model.peft_config
