"""How the arithmetic of a training is done: precision, loss scale, and what a model is told for as long as it is trained.

`fit` changes how a model computes and not what it is: names, tensors and modules stay, and all of it is taken back, so that
what is merged, stored and scored is the same model in fp32 under every engine.
"""

import contextlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from harness.errors import InputError, one_line
from harness.plan import Engine
from harness.strategy import blocks

HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}
FIRST_SCALE, GROWTH_INTERVAL = 2.0**16, 2000
"""What losses are multiplied by at first, and steps without overflow after which it is doubled (as torch.amp does)."""


def autocast(engine: Engine, device: torch.device) -> Any:
    """The context of a forward pass."""
    kind = HALF.get(engine.precision)
    return torch.autocast(device.type, kind) if kind else contextlib.nullcontext()


class LossScale:
    """Dynamic loss scaling: small gradients do not vanish in fp16, and a step in which large ones overflow is left out.

    Always a power of two, so that scaling loses nothing; 1 in any other precision.
    """

    def __init__(self, engine: Engine) -> None:
        self.on = engine.precision == "fp16"
        self.factor = FIRST_SCALE if self.on else 1.0
        self.overflowed = False
        self._since = 0

    def unscale(self, model: nn.Module) -> bool:
        """Divide the gradients; whether they are finite. Where they are not, the next step's scale is half of this one's."""
        if not self.on:
            return True
        slopes = [p.grad for p in model.parameters() if p.grad is not None]
        for slope in slopes:
            slope.div_(self.factor)
        self.overflowed = self.factor > 1 and not all(bool(slope.isfinite().all()) for slope in slopes)
        self._since = 0 if self.overflowed else self._since + 1
        if self.overflowed:
            self.factor /= 2
        elif self._since == GROWTH_INTERVAL:
            self.factor, self._since = 2 * self.factor, 0
        return not self.overflowed

    @property
    def why(self) -> str:
        """Why a step was left out."""
        return f"the gradient overflowed fp16 at the loss scale {2 * self.factor:.0f}"

    def state(self) -> list[float]:
        """What a checkpoint holds of it."""
        return [self.factor, self._since]

    def restore(self, state: list[float]) -> None:
        """Go on from a state."""
        self.factor, self._since = state[0], int(state[1])


def fit(model: nn.Module, engine: Engine, start: int, trained: bool = True) -> contextlib.ExitStack:
    """Let a model compute as the engine says, documents beginning with the token `start`; closing what it returns undoes it."""
    built: Any = model
    undo = contextlib.ExitStack()
    if engine.attention != "sdpa":
        undo.callback(built.set_attn_implementation, built.config._attn_implementation)
        built.set_attn_implementation(engine.attention)
    if engine.document_mask:
        hook = built.base_model.register_forward_pre_hook(partial(_restarting, start), with_kwargs=True)
        undo.callback(hook.remove)
    if engine.compile:
        for block in blocks(model):
            block.compile(dynamic=False)  # a kernel a shape: what is computed does not depend on the shapes before
            undo.callback(setattr, block, "_compiled_call_impl", None)
    if engine.gradient_checkpointing and trained:
        undo.callback(_checkpoint_blocks(built))
    if engine.weights == "bf16":  # frozen models too: else an anchor would pull at what rounding the base's weights did
        _keep_in(torch.bfloat16, model)
        undo.callback(_keep_in, torch.float32, model)
    return undo


def fitted(load: Callable[[], nn.Module], engine: Engine, start: int) -> nn.Module:
    """A frozen model, newly loaded, that computes as the engine says."""
    model = load()
    fit(model, engine, start, trained=False)
    return model


def quantised(model: nn.Module) -> nn.Module:
    """A frozen model with the matrices of its blocks in 8 bits, a scale a row; the head, whose errors are logits, stays."""
    from torchao.quantization import Int8WeightOnlyConfig, quantize_  # pyright: ignore[reportMissingImports]

    for block in blocks(model):
        quantize_(block, Int8WeightOnlyConfig())
    return model


def _checkpoint_blocks(model: Any) -> Callable[[], None]:
    """Compute blocks again in the backward; what takes it back. The word that transformers has for it changed in 5.23."""
    if hasattr(model, "activation_checkpointing_enable"):
        model.activation_checkpointing_enable({"use_reentrant": False})
        return model.activation_checkpointing_disable
    model.gradient_checkpointing_enable({"use_reentrant": False})
    return model.gradient_checkpointing_disable


def _keep_in(kind: torch.dtype, model: nn.Module) -> None:
    """Keep weights in a precision and their gradients in fp32, and leave buffers: positions need all digits of theirs."""
    for p in model.parameters():
        p.grad = None
        p.data = p.data.to(kind)
        if p.requires_grad and kind != torch.float32:
            p.grad_dtype = torch.float32  # a small term of a long sum would be lost in bf16


def positions(tokens: Tensor, start: int) -> Tensor:
    """(b, T) places of tokens in their own documents, which begin with the token `start`; a row may begin inside of one."""
    places = torch.arange(tokens.shape[1], device=tokens.device)
    return places - torch.where(tokens == start, places, 0).cummax(-1).values


def _restarting(start: int, module: nn.Module, given: Any, named: dict[str, Any]) -> Any:
    """Positions that begin anew with each document, from which transformers makes the mask; text that is drawn is one."""
    tokens = given[0] if given else named.get("input_ids")
    placed = any(named.get(name) is not None for name in ("position_ids", "attention_mask", "past_key_values"))
    if tokens is None or placed or named.get("use_cache"):
        return None
    return given, {**named, "position_ids": positions(tokens, start)}


def check(model: nn.Module, engine: Engine, start: int) -> None:
    """Refuse an architecture that cannot do what the engine says."""
    built: Any = model
    kind = built.config.model_type
    try:
        undo = fit(model, replace(engine, weights="fp32"), start)
    except (ValueError, ImportError) as error:
        raise InputError(f"{kind} cannot be trained with {engine.told}: {one_line(str(error))}") from error
    with undo:
        if built.config._attn_implementation != engine.attention != "sdpa":
            raise InputError(f"{kind} has no attention {engine.attention}; leave --attention out")
    with fit(model, replace(engine, weights="fp32", compile=False), start, trained=False):
        if engine.document_mask and not _apart(built, engine, start):
            raise InputError(f"{kind} with this attention mixes the documents of a packed row; leave --document-mask out")


@torch.no_grad()
def _apart(model: Any, engine: Engine, start: int) -> bool:
    """Whether the second document of a packed row comes out as it does alone, in two rows at once."""
    vocabulary = model.config.get_text_config().vocab_size
    words = torch.tensor([word for word in range(13) if word != start][:11]) % vocabulary
    first, second = (torch.stack([part, part.flip(0)]) for part in (words[:4], words[4:]))
    begin = torch.full((2, 1), start)
    packed = torch.cat([first, begin, second], dim=1).to(model.device)  # (2, 12)
    alone = torch.cat([begin, second], dim=1).to(model.device)  # (2, 8)
    with autocast(engine, model.device):
        one, two = (model.base_model(input_ids=each, use_cache=False).last_hidden_state.float() for each in (packed, alone))
    near = 1e-4 if engine.precision == "fp32" else 5e-2  # without a mask they are apart by about as much as they are large
    return float((one[:, 4:] - two).norm()) < near * float(two.norm())


def use_liger(kind: str) -> None:
    """Give every model of an architecture that is loaded from now on Liger's kernels, all but its losses."""
    import liger_kernel.transformers as liger  # pyright: ignore[reportMissingImports]

    apply = getattr(liger, f"apply_liger_kernel_to_{kind}", None)
    if apply is None:
        raise InputError(f"Liger has no kernels for {kind}; leave --liger out")
    apply(cross_entropy=False, fused_linear_cross_entropy=False)
