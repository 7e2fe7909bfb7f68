"""The penalty is the quadratic of Kirkpatrick et al., its Fisher the exact one on average, once a step and per token."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.stats import spearmanr
from torch import Tensor, nn

from harness.bench import tiny_model, tiny_setting, tiny_tables
from harness.errors import InputError, TrialError
from harness.head import Bend
from harness.objective import Objective
from harness.origin import TrialOrigin
from harness.plan import Budget
from harness.rows import Facts, Rows
from harness.strategy import Combined, Memory, Strategy
from harness.testing import check_law
from harness.train import Training
from strategies import fisher as estimator
from strategies.ewc import EWC
from strategies.pull import Pull

VOCABULARY, WIDTH, LENGTH, ROWS = 6, 3, 5, 8
POSITIONS = ROWS * (LENGTH - 1)


class Softmax(nn.Module):
    """An embedding and a head: the smallest language model, whose Fisher can be summed over all labels."""

    def __init__(self, tied: bool) -> None:
        super().__init__()
        bits = torch.Generator().manual_seed(3)
        self.inner = nn.Embedding(VOCABULARY, WIDTH)
        self.head = nn.Linear(WIDTH, VOCABULARY, bias=False)
        for p in self.parameters():
            p.data = 0.7 * torch.randn(p.shape, generator=bits)
        if tied:
            self.head.weight = self.inner.weight

    def get_output_embeddings(self) -> nn.Module:
        return self.head

    def base_model(self, input_ids: Tensor, use_cache: bool) -> Any:
        return SimpleNamespace(last_hidden_state=self.inner(input_ids))

    def forward(self, input_ids: Tensor, **_: Any) -> Any:
        return SimpleNamespace(logits=self.head(self.inner(input_ids)))


def table(rows: int, seed: int = 0) -> Rows:
    tokens = np.random.default_rng(seed).integers(0, VOCABULARY, (rows, LENGTH)).astype(np.uint16)
    return Rows(tokens, Facts(rows, rows * LENGTH, rows, rows, 0, True))


def origin(load: Callable[[], nn.Module], folder: Path, **tables: Any) -> TrialOrigin:
    budget = Budget(steps=1000, batch=4, length=LENGTH, peak=1.0)
    return TrialOrigin(budget, 1, tables, {"base": "b", "old": "o"}, folder, load)


def exact(model: Softmax, tokens: Tensor) -> dict[str, Tensor]:
    """E over positions and over all labels of the squared gradient of one token's log-likelihood."""
    total = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    for token in tokens[:, :-1].flatten().tolist():
        chances = model(torch.tensor([[token]])).logits.flatten().softmax(-1).detach()
        for label in range(VOCABULARY):
            surprise = -model(torch.tensor([[token]])).logits.flatten().log_softmax(-1)[label]
            slopes = torch.autograd.grad(surprise, list(model.parameters()))
            for name, slope in zip(total, slopes, strict=True):
                total[name] += chances[label] * slope.square() / POSITIONS
    return total


@pytest.mark.parametrize("tied", [False, True])
def test_the_fisher_is_the_exact_sum_over_labels_on_average(tied: bool, tmp_path: Path) -> None:
    """Within 3 Monte-Carlo standard errors tensor by tensor, and weight by weight as far as chance goes. Tied: one tensor."""
    agrees(tied, 150, tmp_path)


def agrees(tied: bool, times: int, tmp_path: Path) -> None:
    old = table(ROWS)
    wanted = exact(Softmax(tied), old.tokens(range(ROWS)))
    known = origin(lambda: Softmax(tied), tmp_path, old=old)
    draws = [EWC(draw=draw).setup(known).fixed.importance for draw in range(times)]
    assert set(draws[0]) == set(wanted)
    assert len(wanted) == (1 if tied else 2)
    for name, fisher in wanted.items():
        found = torch.stack([draw[name] for draw in draws])
        error = found.std(0) / len(draws) ** 0.5
        assert ((found.mean(0) - fisher) / error).square().mean() < 2
        sums = found.flatten(1).sum(1)
        assert abs(sums.mean() - fisher.sum()) < 3 * sums.std() / len(draws) ** 0.5


def test_the_fisher_does_not_depend_on_batch_seed_or_step(tmp_path: Path) -> None:
    """It is a property of base and old text: one serves all seeds and batches of a plan."""
    fishers = []
    for i, (seed, batch) in enumerate([(1, 4), (2, 4), (1, 2)]):
        known = origin(lambda: Softmax(False), tmp_path / str(i), old=table(ROWS))
        known.seed, known.budget = seed, Budget(steps=7, batch=batch, length=LENGTH, peak=1.0)
        fishers.append(EWC().setup(known).fixed.importance)
    for other in fishers[1:]:
        assert all(torch.equal(other[name], fisher) for name, fisher in fishers[0].items())


def test_only_old_text_is_read_and_all_of_it_is_counted(tmp_path: Path) -> None:
    class Forbidden:
        def __len__(self) -> int:
            raise AssertionError("new text was read")

        tokens = __len__

    for strategy in (EWC(), EWC(weight=3.0)):
        known = origin(lambda: Softmax(False), tmp_path, old=table(ROWS), new=Forbidden())
        memory = strategy.setup(known)
        assert known.base.tokens_seen == 0
        assert memory.facts["fisher_tokens"] == known.tokens_read == ROWS * LENGTH, "kept, it costs what it cost when made"


@pytest.mark.parametrize(
    ("asked", "rows", "tokens"), [(2**20, 900, 2000), (2**20, 80, 400), (200, 400, 200), (219, 400, 200), (1, 400, 40)]
)
def test_tokens_are_whole_groups_of_what_was_asked_and_at_most_a_tenth_of_the_budget(
    asked: int, rows: int, tokens: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("strategies.fisher.FEWEST", 0)
    memory = EWC(tokens=asked).setup(origin(lambda: Softmax(False), tmp_path, old=table(rows)))
    assert memory.facts["fisher_tokens"] == tokens


def test_a_short_budget_does_not_push_the_fisher_below_two_to_the_sixteen() -> None:
    budget = Budget(steps=1000, batch=4, length=LENGTH, peak=1.0)  # a tenth of it is 2,000 tokens
    assert estimator.groups_of(table(20_000), "old", 2**20, budget) == 2**16 // (4 * LENGTH)
    assert estimator.groups_of(table(20_000), "old", 1000, budget) == 1000 // (4 * LENGTH)
    assert estimator.groups_of(table(100_000), "old", 2**20, replace(budget, steps=200_000)) == 400_000 // (4 * LENGTH)


def test_the_split_half_correlation_is_spearmans(tmp_path: Path) -> None:
    memory = EWC().setup(origin(lambda: Softmax(False), tmp_path, old=table(ROWS)))
    kept = load_file(next(tmp_path.glob("*.safetensors")))
    halves = [np.concatenate([kept[n].numpy().ravel() for n in sorted(kept) if n.startswith(h)]) for h in ("first.", "second.")]
    assert memory.facts["fisher_split_half_correlation"] == pytest.approx(spearmanr(*halves).statistic, abs=1e-6)


def test_weights_that_nothing_touched_do_not_raise_the_correlation() -> None:
    """Rows of tokens that the old text lacks are zero in both halves: equal values share a rank."""
    bits = torch.Generator().manual_seed(0)
    halves = [{"w": torch.cat([torch.zeros(300), torch.rand(200, generator=bits)])} for _ in range(2)]
    wanted = spearmanr(*(half["w"].numpy() for half in halves)).statistic
    assert estimator.rank_correlation(*halves) == pytest.approx(wanted, abs=1e-6)


def test_too_little_old_text_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(TrialError, match=r"the old text has 7 rows; the Fisher is estimated on 8 at least, in two halves"):
        EWC().setup(origin(lambda: Softmax(False), tmp_path, old=table(7)))
    with pytest.raises(InputError, match="this plan has no old text; give it with --old"):
        EWC().setup(origin(lambda: Softmax(False), tmp_path))


PLANTED: list[tuple[str, Any]] = [
    ("_surprise", lambda chunk: chunk.losses),  # data labels: the square of a batch mean
    ("united", lambda halves: {n[6:]: t / POSITIONS for n, t in halves.items() if n.startswith("first.")}),  # n forgotten
]


@pytest.mark.parametrize(("part", "fault"), PLANTED)
def test_another_estimate_is_caught(part: str, fault: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(estimator, part, fault)
    with pytest.raises(AssertionError):
        agrees(False, 40, tmp_path)


def test_a_fisher_of_new_text_is_caught(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(estimator, "OLD", "new")
    with pytest.raises(TrialError, match="new text was read"):
        test_only_old_text_is_read_and_all_of_it_is_counted(tmp_path)


def test_a_penalty_that_waits_for_a_second_stage_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    setup = EWC.setup

    def waits(self: EWC, origin: Any) -> Memory:
        memory = setup(self, origin)
        return memory if origin.earlier else Memory(fixed=replace(memory.fixed, weight=0.0))

    monkeypatch.setattr(EWC, "setup", waits)
    with pytest.raises(AssertionError, match="it does nothing"):
        check_law(EWC, "example_is_not_the_control")


# Strength and stages.


def after_a_control(folder: Path, gain: float, moved: float = 0.1) -> TrialOrigin:
    """An origin whose control gained so much and moved every weight so far."""
    known = origin(lambda: Softmax(False), folder, old=table(ROWS))
    known.finished, known.held = (lambda: Softmax(False)), (lambda: table(1))
    known.loaded_control = SimpleNamespace(gain=gain, parameter=lambda name: known.base.parameter(name) + moved, model=None)  # type: ignore
    return known


@pytest.mark.parametrize("relative", [0.1, 3.0])
def test_a_relative_strength_makes_the_controls_penalty_that_share_of_its_gain(relative: float, tmp_path: Path) -> None:
    memory = EWC(relative=relative).setup(after_a_control(tmp_path, gain=0.7))
    penalty = sum(0.5 * float((f * 0.1**2).sum()) for f in memory.fixed.importance.values())
    assert memory.fixed.weight * penalty == pytest.approx(relative * 0.7, rel=1e-4)
    assert memory.facts["control_penalty"] == pytest.approx(penalty, rel=1e-4)
    assert (memory.facts["weight"], memory.facts["control_gain"]) == (memory.fixed.weight, 0.7)


def test_the_control_is_freed_after_setup_and_counted(tmp_path: Path) -> None:
    """Base and control read all held-out rows; a third model is not kept while training."""
    training = Training(EWC(relative=1.0, tokens=2**10), tiny_setting(tmp_path), 1)
    assert training.origin.loaded_control is None
    assert training.setup_reference == 2 * 5 * 12


def test_nothing_is_relative_to_a_control_that_gained_or_moved_nothing(tmp_path: Path) -> None:
    with pytest.raises(TrialError, match=r"the control gained -0\.2 nats on held-out new text; give weight"):
        EWC(relative=1.0).setup(after_a_control(tmp_path, gain=-0.2))
    with pytest.raises(TrialError, match="the control moved no weight that the penalty holds; give weight"):
        EWC(relative=1.0).setup(after_a_control(tmp_path, gain=0.2, moved=0.0))
    with pytest.raises(TrialError, match="no finished control"):
        EWC(relative=1.0).setup(origin(lambda: Softmax(False), tmp_path, old=table(ROWS)))


def test_a_strength_is_set_once() -> None:
    with pytest.raises(ValueError, match="weight=5 and relative=1 both set the strength; give one of them"):
        EWC(weight=5.0, relative=1.0)
    assert EWC(relative=0.3).controls() == ("l2sp:relative=0.3",)


def test_later_stages_add_their_fisher_to_what_is_left_of_the_earlier(tmp_path: Path) -> None:
    """F* of three stages: gamma²·F1 + gamma·F2 + F3, and the anchor is the last stage's base."""
    alone, memory = [], None
    for draw in range(3):
        known = origin(lambda: Softmax(False), tmp_path, old=table(ROWS))
        alone.append(EWC(draw=draw).setup(known).fixed.importance)
        known.earlier = memory
        memory = EWC(draw=draw, gamma=0.5).setup(known)
        assert memory.fixed.base is known.base
    for name, found in memory.fixed.importance.items():
        torch.testing.assert_close(found, 0.25 * alone[0][name] + 0.5 * alone[1][name] + alone[2][name])


def test_a_part_of_an_arm_finds_its_own_memory_of_the_stage_before(tmp_path: Path) -> None:
    arms = EWC(gamma=0.5), Combined((Strategy(), EWC(gamma=0.5)))
    found = []
    for arm in arms:
        known = origin(lambda: Softmax(False), tmp_path, old=table(ROWS))
        known.earlier = arm.setup(known)
        memory = arm.setup(known)
        found.append((memory if arm is arms[0] else memory.fixed[1]).fixed.importance)
    assert all(torch.equal(found[1][name], fisher) for name, fisher in found[0].items())


def test_the_penalty_is_logged_without_its_weight(tmp_path: Path) -> None:
    """Half of the Fisher's square at the weights of the update: the predicted forgetting, in nats per token."""
    training = Training(EWC(weight=50.0), tiny_setting(tmp_path), seed=1)
    with torch.no_grad():
        for p in training.model.parameters():
            p.add_(0.1)
    wanted = sum(0.5 * float(f.sum()) * 0.1**2 for f in training.memory.fixed.importance.values())
    assert training.step()["strategy.penalty"] == pytest.approx(wanted, rel=1e-3)


@dataclass
class Anchor:
    """A base of known weights."""

    tensors: Mapping[str, Tensor] = field(default_factory=dict)

    def waiting(self, name: str) -> Tensor:
        return self.tensors[name]


THETA, BASE, FISHER = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([0.9, -1.5, 0.5]), torch.tensor([2.0, 0.1, 5.0])


def pulled(weight: float, fisher: Tensor, times: int = 1) -> Tensor:
    """What `gradients` adds at THETA."""
    model = nn.ParameterDict({"w": nn.Parameter(THETA.clone())})
    model["w"].grad = torch.zeros(3)
    memory = Memory(fixed=Pull(Anchor({"w": BASE}), {"w": fisher}, weight=weight))  # type: ignore[arg-type]
    for _ in range(times):
        EWC(weight=weight).gradients(model, memory, SimpleNamespace())  # type: ignore[arg-type]
    return model["w"].grad


def test_the_pull_is_the_printed_gradient() -> None:
    torch.testing.assert_close(pulled(10, FISHER), torch.tensor([2.0, -0.5, 0.0]))


def test_the_pull_is_the_slope_of_half_the_weighted_square() -> None:
    """Penalty 0.225 by the printed vector; central differences of it give the gradient."""

    def penalty(theta: Tensor) -> Tensor:
        return 10 / 2 * (FISHER.double() * (theta - BASE.double()).square()).sum()

    assert penalty(THETA.double()).item() == pytest.approx(0.225, abs=1e-6)
    steps = torch.eye(3, dtype=torch.float64) * 1e-5
    slopes = torch.stack([(penalty(THETA.double() + s) - penalty(THETA.double() - s)) / 2e-5 for s in steps])
    torch.testing.assert_close(pulled(10, FISHER).double(), slopes, rtol=1e-5, atol=1e-6)


def test_even_importances_are_l2_to_the_base() -> None:
    torch.testing.assert_close(pulled(3, torch.ones(3)), 3 * (THETA - BASE))


@pytest.mark.parametrize("micro_batch", [4, 2, 1])
def test_a_step_has_the_pull_once_whatever_the_accumulation(micro_batch: int, tmp_path: Path) -> None:
    slopes: list[dict[str, Tensor]] = []
    for strategy in (EWC(weight=50.0), Strategy()):
        training = Training(strategy, tiny_setting(tmp_path, micro_batch=micro_batch), seed=1)
        with torch.no_grad():
            for p in training.model.parameters():
                p.add_(0.1)
        training.slope(training.reader.read())
        slopes.append({name: p.grad for name, p in training.model.named_parameters() if p.grad is not None})
        if isinstance(strategy, EWC):
            fisher = training.memory.fixed.importance
    assert "lm_head.weight" not in fisher, "the tied tensor is there twice"
    for name, pull in fisher.items():
        torch.testing.assert_close(slopes[0][name] - slopes[1][name], 50 * pull * 0.1, rtol=1e-4, atol=1e-5)


def test_a_large_weight_stays_within_the_learning_rate_of_the_base(tmp_path: Path) -> None:
    """Under Adam the limit is jitter of the order of the learning rate around the base."""
    training = Training(EWC(weight=1e12), tiny_setting(tmp_path), seed=1)
    base = dict(tiny_model().named_parameters())
    for _ in range(5):
        training.step()
    fisher = training.memory.fixed.importance
    moved = torch.cat([(p - base[n])[fisher[n] > 0].detach().abs() for n, p in training.model.named_parameters()])
    assert moved.max() <= 5 * training.peak


def test_a_frozen_tensor_is_left_alone(tmp_path: Path) -> None:
    training = Training(EWC(), tiny_setting(tmp_path), seed=1)
    first = next(training.model.parameters())
    first.requires_grad_(False)
    training.slope(training.reader.read())
    assert first.grad is None


def test_the_labels_are_drawn_from_the_models_distribution() -> None:
    """Uniform numbers on a fine grid give every label its probability."""
    logits = torch.tensor([2.0, 0.0, -1.0, 1.0, -30.0])
    grid = (torch.arange(10_000) + 0.5) / 10_000
    chunk: Any = SimpleNamespace(logits=logits.expand(10_000, 5), beside={"uniform": grid})
    counts = [(estimator._surprise(chunk) - nats).abs().lt(1e-6).float().mean() for nats in -logits.log_softmax(-1)]
    torch.testing.assert_close(torch.stack(counts), logits.softmax(-1), atol=2e-4, rtol=0)


def test_the_tables_of_the_laws_hold_enough_for_both_halves() -> None:
    assert len(tiny_tables()["old"]) >= 8
    assert Objective(Softmax(False)).bend == Bend()
