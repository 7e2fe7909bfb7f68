"""Replay of text that set-up makes: drawn from the base, or the old rows it knows least."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from harness.bench import LENGTH, same_bits, tiny_model, tiny_setting
from harness.plan import Budget
from harness.reader import Reader
from harness.strategy import OLD
from harness.train import Training, train
from strategies.replay import Replay
from strategies.replay_self import ReplaySelf, repeating
from strategies.replay_surprise import ReplaySurprise

MANY = Budget(steps=30, batch=4, length=LENGTH, peak=0.02)


def log_probabilities(tokens: Tensor) -> Tensor:
    """(b, T-1, V) of the tiny base, from whole logits."""
    model: Any = tiny_model()
    with torch.no_grad():
        return model(input_ids=tokens).logits[:, :-1].double().log_softmax(-1)


def read(training: Training, source: str) -> list[int]:
    """The rows of a source that a whole training reads."""
    reader = Reader(training.strategy, training.memory, training.setting, training.seed)
    return [row for _ in range(training.setting.budget.steps) for name, row in reader.read() if name == source]


@pytest.mark.parametrize("share", [0.25, 0.31, 1.0])
def test_as_many_rows_are_drawn_as_are_read_and_none_is_read_twice(share: float, tmp_path: Path) -> None:
    training = Training(ReplaySelf(share), tiny_setting(tmp_path, budget=MANY), 1)
    rows = read(training, "self")
    table = training.memory.sources["self"]
    assert len(set(rows)) == len(rows)
    assert len(rows) <= len(table) == math.ceil(share * 120) <= len(rows) + 1
    assert training.memory.facts["drawn_tokens"] == len(table) * LENGTH
    assert training.origin.tokens_drawn >= len(table) * LENGTH
    assert training.reference_tokens == len(table) * LENGTH, "the entropy is a forward pass of the base"


def test_no_old_text_is_needed_and_one_text_serves_all_seeds(tmp_path: Path) -> None:
    setting = tiny_setting(tmp_path)
    alone = replace(setting, tables={"new": setting.tables["new"]})
    texts = [Training(ReplaySelf(), alone, seed).memory.sources["self"].tokens(range(5)) for seed in (1, 2)]
    assert torch.equal(*texts)
    assert ReplaySelf().needed() == ()
    other = Training(ReplaySelf(draw=1), alone, 1).memory.sources["self"].tokens(range(5))
    assert not torch.equal(texts[0], other)


def test_more_rows_begin_with_the_same_rows(tmp_path: Path) -> None:
    few, many = (Training(ReplaySelf(s), tiny_setting(tmp_path, budget=MANY), 1).memory.sources["self"] for s in (0.1, 0.5))
    assert torch.equal(many.tokens(range(len(few))), few.tokens(range(len(few))))


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_the_reported_entropy_is_that_of_the_text_under_the_base(temperature: float, tmp_path: Path) -> None:
    """Mean nats per drawn token; at temperature 1 the base's own entropy, to within 4 standard errors; below it less."""
    training = Training(ReplaySelf(1.0, temperature), tiny_setting(tmp_path, budget=MANY), 1)
    tokens = training.memory.sources["self"].tokens(range(120))
    known = log_probabilities(tokens)
    nats = F.nll_loss(known.flatten(0, 1), tokens[:, 1:].flatten(), reduction="none")
    reported = training.memory.facts["drawn_entropy"]
    assert reported == pytest.approx(nats.mean().item(), rel=1e-5)
    apart = nats - -(known.exp() * known).sum(-1).flatten()  # surprise less entropy, each position's own
    error = float(apart.std()) / math.sqrt(len(apart))
    assert abs(float(apart.mean())) < 4 * error if temperature == 1 else float(apart.mean()) < -20 * error


@pytest.mark.parametrize(
    ("row", "bad"),
    [
        ([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], False),
        ([5] * 12, True),
        ([1, 2, 3] * 4, True),  # 3 of 9 runs are distinct
        ([1, 2, 3, 4] * 3, True),  # 4 of 9
        ([1, 2, 3, 4, 5] * 2 + [1, 2], False),  # 5 of 9
        ([0, 1, 1, 1, 1, 1, 1, 1, 2, 3, 4, 5], False),  # 6 of 9
    ],
)
def test_a_row_of_repeats_is_one_whose_runs_of_four_stood_there_before(row: list[int], bad: bool) -> None:
    assert repeating(torch.tensor([list(range(20, 32)), row])) == ([1] if bad else [])
    assert repeating(torch.tensor([row[:3]])) == []


class Stuck:
    """An origin whose base repeats itself in the rows and draws that it is told to."""

    def __init__(self, bad: Callable[[int, int], bool]) -> None:
        self.bad, self.asked, self.budget, self.base = bad, [], MANY, self

    def sample(self, rows: int, draw: int, temperature: float) -> Tensor:
        self.asked.append((rows, draw))
        good = torch.arange(LENGTH) + 100 * draw
        return torch.stack([torch.full((LENGTH,), draw) if self.bad(row, draw) else good + 20 * row for row in range(rows)])

    def losses(self, tokens: Tensor) -> Tensor:
        return tokens[:, 1:].float()


def test_rows_of_repeats_are_drawn_again_three_times_and_then_stay() -> None:
    curable: Any = Stuck(lambda row, draw: draw == 4 and row in (1, 3))
    made = ReplaySelf(draw=1)._written(curable, 5)
    assert (curable.asked, int(made["again"])) == ([(5, 4), (2, 5)], 2)
    assert made["written"][[1, 3]].tolist() == [[*range(500, 512)], [*range(520, 532)]]
    assert made["written"][2].tolist() == [*range(440, 452)]
    assert torch.equal(made["losses"], made["written"][:, 1:].float().mean(-1))
    hopeless: Any = Stuck(lambda row, draw: True)
    assert int(ReplaySelf()._written(hopeless, 2)["again"]) == 6
    assert hopeless.asked == [(2, 0), (2, 1), (2, 2), (2, 3)]


def highest(share: float) -> list[int]:
    """Old rows of the highest mean loss, from whole logits."""
    tokens = tiny_setting(Path()).tables[OLD].tokens(range(17))
    losses = F.nll_loss(log_probabilities(tokens).transpose(1, 2), tokens[:, 1:], reduction="none").mean(-1)
    return losses.argsort(descending=True)[: round(share * 17)].tolist()


@pytest.mark.parametrize(("uniform", "pool"), [(0.5, 0.3), (0.0, 0.2)])
def test_the_pool_is_the_old_rows_of_highest_loss(uniform: float, pool: float, tmp_path: Path) -> None:
    setting = tiny_setting(tmp_path, budget=MANY)
    training = Training(ReplaySurprise(0.5, pool, uniform), setting, 1)
    table = training.memory.sources["surprising"]
    assert torch.equal(table.tokens(range(len(table))), setting.tables[OLD].tokens(highest(pool)))
    assert abs(len(read(training, "surprising")) - 60 * (1 - uniform)) <= 1
    assert abs(len(read(training, OLD)) - 60 * uniform) <= 1
    facts = training.memory.facts
    assert facts["pool_rows"] == round(pool * 17)
    assert facts["pool_loss"] > facts["old_loss"]
    assert training.reference_tokens == 17 * LENGTH


def test_all_uniform_is_replay_bit_for_bit(tmp_path: Path) -> None:
    ends = []
    for strategy in (ReplaySurprise(0.4, uniform=1.0), Replay(0.4)):
        training = Training(strategy, tiny_setting(tmp_path), 1)
        train(training, tmp_path / type(strategy).__name__)
        ends.append(dict(training.model.named_parameters()))
    assert same_bits(*ends)
    assert ReplaySurprise(0.4).controls() == ("replay:share=0.4",)


@pytest.mark.parametrize(
    ("strategy", "given"),
    [(ReplaySelf, {"share": -0.1}), (ReplaySelf, {"temperature": 0.0}), (ReplaySelf, {"draw": -1})]
    + [(ReplaySurprise, {name: value}) for name, value in {"share": 2.0, "pool": 0.0, "uniform": 1.5}.items()],
)
def test_what_is_out_of_range_is_refused(strategy: Any, given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"it must be (at least|above) 0"):
        strategy(**given)
