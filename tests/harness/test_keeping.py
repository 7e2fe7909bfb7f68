"""What a run keeps of finished trials: the weights that are asked for, as soon as no trial may need them; no checkpoints."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from harness.errors import InputError
from harness.files import read_json
from harness.keeping import few_checkpoints, scored_at
from harness.record import read
from harness.settings import settings

PLUGIN = """
from dataclasses import dataclass
from pathlib import Path
from harness.strategy import Memory, Strategy

@dataclass(frozen=True)
class Measured(Strategy):
    def setup(self, origin):
        if Path("failing").exists():
            raise KeyError
        return Memory(facts={"gain": origin.control.gain})
"""
Harness = Callable[..., tuple[int, str]]


@pytest.fixture
def harness(tmp_path: Path, small_run: Harness, monkeypatch: pytest.MonkeyPatch) -> Harness:
    """`harness run` with a small plan and these words: exit code, and what was complained of."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(PLUGIN)
    return partial(small_run, "--tokens", 192, "--limit", 2, "--output", "out")


def weights(folder: Path) -> set[str]:
    """Trials whose weights are there."""
    assert not list(folder.rglob("checkpoints"))
    return {str(path.parent.relative_to(folder)) for path in folder.rglob("weights")}


def test_weights_stay_as_long_as_a_trial_may_need_them(harness: Harness, tmp_path: Path) -> None:
    """An arm that failed is tried again: what it is measured against stays; what is made from nothing else goes."""
    words = ["--strategies", "low_lr,wise:alpha=0.5,measured", "--seeds", 1, "--keep-weights", "none"]
    (tmp_path / "failing").touch()
    assert harness(*words)[0] == 1
    assert weights(tmp_path / "out") == {"none/seed-1"}
    (tmp_path / "failing").unlink()
    assert harness(*words) == (0, "")
    assert weights(tmp_path / "out") == set()
    assert [result.status for result in read(tmp_path / "out").trials] == ["done"] * 4


def test_what_needs_weights_that_were_not_kept_says_so(harness: Harness, tmp_path: Path) -> None:
    words = ["--strategies", "low_lr", "--seeds", 1, "--keep-weights", "none"]
    assert harness(*words) == (0, "")
    plan = (tmp_path / "out" / "plan.yaml").read_bytes()
    scores = tmp_path / "out" / "low_lr" / "seed-1" / "scores"
    kept = (scores / "text.parquet").read_bytes()
    (scores / "text.parquet").write_bytes(kept[:-1])
    code, err = harness(*words)
    assert (code, err) == (
        1,
        "harness: out/low_lr/seed-1 has no scores on text, and its weights were not kept; leave out what is new, or "
        "delete out/low_lr/seed-1 and type the same command again, which trains it anew\n",
    )
    assert (tmp_path / "out" / "plan.yaml").read_bytes() == plan  # nothing grew that could not be scored
    (scores / "text.parquet").write_bytes(kept)
    assert harness("--strategies", "wise:alpha=0.5", "--seeds", 1)[0] == 1
    facts = {result.name: result.facts for result in read(tmp_path / "out").trials}
    gone = "the weights of out/none/seed-1, which were not kept; "
    again = "delete out/none/seed-1 and type the same command again, which trains it anew"
    assert facts["wise:alpha=0.5"]["error"] == f"wise:alpha=0.5 is made from {gone}{again}"
    shutil.rmtree(tmp_path / "out" / "none" / "seed-1")
    assert harness("--strategies", "wise:alpha=0.5", "--seeds", 1) == (0, "")


def test_of_each_arm_the_seed_that_is_best_on_held_out_text_is_kept(harness: Harness, tmp_path: Path) -> None:
    assert harness("--strategies", "low_lr", "--seeds", 2, "--keep-weights", "best", "--learning-rate", 0.01) == (0, "")
    found = weights(tmp_path / "out")
    for arm in ("none", "low_lr"):
        losses = {seed: read_json(tmp_path / "out" / arm / f"seed-{seed}" / "result.json")["held_loss"] for seed in (1, 2)}
        assert losses[1] != losses[2]
        assert {name for name in found if name.startswith(arm)} == {f"{arm}/seed-{min(losses, key=lambda s: losses[s])}"}


def test_the_best_checkpoint_is_scored_of_all_arms_at_once(harness: Harness, tmp_path: Path) -> None:
    words = ["--strategies", "wise:alpha=1", "--seeds", 1, "--score", "best", "--checkpoint-every", 1, "--learning-rate", 0.05]
    assert harness(*words) == (0, "")
    record = read(tmp_path / "out")
    assert any(
        note.startswith("every arm is scored at its best checkpoint of every 1 updates") for note in record.plan["notes"]
    )
    facts = {result.name: result.facts for result in record.trials}
    losses = dict(map(tuple, facts["none"]["held_losses"]))
    assert list(losses) == [1, 2, 3]
    assert facts["none"]["scored_at"] == facts["wise:alpha=1"]["scored_at"] == min(losses, key=lambda update: losses[update])
    assert "is scored at its best checkpoint" in (tmp_path / "out" / "report.html").read_text()
    code, err = harness(*words[:4], "--learning-rate", 0.05)
    assert code == 2
    assert "the arms of out are scored at their best of every 1 updates, those of this plan at their final step" in err


@pytest.mark.parametrize(
    ("words", "steps", "says"),
    [
        ({}, {"none": 150, "kl": 150}, "every arm has no more than 200 updates and so one checkpoint"),
        ({"checkpoint_every": 100}, {"none": 150, "kl": 100, "ewc": 99}, "kl, ewc have no more than 100 updates"),
        ({"checkpoint_every": 100}, {"none": 150, "kl": 100}, "kl has no more than 100 updates"),
        ({"checkpoint_every": 100}, {"none": 101}, ""),
        ({"score": "final"}, {"none": 1}, ""),
    ],
)
def test_where_there_is_one_checkpoint_to_choose_the_plan_says_so(
    words: dict[str, Any], steps: dict[str, int], says: str
) -> None:
    found = few_checkpoints(settings({"score": "best", **words}, "here"), steps)
    assert [note.startswith(says) for note in found] == ([True] if says else [])


@pytest.mark.parametrize("every", ["10m", 0])
def test_the_best_is_chosen_among_checkpoints_at_the_same_updates(every: Any) -> None:
    with pytest.raises(InputError, match="give --checkpoint-every a number of updates, as in 200"):
        scored_at(settings({"score": "best", "checkpoint_every": every}, "here"))


def test_a_run_that_kept_all_may_go_on_with_the_best_and_keeps_what_was_not_measured(harness: Harness, tmp_path: Path) -> None:
    assert harness("--strategies", "low_lr", "--seeds", 1) == (0, "")
    assert harness("--strategies", "low_lr", "--seeds", 2, "--keep-weights", "best") == (0, "")
    assert weights(tmp_path / "out") == {f"{arm}/seed-{seed}" for arm in ("none", "low_lr") for seed in (1, 2)}


def test_weights_of_another_trial_are_not_gone_on_from(harness: Harness, tmp_path: Path) -> None:
    assert harness("--strategies", "low_lr", "--seeds", 1) == (0, "")
    ours, other = (tmp_path / "out" / arm / "seed-1" / "weights" for arm in ("none", "low_lr"))
    shutil.rmtree(ours)
    shutil.copytree(other, ours)
    code, err = harness("--strategies", "low_lr,wise:alpha=0.5", "--seeds", 1)
    assert (code, "wise-alpha-0.5/seed-1" in err) == (1, True)
    said = [result.facts["error"] for result in read(tmp_path / "out").trials if result.status == "failed"]
    assert [", which are not those that were trained there; delete out/none/seed-1" in each for each in said] == [True]
