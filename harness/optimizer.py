"""What turns gradients into weights: the optimizer that all arms of a run share, and how its steps reach weights in bf16.

A weight in bf16 has eight binary digits: an update of less than half of the last one is lost when the sum is rounded to the
nearest, however often it comes, and a model that does not learn looks like one that does not forget. So such weights are
stepped in fp32, one tensor at a time, and rounded up or down by chance, with the odds that make the result right on average.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from harness.errors import TrialError
from harness.plan import Budget

LOST = 2**16
"""What the digits that bf16 does not keep of an fp32 number can say."""


def make(model: nn.Module, budget: Budget) -> torch.optim.Optimizer:
    """The optimizer of a budget over what a model trains."""
    groups, betas, kind = decayed(model, budget.weight_decay), (budget.beta1, budget.beta2), budget.engine.optimizer
    if kind == "adafactor":
        return torch.optim.Adafactor(groups, lr=budget.peak)
    if kind == "adamw_8bit":
        from torchao.optim import AdamW8bit  # pyright: ignore[reportMissingImports]

        return AdamW8bit(groups, lr=budget.peak, betas=betas)
    return torch.optim.AdamW(groups, lr=budget.peak, betas=betas, fused=True)


def decayed(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Optimizer groups: decay on matrices, none on vectors; what is frozen is in neither."""
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def step(optimizer: torch.optim.Optimizer, rate: float, chance: torch.Generator | None = None) -> None:
    """One update at a learning rate; with `chance`, of weights in bf16."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)  # a number would be compiled into a kernel of its own
        else:
            group["lr"] = rate
    if chance is None:
        optimizer.step()
    else:
        _step_rounded(optimizer, chance)


@torch.no_grad()
def _step_rounded(optimizer: torch.optim.Optimizer, chance: torch.Generator) -> None:
    """Step each weight alone, in fp32: the optimizer passes over those that have no gradient."""
    slopes = {p: p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None}
    for p in slopes:
        p.grad = None
    for p, slope in slopes.items():
        kept = p.data
        p.data = kept.float()
        p.grad = slope
        optimizer.step()
        p.grad = None
        kept.copy_(rounded(p.data, chance))
        p.data = kept
    for p, slope in slopes.items():
        p.grad = slope


def rounded(values: Tensor, chance: torch.Generator) -> Tensor:
    """fp32 to one of the two nearest values in bf16, each with the probability that makes the mean exact.

    The sixteen digits that bf16 lacks are the probability of the upper one: a random number below 2^16 added to them carries.
    """
    drawn = torch.randint(0, LOST, values.shape, dtype=torch.int32, device=values.device, generator=chance)
    return (values.view(torch.int32) + drawn).bitwise_and_(-LOST).view(torch.float32).bfloat16()


def momentum(optimizer: torch.optim.Optimizer, p: Tensor) -> Tensor:
    """The first moment of a trained tensor; zeros before its first step."""
    slots = optimizer.state.get(p, {})
    if slots and "exp_avg" not in slots:
        raise TrialError("this arm reads first moments, and the optimizer keeps none; type --optimizer adamw")
    if not slots:
        return torch.zeros_like(p, dtype=torch.float32)
    found = slots["exp_avg"]
    return found.dequantize() if hasattr(found, "__tensor_flatten__") else found


def state(optimizer: torch.optim.Optimizer, named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What the optimizer keeps of each weight, as plain tensors: a quantised one as the tensors it is made of."""
    found: dict[str, Tensor] = {}
    for name, p in named.items():
        for slot, value in optimizer.state.get(p, {}).items():
            for inner, tensor in _plain(value).items():
                found[f"optimizer.{slot}{inner}.{name}"] = tensor
    return found


def _plain(value: Any) -> dict[str, Tensor]:
    if not hasattr(value, "__tensor_flatten__"):
        return {"": value}
    return {f"/{inner}": getattr(value, inner) for inner in value.__tensor_flatten__()[0]}


@torch.no_grad()
def restore(optimizer: torch.optim.Optimizer, named: Mapping[str, Tensor], kept: Mapping[str, Tensor]) -> None:
    """Put back what `state` had seen, into tensors that the optimizer makes itself: by a step that leaves the weights alone."""
    if not any(name.startswith("optimizer.") for name in kept):
        return
    trained = [p for group in optimizer.param_groups for p in group["params"]]
    for p in trained:
        p.grad = torch.zeros_like(p, dtype=torch.float32)
    half = trained[0].dtype == torch.bfloat16
    step(optimizer, 0.0, torch.Generator(trained[0].device) if half else None)
    optimizer.zero_grad()
    for name, p in named.items():
        found = {slot: value for slot, value in state(optimizer, {name: p}).items() if slot in kept}
        for slot, value in found.items():
            value.copy_(kept[slot])
        if not found:  # it has had no gradient yet
            optimizer.state.pop(p, None)
