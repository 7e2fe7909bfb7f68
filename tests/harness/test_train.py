"""The loop is plain PyTorch, logged line by line; it refuses to step on what is not finite and goes on where it was."""

import json
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from harness import resume
from harness.bench import BATCH, LENGTH, STEPS, same_bits, tiny_model, tiny_setting, tiny_tables
from harness.distance import distance
from harness.errors import RecordError, TrialError
from harness.optimizer import decayed
from harness.plan import Engine
from harness.reader import COLUMNS
from harness.strategy import Batch, Chunk, Memory, Strategy
from harness.text import rows_at
from harness.train import Training, train
from strategies.kl import KL
from strategies.replay import Replay


class Stopped(Exception):
    """Thrown to stop a training in the middle."""


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def by_hand(folder: Path, seed: int) -> tuple[dict[str, Tensor], list[float], list[float]]:
    """Five updates of the control as anybody would write them: weights, losses, gradient norms."""
    budget, model = tiny_setting(folder).budget, tiny_model().train()
    matrices = [p for p in model.parameters() if p.ndim == 2]
    vectors = [p for p in model.parameters() if p.ndim == 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}], lr=1.0, betas=(0.9, 0.95)
    )
    losses, norms = [], []
    for update in range(1, 6):
        rows = rows_at(seed, "new", range((update - 1) * BATCH, update * BATCH), 23)
        tokens = tiny_tables()["new"].tokens(rows)
        loss = model(input_ids=tokens, labels=tokens).loss
        loss.backward()
        norms.append(nn.utils.clip_grad_norm_(model.parameters(), 1.0).item())
        # warm-up of one update in five, then cosine to a tenth
        rate = 1.0 if update == 1 else 0.1 + 0.45 * (1 + math.cos(math.pi * (update - 1) / 4))
        for group in optimizer.param_groups:
            group["lr"] = budget.peak * rate
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return weights(model), losses, norms


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("micro_batch", [4, 3, 1])
def test_the_control_is_a_bare_loop(micro_batch: int, seed: int, tmp_path: Path) -> None:
    training = Training(Strategy(), tiny_setting(tmp_path, micro_batch=micro_batch), seed)
    rows: list[Mapping[str, float]] = []
    train(training, tmp_path, lambda done, total, row: rows.append(row))
    wanted, losses, norms = by_hand(tmp_path, seed)
    for name, found in weights(training.model).items():
        torch.testing.assert_close(found, wanted[name], atol=2e-6, rtol=1e-5, msg=name)
    assert [row["loss"] for row in rows] == pytest.approx(losses, rel=1e-5)
    assert [row["norm"] for row in rows] == pytest.approx(norms, rel=1e-4)
    assert [row["clipped"] for row in rows] == [norm > 1.0 for norm in norms]


def test_weight_decay_is_on_matrices_alone_and_towards_zero(tmp_path: Path) -> None:
    """With no gradient a matrix shrinks by lr x decay an update, a vector stays."""

    @dataclass(frozen=True)
    class Deaf(Strategy):
        def gradients(self, model: nn.Module, memory: Memory, origin: Any) -> None:
            for p in model.parameters():
                p.grad = torch.zeros_like(p)

    training = Training(Deaf(), tiny_setting(tmp_path), 1)
    before = weights(training.model)
    rate = training.step()["learning_rate"]
    for name, found in weights(training.model).items():
        share = 1 - rate * 0.1 if found.ndim == 2 else 1.0
        torch.testing.assert_close(found, before[name] * share, atol=0, rtol=1e-6)
    assert {"norm" in name for name, p in before.items() if p.ndim == 1} == {True}


def test_what_is_frozen_is_in_no_optimizer_and_does_not_move(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Half(Strategy):
        def adapt(self, model: Any) -> nn.Module:
            model.model.layers[0].requires_grad_(False)
            return model

    training = Training(Half(), tiny_setting(tmp_path), 1)
    frozen = {name for name, p in training.model.named_parameters() if not p.requires_grad}
    held = {id(p) for group in training.optimizer.param_groups for p in group["params"]}
    assert len(frozen) == 9
    assert held == {id(p) for p in training.model.parameters() if p.requires_grad}
    train(training, tmp_path)
    for name, p in tiny_model().named_parameters():
        assert torch.equal(p, weights(training.model)[name]) is (name in frozen)


def test_a_model_without_vectors_has_one_group() -> None:
    assert [group["weight_decay"] for group in decayed(nn.Linear(2, 2, bias=False), 0.1)] == [0.1]


@dataclass(frozen=True)
class Breaks(Strategy):
    """Not finite at one update, in the loss or in the gradient."""

    at: int = 3
    where: str = "loss"
    value: float = math.nan

    def setup(self, origin: Any) -> Memory:
        return Memory(moving={"update": 1})

    def weights(self, model: nn.Module, memory: Memory, origin: Any) -> None:
        memory.moving["update"] += 1

    def loss(self, chunk: Chunk, memory: Memory) -> Mapping[str, Tensor]:
        broken = self.where == "loss" and memory.moving["update"] == self.at
        return {"mine": chunk.losses * (self.value if broken else 0.1)}

    def gradients(self, model: nn.Module, memory: Memory, origin: Any) -> None:
        if self.where == "gradient" and memory.moving["update"] == self.at:
            next(model.parameters()).grad[0, 0] = self.value  # type: ignore[index]


@pytest.mark.parametrize(
    ("where", "value", "what"),
    [
        ("loss", math.nan, "loss: its term mine is nan"),
        ("loss", math.inf, "loss: its term mine is inf"),
        ("gradient", math.nan, "gradients: it left the gradient of model.embed_tokens.weight not finite"),
        ("gradient", -math.inf, "gradients: it left the gradient of model.embed_tokens.weight not finite"),
    ],
)
def test_what_is_not_finite_stops_before_the_weights_change(where: str, value: float, what: str, tmp_path: Path) -> None:
    training = Training(Breaks(3, where, value), tiny_setting(tmp_path), 1)
    training.step(), training.step()
    before = weights(training.model)
    rows = rows_at(1, "new", range(8, 12), 23)
    with pytest.raises(TrialError) as found:
        training.step()
    named = ", ".join(f"new {row}" for row in rows)
    assert str(found.value) == f"breaks failed in {what} at update 3 of 5 (rows {named})"
    assert same_bits(weights(training.model), before)


def test_the_log_has_one_line_an_update_and_keeps_terms_apart(tmp_path: Path) -> None:
    training = Training(KL(0.5) + Replay(0.25), tiny_setting(tmp_path), 1)
    train(training, tmp_path / "trial")
    rows = [json.loads(line) for line in (tmp_path / "trial" / "training.jsonl").read_text().splitlines()]
    assert [row["update"] for row in rows] == [1, 2, 3, 4, 5]
    assert set(rows[0]) == {
        "update", "tokens", "learning_rate", "loss", "term.kl", "norm", "clipped", "new", "old", "task", "seconds",
        "tokens_per_second", "memory",
    }  # fmt: skip
    assert [row["tokens"] for row in rows] == [row["new"] + row["old"] for row in rows] == [48, 96, 144, 192, 240]
    assert rows[0]["term.kl"] == pytest.approx(0, abs=1e-6)
    assert rows[4]["term.kl"] > 0
    assert [row["seconds"] for row in rows] == sorted(row["seconds"] for row in rows)


def test_norms_stand_before_and_after_what_a_strategy_does_to_the_gradient(tmp_path: Path) -> None:
    """Halved in the hook: after is half of before, and before is the control's own."""

    @dataclass(frozen=True)
    class Halves(Strategy):
        def gradients(self, model: nn.Module, memory: Memory, origin: Any) -> None:
            for p in model.parameters():
                p.grad = None if p.grad is None else p.grad / 2

    row, control = (Training(strategy, tiny_setting(tmp_path), 1).step() for strategy in (Halves(), Strategy()))
    assert "norm_before" not in control
    assert row["norm_before"] == pytest.approx(control["norm"], rel=1e-6)
    assert row["norm"] == pytest.approx(row["norm_before"] / 2, rel=1e-6)


def test_every_column_of_the_log_is_described_and_can_be_no_source(tmp_path: Path) -> None:
    training = Training(KL(0.5), tiny_setting(tmp_path), 1)
    train(training, tmp_path / "trial", evaluate=lambda update: {"distance": 0.5} if update == 2 else {})
    rows = [json.loads(line) for line in (tmp_path / "trial" / "training.jsonl").read_text().splitlines()]
    own = {name for row in rows for name in row if "." not in name} - set(training.reader.tables)
    assert own <= set(COLUMNS)
    assert [row.get("distance") for row in rows] == [None, 0.5, None, None, None]
    assert all(row["tokens_per_second"] > 0 for row in rows)
    assert all(row["memory"] > 2**20 for row in rows)


def test_a_training_is_evaluated_before_the_first_update_and_after_each(tmp_path: Path) -> None:
    seen: list[int] = []
    train(Training(Strategy(), tiny_setting(tmp_path), 1), tmp_path / "trial", evaluate=lambda u: seen.append(u) or {})
    assert seen == list(range(STEPS + 1))


def test_distance_is_the_same_from_files_as_from_the_loaded_base(tmp_path: Path) -> None:
    training = Training(Strategy(), tiny_setting(tmp_path), 1)
    train(training, tmp_path / "trial")
    base = [(name, p.detach()) for name, p in tiny_model().named_parameters()]
    apart = sum(float((training.model.get_parameter(n).detach() - p).double().square().sum()) for n, p in base)
    wanted = math.sqrt(apart / sum(float(p.double().square().sum()) for _, p in base))
    assert distance(training) == pytest.approx(wanted, rel=1e-6)
    assert distance(training, base) == pytest.approx(wanted, rel=1e-6)
    assert distance(training, [("another.name", base[0][1])]) is None


def stop_after(training: Training, folder: Path, update: int) -> None:
    def show(done: int, total: int, row: Any) -> None:
        if done == update:
            raise Stopped

    with pytest.raises(Stopped):
        train(training, folder, show)


def test_a_restart_cuts_the_log_back_to_its_checkpoint(tmp_path: Path) -> None:
    """Stopped after update 4, last checkpoint at 2: lines 3 and 4 are written again, not twice."""
    folder = tmp_path / "trial"
    stop_after(Training(Strategy(), tiny_setting(tmp_path, checkpoint_every=2), 1), folder, 4)
    again = Training(Strategy(), tiny_setting(tmp_path, checkpoint_every=2), 1)
    done: list[int] = []
    train(again, folder, lambda update, total, row: done.append(update))
    rows = [json.loads(line) for line in (folder / "training.jsonl").read_text().splitlines()]
    assert done == [3, 4, 5]
    assert [row["update"] for row in rows] == [1, 2, 3, 4, 5]
    whole = Training(Strategy(), tiny_setting(tmp_path), 1)
    train(whole, tmp_path / "whole")
    assert same_bits(weights(again.model), weights(whole.model))
    assert again.rate_area == pytest.approx(sum(row["learning_rate"] for row in rows))


def test_a_restart_draws_the_random_numbers_that_were_due(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Noisy(Strategy):
        def gradients(self, model: nn.Module, memory: Memory, origin: Any) -> None:
            for p in model.parameters():
                p.grad = torch.randn(p.shape) * random.random() * np.random.rand()

    whole = Training(Noisy(), tiny_setting(tmp_path), 1)
    train(whole, tmp_path / "whole")
    stop_after(Training(Noisy(), tiny_setting(tmp_path, checkpoint_every=2), 1), tmp_path / "trial", 4)
    again = Training(Noisy(), tiny_setting(tmp_path, checkpoint_every=2), 1)
    train(again, tmp_path / "trial")
    assert same_bits(weights(again.model), weights(whole.model))


def test_a_restart_without_checkpoint_begins_the_log_anew(tmp_path: Path) -> None:
    stop_after(Training(Strategy(), tiny_setting(tmp_path), 1), tmp_path / "trial", 3)
    train(Training(Strategy(), tiny_setting(tmp_path), 1), tmp_path / "trial")
    assert len((tmp_path / "trial" / "training.jsonl").read_text().splitlines()) == STEPS


def test_a_log_that_lost_lines_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "trial"
    stop_after(Training(Strategy(), tiny_setting(tmp_path, checkpoint_every=2), 1), folder, 4)
    log = folder / "training.jsonl"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:1]))
    with pytest.raises(RecordError, match=r"training\.jsonl is not as it was written; delete .*trial and run the same command"):
        train(Training(Strategy(), tiny_setting(tmp_path, checkpoint_every=2), 1), folder)


def test_another_mixture_than_the_checkpoints_is_refused(tmp_path: Path) -> None:
    half = Training(Replay(0.25), tiny_setting(tmp_path), 1)
    half.step()
    with pytest.raises(TrialError, match="the checkpoint at update 1 is of another trial"):
        resume.restore(Training(Replay(0.5), tiny_setting(tmp_path), 1), resume.state(half))


def test_rows_are_read_once_an_epoch_in_another_order_each_seed_and_epoch(tmp_path: Path) -> None:
    setting = tiny_setting(tmp_path)
    long = replace(setting, budget=replace(setting.budget, steps=23))
    orders = []
    for seed in (1, 2):
        reader = Training(Strategy(), long, seed).reader
        rows = [row for _ in range(23) for _, row in reader.read()]
        for epoch in range(4):
            orders.append(rows[epoch * 23 : (epoch + 1) * 23])
            assert sorted(orders[-1]) == list(range(23))
    assert len({tuple(order) for order in orders}) == 8


def test_hooks_see_where_rows_came_from(tmp_path: Path) -> None:
    seen: list[tuple[Any, ...]] = []

    @dataclass(frozen=True)
    class Looks(Replay):
        def weigh(self, batch: Batch, memory: Memory) -> Mapping[str, Tensor]:
            for tokens, source, row in zip(batch.tokens, batch.sources, batch.rows, strict=True):
                seen.append((source, row))
                assert torch.equal(tokens, tiny_tables()[source].tokens([row])[0])
            assert batch.losses().shape == (len(batch.rows), LENGTH - 1)
            assert not batch.losses().requires_grad
            return {}

    training = Training(Looks(0.5), tiny_setting(tmp_path, micro_batch=3), 1)
    training.step()
    assert sorted(source for source, _ in seen) == ["new", "new", "old", "old"]


@pytest.mark.parametrize("micro_batch", [4, 1])
def test_selected_positions_count_over_the_whole_step(micro_batch: int, tmp_path: Path) -> None:
    """A weighted term is divided by its non-zero positions of the global step, however these fall into micro-batches."""

    @dataclass(frozen=True)
    class First(Strategy):
        def weigh(self, batch: Batch, memory: Memory) -> Mapping[str, Tensor]:
            ranks = torch.arange(LENGTH - 1).expand(len(batch.rows), -1)
            return {"cross_entropy": (ranks < torch.tensor(batch.rows).unsqueeze(1) % 5).float()}

    training = Training(First(), tiny_setting(tmp_path, micro_batch=micro_batch), 1)
    picked = [("new", row) for row in (1, 2, 3, 5)]
    terms = training.slope(picked)
    each = training.objective.losses(tiny_tables()["new"].tokens([1, 2, 3, 5]))
    chosen = torch.cat([each[0, :1], each[1, :2], each[2, :3]])
    assert terms["cross_entropy"] == pytest.approx(chosen.mean().item(), rel=1e-5)


def test_the_distance_is_relative_to_the_base(tmp_path: Path) -> None:
    training = Training(Strategy(), tiny_setting(tmp_path), 1)
    assert distance(training) == 0
    with torch.no_grad():
        for p in training.model.parameters():
            p.mul_(1.25)
    assert distance(training) == pytest.approx(0.25)


def test_half_precision_trains_near_single(tmp_path: Path) -> None:
    found = []
    for precision in ("fp32", "bf16"):
        training = Training(KL(0.5), tiny_setting(tmp_path, Engine(precision)), 1)
        train(training, tmp_path / precision)
        found.append(torch.cat([p.flatten() for p in weights(training.model).values()]))
        assert all(p.dtype == torch.float32 for p in training.model.parameters())
    base = torch.cat([p.flatten() for p in weights(tiny_model()).values()])
    assert not torch.equal(*found)
    assert (found[0] - found[1]).norm() < 0.2 * (found[0] - base).norm()
