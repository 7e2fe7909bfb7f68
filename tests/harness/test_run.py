"""A run folder: what failed is a row, what is finished stays, what is shared is trained once, what is foreign is refused."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from harness import cli
from harness.record import read
from harness.run import cost

PLUGIN = """
from dataclasses import dataclass
from pathlib import Path
from harness.strategy import Memory, Strategy

@dataclass(frozen=True)
class Fails(Strategy):
    def setup(self, origin):
        if Path("mended").exists():
            return Memory()
        raise KeyError("of the plugin")

@dataclass(frozen=True)
class Spoils(Strategy):
    def setup(self, origin):
        return Memory(moving={"bad": False})

    def observe(self, batch, memory):
        memory.moving["bad"] = batch.rows[0] % 3 == 0
        return {}

    def loss(self, chunk, memory):
        return {"own": chunk.losses * (float("nan") if memory.moving["bad"] else 0.5)}
"""
Harness = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run")


@pytest.fixture
def harness(folder: Path, small_run: Harness, monkeypatch: pytest.MonkeyPatch) -> Harness:
    """`harness run` with a small plan and these words: exit code, and what was complained of."""
    monkeypatch.chdir(folder)
    (folder / "mine.py").write_text(PLUGIN)
    return partial(small_run, "--tokens", 640, "--limit", 3, "--output", "out", "--strategies")


def made(folder: Path) -> dict[str, int]:
    """When each file of the trials was written, by name."""
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in (folder / "out").rglob("*/seed-*/*.*")}


def test_a_trial_that_fails_is_a_row_and_the_others_go_on(harness: Harness, folder: Path) -> None:
    code, err = harness("fails,wise:alpha=0.5,low_lr", "--seeds", 1)
    assert "bos" in read(folder / "out").base.facts
    assert code == 1
    assert "fails/seed-1" in err
    found = {result.name: result.facts for result in read(folder / "out").trials}
    assert {name: facts["status"] for name, facts in found.items()} == {
        "none": "done", "fails": "failed", "wise:alpha=0.5": "done", "low_lr": "done",
    }  # fmt: skip
    assert found["fails"]["error"] == "fails failed in setup: KeyError: 'of the plugin' (mine.py, line 11)"
    assert found["none"]["tokens"] == found["wise:alpha=0.5"]["tokens"] == {"new": 640}
    assert (folder / "out" / "report.html").is_file()
    assert not list((folder / "out").rglob("*.tmp"))


def test_what_is_shared_is_trained_once(folder: Path) -> None:
    trial = folder / "out" / "wise-alpha-0.5" / "seed-1"
    assert not (trial / "training.jsonl").exists()
    assert not (trial / "checkpoints").exists()
    facts = {result.name: result.facts for result in read(folder / "out").trials}
    assert facts["wise:alpha=0.5"]["facts"]["distance"] == pytest.approx(facts["none"]["facts"]["distance"] / 2, rel=1e-4)


def test_the_same_command_again_does_only_what_is_missing(harness: Harness, folder: Path) -> None:
    before = made(folder)
    (folder / "mended").touch()
    assert harness("fails,wise:alpha=0.5,low_lr", "--seeds", 1) == (0, "")
    after = made(folder)
    assert {name for name in after if after[name] != before.get(name)} <= {name for name in after if "/fails/" in name}
    assert [result.status for result in read(folder / "out").trials] == ["done"] * 4


def test_a_run_grows_by_arms_and_seeds_and_forgets_none(harness: Harness, folder: Path) -> None:
    before = made(folder)
    assert harness("constant", "--seeds", 2) == (0, "")
    after = made(folder)
    assert {name: after[name] for name in before} == before
    plan = read(folder / "out").plan
    assert set(plan["arms"]) == {"none", "fails", "wise:alpha=0.5", "low_lr", "constant"}
    assert plan["seeds"] == [1, 2]


def test_another_plan_in_its_folder_is_refused_by_what_differs(harness: Harness, folder: Path) -> None:
    before = made(folder)
    code, err = harness("none", "--seeds", 1, "--batch", 2)
    assert code == 2
    assert "out belongs to another plan: its budget has batch = 4, this plan 2; give --output another folder" in err
    assert made(folder) == before


def test_another_trial_in_a_trials_place_is_refused(harness: Harness, folder: Path) -> None:
    path = folder / "out" / "low_lr" / "seed-1" / "trial.json"
    kept = path.read_text()
    path.write_text(json.dumps({**json.loads(kept), "fingerprint": "other"}))
    code, err = harness("low_lr", "--seeds", 1)
    path.write_text(kept)
    assert code == 1
    assert "low_lr/seed-1 holds another trial than low_lr with seed 1 of this plan (other parameters, or" in err


def test_the_same_command_again_keeps_the_size_of_its_micro_batches(
    harness: Harness, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is another one by now; the run goes on as it began, and knows what a scoring takes."""
    before, found = read(folder / "out"), []
    size, (told,) = before.plan["micro_batch"], [note for note in before.plan["notes"] if note.startswith("micro-batches of ")]
    monkeypatch.setattr("harness.fitting.free_memory", lambda: 0)
    assert harness("low_lr", "--seeds", 1, "--micro-batch", "auto")[0] == 0
    plan = read(folder / "out").plan
    assert (plan["micro_batch"], told in plan["notes"]) == (size, True)
    monkeypatch.setattr(cli, "_run", lambda ready, shown: found.append(ready))
    harness("low_lr,l2sp", "--seeds", 1)
    left = cost(found[0])
    assert left.scorings == 1
    assert left.scoring_seconds == before.base.facts["seconds"]["score"]


def test_a_trial_that_failed_by_a_step_is_gone_on_with_by_skipping_it(harness: Harness, folder: Path) -> None:
    assert harness("spoils", "--seeds", 1)[0] == 1
    found = next(result for result in read(folder / "out").trials if result.name == "spoils")
    assert found.facts["error"].startswith("spoils failed in loss: its term own is nan at update ")
    assert harness("spoils", "--seeds", 1, "--on-nan", "skip") == (0, "")
    run = read(folder / "out")
    found = next(result for result in run.trials if result.name == "spoils")
    skipped = int(found.training["skipped"].notna().sum())
    assert 0 < skipped < 10
    assert (found.facts["skipped_steps"], found.facts["steps"], run.plan["options"]["on_nan"]) == (skipped, 10, "skip")
    said = f"Steps were skipped, because their loss or gradient was not finite (spoils, seed 1: {skipped} of 10)"
    assert said in (folder / "out" / "report.html").read_text()


def test_memory_that_ran_out_beside_the_steps_is_a_sentence(
    harness: Harness, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In scoring the base nothing can follow; in setting a trial up the trial fails."""

    def short(*given: Any, **named: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 8 GiB")

    with monkeypatch.context() as patched:
        patched.setenv("HARNESS_CACHE", str(folder / "cache"))  # where nothing was scored before
        patched.setattr("harness.score.score", short)
        code, err = harness("low_lr", "--seeds", 1, "--output", "short")
    end = "(for another 20.00 MiB); close what else uses it, or give a smaller --model"
    assert (code, err.strip()) == (1, f"harness: memory ran out while base was being scored {end}")
    monkeypatch.setattr("harness.train.Training._set_up", short)
    assert harness("low_lr", "--seeds", 1, "--output", "short")[0] == 1
    errors = {result.facts["error"] for result in read(folder / "short").trials}
    assert errors == {f"memory ran out while it was being set up {end}"}
