"""Importances beside the Fisher's: sensitivities against brute force, a path integral that is the fall of the loss, a merge."""

import copy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness.bench import tiny_model, tiny_setting
from harness.origin import TrialOrigin
from harness.strategy import Memory, after_training
from harness.train import Training
from strategies import fisher, si
from strategies.fisher_merge import FisherMerge, merged
from strategies.mas import MAS
from strategies.si import SI


def origin(folder: Path, **tables: Any) -> TrialOrigin:
    """A budget large enough to cap nothing, and old text of which so many rows are there."""
    setting = tiny_setting(folder).with_steps(10_000)
    return TrialOrigin(setting.budget, 1, {**setting.tables, **tables}, setting.keys, folder, setting.load)


class First:
    """The first rows of a table."""

    def __init__(self, table: Any, rows: int) -> None:
        self.table, self.count = table, rows

    def __len__(self) -> int:
        return self.count

    def tokens(self, rows: Any) -> Tensor:
        assert max(rows) < self.count
        return self.table.tokens(rows)


# Memory-aware synapses.


def sensitivity(model: Any, tokens: Tensor) -> dict[str, Tensor]:
    """|d/dtheta of the squared norm of the centred logits, summed over predicted positions|, from whole logits."""
    logits = model(input_ids=tokens).logits[:, :-1]
    total = (logits - logits.mean(-1, keepdim=True)).square().sum()
    slopes = torch.autograd.grad(total, list(model.parameters()))
    return {name: slope.abs() for (name, _), slope in zip(model.named_parameters(), slopes, strict=True)}


def test_sensitivities_are_absolute_row_by_row(tmp_path: Path) -> None:
    known = origin(tmp_path)
    found = MAS().setup(known).fixed.importance
    model, rows = tiny_model(), [sensitivity(tiny_model(), known.source("old").tokens([row])) for row in range(17)]
    for name, p in model.named_parameters():
        wanted = torch.stack([row[name] for row in rows]).mean(0)
        torch.testing.assert_close(found[name], wanted, rtol=1e-4, atol=1e-4 * float(wanted.max()))
        assert (found[name] >= 0).all(), p.shape
    batch = sensitivity(model, known.source("old").tokens(range(17)))
    assert any(bool((found[n] > 1.5 * batch[n] / 17).any()) for n in found), "signs never cancelled: the test shows nothing"


def test_a_constant_added_to_all_logits_is_no_sensitivity() -> None:
    from strategies.mas import _square

    logits = torch.randn(5, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    chunks: list[Any] = [SimpleNamespace(logits=logits + shift) for shift in (0.0, 100.0)]
    torch.testing.assert_close(_square(chunks[0]), _square(chunks[1]))
    torch.testing.assert_close(_square(chunks[0]), 7 * logits.var(-1, correction=0))


# Synaptic intelligence.


def loss(model: Any, tokens: Tensor) -> float:
    return float(model(input_ids=tokens, labels=tokens).loss)


def test_the_path_is_the_fall_of_the_loss(tmp_path: Path) -> None:
    """Small steps of full-batch descent: the sum of omega is L(start) - L(end), to first order in the rate."""
    known = origin(tmp_path)
    known.tables = {"old": First(known.tables["old"], 4)}
    model, tokens = copy.deepcopy(known.base.model), known.tables["old"].tokens(range(4))
    with torch.no_grad():
        before = loss(model, tokens)
        path = si.descend(known, model, 200, 1e-4)
        fall = before - loss(model, tokens)
    assert fall > 0.001
    assert float(sum(omega.double().sum() for omega in path.values())) == pytest.approx(fall, rel=0.02)


def test_importances_are_the_path_over_the_squared_move(tmp_path: Path) -> None:
    """With the printed damping, clipped at 0, and no half in the penalty."""
    known = origin(tmp_path)
    model = copy.deepcopy(known.base.model)
    path = si.descend(known, model, 5, 0.1)
    found = si.importances(known, 5, 0.1, 1e-3)
    for name, p in known.base.model.named_parameters():
        moved = model.get_parameter(name).detach() - p.detach()
        torch.testing.assert_close(found[name], path[name].clamp(min=0) / (moved.square() + 1e-3))
        assert (found[name] >= 0).all()
    assert SI().setup(known).fixed.factor == 1.0


def test_a_step_upwards_is_no_importance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(si, "descend", lambda origin, model, steps, rate: {"w": torch.tensor([-2.0, 3.0])})
    base = nn.ParameterDict({"w": nn.Parameter(torch.zeros(2))})
    known: Any = SimpleNamespace(base=SimpleNamespace(model=base, parameter=lambda name: base[name]))
    torch.testing.assert_close(si.importances(known, 1, 0.1, 0.5)["w"], torch.tensor([0.0, 6.0]))


def test_the_probe_reads_old_text_alone_is_counted_and_leaves_the_base(tmp_path: Path) -> None:
    known = origin(tmp_path)
    known.tables = {"old": known.tables["old"]}
    before = {name: p.clone() for name, p in known.base.model.named_parameters()}
    memory = SI(probe=6).setup(known)
    assert memory.facts["si_probe_tokens"] == known.tokens_read == 6 * 4 * 12
    assert all(torch.equal(p, before[name]) for name, p in known.base.model.named_parameters())


PULLS: list[Callable[[], Any]] = [lambda: MAS(weight=2.0), lambda: SI(weight=2.0)]


@pytest.mark.parametrize("strategy", PULLS)
def test_the_penalty_has_no_half(strategy: Callable[[], Any], tmp_path: Path) -> None:
    """Gradient 2·weight·Omega·(theta - theta_base), once a step whatever the accumulation; the log has the sum itself."""
    slopes: list[dict[str, Tensor]] = []
    for made in (strategy(), type(strategy())(weight=0.0)):
        training = Training(made, tiny_setting(tmp_path, micro_batch=1), seed=1)
        with torch.no_grad():
            for p in training.model.parameters():
                p.add_(0.1)
        training.slope(training.reader.read())
        slopes.append({name: p.grad for name, p in training.model.named_parameters() if p.grad is not None})
        if made.weight:
            importance, penalty = training.memory.fixed.importance, float(training.memory.log["penalty"])
    for name, omega in importance.items():
        pull = 2 * 2.0 * omega * 0.1
        torch.testing.assert_close(
            slopes[0][name] - slopes[1][name], pull, rtol=1e-3, atol=1e-5 * float(slopes[0][name].abs().max()) + 1e-6
        )
    assert penalty == pytest.approx(sum(float(omega.double().sum()) * 0.1**2 for omega in importance.values()), rel=1e-4)


# Merging.


def test_a_merge_weighs_each_weight_by_both_fishers() -> None:
    base, trained = torch.tensor([1.0, 1.0, 1.0, 1.0]), torch.tensor([3.0, 3.0, 3.0, 3.0])
    fishers = torch.tensor([1.0, 0.0, 2.0, 0.0]), torch.tensor([3.0, 5.0, 0.0, 0.0])
    torch.testing.assert_close(merged((base, trained), fishers, 0.5), torch.tensor([2.5, 3.0, 1.0, 2.0]))
    torch.testing.assert_close(merged((base, trained), fishers, 0.25), torch.tensor([2.0, 3.0, 1.0, 1.5]))


def test_the_base_is_weighed_by_old_text_and_the_trained_by_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[bool, str]] = []
    estimate = fisher.estimate

    def watched(origin: Any, model: nn.Module, source: str, groups: int, draw: int) -> Any:
        asked.append((model is origin.base.model, source))
        return estimate(origin, model, source, groups, draw)

    monkeypatch.setattr(fisher, "estimate", watched)
    known = origin(tmp_path)
    model = tiny_model(3)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    strategy = FisherMerge(alpha=0.3)
    memory = strategy.setup(known)
    strategy.finish(model, memory, known)
    assert asked == [(True, "old"), (False, "new")]
    own = fisher.united(estimate(known, tiny_model(3), "new", 5, 0))
    for name, p in model.named_parameters():
        wanted = merged((known.base.parameter(name), before[name]), (memory.fixed[name], own[name]), 0.3)
        torch.testing.assert_close(p.detach(), wanted)
    assert known.tokens_read == (4 * 4 + 5 * 4) * 12 + 5 * 4 * 12


def test_the_ends_of_a_merge_are_both_models(tmp_path: Path) -> None:
    known, model = origin(tmp_path), tiny_model(3)
    FisherMerge(alpha=1.0).finish(model, Memory(), known)
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), tiny_model(3).parameters(), strict=True))
    strategy = FisherMerge(alpha=0.0)
    strategy.finish(model, strategy.setup(known), known)
    for name, p in model.named_parameters():
        torch.testing.assert_close(p.detach(), known.base.parameter(name))
    assert after_training(strategy)
