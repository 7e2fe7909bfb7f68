"""The pull of ewc, l2sp, mas and si does not depend on the blocks that it is added in."""

from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from harness.bench import tiny_setting
from harness.plan import Engine
from harness.strategy import Combined, Memory, Strategy
from harness.train import Training
from strategies import pull
from strategies.ewc import EWC
from strategies.kl import KL
from strategies.l2sp import L2SP


class Base:
    """A frozen model with the weights of another."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.values: dict[str, Tensor] = {name: p.detach() + 0.1 * torch.randn_like(p) for name, p in model.named_parameters()}

    def waiting(self, name: str) -> Tensor:
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


class Host(Tensor):
    """Memory of another kind: it can be cut and moved, and nothing can be computed with it before."""

    ALLOWED = ("split", "float", "to", "numel", "__get__")
    moved: ClassVar[list[int]] = []

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func.__name__ in cls.ALLOWED, f"{func.__name__} of a tensor that waits in host memory"
        if func.__name__ == "to":
            cls.moved.append(args[0].numel())
            return args[0].as_subclass(Tensor)
        return super().__torch_function__(func, types, args, kwargs or {})


@pytest.mark.parametrize("weighted", [True, False])
def test_what_waits_in_host_memory_is_moved_a_block_at_a_time(monkeypatch: pytest.MonkeyPatch, weighted: bool) -> None:
    monkeypatch.setattr(pull, "BLOCK", 12)
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(9, 5), nn.LayerNorm(5), nn.Linear(5, 3))
    importance = {name: torch.rand_like(p) for name, p in model.named_parameters()} if weighted else None
    base, found = Base(model), []
    for offloaded in (False, True):
        for p in model.parameters():
            p.grad = torch.ones_like(p)
        if offloaded:
            base.values = {name: value.as_subclass(Host) for name, value in base.values.items()}
            importance = importance and {name: value.as_subclass(Host) for name, value in importance.items()}
            Host.moved.clear()
        memory = Memory(fixed=pull.Pull(base, importance, 0.5, 3.0))  # type: ignore[arg-type]
        pull.add(model, memory)
        found.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    assert max(Host.moved) <= 12
    assert sum(Host.moved) == (2 if weighted else 1) * sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("strategy", [EWC(1000.0), L2SP(10.0), L2SP(10.0, form="proximal"), Combined((KL(0.5), EWC(1000.0)))])
def test_waiting_in_host_memory_gives_the_same_bits(tmp_path: Path, strategy: Strategy) -> None:
    ends = []
    for offloaded in (False, True):
        training = Training(strategy, tiny_setting(tmp_path, Engine(offload_reference=offloaded)), 1)
        assert training.origin.base._offloaded is offloaded
        for _ in range(3):
            training.step()
        training.finish()
        ends.append([p.detach().clone() for p in training.model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))
