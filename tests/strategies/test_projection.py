"""Projected gradients: the printed vector, the promise on old text, fresh rows, a quadratic programme against brute force."""

from functools import partial
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor, nn

from harness.bench import tiny_setting, tiny_tables
from harness.strategy import OLD, Memory
from harness.train import Training
from harness.typed import parse_arms
from strategies.agem import AGEM, dot, gradient, rows
from strategies.gem import GEM, least
from strategies.half import Half


class Given:
    """An origin whose old text has known gradients, one after the other."""

    def __init__(self, *old: Tensor) -> None:
        self.old = list(old)
        self.budget, self.seed = SimpleNamespace(batch=4), 1
        self.read_at: list[tuple[int, int]] = []

    def read(self, source: str, start: int, count: int) -> Tensor:
        self.read_at.append((start, count))
        return torch.zeros(count, 3)

    def source(self, name: str) -> Any:
        return SimpleNamespace(tokens=lambda rows: torch.zeros(len(rows), 3), __len__=None)

    def gradient(self, model: nn.Module, tokens: Tensor) -> dict[str, Tensor]:
        return {"w": self.old.pop(0).clone()}


def stepped(strategy: AGEM | GEM, own: Tensor, *old: Tensor, memory: Memory | None = None) -> tuple[Tensor, Memory]:
    """The gradient after the hook, for a gradient and those of old text."""
    model = nn.ParameterDict({"w": nn.Parameter(torch.zeros_like(own))})
    model["w"].grad = own.clone()
    memory = memory or Memory(fixed=[[0]] * len(old), moving={"position": 0, "projected": 0, "updates": 0})
    strategy.gradients(model, memory, Given(*old))  # type: ignore[arg-type]
    return model["w"].grad, memory


G, OLD_G = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([1.0, 1.0, 0.0])


def test_a_gradient_against_old_text_is_projected() -> None:
    """g = (1, -2, 0.5), g_old = (1, 1, 0): (1.5, -1.5, 0.5), at right angles to g_old."""
    found, memory = stepped(AGEM(), G, OLD_G)
    torch.testing.assert_close(found, torch.tensor([1.5, -1.5, 0.5]))
    assert (found @ OLD_G).item() == pytest.approx(0, abs=1e-6)
    assert memory.log["cosine"] == pytest.approx(-1 / (5.25 * 2) ** 0.5)
    assert (memory.log["projected"], memory.log["projection_rate"]) == (1.0, 1.0)


@pytest.mark.parametrize("old", [torch.tensor([1.0, -1.0, 0.0]), torch.zeros(3), G])
def test_a_gradient_that_old_text_has_nothing_against_stays(old: Tensor) -> None:
    """Also where the memory batch is the current one."""
    found, memory = stepped(AGEM(), G, old)
    assert torch.equal(found, G)
    assert memory.log["projected"] == 0


def test_the_projection_rate_counts_all_updates() -> None:
    _, memory = stepped(AGEM(), G, OLD_G)
    stepped(AGEM(), G, G, memory=memory)
    assert memory.log["projection_rate"] == 0.5


@pytest.mark.parametrize("share", [0.5, 1.5])
def test_after_a_real_step_the_gradient_is_not_against_the_old_rows(share: float, tmp_path: Path) -> None:
    """Over the whole gradient of the step, to rounding, on the rows that were read."""
    training = Training(AGEM(share=share), tiny_setting(tmp_path), seed=1)
    rates = []
    for update in range(4):
        tokens = training.origin.read(OLD, update * rows(share, training.setting.budget), rows(share, training.setting.budget))
        old = training.origin.gradient(training.model, tokens)
        training.slope(training.reader.read())
        own = {name: p.grad for name, p in training.model.named_parameters() if p.grad is not None}
        sizes = float(dot(own, own)) ** 0.5 * float(dot(old, old)) ** 0.5
        assert float(dot(own, old)) >= -1e-6 * sizes
        rates.append(training.memory.log["projected"])
        training.optimizer.step()
        training.optimizer.zero_grad()
    assert max(rates) == 1, "nothing was projected: the test shows nothing"


def test_a_few_rows_at_a_time_give_the_gradient_of_all(tmp_path: Path) -> None:
    origin = Training(AGEM(), tiny_setting(tmp_path), seed=1).origin
    tokens = origin.read(OLD, 0, 7)
    whole, pieces = origin.gradient(origin.base.model, tokens), gradient(origin, origin.base.model, tokens)
    for name, wanted in whole.items():
        torch.testing.assert_close(pieces[name], wanted, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("strategy", [AGEM(share=0.5), GEM(memories=2, share=0.25)])
def test_old_rows_are_fresh_each_step_and_counted(strategy: Any, tmp_path: Path) -> None:
    read: list[Tensor] = []
    training = Training(strategy, tiny_setting(tmp_path), seed=1)
    found = training.origin.gradient
    training.origin.gradient = lambda model, tokens: [read.append(tokens), found(model, tokens)][1]  # type: ignore[method-assign]
    for _ in range(3):
        training.step()
    seen = {tuple(row) for tokens in read for row in tokens.tolist()}
    assert len(seen) == 3 * 2
    assert seen <= {tuple(row) for row in tiny_tables()[OLD].tokens(range(17)).tolist()}
    assert training.origin.tokens_read == 3 * 2 * 12
    assert training.reader.positions[OLD] == 0


@pytest.mark.parametrize("strategy", [AGEM(share=0.5), GEM(memories=2, share=0.25, margin=0.0, damping=1e-9)])
def test_beside_half_what_is_left_of_the_gradient_is_projected(strategy: Any, tmp_path: Path) -> None:
    """Dropped tensors stay dropped, and what moves is not against the old rows."""
    found: list[dict[str, Tensor]] = []
    training = Training(Half() + strategy, tiny_setting(tmp_path), seed=1)
    make = training.origin.gradient
    training.origin.gradient = lambda model, tokens: [found.append(g := make(model, tokens)), dict(g)][1]  # type: ignore[method-assign]
    for _ in range(4):
        training.slope(training.reader.read())
        own = {name: p.grad for name, p in training.model.named_parameters() if p.grad is not None}
        assert len(own) < len(training.named)
        for old in found:
            assert float(dot(own, old)) >= -1e-4 * float(dot(own, own) * dot(old, old)) ** 0.5
        found.clear()
        training.optimizer.step()
        training.optimizer.zero_grad()


def quadratic(matrix: np.ndarray, linear: np.ndarray, x: np.ndarray) -> float:
    return float(x @ matrix @ x / 2 + linear @ x)


@pytest.mark.parametrize("k", [1, 2, 4])
@pytest.mark.parametrize("floor", [0.0, 0.5])
def test_the_programme_is_solved(k: int, floor: float) -> None:
    """Against a general minimiser, and by its conditions: v at least the floor, its slope 0 or, at the floor, not negative."""
    bits = torch.Generator().manual_seed(k)
    for _ in range(10):
        g = torch.randn(k, k + 1, generator=bits, dtype=torch.float64)
        matrix, linear = g @ g.T + 1e-3 * torch.eye(k), torch.randn(k, generator=bits, dtype=torch.float64)
        v = least(matrix, linear, floor)
        slope = matrix @ v + linear
        assert (v >= floor - 1e-9).all()
        assert (slope >= -1e-8).all()
        assert (slope * (v - floor)).abs().max() < 1e-7

        value = partial(quadratic, matrix.numpy(), linear.numpy())
        other = minimize(value, np.full(k, floor + 1.0), bounds=[(floor, None)] * k, method="L-BFGS-B")
        assert value(v.numpy()) <= other.fun + 1e-7


def test_with_one_memory_and_no_margin_gem_is_agem() -> None:
    wanted, _ = stepped(AGEM(), G, OLD_G)
    found, _ = stepped(GEM(memories=1, margin=0.0, damping=1e-12), G, OLD_G)
    torch.testing.assert_close(found, wanted)


def test_no_part_is_stepped_against_and_the_step_is_the_nearest() -> None:
    """Three parts, two of them violated: the least change of g that serves all, by brute force."""
    bits = torch.Generator().manual_seed(3)
    parts = [torch.randn(5, generator=bits) for _ in range(3)]
    own = -parts[0] - 0.5 * parts[1]
    found, memory = stepped(GEM(memories=3, margin=0.0, damping=1e-9), own, *parts)
    assert memory.log["violated"] >= 1
    constraints = [{"type": "ineq", "fun": lambda x, p=part: float(x @ p.numpy())} for part in parts]
    nearest = minimize(lambda x: float(((x - own.numpy()) ** 2).sum()), np.zeros(5), constraints=constraints, method="SLSQP")
    np.testing.assert_allclose(found.numpy(), nearest.x, atol=1e-3)
    assert all(float(found @ part) > -1e-4 for part in parts)


def test_a_margin_adds_that_much_of_every_part() -> None:
    """v is at least the margin in every part, also in those that were not violated."""
    one, two = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 1.0, 0.0])
    found, _ = stepped(GEM(memories=2, margin=0.5), torch.tensor([-0.1, 2.0, 1.0]), one, two)
    torch.testing.assert_close(found, torch.tensor([0.4, 2.5, 1.0]))
    kept, _ = stepped(GEM(memories=2, margin=0.5), torch.tensor([0.1, 2.0, 1.0]), one, two)
    torch.testing.assert_close(kept, torch.tensor([0.1, 2.0, 1.0]))


def test_parts_are_cut_from_all_of_the_old_text(tmp_path: Path) -> None:
    orders = Training(GEM(memories=3), tiny_setting(tmp_path), seed=1).memory.fixed
    assert sorted(row for order in orders for row in order) == list(range(17))
    assert [max(order) < min(after) for order, after in pairwise(orders)] == [True, True]


@pytest.mark.parametrize(("strategy", "cost"), [(AGEM(share=0.25), 1.25), (AGEM(share=0.1), 1.25), (GEM(2, 0.5), 2.0)])
def test_the_control_reads_as_many_old_rows_at_the_same_flops(strategy: Any, cost: float, tmp_path: Path) -> None:
    """Rows are whole: a tenth of four rows is one."""
    assert strategy.cost(tiny_setting(tmp_path).budget) == cost
    (arm,) = parse_arms(strategy.controls()[0])
    share = dict(arm.parts[0].given)["share"]
    assert arm.steps * (1 - share) == pytest.approx(1, abs=1e-3), "the control reads other new rows"
    wanted = strategy.share * getattr(strategy, "memories", 1)
    assert arm.steps == pytest.approx(1 + wanted)
