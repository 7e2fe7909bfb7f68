"""Runs that follow each other: the matrix of stages from their rows, its measures by hand, and what is said of its holes."""

import importlib
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import harness
from harness.chained import Matrix
from harness.errors import InputError
from harness.record import read
from reports import page, stages

sys.path.append(str(Path(__file__).parents[1] / "reports"))
fabricate = importlib.import_module("fabricate")

LAW: dict[str, Any] = {"suite": "law", "measures": "gain", "metric": "bits_per_byte", "source": None}
ARMS = {"none": fabricate.ARMS["none"], "kl": fabricate.ARMS["kl"]}
WEIGHTS = "w" * 64
"""What fabricated trials end with: the first of them is what the second run begins from."""


def tasks(own: str) -> dict[str, dict[str, Any]]:
    """Both texts in both runs, each new to its own run alone."""
    texts = {name: facts for name, facts in fabricate.TASKS.items() if name.startswith("text_")}
    known = texts | {"text_law": LAW}
    other = {"text_medical": "text_law", "text_law": "text_medical"}[own]
    return known | {other: known[other] | {"measures": "probe"}}


def run(folder: Path, own: str, seeds: tuple[int, ...], left: tuple[str, ...] = (), **plan: Any) -> Path:
    """Fabricated documents go by a task's place, so another task takes the place of one that is left out."""
    questions = fabricate.TASKS["facts"] | {"measures": "probe"}
    scored = dict((f"no_{name}", questions) if name in left else (name, facts) for name, facts in tasks(own).items())
    recipe = fabricate.Recipe(arms=ARMS, seeds=seeds, tasks=scored, items=20, documents=10, milestones=(), plan=plan)
    return fabricate.run_folder(folder, recipe)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    where = tmp_path_factory.mktemp("stages")
    second = run(where / "law", "text_law", (0, 1), base={"name": "runs/medical/none/seed-5/weights", "digest": WEIGHTS})
    return run(where / "medical", "text_medical", (5,)), second


def performance(folder: Path, model: str, task: str) -> float:
    """Minus bits per byte, from the rows."""
    rows = pd.concat([pd.read_parquet(path) for path in (folder / model / "scores").glob("*.parquet")])
    rows = rows[rows["task"] == task]
    nats = -sum(each[0] for each in rows["loglikelihoods"])
    return -nats / math.log(2) / sum(each[0] for each in rows["option_bytes"])


def matrix(both: tuple[Path, Path], arm: str, seed: int) -> np.ndarray:
    """R by hand: the base of the first run, the base of the second (which the first trained), an arm of the second."""
    first, second = both
    models = ((first, "base"), (second, "base"), (second, f"{arm}/seed-{seed}"))
    return np.array([[performance(*model, task) for task in ("text_medical", "text_law")] for model in models])


def test_the_matrix_is_what_the_rows_say(both: tuple[Path, Path]) -> None:
    made = harness.load(both)
    for arm in ARMS:
        expected = np.mean([matrix(both, arm, seed) for seed in (0, 1)], axis=0)
        found = made.stages[made.stages["arm"] == arm].pivot_table(index="stage", columns="text", values="value")
        assert found.to_numpy() == pytest.approx(expected)


def test_measures_are_their_formulas_with_the_base_as_row_0(both: tuple[Path, Path]) -> None:
    made = harness.load(both)
    found = made.transfer.set_index("arm")
    each = [matrix(both, "kl", seed) for seed in (0, 1)]
    assert found.loc["kl", "ACC"] == pytest.approx(np.mean([r[2].mean() for r in each]))
    assert found.loc["kl", "BWT"] == pytest.approx(np.mean([r[2, 0] - r[1, 0] for r in each]))
    assert found.loc["kl", "FWT"] == pytest.approx(np.mean([r[1, 1] - r[0, 1] for r in each]))
    assert found.loc["kl", "F"] == pytest.approx(np.mean([max(r[0, 0], r[1, 0]) - r[2, 0] for r in each]))
    assert found.loc["none", "F_general"] > 0.3
    assert found.loc["kl", "ID"] == pytest.approx(np.mean([(r[1, 0] + r[2, 1]) / 2 for r in each]))
    assert found.loc["kl", "Bwd"] == pytest.approx(np.mean([r[2, 0] for r in each]))
    assert found.loc["kl", "Fwd"] == pytest.approx(np.mean([r[1, 1] for r in each]))


def test_the_order_in_which_runs_are_given_does_not_matter(both: tuple[Path, Path]) -> None:
    made = harness.load([both[1], both[0]])
    assert made.study.record.folder == both[1]
    assert [each.folder for each in made.study.record.earlier] == [both[0]]


def test_the_page_says_what_is_left_and_whose_the_rest_is(both: tuple[Path, Path]) -> None:
    made = harness.load(both)
    assert stages in page.sections(made.study)
    assert stages not in page.sections(harness.load(both[0]).study)
    section = stages.section(made.study)
    assert section.answer.startswith("Since their own stages, earlier texts changed by ")
    assert "law" in str(section.blocks)
    assert "sections of this page are of the last run alone" in str(section.blocks[-1])
    assert ("runs", "medical, then law") in page.facts(made.study)


def test_what_was_not_scored_is_a_hole_and_is_named(both: tuple[Path, Path], tmp_path: Path) -> None:
    first = run(tmp_path / "medical", "text_medical", (5,), left=("text_law",))
    made = harness.load([first, both[1]])
    found = made.transfer.set_index("arm").loc["kl"]
    assert pd.isna(found["FWT"])
    assert pd.notna(found["BWT"])
    assert list(Matrix((read(first), read(both[1]))).missing()) == [
        f"{first} did not score text_law of {both[1]}: give these documents as a suite file, and its command scores them too."
    ]


def test_a_model_that_its_next_run_did_not_score_is_read_where_it_was_trained(both: tuple[Path, Path], tmp_path: Path) -> None:
    base = {"name": "x", "digest": WEIGHTS}
    second = run(tmp_path / "law", "text_law", (0,), left=("text_medical",), base=base)
    found: Any = harness.load([both[0], second]).stages.query("arm == 'kl' and text == 1").set_index("stage")["value"]
    assert found[1] == pytest.approx(performance(both[0], "none/seed-5", "text_medical"))
    assert pd.isna(found[2])


def test_a_text_that_is_new_in_two_runs_is_nobodys_own(tmp_path: Path, both: tuple[Path, Path]) -> None:
    second = run(tmp_path / "again", "text_medical", (0,), base={"name": "x", "digest": WEIGHTS})
    with pytest.raises(InputError, match="text_medical is scored as new text in two of the runs"):
        _ = harness.load([both[0], second]).stages


def test_runs_of_which_only_some_follow_are_refused(tmp_path: Path, both: tuple[Path, Path]) -> None:
    alone = run(tmp_path / "alone", "text_medical", (0,))
    for path in alone.rglob("result.json"):
        path.write_text(path.read_text().replace(WEIGHTS, "v" * 64))
    with pytest.raises(InputError, match="some of these runs follow each other and some do not"):
        harness.load([*both, alone])
