"""Trackers get numbers and nothing else, are not imported unless asked for, and cannot end a training."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest
from accelerate.tracking import LOGGER_TYPE_TO_CLASS

from harness.errors import InputError
from harness.record import Result, read
from harness.resolve import Ready, resolve
from harness.run import Watch, run
from harness.settings import settings
from harness.trackers import check_trackers, numbers


class Fake:
    """Takes the place of a service; fails where it is told to."""

    requires_logging_directory = False
    made: ClassVar[list["Fake"]] = []
    fails_at: ClassVar[str] = ""

    def __init__(self, project: str, **given: Any) -> None:
        self.project, self.given, self.rows, self.config, self.finished = project, given, [], {}, False
        Fake.made.append(self)

    def _come_to(self, place: str) -> None:
        if Fake.fails_at == place:
            raise ConnectionError("no network")

    def start(self) -> None:
        self._come_to("start")

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        self.config = values

    def log(self, values: dict[str, Any], step: int) -> None:
        self._come_to(f"log {step}")
        self.rows.append((step, values))

    def finish(self) -> None:
        self.finished = True


class Notes(Watch):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, sentence: str) -> None:
        self.said.append(sentence)


@pytest.fixture
def ready(tmp_path: Path, model_folder: Path, text_file: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("harness.resolve.check_trackers", lambda names: None)
    monkeypatch.setitem(LOGGER_TYPE_TO_CLASS, "wandb", Fake)
    monkeypatch.setattr(Fake, "made", [])

    def planned(name: str, **more: Any) -> Ready:
        words = {"model": str(model_folder), "new": str(text_file), "strategies": "none", "seeds": 1, "limit": 3}
        words |= {"length": 16, "batch": 4, "tokens": 640, "output": str(tmp_path / name), "milestones": False}
        return resolve(settings(words | more, "a test"))

    return planned


def test_a_tracker_gets_the_numbers_of_the_log_and_no_text(ready: Any) -> None:
    plan: Ready = ready("out", trackers="wandb", strategies="kl")
    assert run(plan, "harness run --secret") == []
    assert [(fake.project, fake.given["name"], fake.finished) for fake in Fake.made] == [
        ("out", "none/seed-1", True), ("out", "kl/seed-1", True),
    ]  # fmt: skip
    for fake, trial in zip(Fake.made, read(plan.folder).trials, strict=True):
        log = [json.loads(line) for line in (trial.folder / "training.jsonl").read_text().splitlines()]
        assert fake.rows == [(row["update"], numbers(row)) for row in log]
        sent = [value for _, row in fake.rows for value in row.values()] + list(fake.config.values())
        assert {type(value) for value in sent} == {float}
    assert {"loss", "term.kl", "norm", "clipped", "new", "learning_rate"} <= set(Fake.made[1].rows[0][1])
    settings_ = Fake.made[0].given["settings"]
    assert (settings_["x_disable_meta"], settings_["disable_git"], settings_["console"]) == (True, True, "off")


def test_text_is_no_number() -> None:
    assert numbers({"loss": 1.5, "clipped": True, "skipped": "nan in new 4", "rows": ["new 4"], "update": 3}) == {
        "loss": 1.5, "clipped": 1.0, "update": 3.0,
    }  # fmt: skip


@pytest.mark.parametrize("place", ["start", "log 4"])
def test_a_tracker_that_fails_is_let_go_of_and_said(place: str, ready: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fake, "fails_at", place)
    plan, watch = ready("out", trackers="wandb"), Notes()
    assert run(plan, "", watch) == []
    assert [s for s in watch.said if "wandb" in s] == ["wandb no longer follows none/seed-1: ConnectionError: no network"]
    monkeypatch.setattr(Fake, "fails_at", "")
    without: Ready = ready("without")
    run(without, "")
    weights = [Result(p.folder / "none" / "seed-1", None, 1).facts["weights"] for p in (plan, without)]
    assert weights[0] == weights[1]


def test_a_missing_package_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "trackio" else found(name))
    with pytest.raises(InputError) as error:
        check_trackers(["trackio"])
    assert str(error.value) == "--trackers trackio needs the package trackio, which is not installed; type: pip install trackio"


def test_an_unknown_tracker_is_refused_when_it_is_named() -> None:
    with pytest.raises(InputError, match="trackers='mlflow': input should be 'tensorboard', 'wandb' or 'trackio'"):
        settings({"trackers": "mlflow"}, "the command line")


def test_nothing_is_imported_unless_it_is_asked_for() -> None:
    code = (
        "import sys, harness.trackers, harness.run; print([n for n in ('tensorboard', 'wandb', 'trackio') if n in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_tensorboard_holds_the_curve_of_every_number(ready: Any) -> None:
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason="tensorboard is missing")
    plan: Ready = ready("out", trackers="tensorboard")
    assert run(plan, "") == []
    events = loader.EventAccumulator(str(plan.folder / "tensorboard" / "none" / "seed-1"))
    events.Reload()
    log: Any = read(plan.folder).trials[0].training
    found = [(event.step, event.value) for event in events.Scalars("loss")]
    assert found == [(row.update, pytest.approx(row.loss)) for row in log.itertuples()]
    assert not events.Tags()["tensors"]
