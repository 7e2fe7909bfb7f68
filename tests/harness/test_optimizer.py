"""Weights in bf16 move as far as fp32 says, on average; what any optimizer keeps is brought back bit for bit."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from harness import optimizer
from harness.bench import tiny_setting
from harness.errors import TrialError
from harness.plan import Budget, Engine
from harness.train import Training, train
from strategies.mofo import MomentumFilter

ULP = 2.0**-7
"""The distance of bf16 numbers between 1 and 2."""


def chance(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("value", [1.0, 1.001, -1.001, 0.3, -7.7e-5, 1e-20, 3.3e4])
def test_rounding_by_chance_is_right_on_average_and_gives_neighbours_only(value: float) -> None:
    exact = torch.full((40_000,), value)
    found = optimizer.rounded(exact, chance()).double()
    bits = exact[:1].view(torch.int32)
    near = torch.cat([bits & -(2**16), (bits & -(2**16)) + 2**16]).view(torch.float32).double()  # towards zero, and away
    values = set(found.tolist())
    assert values <= set(near.tolist())
    spread = float((near[1] - near[0]).abs())
    share = abs(float(exact[0].double() - near[0])) / spread  # of draws that are to go away from zero
    error = spread * math.sqrt(share * (1 - share) / len(found))
    assert abs(float(found.mean() - exact[0].double())) <= 4 * error
    assert (len(values) == 1) is (share == 0)


def test_what_bf16_can_say_or_is_not_finite_stays() -> None:
    exact = torch.tensor([0.0, -0.0, 1.0, -1.5, 2.0**-126, math.inf, -math.inf]).repeat(100)
    found = optimizer.rounded(exact, chance()).float()
    assert torch.equal(found.view(torch.int32), exact.view(torch.int32))
    assert bool(optimizer.rounded(torch.full((100,), math.nan), chance()).isnan().all())


def moved(kind: torch.dtype, rounding: torch.Generator | None) -> Tensor:
    """(4096,) how far weights of 1 go in a thousand updates of a ten-thousandth of the last digit each."""
    p = nn.Parameter(torch.ones(4096, dtype=kind))
    if kind == torch.bfloat16 and rounding:
        p.grad_dtype = torch.float32
    made = torch.optim.SGD([p], lr=1.0)
    for _ in range(1000):
        p.grad = torch.full((4096,), -1e-4 * ULP, dtype=torch.float32 if rounding else kind)
        optimizer.step(made, 1.0, rounding)
    return p.detach().double() - 1


def test_small_updates_are_not_lost() -> None:
    """Each is far below half of the last digit: rounded to the nearest they are nothing, by chance they add up."""
    wanted = moved(torch.float32, None)
    found = moved(torch.bfloat16, chance())
    share = float(wanted.mean()) / ULP
    error = ULP * math.sqrt(share * (1 - share) / len(found))
    assert share == pytest.approx(0.1, rel=0.1)
    assert abs(float(found.mean() - wanted.mean())) < 4 * error
    assert not moved(torch.bfloat16, None).any()


def training(kind: str, weights: str) -> tuple[nn.Module, torch.optim.Optimizer, torch.Generator | None]:
    torch.manual_seed(3)
    model: nn.Module = nn.Sequential(nn.Linear(64, 64), nn.LayerNorm(64))
    if weights == "bf16":
        for p in model.parameters():
            p.data = p.data.bfloat16()
            p.grad_dtype = torch.float32
    budget = Budget(steps=6, batch=1, length=2, peak=0.01, engine=Engine("bf16", weights=weights, optimizer=kind))
    return model, optimizer.make(model, budget), chance() if weights == "bf16" else None


def update(model: nn.Module, made: torch.optim.Optimizer, rounding: torch.Generator | None, number: int) -> None:
    for i, p in enumerate(model.parameters()):
        p.grad = torch.randn(p.shape, generator=chance(100 * number + i)) if i or number > 1 else None
    optimizer.step(made, 0.01 / number, rounding)


@pytest.mark.parametrize("weights", ["fp32", "bf16"])
@pytest.mark.parametrize("kind", ["adamw", "adafactor", pytest.param("adamw_8bit", marks=pytest.mark.slow)])
@pytest.mark.parametrize("stop", [1, 3])
def test_what_an_optimizer_keeps_comes_back(kind: str, weights: str, stop: int) -> None:
    """Stopped after an update and put back into a new one, it ends with the same bits; after the first, one weight has none."""
    if kind == "adamw_8bit":
        pytest.importorskip("torchao")
    ends = []
    for interrupted in (False, True):
        model, made, rounding = training(kind, weights)
        for number in range(1, 6):
            update(model, made, rounding, number)
            if interrupted and number == stop:
                kept = {name: t.clone() for name, t in optimizer.state(made, dict(model.named_parameters())).items()}
                values = {name: p.detach().clone() for name, p in model.named_parameters()}
                state = rounding.get_state() if rounding else None
                model, made, rounding = training(kind, weights)
                optimizer.restore(made, dict(model.named_parameters()), kept)
                with torch.no_grad():
                    for name, p in model.named_parameters():
                        p.copy_(values[name])
                if rounding and state is not None:
                    rounding.set_state(state)
        ends.append([p.detach().clone() for p in model.parameters()])
    assert all(torch.equal(one, two) for one, two in zip(*ends, strict=True))


@pytest.mark.slow
def test_eight_bits_are_near_the_whole() -> None:
    pytest.importorskip("torchao")
    ends = []
    for kind in ("adamw", "adamw_8bit"):
        model, made, rounding = training(kind, "fp32")
        before = next(model.parameters()).detach().clone()
        for number in range(1, 6):
            update(model, made, rounding, number)
        ends.append(next(model.parameters()).detach() - before)
        slots = optimizer.state(made, dict(model.named_parameters()))
        assert ("optimizer.exp_avg/codes.0.weight" in slots) is (kind == "adamw_8bit")
    assert 0 < float((ends[0] - ends[1]).norm()) < 0.1 * float(ends[0].norm())


def test_first_moments_that_are_not_kept_are_refused(tmp_path: Path) -> None:
    mofo = Training(MomentumFilter(), tiny_setting(tmp_path, Engine(optimizer="adafactor")), 1)
    with pytest.raises(TrialError, match="reads first moments, and the optimizer keeps none; type --optimizer adamw"):
        train(mofo, tmp_path)
