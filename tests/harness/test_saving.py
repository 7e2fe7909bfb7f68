"""A trial is saved where that is due; the newest whole checkpoint wins, a damaged one is named; saving changes no bit."""

import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.bench import HELD, same_bits, tiny_setting, tiny_tables, trained_weights
from harness.checkpoint import random_state
from harness.errors import RecordError, TrialError
from harness.objective import Objective
from harness.rows import Facts, Rows
from harness.saving import HELD_ROWS, held_loss
from harness.strategy import Combined, Memory, Strategy
from harness.train import Training, train


class Stopped(Exception):
    """Thrown to stop a training."""


def training(folder: Path, **changes: Any) -> Training:
    return Training(Strategy(), tiny_setting(folder / "cache", **changes), 1)


def left(folder: Path) -> list[str]:
    return sorted(path.name.removeprefix("update-0000000") for path in (folder / "checkpoints").iterdir())


def stopped(folder: Path, update: int, **changes: Any) -> None:
    """A training that an exception ends before the checkpoint of that update is written."""

    def show(done: int, *_: Any) -> None:
        if done == update:
            raise Stopped

    with pytest.raises(Stopped):
        train(training(folder, **changes), folder, show)


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({"checkpoint_every": 2}, ["4", "5"]),  # 2 goes when 5, the last update, is whole
        ({"checkpoint_every": 1, "keep_checkpoints": 3}, ["3", "4", "5"]),
        ({"checkpoint_every": 1, "keep_checkpoints": 1}, ["5"]),
        ({"checkpoint_every": 100}, ["5"]),
        ({"checkpoint_every": timedelta(hours=1)}, ["5"]),
    ],
)
def test_the_newest_are_kept_and_the_last_update_is_among_them(changes: Any, kept: list[str], tmp_path: Path) -> None:
    train(training(tmp_path, **changes), tmp_path)
    assert left(tmp_path) == kept


def test_none_is_written_where_none_is_asked_for(tmp_path: Path) -> None:
    train(training(tmp_path, checkpoint_every=0), tmp_path)
    assert not (tmp_path / "checkpoints").exists()


def test_minutes_are_counted_from_the_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Updates of 40 s, and checkpoints every minute: the second and the fourth are saved, and the last."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def show(*_: Any) -> None:
        now[0] += 40

    train(training(tmp_path, checkpoint_every=timedelta(minutes=1), keep_checkpoints=9), tmp_path, show)
    assert left(tmp_path) == ["2", "4", "5"]


def flip(path: Path, place: int = -9) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def cut(size: Callable[[int], int]) -> Callable[[Path], None]:
    def harm(path: Path) -> None:
        path.write_bytes(path.read_bytes()[: size(path.stat().st_size)])

    return harm


HARMS = {
    "flipped": flip,
    "empty": cut(lambda size: 0),
    "one byte": cut(lambda size: 1),
    "half": cut(lambda size: size // 2),
    "one byte less": cut(lambda size: size - 1),
    "gone": Path.unlink,
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The weights at the end of a training that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    undisturbed = training(folder)
    train(undisturbed, folder)
    return trained_weights(undisturbed)


@pytest.mark.parametrize("name", ["state.safetensors", "state.json", "manifest.json"])
@pytest.mark.parametrize("harm", HARMS)
def test_a_damaged_one_is_named_and_the_one_before_it_used(harm: str, name: str, whole: Any, tmp_path: Path) -> None:
    stopped(tmp_path, 5, checkpoint_every=2)
    HARMS[harm](tmp_path / "checkpoints" / "update-00000004" / name)
    said: list[str] = []
    again = training(tmp_path, checkpoint_every=2)
    train(again, tmp_path, tell=said.append)
    assert len(said) == 1
    assert said[0].startswith("the checkpoint update-00000004: ")
    assert said[0].endswith(f"; {tmp_path} goes on from update 2")
    assert same_bits(trained_weights(again), whole)
    assert left(tmp_path) == ["4", "5"]


def test_where_all_are_damaged_it_begins_anew_and_says_so(whole: Any, tmp_path: Path) -> None:
    """Files that were swapped between two checkpoints are damage too: their digests are the other's."""
    stopped(tmp_path, 5, checkpoint_every=2)
    first, second = (tmp_path / "checkpoints" / f"update-0000000{update}" / "state.safetensors" for update in (2, 4))
    contents = first.read_bytes(), second.read_bytes()
    second.write_bytes(contents[0])
    first.write_bytes(contents[1])
    said: list[str] = []
    again = training(tmp_path, checkpoint_every=2)
    train(again, tmp_path, tell=said.append)
    assert said == [
        f"the checkpoint update-0000000{update}: state.safetensors differs from its digest; {tmp_path} goes on from update 0"
        for update in (4, 2)
    ]
    assert same_bits(trained_weights(again), whole)


def test_checkpoints_that_were_swapped_whole_give_the_same_bits(whole: Any, tmp_path: Path) -> None:
    stopped(tmp_path, 5, checkpoint_every=2)
    folder = tmp_path / "checkpoints"
    for source, target in (("2", "x"), ("4", "2"), ("x", "4")):
        (folder / f"update-0000000{source}").rename(folder / f"update-0000000{target}")
    again = training(tmp_path, checkpoint_every=2)
    train(again, tmp_path)
    assert same_bits(trained_weights(again), whole)


def test_the_best_is_kept_beside_the_newest_and_measuring_changes_nothing(
    whole: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = iter([3.0, 1.0, 2.0, 1.0, 5.0])

    def measured(under_way: Training) -> float:
        held_loss(under_way)
        return next(losses)

    monkeypatch.setattr("harness.saving.held_loss", measured)
    watched = training(tmp_path, checkpoint_every=1, keep_best=True)
    train(watched, tmp_path)
    assert watched.held == [(1, 3.0), (2, 1.0), (3, 2.0), (4, 1.0), (5, 5.0)]
    assert left(tmp_path) == ["2", "4", "5"]  # of equals the first is the best
    assert watched.scored_at == 5
    assert same_bits(trained_weights(watched), whole)


@pytest.mark.parametrize("stop", [0, 2, 4])
def test_the_best_is_scored_where_that_is_asked_for_stopped_or_not(
    stop: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.saving.held_loss", lambda under_way: abs(under_way.update - 2.0))
    changes: Any = {"checkpoint_every": 1, "keep_best": True, "score_best": True}
    if stop:
        stopped(tmp_path, stop, **changes)
    best = training(tmp_path, **changes)
    train(best, tmp_path)
    second: dict[str, Any] = {}
    plain = training(tmp_path)

    def show(update: int, *_: Any) -> None:
        if update == 2:
            second.update(trained_weights(plain))

    train(plain, tmp_path / "plain", show)
    assert same_bits(trained_weights(best), second)
    assert (best.scored_at, best.update) == (2, 5)


def test_a_best_that_is_damaged_stops_the_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another would be scored at another adaptation."""
    monkeypatch.setattr("harness.saving.held_loss", lambda under_way: under_way.update)
    changes: Any = {"checkpoint_every": 1, "keep_best": True, "score_best": True}
    stopped(tmp_path, 5, **changes)
    HARMS["flipped"](tmp_path / "checkpoints" / "update-00000001" / "state.safetensors")
    with pytest.raises(RecordError, match=r"update-00000001 cannot be used: state\.safetensors differs .*; delete"):
        train(training(tmp_path, **changes), tmp_path)


def test_the_held_out_loss_is_the_mean_over_the_first_rows_and_changes_nothing(tmp_path: Path) -> None:
    under_way = training(tmp_path, micro_batch=2)
    under_way.step()
    before = trained_weights(under_way), random_state(), under_way.model.training, under_way.reference_tokens
    found = held_loss(under_way)
    after = trained_weights(under_way), random_state(), under_way.model.training, under_way.reference_tokens
    rows = tiny_tables()[HELD]
    each = Objective(under_way.model).losses(rows.tokens(range(len(rows))))
    assert len(rows) < HELD_ROWS
    assert found == pytest.approx(float(each.mean()), rel=1e-6)
    assert same_bits(before[0], after[0])
    assert before[1].numbers == after[1].numbers
    assert same_bits(before[1].tensors, after[1].tensors)
    assert before[2:] == after[2:] == (True, before[3])


def test_without_held_out_rows_there_is_no_best(tmp_path: Path) -> None:
    nothing = Rows(tiny_tables()[HELD].array[:0], Facts(0, 0, 0, 0, 0, True))
    with pytest.raises(TrialError, match="the new text has no held-out row to compare checkpoints on; give more text"):
        train(training(tmp_path, checkpoint_every=2, keep_best=True, held=lambda: nothing), tmp_path)


OF_LOGS = {
    "a digit": lambda lines: [lines[0].replace(b"e", b"E", 1), *lines[1:]],
    "a line fewer": lambda lines: [*lines[1:], lines[-1], lines[-1]],
    "no words": lambda lines: [b"\xff" + lines[0], *lines[1:]],
}


@pytest.mark.parametrize("harm", OF_LOGS)
def test_a_log_that_was_changed_since_it_was_saved_is_refused(harm: str, tmp_path: Path) -> None:
    stopped(tmp_path, 4, checkpoint_every=2)
    log = tmp_path / "training.jsonl"
    log.write_bytes(b"".join(OF_LOGS[harm](log.read_bytes().splitlines(keepends=True))))
    with pytest.raises(RecordError, match=r"training\.jsonl is not as it was written; delete .* and run the same command"):
        train(training(tmp_path, checkpoint_every=2), tmp_path)


@dataclass(frozen=True)
class Rarely(Strategy):
    """Logs at its second update alone."""

    def weights(self, model: Any, memory: Memory, origin: Any) -> None:
        memory.moving["updates"] = memory.moving.get("updates", 0) + 1
        if memory.moving["updates"] == 2:
            memory.log["second"] = torch.tensor(2.0)


@pytest.mark.parametrize("strategy", [Rarely(), Combined((Strategy(), Rarely()))])
def test_what_was_logged_before_a_stop_stands_in_the_lines_after_it(strategy: Strategy, tmp_path: Path) -> None:
    def logged(folder: Path, stop: int) -> list[float | None]:
        def show(done: int, *_: Any) -> None:
            if done == stop:
                raise Stopped

        for _ in range(2 if stop else 1):
            with contextlib.suppress(Stopped):
                train(Training(strategy, tiny_setting(tmp_path / "cache", checkpoint_every=2), 1), folder, show)
            stop = 0
        lines = (folder / "training.jsonl").read_text().splitlines()
        return [json.loads(line).get("strategy.second") for line in lines]

    assert logged(tmp_path / "stopped", 3) == logged(tmp_path / "whole", 0) == [None, 2, 2, 2, 2]
