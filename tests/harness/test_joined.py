"""Several runs on one page: joined where they are comparable, refused with the difference named where they are not."""

import importlib
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import harness
from harness import joined, record
from harness.errors import InputError
from harness.forgetting import FORGETTING, Study

sys.path.append(str(Path(__file__).parents[1] / "reports"))
fabricate = importlib.import_module("fabricate")

NAMES = ("facts", "text_stories", "text_letters", "diseases", "text_medical")
TASKS = {name: fabricate.TASKS[name] for name in NAMES}
SMALL = {"items": 40, "documents": 12, "milestones": (), "tasks": TASKS}
BASE = {"name": "world", "digest": "b" * 64, "parameters": 1_049_600}
SOURCES = {
    "new": {"name": "world_domain", "key": "n" * 64, "documents": 3120, "rows": 2400, "tokens": 307_200},
    "old": {"name": "world_old", "key": "o" * 64, "documents": 6120, "rows": 4400, "tokens": 563_200},
}
ARMS = {name: fabricate.ARMS[name] for name in ("none", "kl")}


def folder(where: Path, **changes: Any) -> Path:
    return fabricate.run_folder(where, fabricate.Recipe(**({"arms": ARMS, "seeds": (0,)} | SMALL | changes)))


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder(tmp_path_factory.mktemp("joined") / "one")


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same plan under other seeds."""
    return folder(tmp_path_factory.mktemp("joined") / "two", seeds=(1, 2))


def study(*folders: Path) -> Study:
    return Study(joined.join([record.read(each) for each in folders]))


def test_other_seeds_of_an_arm_join_as_seeds(first: Path, second: Path, tmp_path: Path) -> None:
    """The figures are those of one run that had all the seeds."""
    both = study(first, second)
    whole = Study(record.read(folder(tmp_path / "whole", seeds=(0, 1, 2))))
    for arm in ARMS:
        assert both.figure(FORGETTING, arm) == whole.figure(FORGETTING, arm)


def test_other_arms_join_beside_the_control_that_both_have_once(first: Path, tmp_path: Path) -> None:
    other = folder(tmp_path / "two", arms={name: fabricate.ARMS[name] for name in ("none", "low_lr")})
    both = study(first, other)
    assert both.arms == ("none", "kl", "low_lr")
    assert [(trial.name, trial.seed) for trial in both.record.trials] == [("none", 0), ("kl", 0), ("low_lr", 0)]


def test_a_trial_that_failed_in_one_run_is_taken_from_the_other(first: Path, tmp_path: Path) -> None:
    other = folder(tmp_path / "two", failed=(("kl", 0),))
    for order in ((first, other), (other, first)):
        assert [trial.status for trial in study(*order).record.trials] == ["done", "done"]


def test_tasks_that_only_one_run_has_are_left_out_and_named(tmp_path: Path) -> None:
    """In base, trials and the control's curve alike, whichever run is given first."""
    tasks = {name: facts for name, facts in TASKS.items() if name not in ("diseases", "text_letters")}
    runs = (folder(tmp_path / "one", curve=True), folder(tmp_path / "two", seeds=(1,), tasks=tasks, curve=True))
    for order in (runs, runs[::-1]):
        both = study(*order)
        assert set(both.samples) == set(tasks)
        assert both.curve(0)
        assert both.curve(1)
        told = both.record.plan["joined"]
        assert told[0] == f"This page is of 2 runs: {order[0]}, {order[1]}."
        assert told[1] == f"Not all of the runs were scored on text_letters, diseases of {runs[0]}: left out here."


BUDGET = {"steps": 300, "batch": 8, "length": 128, "peak": 6e-4}
DIFFERENCES: list[tuple[dict[str, Any], str]] = [
    ({"base": BASE | {"digest": "c" * 64}}, "their bases differ, world (bbbbbbbb) and world (cccccccc); every difference"),
    ({"base": BASE | {"tokenizer": "t" * 64}}, "their tokenizers differ (unknown and tttttttt) on one base"),
    (
        {"sources": SOURCES | {"new": SOURCES["new"] | {"key": "x" * 64}}},
        "their new text differs: of one name, with other contents or splits, world_domain (nnnnnnnnnnnn) and "
        "world_domain (xxxxxxxxxxxx)",
    ),
    ({"sources": {"new": SOURCES["new"]}}, "one has old text, world_old, and the other has none"),
    ({"budget": BUDGET | {"steps": 400}}, "their budget differs: steps 300 and 400"),
    ({"budget": BUDGET | {"batch": 16}}, "their budget differs: batch 8 and 16"),
    ({"budget": BUDGET | {"length": 256}}, "their budget differs: length 128 and 256"),
    ({"engine": {"precision": "bf16"}}, "their arithmetic differs: precision fp32 and bf16"),
    ({"equal": "flops"}, "what their arms share differs: equal tokens and flops"),
    ({"options": {"margin": 0.02}}, "their margins differ: none and 0.02"),
    ({"options": {"limit": 100}}, "their limits differ: none and 100"),
    ({"options": {"items": "test"}}, "their items differ: none and test"),
    (
        {"options": {"scored_at": "best of every 50 updates"}},
        "their scored checkpoints differ: none and best of every 50",
    ),
    ({"shown": True}, "one keeps sensitive texts (--show-text), and the other withholds them"),
    (
        {"strategies": {"none": {"none": {"weight": 1.0}}, "kl": {"kl": {"weight": 2.0}}}},
        "the arm kl is not the same in both: kl weight 1.0 and 2.0",
    ),
    ({"models": [], "control": "none"}, "the arms of one were trained there, the models of the other elsewhere"),
]


@pytest.mark.parametrize(("plan", "words"), DIFFERENCES, ids=[words[:50] for _, words in DIFFERENCES])
def test_what_is_not_comparable_is_refused_and_the_difference_named(
    first: Path, second: Path, plan: dict[str, Any], words: str
) -> None:
    found = record.read(second)
    with pytest.raises(InputError) as caught:
        joined.join([record.read(first), replace(found, plan=found.plan | plan)])
    assert str(caught.value).startswith(f"{first} and {second} cannot stand on one page: {words}")


@pytest.mark.parametrize("column", ["document_hash", "prompt_hash", "target_hash"])
def test_other_items_are_refused(first: Path, second: Path, tmp_path: Path, column: str) -> None:
    """The base of the second run read other words under the same names."""
    other = Path(shutil.copytree(second, tmp_path / "two"))
    path = other / "base" / "scores" / "world_general.parquet"
    rows = pd.read_parquet(path)
    rows.assign(**{column: rows[column].str.replace("-", "+")}).to_parquet(path)
    with pytest.raises(InputError, match=f"the items of the task facts are not the same: they differ in {column[:-5]} hash"):
        study(first, other)


def test_other_numbers_of_items_are_refused(first: Path, tmp_path: Path) -> None:
    other = folder(tmp_path / "two", seeds=(1,), arms={"none": ARMS["none"]}, items=30)
    with pytest.raises(InputError, match=r"the task facts was scored on other items \(40 and 30\)"):
        study(first, other)


def changed(second: Path, tasks: dict[str, Any]) -> record.Record:
    found = record.read(second)
    return replace(found, plan=found.plan | {"tasks": tasks})


def test_a_task_of_another_metric_is_refused(first: Path, second: Path) -> None:
    found = record.read(first)
    other = changed(second, found.tasks | {"facts": found.tasks["facts"] | {"metric": "acc_norm"}})
    with pytest.raises(InputError, match="the task facts differs: metric acc and acc_norm"):
        joined.join([found, other])


def test_runs_without_a_common_task_are_refused(first: Path, second: Path) -> None:
    found = record.read(first)
    with pytest.raises(InputError, match="no task was scored in both; give both the same --suites"):
        joined.join([found, changed(second, {f"other_{name}": facts for name, facts in found.tasks.items()})])


def test_a_trial_of_both_must_be_one_training(first: Path, tmp_path: Path) -> None:
    other = folder(tmp_path / "two")
    path = other / "kl" / "seed-0" / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"fingerprint": "g" * 64}))
    with pytest.raises(InputError, match="kl, seed 0, stands in both and is not the same training"):
        study(first, other)


def test_load_takes_several_runs_and_their_page_says_so(first: Path, tmp_path: Path) -> None:
    from reports import cautions, page

    other = folder(tmp_path / "two", seeds=(1, 2), failed=(("kl", 2),), plan={"command": "harness run two"})
    made = harness.load([first, str(other)])
    assert set(made.prices["seed"]) == {0, 1, 2}
    assert ("runs", "one, two") in page.facts(made.study)
    said = cautions.warnings(made.study)
    assert said[0].startswith("This page is of 2 runs")
    assert any("(1 trial, about" in line and line.endswith(": harness run two") for line in said)
