"""Every registered strategy, stopped by an exception wherever it may be, goes on to the same bits."""

from pathlib import Path

import pytest

from harness import crash, registry
from harness.bench import BATCH, same_bits, tiny_setting, tiny_tables, trained_weights
from harness.rows import Facts, Rows
from harness.strategy import NEW
from harness.train import Training, train

STOPS = [
    ("in-accumulation", 2),  # the first step: nothing is saved yet
    ("in-accumulation", 7),  # amid the second
    ("folder-staged", 1),  # the first checkpoint, of update 2, is begun
    ("folder-renamed", 1),  # it is whole
    ("after-optimizer", 1),  # the last step of an epoch, 3
    ("before-optimizer", 2),  # the first step of the next epoch, after going on from the one before
]
"""(point, passage of it in that process) at which a process is stopped, one after the other."""


class Stopped(Exception):
    """Thrown to stop a training."""


def stop(_: int) -> None:
    raise Stopped


@pytest.mark.parametrize("name", sorted(registry.installed("strategies")))
def test_a_strategy_that_was_stopped_anywhere_goes_on_to_the_same_bits(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cls = registry.find("strategies", name).load()
    tables = {**tiny_tables(), NEW: Rows(tiny_tables()[NEW].array[: 3 * BATCH], Facts(12, 144, 12, 12, 0, True))}
    setting = tiny_setting(tmp_path / "cache", tables=tables, micro_batch=1, checkpoint_every=2)

    def training() -> Training:
        return Training(cls(**cls.example), setting, 1)

    whole = training()
    train(whole, tmp_path / "whole")
    monkeypatch.setattr(crash, "end", stop)
    for point, time in STOPS:
        monkeypatch.setenv("HARNESS_CRASH_AT", f"{point}:{time}")
        stopped = training()
        crash.passed.clear()
        with pytest.raises(Stopped):
            train(stopped, tmp_path / "stopped")
    monkeypatch.delenv("HARNESS_CRASH_AT")
    again = training()
    train(again, tmp_path / "stopped")
    assert same_bits(trained_weights(again), trained_weights(whole))
    assert again.rate_area == whole.rate_area
    assert again.reader.positions == whole.reader.positions
