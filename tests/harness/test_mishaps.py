"""A step that is not finite and skipped changes nothing but the count; one that memory is too short for is done again."""

import json
import math
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness.bench import LENGTH, STEPS, same_bits, tiny_setting
from harness.errors import TrialError
from harness.price import spent
from harness.strategy import Batch, Chunk, Memory, Strategy
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
    _ = training.step(), training.step()
    before, state = weights(training), {p: s["exp_avg"].clone() for p, s in training.optimizer.state.items()}
    row = training.step()
    assert same_bits(weights(training), before)
    assert all(torch.equal(s["exp_avg"], state[p]) for p, s in training.optimizer.state.items())
    assert all(p.grad is None for p in training.model.parameters())
    named = [f"new {row}" for row in rows]
    assert row["rows"] == named
    assert row["skipped"] == f"spoils failed in {what} at update 3 of 5 (rows {', '.join(named)})"
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
    _ = by_hand.step(), by_hand.step()
    by_hand.reader.read()
    by_hand.update += 1
    _ = by_hand.step(), by_hand.step()
    assert same_bits(weights(found), weights(by_hand))
    assert found.rate_area == by_hand.rate_area
    facts = spent(found, None)
    assert (facts["skipped_steps"], facts["steps"], facts["tokens"]["new"]) == (1, STEPS, STEPS * 4 * LENGTH)


class Remarks(Spoils):
    """Logs at its first update, and of a step that is spoiled, and never again."""

    def gradients(self, model: nn.Module, memory: Memory, origin: Any) -> None:
        if memory.moving["bad"]:
            memory.log["spoiled"] = 1.0
        elif len(memory.moving["order"]) == 1:
            memory.log["first"] = 1.0


def test_of_a_skipped_step_nothing_is_logged_later_and_what_was_logged_before_stays(tmp_path: Path) -> None:
    setting = tiny_setting(tmp_path, on_nan="skip", micro_batch=4)
    train(Training(Remarks((first_rows(3)[0],)), setting, 1), tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "training.jsonl").read_text().splitlines()]
    found = [{name for name in row if name.startswith("strategy.")} for row in rows if "skipped" not in row]
    assert found == [{"strategy.first"}] * (STEPS - 1)


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


def test_whoever_watches_hears_how_many_steps_were_skipped(tmp_path: Path) -> None:
    heard: list[str] = []
    trial = tmp_path / "trial"
    train(Training(Spoils((first_rows(3)[0],)), tiny_setting(tmp_path, on_nan="skip"), 1), trial, tell=heard.append)
    assert heard == [
        f"1 of {STEPS} steps of {trial} were skipped, because loss or gradient norm were not finite; "
        "its training.jsonl says of each why"
    ]


def test_weights_that_are_not_finite_are_not_skipped_over(tmp_path: Path) -> None:
    """No later step can be finite: the trial ends as it would without skipping."""

    @dataclass(frozen=True)
    class Ruins(Strategy):
        def weights(self, model: nn.Module, memory: Memory, origin: Any) -> None:
            next(model.parameters()).data.fill_(math.nan)

    training = Training(Ruins(), tiny_setting(tmp_path, on_nan="skip"), 1)
    with pytest.raises(TrialError, match=r"^ruins failed in weights: it left model.embed_tokens.weight not finite after"):
        train(training, tmp_path)


@dataclass(frozen=True)
class Hungry(Strategy):
    """Needs more memory than there is for micro-batches above `rows` from an update on; counts what it sees, and draws."""

    rows: int = 2
    since: int = 3
    where: str = "observe"

    def setup(self, origin: Any) -> Memory:
        return Memory(moving={"update": 1, "seen": torch.zeros(2), "order": [], "noise": torch.zeros(())})

    def observe(self, batch: Batch, memory: Memory) -> Mapping[str, Tensor]:
        memory.moving["seen"][0] += len(batch.rows)
        memory.moving["order"] += batch.rows
        memory.moving["noise"] = memory.moving["noise"] + torch.rand(())
        if self.where == "observe":
            self.allocate(len(batch.rows), memory)
        return {}

    def loss(self, chunk: Chunk, memory: Memory) -> Mapping[str, Tensor]:
        memory.moving["seen"][1] += len(chunk.targets)
        if self.where == "loss":
            self.allocate(len(chunk.targets) // (LENGTH - 1), memory)
        return {"mine": 0.1 * chunk.losses}

    def weights(self, model: nn.Module, memory: Memory, origin: Any) -> None:
        memory.moving["update"] += 1

    def allocate(self, rows: int, memory: Memory) -> None:
        if rows > self.rows and memory.moving["update"] >= self.since:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 8 GiB")


@pytest.mark.parametrize("where", ["observe", "loss"])
@pytest.mark.parametrize("seed", [1, 2])
def test_out_of_memory_a_step_is_done_again_whole_in_halves(where: str, seed: int, tmp_path: Path) -> None:
    """By hand: the plan's size to update 2, half of it from 3 on; every hook saw every row once, and drew as often."""
    setting = tiny_setting(tmp_path)
    found = Training(Hungry(where=where), setting, seed)
    said: list[str] = []
    train(found, tmp_path / "trial", tell=said.append)
    assert said == [f"memory ran out at update 3 of {tmp_path / 'trial'}; its micro-batches have 2 rows from there on"]
    by_hand = Training(Hungry(rows=9), setting, seed)
    _ = by_hand.step(), by_hand.step()
    by_hand.setting = replace(setting, micro_batch=2)
    _ = by_hand.step(), by_hand.step(), by_hand.step()
    assert same_bits(weights(found), weights(by_hand))
    moving, wanted = found.memory.moving, by_hand.memory.moving
    assert moving["seen"].tolist() == [STEPS * 4, STEPS * 4 * (LENGTH - 1)]
    assert moving["order"] == wanted["order"] == [row for update in range(1, 6) for row in first_rows(update, seed)]
    assert torch.equal(moving["noise"], wanted["noise"])
    rows = [json.loads(line) for line in (tmp_path / "trial" / "training.jsonl").read_text().splitlines()]
    assert [row.get("micro_batch") for row in rows] == [None, None, 2, None, None]
    assert spent(found, None)["halved"] == [(3, 2)]


def test_it_halves_as_often_as_it_takes_and_a_restart_goes_on_with_what_fitted(tmp_path: Path) -> None:
    setting = tiny_setting(tmp_path, checkpoint_every=1)
    whole = Training(Hungry(rows=1) + MovingAverage(), setting, 1)
    heard: list[str] = []
    train(whole, tmp_path / "whole", tell=heard.append)
    assert heard == [f"memory ran out at update 3 of {tmp_path / 'whole'}; its micro-batches have 1 row from there on"]
    assert (whole.halved, whole.micro_batch) == ([(3, 2), (3, 1)], 1)

    def stop(done: int, total: int, row: Any) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(Training(Hungry(rows=1) + MovingAverage(), setting, 1), tmp_path / "again", stop)
    again = Training(Hungry(rows=1) + MovingAverage(), setting, 1)
    train(again, tmp_path / "again")
    assert again.halved == whole.halved
    assert same_bits(weights(again), weights(whole))


def test_one_row_that_does_not_fit_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(TrialError) as found:
        train(Training(Hungry(rows=0), tiny_setting(tmp_path), 1), tmp_path)
    assert str(found.value) == (
        "memory ran out at update 3, in a micro-batch of one row (for another 2.00 GiB); "
        "give a shorter --length, --gradient-checkpointing, or a smaller --model"
    )


def test_what_is_no_shortage_of_memory_is_not_tried_again(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Fails(Strategy):
        def loss(self, chunk: Chunk, memory: Memory) -> Mapping[str, Tensor]:
            raise RuntimeError("shapes do not match")

    training = Training(Fails(), tiny_setting(tmp_path), 1)
    with pytest.raises(TrialError, match=r"^fails failed in loss: RuntimeError: shapes do not match"):
        training.step()
    assert training.halved == []


SHORT = """
import json, resource, sys
from dataclasses import dataclass
from pathlib import Path
import torch
from harness.strategy import Strategy
from harness.bench import same_bits, tiny_setting
from harness.train import Training, train

torch.set_num_threads(1)
folder = Path(sys.argv[1])

@dataclass(frozen=True)
class Wide(Strategy):
    def observe(self, batch, memory):
        return {"wide": torch.empty(*batch.tokens[:, 1:].shape, 2**22)}  # 4 rows: 44 x 16 MiB

wanted = Training(Wide(), tiny_setting(folder, micro_batch=2), 1)
train(wanted, folder / "wanted")
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 528 * 2**20, resource.RLIM_INFINITY))
found = Training(Wide(), tiny_setting(folder), 1)
train(found, folder / "found")
same = same_bits(dict(found.model.named_parameters()), dict(wanted.model.named_parameters()))
print(json.dumps([found.halved, same]))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit is Linux's")
def test_a_machine_that_really_has_no_more_memory(tmp_path: Path) -> None:
    """An address space with room for the tensors of two rows (352 MiB), and not for those of four (704 MiB)."""
    done = subprocess.run([sys.executable, "-c", SHORT, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[[1, 2]], True]
