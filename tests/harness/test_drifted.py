"""Drift of a run: beside every trial's scores, made once, made again where it is missing, and skipped where memory is short."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness import drifted
from harness.record import read

PLUGIN = """
from dataclasses import dataclass
from harness.strategy import Memory, Strategy

@dataclass(frozen=True)
class Mine(Strategy):
    def setup(self, origin):
        return Memory()
"""
Harness = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run")


@pytest.fixture
def harness(folder: Path, small_run: Harness, text_file: Path, monkeypatch: pytest.MonkeyPatch) -> Harness:
    """`harness run` with a small plan, old text and these words."""
    monkeypatch.chdir(folder)
    (folder / "mine.py").write_text(PLUGIN)
    words = ("--old", text_file, "--tokens", 640, "--seeds", 1, "--no-milestones", "--output", "out", "--strategies")
    return partial(small_run, *words)


def drift(folder: Path, arm: str) -> pd.DataFrame:
    return next(trial.drift for trial in read(folder / "out").trials if trial.name == arm)


def kinds(table: pd.DataFrame) -> dict[str, int]:
    return table["kind"].value_counts().to_dict()


def times(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in (folder / "out").rglob("drift.*")}


def test_every_trial_has_its_drift_beside_its_scores(harness: Harness, folder: Path) -> None:
    assert harness("low_lr") == (0, "")
    table = drift(folder, "none")
    assert set(kinds(table)) == {"text", "tensor"}, "no arm of the plan has a Fisher"
    assert set(table["task"].dropna()) == {"new_text", "old_text"}
    assert (table["forward"].dropna() > -1e-6).all(), "but for rounding"
    tensors = table[table["kind"] == "tensor"]
    moved = (tensors["moved"] ** 2).sum() ** 0.5 / (tensors["whole"] ** 2).sum() ** 0.5
    facts = next(trial.facts for trial in read(folder / "out").trials if trial.name == "none")
    assert moved == pytest.approx(facts["facts"]["distance"], rel=1e-4), "as the training itself says"
    assert not (folder / "out" / "base" / "drift.parquet").exists()


@pytest.mark.parametrize("wrong", ["gone", "damaged", "of other weights"])
def test_only_what_is_missing_is_made_again(harness: Harness, folder: Path, wrong: str) -> None:
    path = folder / "out" / "none" / "seed-1" / "drift.parquet"
    before, bytes_before = times(folder), path.read_bytes()
    if wrong == "gone":
        path.unlink()
    elif wrong == "damaged":
        path.write_bytes(bytes_before[:-7])
    else:
        note = path.with_suffix(".json")
        note.write_text(json.dumps(json.loads(note.read_text()) | {"key": "of another model"}))
    assert harness("low_lr") == (0, "")
    assert path.read_bytes() == bytes_before, "the same models, the same documents: the same bits"
    changed = {name for name, when in times(folder).items() if when != before[name]}
    assert changed == {str(path), str(path.with_suffix(".json"))}


def test_a_fisher_that_joins_the_plan_predicts_for_arms_that_were_finished(harness: Harness, folder: Path) -> None:
    before = drift(folder, "none")
    assert harness("low_lr,ewc:tokens=512") == (0, "")
    for arm in ("none", "low_lr", "ewc:tokens=512"):
        assert kinds(drift(folder, arm))["predicted"] == 1
    after = drift(folder, "none")
    assert after[after["kind"] != "predicted"].equals(before)
    kept = times(folder)
    assert harness("low_lr") == (0, "")
    assert times(folder) == kept, "a command that leaves the Fisher out leaves its predictions alone"


def test_weights_that_are_gone_are_no_reason_to_refuse(harness: Harness, folder: Path) -> None:
    trial = folder / "out" / "low_lr" / "seed-1"
    hidden = trial.with_name("hidden")
    (trial / "weights").rename(hidden)
    path, kept = trial / "drift.parquet", (trial / "drift.parquet").read_bytes()
    path.unlink()
    assert harness("low_lr") == (0, "")
    assert not path.exists()
    path.write_bytes(kept)
    hidden.rename(trial / "weights")


def test_short_memory_is_said_and_stops_nothing(harness: Harness, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drifted, "free_memory", lambda: 1)
    assert harness("constant") == (0, "")
    table = drift(folder, "constant")
    assert kinds(table) == {"skipped": 1}
    assert table["item"][0] == "the base beside the model takes 0.0 GiB, and 0.0 GiB are free"


def test_memory_that_runs_out_on_the_way_is_said_too(harness: Harness, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def short(*_: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(drifted, "measure", short)
    assert harness("cosine") == (0, "")
    assert drift(folder, "cosine")["item"].tolist() == ["memory ran out with the base beside the model"]


def test_what_is_wrong_with_a_fisher_is_for_its_own_arm_to_say(
    harness: Harness, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> Any:
        raise ValueError("too little text")

    monkeypatch.setattr(drifted, "_fisher", fails)
    assert harness("l2sp,ewc:tokens=1024") == (0, "")
    assert set(kinds(drift(folder, "l2sp"))) == {"text", "tensor"}
