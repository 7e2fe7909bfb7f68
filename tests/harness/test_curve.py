"""The control's curve is scored in a run: the weights between, once, for every seed, and before they are dropped."""

import json
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from harness import choosing, curve, grids
from harness.choosing import Choice
from harness.crossing import SHARES
from harness.forgetting import Study
from harness.model import load_model, load_tokenizer
from harness.record import Result, read
from harness.score import score
from harness.suite import Suite, Task, Text
from harness.tables import fill

Harness = Callable[..., tuple[int, str]]
SUITE = """
name: letters
about: letters that nobody reads again
tasks:
  - {task: letters, measures: keep, text: {column: text}, files: {test: letters.jsonl}}
  - {task: rehearsed, measures: keep, source: same, text: {column: text}, files: {test: letters.jsonl}}
"""


@pytest.fixture
def harness(tmp_path: Path, small_run: Harness, monkeypatch: pytest.MonkeyPatch) -> Harness:
    """`harness run` of the control alone, with text to keep and text to gain, and these words."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("from harness.strategy import Strategy\n\nclass Mine(Strategy):\n    pass\n")
    (tmp_path / "letters.yaml").write_text(SUITE)
    (tmp_path / "letters.jsonl").write_text("".join(json.dumps({"text": f"Letter {i} was sent."}) + "\n" for i in range(6)))
    words = ("--tokens", 640, "--limit", 4, "--suites", "letters.yaml,text", "--strategies", "none", "--output", "out")
    return partial(small_run, *words, "--learning-rate", 0.01, "--no-milestones")


def points(folder: Path, seed: int = 1) -> dict[float, Result]:
    return dict(Result(folder / "none" / f"seed-{seed}", None, seed).curve)


def test_nine_points_between_base_and_control_are_scored_and_nothing_else_of_them(
    harness: Harness, tmp_path: Path, model_folder: Path
) -> None:
    """The weights between are (1 - a) base + a control, and what they score is what a model with them scores.

    They can be had later too; and scores of other weights that lie in a point's place are made anew.
    """
    assert harness("--seeds", 1, "--no-curve") == (0, "")
    assert points(tmp_path / "out") == {}
    assert harness("--seeds", 1) == (0, "")
    found, trial = points(tmp_path / "out"), tmp_path / "out" / "none" / "seed-1"
    assert tuple(found) == SHARES
    assert {*Result(trial, None, 1).scores["task"]} - {*found[0.3].scores["task"]} == {"rehearsed"}
    model, base = load_model(trial / "weights"), dict(load_model(model_folder).named_parameters())
    with torch.no_grad():
        for name, weights in model.named_parameters():
            weights.copy_(0.7 * base[name] + 0.3 * weights)
    task = Task("letters", metric="bits_per_byte", text=Text(), files={"test": str(tmp_path / "letters.jsonl")})
    rows = score(model, load_tokenizer(model_folder), Suite("letters", "", (task,), "k"), limit=4)
    assert letters(found[0.3]) == pytest.approx([float(nats[0]) for nats in rows["loglikelihoods"]], rel=1e-5)
    before = {share: letters(point) for share, point in found.items()}
    assert len({tuple(each) for each in before.values()}) == len(SHARES)
    one, other = (trial / "curve" / share / "scores" for share in ("0.3", "0.7"))
    one.rename(tmp_path / "aside")
    other.rename(one)
    (tmp_path / "aside").rename(other)
    (trial / "curve" / "0.5" / "result.json").unlink()  # as if it had been stopped just before
    assert harness("--seeds", 1) == (0, "")
    assert {share: letters(point) for share, point in points(tmp_path / "out").items()} == before


def letters(point: Result) -> list[float]:
    """What a point's weights say of the text to keep, in nats."""
    rows = point.scores
    return [float(nats[0]) for nats in rows[rows["task"] == "letters"]["loglikelihoods"]]


def test_a_run_that_was_stopped_scores_the_points_that_are_missing(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights that are not to be kept wait for the curve, which another seed has too."""
    words = ("--seeds", 1, "--keep-weights", "none")
    made: list[str] = []

    def stopping(*given: Any) -> float:
        made.append(given[3].name)
        if len(made) == 4:
            raise RuntimeError("the disk is gone")
        return fill(*given)

    monkeypatch.setattr(curve, "fill", stopping)
    code, said = harness(*words)
    assert code == 1
    assert "1 trial failed: none/seed-1/curve; the page says why; the same command tries it again" in said
    assert (tmp_path / "out" / "none" / "seed-1" / "weights").exists()
    assert harness(*words) == (0, "")
    assert made == ["0.1", "0.2", "0.3", "0.4", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9"]
    assert harness("--seeds", 2, "--keep-weights", "none") == (0, "")
    assert len(made) == 19
    assert tuple(points(tmp_path / "out", 2)) == SHARES
    assert not list((tmp_path / "out").glob("*/*/weights"))
    assert Study(read(tmp_path / "out")).curve(1)


def test_in_a_sweep_the_setting_of_the_control_that_is_reported_has_the_curve(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Known once all are trained; their weights wait until then."""
    monkeypatch.setattr(grids, "SETTINGS", 2)
    monkeypatch.setattr(
        choosing, "choices", lambda study: {a: Choice(max(names, key=len)) for a, names in study.families.items()}
    )
    assert harness("--sweep", "--seeds", 2, "--keep-weights", "none") == (0, "")
    study = Study(read(tmp_path / "out"))
    assert study.control != "none"
    curves = {(trial.name, trial.seed): len(trial.curve) for trial in study.record.trials if trial.curve}
    assert curves == {(study.control, seed): len(SHARES) for seed in (1, 2)}
    assert all(study.curve(seed) for seed in (1, 2))
    assert not list((tmp_path / "out").glob("*/*/weights"))


def test_what_stands_for_a_points_weights_names_all_that_they_are_made_from() -> None:
    def stands(base: str, control: str, share: float) -> str:
        ready: Any = SimpleNamespace(base=SimpleNamespace(digest=base))
        result: Any = SimpleNamespace(facts={"weights": control})
        return curve.key(ready, result, share)

    assert stands("b", "c", 0.3) == stands("b", "c", 0.3)
    assert len({stands("b", "c", 0.3), stands("x", "c", 0.3), stands("b", "x", 0.3), stands("b", "c", 0.4)}) == 4


TASKS = {
    "text": Task("text", metric="bits_per_byte"),
    "facts": Task("facts"),
    "again": Task("again", source="same", metric="bits_per_byte"),
    "new": Task("new", measures="gain", source=None, metric="bits_per_byte"),
    "asked": Task("asked", measures="gain", source=None),
}


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        (TASKS, {"text", "new"}),
        (TASKS.keys() - {"text"}, {"facts", "asked"}),
        (TASKS.keys() - {"text", "asked"}, {"facts", "new"}),
        (TASKS.keys() - {"text", "facts"}, set()),
        (TASKS.keys() - {"new", "asked"}, set()),
    ],
)
def test_points_are_scored_on_both_axes_of_the_verdict(there: Iterable[str], expected: set[str]) -> None:
    assert curve.axes(TASKS[name] for name in there) == expected
