"""Time left: right to the second where the pace is even, for the trial with its scoring, and for the plan over its work."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness.forecast import Forecast
from harness.watching import Left, Terminal


class Clock:
    """A clock that stands until it is moved."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def train(forecast: Forecast, clock: Clock, seconds: float, updates: range, total: int = 100) -> None:
    """Updates that take so many seconds each."""
    for update in updates:
        clock.now += seconds
        forecast.step(update, total)


def test_time_left_counts_the_rest_of_the_training_its_scoring_and_all_other_trials() -> None:
    """1,000 tokens in 100 s, 10 s a scoring; kl costs 1.5 steps, wise shares the control's training."""
    clock = Clock()
    forecast = Forecast(clock)
    forecast.begin({"none/seed-1": 1000.0, "kl/seed-1": 1500.0, "wise/seed-1": 0.0}, None)
    assert forecast.plan() is None
    forecast.stage("base", "scored")
    clock.now += 10
    forecast.end("base")
    forecast.stage("none/seed-1", "set up")
    assert forecast.trial() is None
    clock.now += 7
    forecast.stage("none/seed-1", "trained")
    train(forecast, clock, 1.0, range(1, 41))
    assert forecast.trial() == pytest.approx(60 + 10)
    assert forecast.plan() == pytest.approx(60 + 10 + 150 + 10 + 10)
    assert forecast.done == pytest.approx(400)
    train(forecast, clock, 1.0, range(41, 101))
    forecast.stage("none/seed-1", "scored")
    clock.now += 4
    assert forecast.trial() == pytest.approx(6)
    assert forecast.plan() == pytest.approx(6 + 150 + 10 + 10)
    clock.now += 6
    forecast.end("none/seed-1")
    assert forecast.plan() == pytest.approx(150 + 10 + 10)


def test_an_arm_that_was_seen_is_reckoned_by_its_own_pace() -> None:
    """kl takes 3 s a step where its strategy says 1.5."""
    clock = Clock()
    forecast = Forecast(clock)
    forecast.begin({f"{arm}/seed-{seed}": work for seed in (1, 2) for arm, work in (("none", 1000.0), ("kl", 1500.0))}, 0.0)
    for arm, seconds in (("none", 1.0), ("kl", 3.0)):
        forecast.stage(f"{arm}/seed-1", "trained")
        train(forecast, clock, seconds, range(1, 101))
        forecast.end(f"{arm}/seed-1")
    assert forecast.plan() == pytest.approx(100 + 300)


def test_a_training_that_goes_on_counts_only_what_it_does_itself() -> None:
    clock = Clock()
    forecast = Forecast(clock)
    forecast.begin({"none/seed-1": 1000.0}, 5.0)
    forecast.stage("none/seed-1", "trained")
    train(forecast, clock, 1.0, range(91, 96))
    assert forecast.trial() == pytest.approx(5 + 5)


class Told(Terminal):
    """A terminal that notes what its bars say at the middle of the first training."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.seen: list[tuple[str, str, float | None]] = []

    def step(self, done: int, total: int, logged: Mapping[str, Any]) -> None:
        super().step(done, total, logged)
        column = Left(self.forecast)
        if "loss" in logged and done == total // 2:
            self.seen += [(task.description, str(column.render(task)), task.completed) for task in self.progress.tasks]


@pytest.mark.parametrize("terminal", [True, False])
def test_bars_show_both_and_plain_lines_stay_without_a_terminal(
    terminal: bool, tmp_path: Path, model_folder: Path, text_file: Path
) -> None:
    from harness.resolve import resolve
    from harness.run import run
    from harness.settings import settings

    words = {"model": str(model_folder), "new": str(text_file), "strategies": "low_lr,wise", "seeds": 1, "limit": 3}
    words |= {"length": 16, "batch": 4, "tokens": 640, "output": str(tmp_path / "out")}
    out = io.StringIO()
    watch = Told(Console(file=out, force_terminal=terminal, width=120))
    with watch:
        assert run(resolve(settings(words, "a test")), "", watch) == []
    (plan, plan_left, plan_done), (trial, trial_left, _) = watch.seen[:2]
    assert (plan, trial) == ("plan", "none/seed-1 is being trained")
    assert "-" not in plan_left + trial_left
    assert plan_done == pytest.approx(320)
    assert watch.progress.tasks[0].completed == watch.progress.tasks[0].total
    lines = [line for line in out.getvalue().splitlines() if "done in" in line]
    assert [line.split(":")[0].split("\x1b[2K")[-1] for line in lines] == [
        "base",
        "none/seed-1",
        "low_lr/seed-1",
        "wise/seed-1",
    ]
    assert ("\x1b[" in out.getvalue()) is terminal


def test_a_sentence_stays_one_line_however_narrow_the_terminal() -> None:
    """Whoever reads it in a file can search for it; a terminal breaks it by itself."""
    out = io.StringIO()
    watch = Terminal(Console(file=out, width=40))
    watch.note("word " * 30 + "end")
    watch.end("kl/seed-1", "word " * 30 + "end", 1.0)
    assert [line.endswith("end") for line in out.getvalue().splitlines()] == [True, True]
