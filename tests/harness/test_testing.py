"""The laws catch what goes wrong: each planted fault breaks the law that is named for it, and says so in numbers."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from harness import objective, optimizer, resume, text, train_gradient
from harness.reader import Reader
from harness.strategy import Batch, Chunk, Memory, Origin, Strategy
from harness.testing import LAWS, check_law, check_strategy
from strategies.curriculum import Curriculum
from strategies.ewc import EWC
from strategies.freeze import Freeze
from strategies.kl import KL
from strategies.replay import Replay


@dataclass(frozen=True)
class Sound(Strategy):
    """Pulls to the base and keeps count.

    Source: this test.
    Cost: nothing.
    Parameters:
        weight: 0 or more.
    """

    weight: float = 1.0

    neutral: ClassVar[Mapping[str, Any] | None] = {"weight": 0.0}
    anchor: ClassVar[bool] = True

    def setup(self, origin: Origin) -> Memory:
        return Memory(fixed=origin.base, moving={"pulled": 0})

    def gradients(self, model: nn.Module, memory: Memory, origin: Any) -> None:
        memory.moving["pulled"] += 1
        for name, p in model.named_parameters():
            if p.grad is not None:
                p.grad.add_(self.weight * memory.moving["pulled"] * (p.detach() - memory.fixed.parameter(name)))


class PullsAtTheBase(Sound):
    def gradients(self, model: nn.Module, memory: Memory, origin: Any) -> None:
        for p in model.parameters():
            if p.grad is not None:
                p.grad.add_(self.weight * p.detach())  # towards zero, not towards the base


class DrawsRandomNumbers(Sound):
    def setup(self, origin: Origin) -> Memory:
        torch.rand(1)
        return super().setup(origin)


class DrawsPythonsNumbers(Sound):
    def setup(self, origin: Origin) -> Memory:
        random.random()
        return super().setup(origin)


class LeavesGradients(Sound):
    def setup(self, origin: Origin) -> Memory:
        model = origin.base.model
        weight: Any = next(model.parameters())
        weight.grad = torch.zeros_like(weight)
        return super().setup(origin)


class ChangesTheMode(Sound):
    def setup(self, origin: Origin) -> Memory:
        origin.base.model.train()
        return super().setup(origin)


class ChangesTheBase(Sound):
    def setup(self, origin: Origin) -> Memory:
        with torch.no_grad():
            next(origin.base.model.parameters()).add_(1.0)
        return super().setup(origin)


class CountsOutsideItsMemory(Sound):
    """What it counts is in `fixed`, which no checkpoint holds."""

    def setup(self, origin: Origin) -> Memory:
        return Memory(fixed={"base": origin.base, "pulled": 0})

    def gradients(self, model: nn.Module, memory: Memory, origin: Any) -> None:
        memory.fixed["pulled"] += 1
        for name, p in model.named_parameters():
            if p.grad is not None:
                p.grad.add_(self.weight * memory.fixed["pulled"] * (p.detach() - memory.fixed["base"].parameter(name)))


class ForgetsItsWeight(Sound):
    """Pulls at weight 0 too."""

    def gradients(self, model: nn.Module, memory: Memory, origin: Any) -> None:
        for name, p in model.named_parameters():
            if p.grad is not None:
                p.grad.add_((1.0 + self.weight) * (p.detach() - memory.fixed.parameter(name)))


class DoesNothing(Sound):
    def gradients(self, model: nn.Module, memory: Memory, origin: Any) -> None:
        pass


class CountsMicroBatches(Sound):
    """A loss that depends on how many rows are in a micro-batch."""

    def observe(self, batch: Batch, memory: Memory) -> Mapping[str, Tensor]:
        return {"rows": torch.full(batch.tokens[:, 1:].shape, float(len(batch.rows)))}

    def loss(self, chunk: Chunk, memory: Memory) -> Mapping[str, Tensor]:
        return {"rows": chunk.losses * chunk.beside["rows"]}


class DividesByTheChunk(Sound):
    def loss(self, chunk: Chunk, memory: Memory) -> Mapping[str, Tensor]:
        return {"mean": chunk.losses / len(chunk.losses)}


class DrawsEachStep(Sound):
    """Noise from a generator of its own, which no seed governs."""

    def gradients(self, model: nn.Module, memory: Memory, origin: Any) -> None:
        bits = torch.Generator()
        bits.seed()
        for p in model.parameters():
            if p.grad is not None:
                p.grad.add_(torch.randn(p.shape, generator=bits))


@dataclass(frozen=True)
class SaysNothing(Strategy):
    """A parameter that is not described. Source: here. Cost: 1. Parameters: none."""

    weight: float = 1.0


class GivesNoReason(Sound):
    neutral: ClassVar[None] = None


class RemembersMicroBatches(Sound):
    """What setup makes depends on how the engine was told to cut."""

    calls: ClassVar[list[int]] = []

    def setup(self, origin: Origin) -> Memory:
        self.calls.append(1)
        origin.remember({"what": "calls"}, lambda: {"n": torch.tensor(len(self.calls))})
        return super().setup(origin)


PLANTED: list[tuple[type[Strategy], str, str]] = [
    (PullsAtTheBase, "no_pull_at_the_base", "at the base's own weights .* changes the gradient by .* of its norm"),
    (DrawsRandomNumbers, "setup_touches_nothing", "setup drew from torch's or numpy's random numbers"),
    (DrawsPythonsNumbers, "setup_touches_nothing", "setup drew from Python's or numpy's random numbers"),
    (LeavesGradients, "setup_touches_nothing", "setup left gradients on the base"),
    (ChangesTheMode, "setup_touches_nothing", "setup changed the base's mode"),
    (ChangesTheBase, "setup_touches_nothing", "setup changed the base's weights"),
    (CountsOutsideItsMemory, "resumes_anywhere", "stopped after update 1 and resumed, it differs by"),
    (ForgetsItsWeight, "neutral_is_the_control", "ends .* away from the control's weights"),
    (DoesNothing, "example_is_not_the_control", "it does nothing"),
    (CountsMicroBatches, "micro_batches_change_rounding_only", "micro-batches of 2 rows change the gradient"),
    (DividesByTheChunk, "chunks_change_rounding_only", "chunks of 5 positions change the gradient"),
    (DrawsEachStep, "same_seed_same_weights", "two trainings of .* differ by"),
    (SaysNothing, "says_where_it_comes_from", "the parameter weight is not described under Parameters:"),
    (GivesNoReason, "neutral_is_the_control", "has no neutral parameters and gives no reason"),
    (RemembersMicroBatches, "setup_ignores_micro_batches", "what setup keeps differs between micro-batches"),
]


@pytest.mark.parametrize(("strategy", "law", "words"), PLANTED, ids=[f"{law} {cls.__name__}" for cls, law, _ in PLANTED])
def test_a_planted_fault_breaks_its_law(strategy: type[Strategy], law: str, words: str) -> None:
    with pytest.raises(AssertionError, match=words) as found:
        check_law(strategy, law)
    assert str(found.value).startswith(f"{strategy.__name__} breaks the law {law}: ")


def test_a_sound_strategy_keeps_every_law() -> None:
    assert check_strategy(Sound) == {"frozen_weights_stay": "it freezes nothing"}


def test_every_law_is_broken_by_something() -> None:
    planted = {law for _, law, _ in PLANTED}
    elsewhere = {
        "adding_none_changes_nothing",
        "frozen_weights_stay",
        "spends_the_budget_exactly",
    }  # these are the engine's to break, below
    assert planted | elsewhere == set(LAWS)


def test_a_docstring_without_its_words_is_named() -> None:
    @dataclass(frozen=True)
    class Bare(Strategy):
        pass

    with pytest.raises(AssertionError, match=r"have no line that starts with (Source|Cost|Parameters):"):
        check_law(Bare, "says_where_it_comes_from")


# Faults of the engine.


def test_a_penalty_on_every_micro_batch_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trap that dilutes or repeats EWC: the hook runs once a micro-batch instead of once a step."""
    whole = train_gradient.forward_backward

    def repeated(training: Any, picked: Any) -> Any:
        found = whole(training, picked)
        for _ in train_gradient.micro_batches(training, picked)[1:]:
            training.strategy.gradients(training.model, training.memory, training.origin)
        return found

    monkeypatch.setattr(train_gradient, "forward_backward", repeated)
    with pytest.raises(AssertionError, match="micro-batches of 2 rows change the gradient of EWC"):
        check_law(EWC, "micro_batches_change_rounding_only")


def test_a_mean_of_micro_batch_means_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Selected positions do not fall evenly into micro-batches; a divisor of each its own re-weights them."""
    divisor = objective.Weighting.divisor

    def own(self: Any, term: str) -> float:
        given = self.weights.get(term)
        return divisor(self, term) if given is None else 2 * float(given.count_nonzero())

    class Selects(Sound):
        def weigh(self, batch: Batch, memory: Memory) -> Mapping[str, Tensor]:
            ranks = torch.arange(batch.tokens.shape[1] - 1).expand(len(batch.rows), -1)
            return {"cross_entropy": (ranks <= torch.tensor(batch.rows).unsqueeze(1) % 7).float()}

    assert check_law(Selects, "micro_batches_change_rounding_only") is None
    monkeypatch.setattr(objective.Weighting, "divisor", own)
    with pytest.raises(AssertionError, match="micro-batches of 2 rows change"):
        check_law(Selects, "micro_batches_change_rounding_only")


def test_an_iterator_that_starts_again_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resumed training that reads the head of the data once more."""
    monkeypatch.setattr(Reader, "skip", lambda self, updates: None)
    with pytest.raises(AssertionError, match="no longer gives the rows that its checkpoint at 1 had read"):
        check_law(Replay, "resumes_anywhere")


def whole_part(shares: Mapping[str, float], batch: int, *_: Any) -> tuple[dict[str, int], dict[str, float]]:
    counts = {name: int(batch * share) for name, share in shares.items()}
    return {**counts, "new": batch - sum(counts.values())}, {}


def batch_too_large(shares: Mapping[str, float], batch: int, *_: Any) -> tuple[dict[str, int], dict[str, float]]:
    return {name: round(batch * share) for name, share in shares.items()} | {"new": batch}, {}


def test_old_rows_on_top_of_the_budget_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "mix", batch_too_large)
    with pytest.raises(AssertionError, match="read 25 rows; the budget is 20"):
        check_law(Replay, "spends_the_budget_exactly")


def test_a_share_cut_to_whole_rows_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """int(4 * 0.1) is nothing for ever."""

    class Tenth(Replay):
        example: ClassVar[Mapping[str, Any]] = {"share": 0.1}

    assert check_law(Tenth, "example_is_not_the_control") is None
    monkeypatch.setattr(text, "mix", whole_part)
    with pytest.raises(AssertionError, match="it does nothing"):
        check_law(Tenth, "example_is_not_the_control")


def test_weight_decay_on_frozen_tensors_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """An optimizer that holds all weights decays those too whose gradient is zero instead of absent."""
    whole = train_gradient.forward_backward

    def filled(training: Any, picked: Any) -> Any:
        found = whole(training, picked)
        for p in training.model.parameters():
            p.grad = torch.zeros_like(p) if p.grad is None else p.grad
        return found

    monkeypatch.setattr(train_gradient, "forward_backward", filled)
    assert check_law(Freeze, "frozen_weights_stay") is None
    monkeypatch.setattr(
        optimizer, "decayed", lambda model, decay: [{"params": list(model.parameters()), "weight_decay": decay}]
    )
    with pytest.raises(AssertionError, match=r"model\.embed_tokens\.weight, .* moved by"):
        check_law(Freeze, "frozen_weights_stay")


def test_a_part_that_hides_another_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.strategy import Combined

    monkeypatch.setattr(Combined, "schedule", lambda self, budget: lambda update: 0.5)
    with pytest.raises(AssertionError, match="with none beside it differs by"):
        check_law(Curriculum, "adding_none_changes_nothing")


def test_optimizer_state_that_is_not_resumed_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    restore = resume.restore

    def forgetful(training: Any, state: Any) -> None:
        restore(training, state)
        training.optimizer.state.clear()

    monkeypatch.setattr(resume, "restore", forgetful)
    with pytest.raises(AssertionError, match="stopped after update 1 and resumed"):
        check_law(KL, "resumes_anywhere")


@pytest.mark.parametrize(("law", "reason"), [("no_pull_at_the_base", "it does not penalise leaving the base")])
def test_a_law_that_cannot_apply_gives_its_reason(law: str, reason: str) -> None:
    assert check_law(Replay, law) == reason
