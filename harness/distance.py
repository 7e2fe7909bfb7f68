"""How far a training has moved from where it began."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from harness.strategy import parts

if TYPE_CHECKING:
    from harness.train import Training


@torch.no_grad()
def distance(training: "Training", base: Iterable[tuple[str, Tensor]] | None = None) -> float | None:
    """||theta - theta_base|| / ||theta_base||, over all tensors that both have; None where none are, or blocks were added.

    base    the base's tensors, where they can be had for less than loading it
    """
    if any(part.renames == "for good" for part in parts(training.strategy)):
        return None
    if base is None:
        base = (training.origin.loaded.model if training.origin.loaded else training.setting.load()).named_parameters()
    moved, whole, now = 0.0, 0.0, dict(training.model.named_parameters())
    for name, before in base:
        if name in now:
            moved += float((now[name].cpu().float() - before.cpu().float()).double().square().sum())
            whole += float(before.cpu().float().double().square().sum())
    return math.sqrt(moved / whole) if whole else None
