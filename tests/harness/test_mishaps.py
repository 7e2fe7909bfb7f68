"""A step that is not finite, where the plan says skip: it changes nothing but the count, and says what it was."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness.errors import TrialError
from harness.price import spent
from harness.strategy import Batch, Chunk, Memory, Strategy
from harness.testing import LENGTH, STEPS, same_bits, tiny_setting
from harness.text import rows_at
from harness.train import Training, train
from strategies.agem import AGEM
from strategies.ema import MovingAverage


def weights(training: Training) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in training.model.named_parameters()}


@dataclass(frozen=True)
class Spoils(Strategy):
    """Spoils the steps that begin with these rows, and keeps in memory what it saw in every hook of a step."""

    rows: tuple[int, ...] = ()
    where: str = "loss"

    def setup(self, origin: Any) -> Memory:
        return Memory(moving={"seen": torch.zeros(3), "order": [], "bad": False})

    def observe(self, batch: Batch, memory: Memory) -> Mapping[str, Tensor]:
        memory.moving["bad"] = batch.rows[0] in self.rows
        memory.moving["seen"][0] += 1
        memory.moving["order"].append(batch.rows[0])
        return {}

    def loss(self, chunk: Chunk, memory: Memory) -> Mapping[str, Tensor]:
        memory.moving["seen"][1] += 1
        return {"mine": chunk.losses * (math.nan if memory.moving["bad"] and self.where == "loss" else 0.1)}

    def gradients(self, model: nn.Module, memory: Memory, origin: Any) -> None:
        memory.moving["seen"][2] += 1
        memory.log["seen"] = math.nan if memory.moving["bad"] else 1.0
        if memory.moving["bad"] and self.where == "gradient":
            next(model.parameters()).grad[0, 0] = math.inf  # type: ignore[index]

    def weights(self, model: nn.Module, memory: Memory, origin: Any) -> None:
        memory.moving["steps"] = memory.moving.get("steps", 0) + 1


def first_rows(update: int, seed: int = 1) -> list[int]:
    return rows_at(seed, "new", range((update - 1) * 4, update * 4), 23)


@pytest.mark.parametrize(
    ("where", "what"),
    [
        ("loss", "loss: its term mine is nan"),
        ("gradient", "gradients: it left the gradient of model.embed_tokens.weight not finite"),
    ],
)
def test_a_skipped_step_changes_nothing_and_names_its_rows(where: str, what: str, tmp_path: Path) -> None:
    rows = first_rows(3)
    training = Training(Spoils((rows[0],), where), tiny_setting(tmp_path, on_nan="skip"), 1)
    training.step(), training.step()
    before, state = weights(training), {p: s["exp_avg"].clone() for p, s in training.optimizer.state.items()}
    row = training.step()
    assert same_bits(weights(training), before)
    assert all(torch.equal(s["exp_avg"], state[p]) for p, s in training.optimizer.state.items())
    assert all(p.grad is None for p in training.model.parameters())
    named = [f"new {row}" for row in rows]
    assert row["rows"] == named
    assert row["skipped"] == f"spoils failed in {what} at update 3 of 5 (rows {', '.join(named)}, ...)"
    assert row == {
        "update": 3, "tokens": 144, "learning_rate": row["learning_rate"], "new": 144, "old": 0, "task": 0,
        "skipped": row["skipped"], "rows": named,
    }  # fmt: skip
    moving = training.memory.moving
    assert moving["seen"].tolist() == [2, 2, 2]
    assert moving["order"] == [first_rows(1)[0], first_rows(2)[0]]
    assert (moving["steps"], training.skipped) == (2, 1)
    assert training.step()["update"] == 4
    assert moving["order"][-1] == first_rows(4)[0]


def test_a_training_with_a_skipped_step_is_one_that_never_read_its_rows(tmp_path: Path) -> None:
    """By hand: the same trial whose third update does nothing but take its place in the schedule."""
    setting = tiny_setting(tmp_path, on_nan="skip")
    found = Training(Spoils((first_rows(3)[0],)), setting, 1)
    train(found, tmp_path / "trial")
    by_hand = Training(Spoils(), setting, 1)
    by_hand.step(), by_hand.step()
    by_hand.reader.read()
    by_hand.update += 1
    by_hand.step(), by_hand.step()
    assert same_bits(weights(found), weights(by_hand))
    assert found.rate_area == by_hand.rate_area
    facts = spent(found, None)
    assert (facts["skipped_steps"], facts["steps"], facts["tokens"]["new"]) == (1, STEPS, STEPS * 4 * LENGTH)


def test_stopped_after_a_skipped_step_it_ends_with_the_same_bits(tmp_path: Path) -> None:
    strategy = Spoils((first_rows(3)[0],)) + AGEM() + MovingAverage()
    setting = tiny_setting(tmp_path, on_nan="skip", checkpoint_every=1)
    whole = Training(strategy, setting, 1)
    train(whole, tmp_path / "whole")

    def stop(done: int, total: int, row: Any) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(Training(strategy, setting, 1), tmp_path / "again", stop)
    again = Training(strategy, setting, 1)
    train(again, tmp_path / "again")
    assert same_bits(weights(again), weights(whole))
    assert again.skipped == whole.skipped == 1
    rows = [json.loads(line) for line in (tmp_path / "again" / "training.jsonl").read_text().splitlines()]
    assert [("skipped" in row, "loss" in row) for row in rows] == [(i == 2, i != 2) for i in range(STEPS)]


def test_a_training_that_skipped_every_step_fails(tmp_path: Path) -> None:
    training = Training(Spoils(tuple(range(23))), tiny_setting(tmp_path, on_nan="skip"), 1)
    with pytest.raises(TrialError) as found:
        train(training, tmp_path)
    assert str(found.value) == (
        "all 5 steps were skipped, because loss or gradient norm were not finite: nothing was learned; "
        "training.jsonl says of each why, and --on-nan stop ends at the first"
    )


def test_weights_that_are_not_finite_are_not_skipped_over(tmp_path: Path) -> None:
    """No later step can be finite: the trial ends as it would without skipping."""

    @dataclass(frozen=True)
    class Ruins(Strategy):
        def weights(self, model: nn.Module, memory: Memory, origin: Any) -> None:
            next(model.parameters()).data.fill_(math.nan)

    training = Training(Ruins(), tiny_setting(tmp_path, on_nan="skip"), 1)
    with pytest.raises(TrialError, match=r"^ruins failed in weights: it left model.embed_tokens.weight not finite after"):
        train(training, tmp_path)
