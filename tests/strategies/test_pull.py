"""The pull of ewc, l2sp, mas and si does not depend on the blocks that it is added in."""

import pytest
import torch
from torch import Tensor, nn

from harness.strategy import Memory
from strategies import pull


class Base:
    """A frozen model with the weights of another."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.values = {name: p.detach() + 0.1 * torch.randn_like(p) for name, p in model.named_parameters()}

    def parameter(self, name: str) -> Tensor:
        return self.values[name]


@pytest.mark.parametrize("block", [1, 7, 64, 2**18])
@pytest.mark.parametrize("weighted", [True, False])
def test_each_weight_is_pulled_once_whatever_the_block(monkeypatch: pytest.MonkeyPatch, block: int, weighted: bool) -> None:
    monkeypatch.setattr(pull, "BLOCK", block)
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(9, 5), nn.LayerNorm(5), nn.Linear(5, 3), nn.Linear(3, 2))
    model[3].requires_grad_(False)
    base = Base(model)
    importance = {name: torch.rand_like(p) for name, p in model.named_parameters() if name != "1.bias"} if weighted else None
    before = {name: torch.randn_like(p) for name, p in model.named_parameters() if p.requires_grad}
    for name, slope in before.items():
        model.get_parameter(name).grad = slope.clone().t().contiguous().t() if slope.ndim == 2 else slope.clone()
    memory = Memory(fixed=pull.Pull(base, importance, 0.5, 3.0))  # type: ignore[arg-type]
    pull.add(model, memory)
    penalty = 0.0
    for name, slope in before.items():
        moved = model.get_parameter(name).detach() - base.values[name]
        held = importance.get(name, torch.zeros(())) if importance is not None else torch.ones(())
        torch.testing.assert_close(model.get_parameter(name).grad, slope + 3.0 * held * moved)
        penalty += 0.5 * float((held * moved * moved).sum())
    assert float(memory.log["penalty"]) == pytest.approx(penalty, rel=1e-5)
    assert all(p.grad is None for p in model[3].parameters())
