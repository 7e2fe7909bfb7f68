"""Losses weighed by row and by token: the weights, their divisors and the gradient, from whole logits."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from harness.bench import LENGTH, tiny_model, tiny_setting
from harness.plan import Budget
from harness.strategy import NEW, OLD, Combined, Strategy
from harness.train import Training
from harness.train_gradient import one_batch
from strategies.flow import Flow
from strategies.replay import Replay
from strategies.rho1 import Rho1
from strategies.token_mask import TokenMask, threshold

PLAIN = Budget(steps=1, batch=1, length=1, peak=1.0)


def losses(model: Any, tokens: Tensor) -> Tensor:
    """(b, T-1) nats."""
    logits = model(input_ids=tokens).logits[:, :-1]
    return F.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none")


@torch.no_grad()
def base_losses(tokens: Tensor, seed: int = 7) -> Tensor:
    """Of the tiny base, or of the tiny reference under seed 8."""
    return losses(tiny_model(seed), tokens)


def new_rows() -> Tensor:
    return tiny_setting(Path()).tables[NEW].tokens(range(23))


def flow(tokens: Tensor, new: Tensor, model: Any) -> Tensor:
    each = base_losses(new_rows()).double().mean(-1)
    scale = 6 / each.sort().values[11]  # the middle one of 23
    mean = (-each * scale).exp().mean()
    weights = (-base_losses(tokens).double().mean(-1) * scale).exp() / mean
    return torch.where(new, weights, 1.0).unsqueeze(1).expand(-1, LENGTH - 1)


def masked(tokens: Tensor, new: Tensor, model: Any) -> Tensor:
    whole = base_losses(new_rows()).flatten().sort().values
    kept = base_losses(tokens) <= whole[round(0.4 * len(whole)) - 1] + 1e-6
    return (kept | ~new.unsqueeze(1)).double()


def likely(tokens: Tensor, new: Tensor, model: Any) -> Tensor:
    return ((base_losses(tokens).exp() <= 30.0) | ~new.unsqueeze(1)).double()


def ahead(tokens: Tensor, new: Tensor, model: Any) -> Tensor:
    with torch.no_grad():
        excess = losses(model, tokens) - base_losses(tokens, 8)
    kept = torch.zeros(tokens.shape[0], LENGTH - 1, dtype=torch.float64)
    for row, each in enumerate(excess.tolist()):
        kept[row, sorted(range(LENGTH - 1), key=lambda place: -each[place])[:4]] = 1  # 0.4 of 11
    return torch.where(new.unsqueeze(1), kept, 1.0)


ARMS = [
    pytest.param(Flow(6.0), flow, id="flow"),
    pytest.param(TokenMask(0.4), masked, id="token_mask by share"),
    pytest.param(TokenMask(perplexity=30.0), likely, id="token_mask by perplexity"),
    pytest.param(Rho1(0.4), ahead, id="rho1"),
]


@pytest.mark.parametrize("micro_batch", [4, 1])
@pytest.mark.parametrize(("strategy", "weights"), ARMS)
def test_a_step_has_the_loss_and_the_gradient_of_the_equation(
    strategy: Strategy, weights: Any, micro_batch: int, tmp_path: Path
) -> None:
    """Σ w ℓ over the number of positions that count, in the whole step; old rows count whole."""
    arm = Combined((Replay(0.25), strategy))
    training = Training(arm, tiny_setting(tmp_path, micro_batch=micro_batch), 1)
    with torch.no_grad():
        for p in training.model.parameters():
            p.mul_(1.2)
    picked = [(NEW, 3), (NEW, 17), (NEW, 0), (OLD, 5)]
    terms = training.slope(picked)
    found = {name: p.grad.clone() for name, p in training.model.named_parameters() if p.grad is not None}
    training.model.zero_grad()
    tokens = torch.cat([training.setting.tables[source].tokens([row]) for source, row in picked])
    new = torch.tensor([source == NEW for source, _ in picked])
    counts = weights(tokens, new, training.model)
    assert 11 < len(counts.nonzero()) <= 44
    assert counts.std() > 0.05
    loss = (losses(training.model, tokens) * counts).sum() / len(counts.nonzero())
    loss.backward()
    assert terms["cross_entropy"] == pytest.approx(loss.item(), rel=1e-5)
    for name, p in training.model.named_parameters():
        torch.testing.assert_close(found[name], p.grad, atol=1e-5, rtol=1e-4)


def test_flow_weights_have_mean_one_and_follow_the_paper(tmp_path: Path) -> None:
    """w_i / w_j = exp(-(f_i - f_j)/τ), τ the median; the highest weight is that of the easiest row."""
    training = Training(Flow(), tiny_setting(tmp_path), 1)
    weights, each = training.memory.fixed.double(), base_losses(new_rows()).double().mean(-1)
    assert float(weights.mean()) == pytest.approx(1, abs=1e-6)
    assert (weights / weights[0]).log().tolist() == pytest.approx(((each[0] - each) / each.median()).tolist(), abs=1e-5)
    facts = training.memory.facts
    assert facts["median_base_loss"] == pytest.approx(float(each.median()), rel=1e-6)
    assert weights[each.argmin()] == pytest.approx(facts["highest_weight"])
    assert training.reference_tokens == 23 * LENGTH, "a scoring pass, and nothing in the steps"
    assert Training(Flow(3.0), tiny_setting(tmp_path), 2).reference_tokens == 23 * LENGTH
    assert len(list(tmp_path.glob("*.safetensors"))) == 1


def test_a_large_weight_leaves_no_row_without_number(tmp_path: Path) -> None:
    weights = Training(Flow(1e4), tiny_setting(tmp_path), 1).memory.fixed
    assert weights.isfinite().all()
    assert float(weights.mean()) == pytest.approx(1)


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
def test_the_kept_share_is_the_quantile_and_is_reported(share: float, tmp_path: Path) -> None:
    training = Training(TokenMask(share), tiny_setting(tmp_path), 1)
    batch = one_batch(training, [(NEW, row) for row in range(23)])
    kept = training.strategy.weigh(batch, training.memory)["cross_entropy"]
    assert float(kept.sum()) == round(share * 23 * 11) == round(training.memory.facts["kept_share"] * 23 * 11)
    assert base_losses(new_rows())[kept == 1].max() < base_losses(new_rows())[kept == 0].min()


def test_the_papers_threshold_is_a_perplexity(tmp_path: Path) -> None:
    """2.5 is 0.916 nats."""
    training = Training(TokenMask(perplexity=2.5), tiny_setting(tmp_path), 1)
    assert training.memory.facts["highest_base_loss"] == pytest.approx(0.916, abs=5e-4)
    kept = base_losses(new_rows()).exp() <= 2.5
    assert training.memory.facts["kept_share"] == pytest.approx(float(kept.double().mean()))


def test_a_sample_of_rows_is_spread_evenly(tmp_path: Path) -> None:
    training = Training(TokenMask(0.5, tokens=6 * LENGTH), tiny_setting(tmp_path), 1)
    rows = [0, 3, 7, 11, 15, 19]  # i * 23 // 6
    found = base_losses(new_rows()[rows]).double().flatten().sort().values
    assert training.memory.facts["highest_base_loss"] == pytest.approx(float(found[32] + found[33]) / 2, rel=1e-6)
    assert training.reference_tokens == 6 * LENGTH


@pytest.mark.parametrize(("share", "value"), [(0.5, 2.5), (0.75, 3.5), (0.01, 1.5), (1.0, 4.0)])
def test_the_threshold_lies_between_two_losses(share: float, value: float) -> None:
    assert threshold(torch.tensor([1.0, 2.0, 3.0, 4.0]), share) == value


@pytest.mark.parametrize("share", [0.05, 0.33, 0.6])
def test_rho1_takes_its_share_of_each_row(share: float, tmp_path: Path) -> None:
    training = Training(Rho1(share), tiny_setting(tmp_path), 1)
    batch = one_batch(training, [(NEW, 1), (OLD, 2), (NEW, 9)])
    kept = training.strategy.weigh(batch, training.memory)["cross_entropy"]
    count = max(1, round(share * 11))
    assert kept.sum(1).tolist() == [count, 11, count]


def test_what_they_cost() -> None:
    """The reference forward; for rho1 also that of the model's own losses; nothing where nothing is chosen."""
    for strategy, price in (
        (Flow(), 1),
        (TokenMask(0.5), 4 / 3),
        (TokenMask(1.0, 2.5), 4 / 3),
        (TokenMask(1.0), 1),
        (Rho1(), 5 / 3),
        (Rho1(1.0), 1),
    ):
        assert strategy.cost(PLAIN) == pytest.approx(price)


def test_what_rho1_costs_is_what_it_passes_forward(tmp_path: Path) -> None:
    training = Training(Rho1(), tiny_setting(tmp_path), 1)
    training.step()
    assert training.reference_tokens == 2 * 4 * LENGTH


@pytest.mark.parametrize(
    ("strategy", "given"),
    [
        *((Flow, {"weight": weight}) for weight in (-1.0, math.inf)),
        *((Rho1, {"share": share}) for share in (0.0, 1.1)),
        *((TokenMask, given) for given in ({"share": 0.0}, {"perplexity": 0.5}, {"tokens": 0})),
    ],
)
def test_what_is_out_of_range_is_refused(strategy: Any, given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"is out of range; it must be"):
        strategy(**given)
