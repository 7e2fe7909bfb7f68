"""SIGTERM and Ctrl-C: the update under way is finished and kept, everything else ends at once, and the same command goes on."""

import json
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness import stopping
from tests.harness.forks import outcome

PLUGIN = """
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from harness.strategy import Memory, Strategy

def send():
    for word in Path("signals").read_text().split():
        os.kill(os.getpid(), int(word))

@dataclass(frozen=True)
class InSetup(Strategy):
    def setup(self, origin):
        send()
        return Memory()

@dataclass(frozen=True)
class Caught(Strategy):
    again: bool = True

    def setup(self, origin):
        try:
            send()
        except BaseException as error:
            if self.again:
                raise RuntimeError("as an import does") from error
        return Memory()

@dataclass(frozen=True)
class Failing(Strategy):
    def gradients(self, model, memory, origin):
        send()
        raise ValueError("no")

@dataclass(frozen=True)
class InStep(Strategy):
    def gradients(self, model, memory, origin):
        memory.moving["updates"] = memory.moving.get("updates", 0) + 1
        if memory.moving["updates"] == 3:
            send()
"""
Harness = Callable[..., tuple[int, str]]


@pytest.fixture
def harness(tmp_path: Path, small_run: Harness, monkeypatch: pytest.MonkeyPatch) -> Harness:
    """`harness run` of one arm, which gets these signals: exit code, and what was complained of."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(PLUGIN)

    def typed(arm: str, *signals: int, output: str = "out") -> tuple[int, str]:
        (tmp_path / "signals").write_text(" ".join(str(int(number)) for number in signals))
        return small_run("--tokens", 320, "--limit", 2, "--seeds", 1, "--strategies", arm, "--output", output)

    return typed


def updates(folder: Path) -> list[int]:
    return [json.loads(line)["update"] for line in (folder / "training.jsonl").read_text().splitlines()]


CODES = [(signal.SIGTERM, 143), (signal.SIGINT, 130)]
AGAIN = "type the same command again and it goes on from where it was"


@pytest.mark.parametrize(("number", "code"), CODES)
def test_a_training_ends_after_its_update_and_goes_on_from_there(
    number: signal.Signals, code: int, harness: Harness, tmp_path: Path
) -> None:
    before = {each: signal.getsignal(each) for each in stopping.SIGNALS}
    where = "after update 3 of 5 of out/in_step/seed-1"
    assert harness("in_step", number) == (code, f"harness: stopped by {number.name} {where}; {AGAIN}\n")
    folder = tmp_path / "out" / "in_step" / "seed-1"
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["update-00000003"]
    assert updates(folder) == [1, 2, 3]
    assert not (folder / "result.json").exists()
    assert before == {each: signal.getsignal(each) for each in stopping.SIGNALS}
    assert harness("in_step", number) == (0, "")  # the update that sent it is done
    assert harness("in_step", output="whole") == (0, "")
    assert outcome(tmp_path / "out") == outcome(tmp_path / "whole")


def test_a_second_signal_ends_at_once(harness: Harness, tmp_path: Path) -> None:
    assert harness("in_step", signal.SIGTERM, signal.SIGINT) == (130, f"harness: stopped by SIGINT; {AGAIN}\n")
    folder = tmp_path / "out" / "in_step" / "seed-1"
    assert updates(folder) == [1, 2]
    assert not (folder / "checkpoints").exists()


@pytest.mark.parametrize(("number", "code"), CODES)
def test_a_set_up_ends_at_once(number: signal.Signals, code: int, harness: Harness, tmp_path: Path) -> None:
    assert harness("in_setup", number) == (code, f"harness: stopped by {number.name}; {AGAIN}\n")
    assert [path.name for path in (tmp_path / "out" / "in_setup" / "seed-1").iterdir()] == ["trial.json"]
    assert harness("in_setup") == (0, "")


@pytest.mark.parametrize("arm", ["caught", "caught:again=false"])
def test_a_signal_that_a_library_caught_still_ends_the_run(arm: str, harness: Harness, tmp_path: Path) -> None:
    assert harness(f"{arm},in_step", signal.SIGTERM) == (143, f"harness: stopped by SIGTERM; {AGAIN}\n")
    assert not (tmp_path / "out" / "in_step").exists()
    assert not list((tmp_path / "out").glob("caught*/seed-1/weights"))
    assert harness(f"{arm},in_step") == (0, "")


def test_a_training_that_fails_while_a_signal_waits_ends_the_run(harness: Harness, tmp_path: Path) -> None:
    assert harness("failing,in_step", signal.SIGINT) == (130, f"harness: stopped by SIGINT; {AGAIN}\n")
    assert not (tmp_path / "out" / "in_step").exists()


def test_a_scoring_ends_at_once_and_writes_no_half_of_it(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sends(*_: Any, **__: Any) -> None:
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))  # no scores of another run are found
    with monkeypatch.context() as patch:
        patch.setattr("pandas.DataFrame.to_parquet", sends)
        assert harness("none") == (143, f"harness: stopped by SIGTERM; {AGAIN}\n")
    assert not [path for path in (tmp_path / "out").rglob("*") if path.suffix in (".tmp", ".parquet")]
    assert harness("none") == (0, "")


def test_elsewhere_than_in_the_main_thread_nothing_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("threading.current_thread", lambda: SimpleNamespace())
    with stopping.heeded():
        assert signal.getsignal(signal.SIGTERM) is before


def test_a_signal_at_the_very_end_of_a_training_is_not_lost() -> None:
    with stopping.heeded(), pytest.raises(stopping.Stopped) as end, stopping.between_updates():  # noqa: PT012
        signal.raise_signal(signal.SIGTERM)
        assert stopping.asked() == signal.SIGTERM
    assert end.value.code == 143
