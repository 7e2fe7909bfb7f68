"""KL to the base on old rows: the textbook loss, new rows that cost nothing, likeliest tokens that bound it from below."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from harness.bench import same_bits, tiny_setting
from harness.plan import Engine
from harness.strategy import OLD
from harness.train import Training, train
from strategies import kl_old as module
from strategies.kl import divergence
from strategies.kl_old import KLOld, bucketed

VOCABULARY = 48


def off(strategy: KLOld, folder: Path, **changes: Any) -> Training:
    """A training whose weights are not the base's."""
    training = Training(strategy, tiny_setting(folder, **changes), seed=1)
    with torch.no_grad():
        for p in training.model.parameters():
            p.mul_(1.3)
    return training


def step(training: Training) -> tuple[dict[str, float], dict[str, Tensor], list[tuple[str, int]]]:
    picked = training.reader.read()
    terms = training.slope(picked)
    return terms, {name: p.grad.clone() for name, p in training.model.named_parameters() if p.grad is not None}, picked


def logits(model: Any, training: Training, picked: list[tuple[str, int]], source: str) -> tuple[Tensor, Tensor]:
    """Logits (n, V) and next tokens (n,) of the rows of a source."""
    tokens = training.reader.tokens([row for row in picked if row[0] == source])
    return model(input_ids=tokens).logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten()


@pytest.mark.parametrize("topk", [0, VOCABULARY - 1])
@pytest.mark.parametrize("micro_batch", [4, 1])
def test_a_step_has_the_textbook_loss_and_gradient(topk: int, micro_batch: int, tmp_path: Path) -> None:
    """Each term is the mean over its own tokens; with all tokens but one kept, the rest bucket is that one."""
    training = off(KLOld(share=0.5, weight=1.7, cross_entropy=0.4, topk=topk), tmp_path, micro_batch=micro_batch)
    training.objective.size = 7
    terms, found, picked = step(training)
    assert [source for source, _ in picked].count(OLD) == 2
    training.model.zero_grad()
    after, targets = logits(training.model, training, picked, OLD)
    with torch.no_grad():
        before, _ = logits(training.setting.load(), training, picked, OLD)
    wanted = {
        "cross_entropy": F.cross_entropy(*logits(training.model, training, picked, "new")),
        "kl_old": 1.7 * F.kl_div(after.log_softmax(-1), before.log_softmax(-1), reduction="batchmean", log_target=True),
        "cross_entropy_old": 0.4 * F.cross_entropy(after, targets),
    }
    torch.stack(list(wanted.values())).sum().backward()
    assert terms == pytest.approx({name: value.item() for name, value in wanted.items()}, rel=1e-5)
    for name, p in training.model.named_parameters():
        torch.testing.assert_close(found[name], p.grad, atol=1e-5, rtol=1e-4)


def test_at_the_base_it_neither_costs_nor_pulls(tmp_path: Path) -> None:
    slopes = []
    for weight in (0.0, 5.0):
        training = Training(KLOld(share=0.5, weight=weight), tiny_setting(tmp_path), seed=1)
        terms, slope, _ = step(training)
        slopes.append(slope)
    assert abs(terms["kl_old"]) < 1e-6
    for name, found in slopes[1].items():
        torch.testing.assert_close(found, slopes[0][name], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("topk", [0, 5])
def test_the_base_reads_old_rows_alone(topk: int, tmp_path: Path) -> None:
    """Each step without `topk`; once and for every later training with it."""
    strategy = KLOld(share=0.5, topk=topk)
    spent = []
    for name in ("first", "second"):
        training = Training(strategy, tiny_setting(tmp_path), seed=1)
        before = training.origin.base.tokens_seen
        train(training, tmp_path / name)
        spent.append((before, training.origin.base.tokens_seen - before))
    old = 5 * 4 // 2 * 12
    assert spent == ([(0, old), (0, old)] if not topk else [(11 * 12, 0), (0, 0)])
    assert training.reference_tokens == (old if not topk else 11 * 12)


def test_rows_that_were_kept_are_those_that_are_read(tmp_path: Path) -> None:
    """A budget that reads 11 of 17 rows at most keeps 11, and the same under every seed."""
    strategy = KLOld(share=0.5, topk=3)
    kept = [strategy.choose(OLD, Training(strategy, tiny_setting(tmp_path), seed).memory) for seed in (1, 2)]
    assert kept[0] == kept[1]
    assert len(set(kept[0] or ())) == 11
    whole = Training(strategy, tiny_setting(tmp_path).with_steps(50), 1)
    assert list(strategy.choose(OLD, whole.memory) or ()) == list(range(17))


def distributions(n: int = 200, vocabulary: int = 30) -> tuple[Tensor, Tensor]:
    bits = torch.Generator().manual_seed(0)
    return tuple((torch.randn(n, vocabulary, generator=bits, dtype=torch.float64) * 2).log_softmax(-1) for _ in range(2))  # type: ignore


def test_the_rest_bucket_bounds_the_whole_from_below() -> None:
    """Merging tokens loses information: never above the KL, never below 0, growing with k to the whole."""
    before, after = distributions()
    whole = divergence(before, after)
    last = torch.zeros(len(whole), dtype=torch.float64)
    for k in (1, 4, 16, 29):
        top = before.topk(k).indices
        found = divergence(bucketed(before, top), bucketed(after, top))
        assert (found <= whole + 1e-12).all()
        assert (found >= last - 1e-12).all()
        last = found
    torch.testing.assert_close(last, whole)


def test_the_bucket_is_the_probability_of_all_others() -> None:
    logs = torch.tensor([[0.5, 0.2, 0.2, 0.1]]).log()
    torch.testing.assert_close(bucketed(logs, torch.tensor([[0, 3]])).exp(), torch.tensor([[0.5, 0.1, 0.4]]))


@pytest.mark.parametrize("scale", [1e3, 1e30])
def test_extreme_logits_stay_finite(scale: float) -> None:
    before, after = torch.tensor([[scale, -scale, 0.0]]), torch.tensor([[-scale, scale, 0.0]], requires_grad=True)
    top = torch.tensor([[0]])
    value = divergence(bucketed(before.log_softmax(-1), top), bucketed(after.log_softmax(-1), top))
    (slope,) = torch.autograd.grad(value.sum(), after)
    assert value.isfinite().all()
    assert slope.isfinite().all()


def test_without_old_rows_it_is_the_control(tmp_path: Path) -> None:
    ends = []
    for i, strategy in enumerate((KLOld(share=0.0, cross_entropy=1.0), KLOld(share=0.0, topk=4))):
        training = Training(strategy, tiny_setting(tmp_path), seed=1)
        train(training, tmp_path / str(i))
        ends.append({name: p.detach() for name, p in training.model.named_parameters()})
    assert same_bits(*ends)
    assert KLOld(share=0.3).cost(tiny_setting(tmp_path).budget) == pytest.approx(1.1)


FAULTS: dict[str, Any] = {
    "reversed": lambda first, second: (second.exp() * (second - first)).sum(-1),
    "divided by the vocabulary": lambda first, second: (first.exp() * (first - second)).mean(-1),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_another_divergence_is_caught(fault: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(module, "divergence", fault)
    with pytest.raises(AssertionError):
        test_a_step_has_the_textbook_loss_and_gradient(0, 4, tmp_path)


def test_kept_tokens_are_of_their_precision(tmp_path: Path) -> None:
    """What an accelerator's half precision made is not taken for what fp32 makes."""
    for precision in ("fp32", "bf16"):
        known = Training(KLOld(), tiny_setting(tmp_path), 1).origin
        known.budget = tiny_setting(tmp_path, Engine(precision)).budget
        KLOld(share=0.5, topk=3).setup(known)
    assert len(list(tmp_path.glob("*.safetensors"))) == 2
