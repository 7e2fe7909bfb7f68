"""What a strategy keeps is counted once, wherever it stands, and without the model that is trained."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from harness.given import Memory
from harness.stored import stored


@dataclass
class Kept:
    weights: torch.Tensor


def test_each_storage_counts_once_and_the_own_model_not_at_all() -> None:
    model, base, fisher = nn.Linear(4, 3), nn.Linear(4, 3), torch.zeros(10)
    fixed = ({"fisher": fisher, "again": fisher[2:]}, Kept(torch.zeros(5)), SimpleNamespace(model=base), model.weight)
    training: Any = SimpleNamespace(model=model, memory=Memory(fixed, {"average": [torch.zeros(2, dtype=torch.float64)]}))
    assert stored(training) == 4 * (10 + 5 + 4 * 3 + 3) + 8 * 2


def test_nothing_kept_is_nothing() -> None:
    training: Any = SimpleNamespace(model=nn.Linear(2, 2), memory=Memory(facts={"share": 0.5}))
    assert stored(training) == 0
