"""What a model does to its head's output before it is its logits: nothing, a scale, a soft cap, or what only the model knows.

A form is looked for among the few that are in use, with the numbers that the model's configuration gives, and is believed where
it makes the model's own logits on one short batch. So no architecture is named here, and one that does more keeps its own way.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Bend:
    """logits = cap·tanh(scale·z / cap), or scale·z without a cap; z: the head's output."""

    scale: float = 1.0
    cap: float | None = None

    def logits(self, z: Tensor) -> Tensor:
        """Logits of the head's output (n, V); fp32, in place of a z that is fp32 already."""
        made = z.float()
        if self.scale != 1:
            made = made.mul_(self.scale)
        return made if self.cap is None else made.div_(self.cap).tanh_().mul_(self.cap)

    def slope(self, slope: Tensor, logits: Tensor) -> Tensor:
        """The gradient by the head's output (n, V), in place of that by the logits."""
        if self.cap is not None:  # the derivative of the cap is 1 - tanh²
            slope = slope.addcmul_(slope * logits, logits, value=-1 / self.cap**2)
        return slope if self.scale == 1 else slope.mul_(self.scale)

    @property
    def told(self) -> str:
        """How the logits are made, as a record says it."""
        found = {"scale": None if self.scale == 1 else self.scale, "soft cap": self.cap}
        words = [f"{name} {value:g}" for name, value in found.items() if value is not None]
        return " with ".join(["chunked", *([" and ".join(words)] if words else [])])


FACTORS = ("logit_scale", "lm_head_multiplier")
DIVISORS = ("logits_scaling",)
CAPS = ("final_logit_softcapping", "logits_soft_cap", "output_logit_soft_cap")
"""What configurations call them."""


def _forms(model: Any) -> Iterator[Bend]:
    """What a model's configuration may mean, the plain head first."""
    yield Bend()
    config = model.config.get_text_config()

    def numbers(*names: str) -> list[float]:
        return [float(v) for name in names if isinstance(v := getattr(config, name, None), int | float) and v]

    for cap in (None, *numbers(*CAPS)):
        for scale in (1.0, *numbers(*FACTORS), *(1 / divisor for divisor in numbers(*DIVISORS))):
            yield Bend(scale, cap)


LOUD = (1.0, 1e2, 1e4)
"""How much the head's output is amplified in the rows of the batch: a soft cap hardly bends small logits, and hides a scale
of large ones."""


@torch.no_grad()
def bend_of(model: nn.Module) -> Bend | None:
    """What makes the model's own logits of its output embedding and its last hidden states; None: the model alone knows."""
    built: Any = model
    head = built.get_output_embeddings()
    if type(head) is not nn.Linear:
        return None
    modes = {module: module.training for module in built.modules()}
    built.eval()
    weight = head.weight
    tokens = (torch.arange(4, device=weight.device) % weight.shape[0]).expand(len(LOUD), -1)  # (3, 4)
    factors = torch.tensor(LOUD, device=weight.device, dtype=weight.dtype).view(-1, 1, 1)
    hook = head.register_forward_hook(lambda module, given, made: made * factors)  # pyright: ignore
    try:
        own = built(input_ids=tokens, use_cache=False).logits.float()  # (3, 4, V)
        made = head(built.base_model(input_ids=tokens, use_cache=False).last_hidden_state)
    finally:
        hook.remove()
        for module, mode in modes.items():
            module.training = mode
    rounding = 4 * torch.finfo(made.dtype).eps
    return next((form for form in _forms(built) if _same(form, own, made, rounding)), None)


def _same(form: Bend, own: Tensor, made: Tensor, rounding: float) -> bool:
    """Whether a form makes these logits: a plain head just so, others but for rounding in the weights' precision."""
    apart = (own - form.logits(made.clone())).abs().amax((1, 2))
    near = 1e-4 if form == Bend() else max(1e-4, rounding)
    return bool((apart <= near * own.abs().amax((1, 2))).all())
