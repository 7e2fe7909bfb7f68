"""KL(base || trained): the textbook value, its gradient, its divisor, and no surprise at the edges."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from harness.bench import tiny_setting
from harness.plan import Engine
from harness.strategy import ChunkView, Memory
from harness.train import Training
from harness.typed import parse_arms
from strategies import kl as module
from strategies.kl import KL

P = torch.float64


@dataclass(frozen=True)
class Base:
    """A base whose states are its logits."""

    def logits(self, states: Tensor) -> Tensor:
        return states


def kl(before: Tensor, after: Tensor, weight: float = 1.0, **how: Any) -> Tensor:
    """(n,) nats of the strategy for base logits and trained logits, (n, V) each."""
    targets = torch.zeros(len(after), dtype=torch.long)
    chunk = ChunkView(after, after, targets, F.cross_entropy(after, targets, reduction="none"), {"states": before})
    return KL(weight, **how).loss(chunk, Memory(fixed=Base()))["kl"]


DIRECTIONS = pytest.mark.parametrize("direction", ["forward", "reverse"])


NINE_TO_ONE = torch.tensor([[math.log(9), 0.0]], dtype=P)
EVEN = torch.zeros(1, 2, dtype=P)


@pytest.mark.parametrize(("before", "after", "nats"), [(NINE_TO_ONE, EVEN, 0.3681), (EVEN, NINE_TO_ONE, 0.5108)])
def test_its_direction_is_from_the_base(before: Tensor, after: Tensor, nats: float) -> None:
    assert kl(before, after).item() == pytest.approx(nats, abs=5e-5)
    assert kl(after, before, direction="reverse").item() == pytest.approx(nats, abs=5e-5)
    torch_s = F.kl_div(after.log_softmax(-1), before.softmax(-1), reduction="sum")
    assert kl(before, after).item() == pytest.approx(torch_s.item(), abs=1e-12)


def test_it_is_zero_for_equal_logits_and_never_negative() -> None:
    bits = torch.Generator().manual_seed(0)
    before, after = (torch.randn(200, 30, generator=bits, dtype=P) * 4 for _ in range(2))
    assert kl(before, before + 3.0).abs().max() < 1e-12  # a constant shift of logits is no change
    assert (kl(before, after) > 0).all()


def test_its_gradient_in_the_logits_is_the_difference_of_probabilities() -> None:
    bits = torch.Generator().manual_seed(0)
    before, after = (torch.randn(5, 7, generator=bits, dtype=P) for _ in range(2))
    after.requires_grad_()
    (slope,) = torch.autograd.grad(kl(before, after, 2.5).sum(), after)
    torch.testing.assert_close(slope, 2.5 * (after.softmax(-1) - before.softmax(-1)).detach(), atol=1e-12, rtol=0)


def test_its_reverse_gradient_is_the_printed_one() -> None:
    """p_trained ⊙ (log(p_trained / p_base) - KL)."""
    bits = torch.Generator().manual_seed(0)
    before, after = (torch.randn(5, 7, generator=bits, dtype=P) for _ in range(2))
    after.requires_grad_()
    value = kl(before, after, 2.5, direction="reverse")
    (slope,) = torch.autograd.grad(value.sum(), after)
    apart = (after.log_softmax(-1) - before.log_softmax(-1)).detach()
    wanted = 2.5 * after.softmax(-1).detach() * (apart - value.detach().unsqueeze(-1) / 2.5)
    torch.testing.assert_close(slope, wanted, atol=1e-12, rtol=0)


@DIRECTIONS
@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_a_temperature_divides_the_logits_and_its_square_keeps_the_scale(direction: str, temperature: float) -> None:
    bits = torch.Generator().manual_seed(0)
    before, after = (torch.randn(5, 7, generator=bits, dtype=P) for _ in range(2))
    found = kl(before, after, direction=direction, temperature=temperature)
    wanted = temperature**2 * kl(before / temperature, after / temperature, direction=direction)
    torch.testing.assert_close(found, wanted)


@DIRECTIONS
def test_its_gradient_is_that_of_finite_differences(direction: str) -> None:
    """Two layers in fp64: relative error below 1e-4 (it is 1e-9)."""
    bits = torch.Generator().manual_seed(1)
    inputs, before = torch.randn(6, 4, generator=bits, dtype=P), torch.randn(6, 9, generator=bits, dtype=P)
    weights = [torch.randn(shape, generator=bits, dtype=P) for shape in ((8, 4), (9, 8))]

    def penalty(first: Tensor, second: Tensor) -> Tensor:
        return kl(before, torch.tanh(inputs @ first.T) @ second.T, 0.7, direction=direction, temperature=1.5).mean()

    assert torch.autograd.gradcheck(penalty, [w.requires_grad_() for w in weights], eps=1e-6, atol=1e-8, rtol=1e-6)


@DIRECTIONS
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("scale", [1e3, 1e4, 1e30])
def test_extreme_logits_stay_finite(scale: float, precision: torch.dtype, direction: str) -> None:
    """As the engine hands them over: in fp32, whatever the model computed in."""
    before, after = torch.tensor([[scale, -scale, 0.0]]), torch.tensor([[-scale, scale, 0.0]])
    before, after = (logits.to(precision).float() for logits in (before, after))
    value = kl(before, after.requires_grad_(), direction=direction)
    (slope,) = torch.autograd.grad(value.sum(), after)
    assert value.isfinite().all()
    assert slope.isfinite().all()
    assert kl(before, before).item() == 0


@DIRECTIONS
def test_a_step_in_half_precision_stays_finite(direction: str, tmp_path: Path) -> None:
    """A head amplified until its logits are in the thousands, under the autocast of a bf16 training."""
    training = Training(KL(1.0, direction), tiny_setting(tmp_path, Engine("bf16")), seed=1)
    with torch.no_grad():
        for p in training.model.parameters():
            p.mul_(-100.0)
    terms = training.slope(training.reader.read())
    assert math.isfinite(terms["kl"])
    assert terms["kl"] > 1
    assert all(p.grad.isfinite().all() for p in training.model.parameters() if p.grad is not None)


def textbook(training: Training, tokens: Tensor, weight: float) -> tuple[Tensor, Tensor]:
    """Cross-entropy and weighted KL, in nats per predicted token, from whole logits."""
    model: Any = training.model
    after = model(input_ids=tokens).logits[:, :-1].log_softmax(-1)
    with torch.no_grad():
        base: Any = training.setting.load()
        before = base(input_ids=tokens).logits[:, :-1].log_softmax(-1)
    cross = F.nll_loss(after.flatten(0, 1), tokens[:, 1:].flatten())
    return cross, weight * F.kl_div(after.flatten(0, 1), before.flatten(0, 1), reduction="batchmean", log_target=True)


@pytest.mark.parametrize("micro_batch", [4, 1])
def test_a_step_has_the_textbook_loss_and_gradient(tmp_path: Path, micro_batch: int) -> None:
    training = Training(KL(1.7), tiny_setting(tmp_path, micro_batch=micro_batch), seed=1)
    with torch.no_grad():
        for p in training.model.parameters():
            p.mul_(1.3)
    picked = training.reader.read()
    training.objective.size = 7
    terms = training.slope(picked)
    found = {name: p.grad.clone() for name, p in training.model.named_parameters() if p.grad is not None}
    training.model.zero_grad()
    tokens = torch.cat([training.setting.tables[source].tokens([row]) for source, row in picked])
    cross, penalty = textbook(training, tokens, 1.7)
    (cross + penalty).backward()
    assert (terms["cross_entropy"], terms["kl"]) == (
        pytest.approx(cross.item(), rel=1e-5),
        pytest.approx(penalty.item(), rel=1e-5),
    )
    assert penalty.item() > 0.1
    for name, p in training.model.named_parameters():
        torch.testing.assert_close(found[name], p.grad, atol=1e-5, rtol=1e-4)


def test_doubling_the_rows_leaves_the_penalty_and_its_pull_unchanged(tmp_path: Path) -> None:
    """The weight is nats per predicted token, whatever the batch."""
    found = []
    for copies in (1, 2):
        setting = tiny_setting(tmp_path)
        changed = tiny_setting(tmp_path, budget=type(setting.budget)(**{**vars(setting.budget), "batch": 4 * copies}))
        training = Training(KL(1.0), changed, seed=1)
        with torch.no_grad():
            for p in training.model.parameters():
                p.mul_(1.3)
        terms = training.slope([("new", row) for row in range(4)] * copies)
        found.append((terms["kl"], torch.cat([p.grad.flatten() for p in training.model.parameters() if p.grad is not None])))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-6)
    torch.testing.assert_close(found[0][1], found[1][1], atol=1e-6, rtol=1e-4)


FAULTS: dict[str, Any] = {
    "reversed": lambda first, second: (second.exp() * (second - first)).sum(-1),
    "divided by the vocabulary": lambda first, second: (first.exp() * (first - second)).mean(-1),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_another_divergence_is_caught(fault: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "divergence", fault)
    with pytest.raises(AssertionError):
        test_its_direction_is_from_the_base(NINE_TO_ONE, EVEN, 0.3681)
    with pytest.raises(AssertionError):
        test_a_step_has_the_textbook_loss_and_gradient(tmp_path, 4)


def test_its_control_takes_the_steps_that_its_compute_would_buy(tmp_path: Path) -> None:
    (control,) = KL().controls()
    (arm,) = parse_arms(control)
    assert (arm.parts, arm.steps) == (
        parse_arms("none")[0].parts,
        pytest.approx(KL().cost(tiny_setting(tmp_path).budget), abs=0.01),
    )
