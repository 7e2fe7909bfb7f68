"""What turns gradients into weights: the optimizer that all arms of a run share."""

from typing import Any

import torch
from torch import nn

from harness.plan import Budget


def make(model: nn.Module, budget: Budget) -> torch.optim.Optimizer:
    """The optimizer of a budget over what a model trains."""
    groups = decayed(model, budget.weight_decay)
    return torch.optim.AdamW(groups, lr=budget.peak, betas=(budget.beta1, budget.beta2), fused=True)


def decayed(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Optimizer groups: decay on matrices, none on vectors; what is frozen is in neither."""
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
