"""`+`: hooks in the order typed, terms that do not hide each other, and a refusal of what cannot be meant."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness import resume
from harness.bench import tiny_setting
from harness.errors import InputError
from harness.registry import arm
from harness.strategy import Batch, Chunk, ChunkView, Combined, Memory, Strategy, after_training
from harness.train import Training, train
from harness.typed import parse_arms
from strategies.kl import KL
from strategies.none import Plain


@dataclass(frozen=True)
class Marked(Strategy):
    """Does everything that can be told apart."""

    value: float = 2.0
    selects: str = ""

    def setup(self, origin: Any) -> Memory:
        return Memory(moving={"steps": 0, "sum": torch.zeros(2)}, facts={f"value {self.value}": self.value})

    def choose(self, source: str, memory: Memory) -> Sequence[int] | None:
        return [0, int(self.value)] if source == self.selects else None

    def weigh(self, batch: Batch, memory: Memory) -> Mapping[str, Tensor]:
        return {"cross_entropy": torch.full((1, 3), self.value), "own": torch.full((1, 3), self.value)}

    def observe(self, batch: Batch, memory: Memory) -> Mapping[str, Tensor]:
        return {"seen": torch.full((1, 3), self.value)}

    def loss(self, chunk: Chunk, memory: Memory) -> Mapping[str, Tensor]:
        return {"own": chunk.beside["seen"]}

    def gradients(self, model: nn.Module, memory: Memory, origin: Any) -> None:
        memory.moving["steps"] += 1
        memory.moving["sum"] += self.value
        for p in model.parameters():
            if p.grad is not None:
                p.grad.mul_(self.value).add_(1)


class Doubled(Marked):
    """Another kind, with the same terms."""


BATCH: Any = SimpleNamespace(tokens=torch.zeros(1, 4, dtype=torch.long))


def memory(strategy: Strategy) -> Memory:
    return strategy.setup(SimpleNamespace(earlier=None))  # type: ignore[arg-type]


def test_weights_of_the_cross_entropy_multiply() -> None:
    both = Marked(2.0) + Marked(3.0)
    assert both.weigh(BATCH, memory(both))["cross_entropy"].unique().tolist() == [6.0]


def test_each_part_sees_what_it_observed_and_keeps_its_own_terms() -> None:
    three = Marked(2.0) + Plain() + Marked(3.0)
    known = memory(three)
    chunk = ChunkView(torch.zeros(3, 1), torch.zeros(3, 2), torch.zeros(3), torch.zeros(3), {
        name: values.flatten() for name, values in three.observe(BATCH, known).items()
    })  # fmt: skip
    assert {name: values[0].item() for name, values in three.loss(chunk, known).items()} == {"own": 2.0, "own.2": 3.0}
    weights = three.weigh(BATCH, known)
    assert {name: values[0, 0].item() for name, values in weights.items()} == {"cross_entropy": 6, "own": 2, "own.2": 3}


def test_terms_of_two_kinds_with_one_name_do_not_hide_each_other() -> None:
    two = Marked(2.0) + Doubled(3.0)
    known = memory(two)
    beside = {name: values.flatten() for name, values in two.observe(BATCH, known).items()}
    terms = two.loss(ChunkView(torch.zeros(3, 1), torch.zeros(3, 2), torch.zeros(3), torch.zeros(3), beside), known)
    assert sorted(values[0].item() for values in terms.values()) == [2.0, 3.0]
    assert set(terms) == set(two.weigh(BATCH, known)) - {"cross_entropy"}


def test_hooks_that_change_in_place_run_in_the_order_typed() -> None:
    both = Marked(2.0) + Marked(5.0)
    model = nn.Linear(1, 1, bias=False)
    model.weight.grad = torch.ones(1, 1)
    both.gradients(model, memory(both), SimpleNamespace())  # type: ignore[arg-type]
    assert model.weight.grad.item() == (1 * 2 + 1) * 5 + 1


def test_choices_and_facts_of_all_parts_count() -> None:
    both = Marked(2.0, "new") + Marked(3.0, "old")
    assert both.choose("new", memory(both)) == [0, 2]
    assert both.choose("old", memory(both)) == [0, 3]
    assert both.choose("task", memory(both)) is None
    twice = Marked(2.0, "new") + Marked(3.0, "new")
    with pytest.raises(InputError, match="Marked and Marked cannot be combined: each selects rows of the new text"):
        twice.choose("new", memory(twice))
    assert memory(both).facts == {"value 2.0": 2.0, "value 3.0": 3.0}


def test_moving_memory_of_every_part_is_resumed(tmp_path: Path) -> None:
    both = KL(0.5) + Marked(1.0) + Marked(1.5)
    strategy = Combined(tuple(part if isinstance(part, KL) else _gradient_only(part) for part in both.parts))  # type: ignore[attr-defined]
    whole = Training(strategy, tiny_setting(tmp_path), 1)
    train(whole, tmp_path / "whole")
    half = Training(strategy, tiny_setting(tmp_path), 1)
    half.step(), half.step()
    again = Training(strategy, tiny_setting(tmp_path), 1)
    resume.restore(again, resume.state(half))
    while again.update < 5:
        again.step()
    for one, two in ((whole.memory.moving[i], again.memory.moving[i]) for i in "12"):
        assert one["steps"] == two["steps"] == 5
        assert torch.equal(one["sum"], two["sum"])
    assert again.memory.fixed[1].moving is again.memory.moving["1"]


def _gradient_only(part: Any) -> Strategy:
    @dataclass(frozen=True)
    class Counted(Strategy):
        value: float = part.value
        setup = Marked.setup
        gradients = Marked.gradients

    return Counted()


@pytest.mark.parametrize(
    ("word", "who", "what"),
    [
        ("wsd+constant", "wsd and constant", "a learning-rate schedule"),
        ("kl+constant+wsd", "constant and wsd", "a learning-rate schedule"),
        ("replay+curriculum", "replay and curriculum", "a mixture of sources"),
        ("replay+replay", "replay and replay", "a mixture of sources"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(word: str, who: str, what: str) -> None:
    with pytest.raises(InputError) as found:
        arm(parse_arms(word)[0])
    assert str(found.value) == f"{who} cannot be combined: each brings {what}; leave one of them out"


def test_two_adapters_are_refused() -> None:
    @dataclass(frozen=True)
    class Adapter(Strategy):
        def adapt(self, model: nn.Module) -> nn.Module:
            return model

    with pytest.raises(InputError, match="each brings a change of the model"):
        Adapter() + Adapter()


@pytest.mark.parametrize(
    "word", ["kl+replay+wsd", "ewc+low_lr", "kl:weight=0.1+kl:weight=0.2", "wise+kl", "curriculum+constant+ewc"]
)
def test_everything_else_combines(word: str) -> None:
    built = arm(parse_arms(word)[0])
    assert isinstance(built, Combined)
    assert not after_training(built)


def test_combining_is_associative() -> None:
    assert (Plain() + KL()) + KL(1.0) == Plain() + (KL() + KL(1.0))


def test_two_kl_terms_are_the_sum_of_their_weights(tmp_path: Path) -> None:
    found = []
    for word in ("kl:weight=0.2+kl:weight=0.3", "kl:weight=0.5"):
        training = Training(arm(parse_arms(word)[0]), tiny_setting(tmp_path), 1)
        with torch.no_grad():
            for p in training.model.parameters():
                p.mul_(1.2)
        terms = training.slope(training.reader.read())
        found.append((sum(v for n, v in terms.items() if n != "cross_entropy"), next(training.model.parameters()).grad))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5)
    torch.testing.assert_close(found[0][1], found[1][1], atol=1e-6, rtol=1e-4)
