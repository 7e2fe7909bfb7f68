"""Where a base stands: at chance, at the ceiling, between; decided by two standard errors, and clusters widen them."""

import importlib
import math
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness import marks, record, results, statistics
from harness.files import read_json
from harness.forgetting import LEARNED, LOST, Study
from harness.suite import Suite, Task

sys.path.append(str(Path(__file__).parents[1] / "reports"))
fabricate = importlib.import_module("fabricate")


@pytest.mark.parametrize(
    ("value", "error", "chance", "expected"),
    [
        (0.30, 0.02, 0.25, "between"),
        (0.29, 0.02, 0.25, "between"),  # two standard errors are enough
        (0.289, 0.02, 0.25, "chance"),
        (0.20, 0.001, 0.25, "chance"),
        (0.96, 0.02, 0.25, "between"),
        (0.961, 0.02, 0.25, "ceiling"),
        (1.0, 0.01, 0.25, "ceiling"),
        (0.5, 0.3, 0.25, "chance"),  # neither is excluded: what is not known comes first
        (0.5, math.inf, 0.25, "chance"),
        (0.9, 0.01, None, "unknown"),
    ],
)
def test_a_base_is_marked_by_two_standard_errors(value: float, error: float, chance: float | None, expected: str) -> None:
    assert statistics.mark(value, error, chance) == expected


def rows(right: list[float], clusters: list[str], split: str = "test") -> pd.DataFrame:
    """Questions of four options, answered as told."""
    same: dict[str, Any] = {"loglikelihoods": [-1.0, -2.0, -3.0, -4.0], "option_bytes": [4] * 4, "answer": 0, "split": split}
    answers = enumerate(zip(right, clusters, strict=True))
    made = [fabricate.row(f"q{i}", cluster, value=value, choice=int(not value), **same) for i, (value, cluster) in answers]
    table = pd.DataFrame(made, columns=list(record.SCORE_COLUMNS))
    return table.assign(suite="toy", task="asked")


def study(folder: Path, table: pd.DataFrame, measures: str = "keep", items: str = "all") -> Study:
    task = {"suite": "toy", "measures": measures, "metric": "acc", "chance": 0.25, "source": "other", "higher_is_better": True}
    (folder / "base" / "scores").mkdir(parents=True)
    table.to_parquet(folder / "base" / "scores" / "toy.parquet")
    base = record.Result(folder / "base", None, None)
    return Study(record.Record(folder, {"arms": ["none"], "tasks": {"asked": task}, "options": {"items": items}}, base, ()))


ALONE = [str(i) for i in range(100)]


@pytest.mark.parametrize(
    ("right", "expected"),
    [(26, "chance"), (34, "chance"), (35, "between"), (60, "between"), (96, "between"), (97, "ceiling"), (100, "ceiling")],
)
def test_a_hundred_questions_are_marked_by_their_own_error(tmp_path: Path, right: int, expected: str) -> None:
    """2 sqrt(p (1-p) / 99): 0.34 is 0.09 above chance, of 0.095; 0.35 is 0.10, of 0.096; 0.97 is 0.03 below 1, of 0.034."""
    found = study(tmp_path, rows([1.0] * right + [0.0] * (100 - right), ALONE))
    sample = found.samples["asked"]
    assert found.mark(sample) == expected
    assert found.known(sample) == (expected != "chance")
    assert (found.tasks(LOST) == [sample]) == (expected != "chance"), "what is at the ceiling can be lost, and counts"


@pytest.mark.parametrize(("right", "alone", "together"), [(40, "between", "chance"), (90, "between", "ceiling")])
def test_clusters_widen_the_error_of_a_mark(tmp_path: Path, right: int, alone: str, together: str) -> None:
    """Twenty passages of five questions, all right or all wrong: twenty items, not a hundred."""
    values = [1.0] * right + [0.0] * (100 - right)
    one = study(tmp_path / "alone", rows(values, ALONE))
    two = study(tmp_path / "together", rows(values, [f"passage {i // 5}" for i in range(100)]))
    assert one.mark(one.samples["asked"]) == alone
    assert two.mark(two.samples["asked"]) == together


def test_chance_says_nothing_of_what_is_to_be_learned(tmp_path: Path) -> None:
    found = study(tmp_path, rows([1.0] * 26 + [0.0] * 74, ALONE), "gain")
    assert found.mark(found.samples["asked"]) == "chance"
    assert found.tasks(LEARNED)


def test_the_plan_may_leave_items_to_choose_by(tmp_path: Path) -> None:
    """The page reads test items alone, whatever the others say; results.csv has both apart."""
    table = pd.concat([rows([1.0] * 60, ALONE[:60]), rows([0.0] * 40, ALONE[60:], "validation").assign(item=ALONE[60:])])
    both, test = study(tmp_path / "all", table), study(tmp_path / "test", table, items="test")
    assert both.samples["asked"].base.value == 0.6
    assert (test.samples["asked"].base.value, len(test.samples["asked"].items)) == (1.0, 60)
    assert Study(test.record, "validation").samples["asked"].base.value == 0.0


def recipe(**more: Any) -> Any:
    asked = fabricate.TASKS["drugs"] | {"measures": "keep", "source": "other"}
    tasks = {name: fabricate.TASKS[name] for name in ("facts", "text_stories", "drugs", "text_medical")}
    fabricate.KNOWN.update(guessed=0.125, mastered=1.0, learned=1.0)
    extra = {"guessed": asked, "mastered": asked, "learned": fabricate.TASKS["drugs"]}
    return fabricate.Recipe(tasks=tasks | extra, seeds=(0,), **more)


def test_what_each_task_can_show_is_said(tmp_path: Path) -> None:
    found = Study(record.read(fabricate.run_folder(tmp_path, recipe())))
    facts = {task: marks._facts(found, sample) for task, sample in found.samples.items()}
    points = {task: f"{100 * sample.base.value:.1f}" for task, sample in found.samples.items()}
    assert marks.sentences(facts) == [
        "tasks that can show forgetting: facts, text_stories",
        "tasks that can show learning: drugs, text_medical",
        f"guessed ({points['guessed']}, chance 12.5): the base answers no better than by guessing, and cannot forget it",
        "mastered (100.0, chance 12.5): the base is at the ceiling, where small losses change no answer",
        "learned (100.0, chance 12.5): the base is at the ceiling, and cannot learn more",
    ]


def test_the_page_says_where_the_base_stands(tmp_path: Path) -> None:
    from reports.cautions import warnings
    from reports.tasks import table

    found = Study(record.read(fabricate.run_folder(tmp_path, recipe())))
    told = " ".join(warnings(found))
    assert "The base is at the ceiling in mastered: what is lost there changes no answer at first, and is seen late." in told
    assert "The base is at the ceiling in learned: there is nothing left to learn." in told
    assert "The base answers guessed no better than by guessing" in told
    shown = {str(row[0]): (row[2], getattr(row[3], "under", "")) for row in table(found, "accuracy").rows}
    assert shown["mastered"] == ("240 of 1000 items in 24", "the base is at the ceiling")
    assert shown["guessed"][1] == "the base is at chance"
    assert shown["facts"][1] == ""


def test_results_say_how_many_items_of_how_many(tmp_path: Path) -> None:
    one = results.results(record.read(fabricate.run_folder(tmp_path / "all", recipe())))
    assert set(one["items"]) == {"all"}
    assert set(one["pool"]) == {1000}
    folder = fabricate.run_folder(tmp_path / "test", recipe(plan={"options": {"items": "test"}}))
    for path in folder.rglob("scores/*.parquet"):
        table = pd.read_parquet(path)
        table.loc[table["item"].str.endswith(("1", "2")), "split"] = "validation"
        table.to_parquet(path)
    two = results.results(record.read(folder))
    sizes = {split: rows.set_index("task")["n"]["facts"].iloc[0] for split, rows in two.groupby("items")}
    assert sizes == {"test": 192, "validation": 48}


class Asked:
    """A scoring as marks see it."""

    def __init__(self, folder: Path, *suites: Suite) -> None:
        self.folder, self.suites = folder, suites

    def score_key(self, weights: str, suite: Suite) -> str:
        return f"{weights} {suite.name}"


def toy(name: str, *tasks: Task) -> Suite:
    return Suite(name, "a toy", tasks, key=name)


def test_a_base_that_was_scored_once_is_known_in_every_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marks, "cache", lambda: tmp_path / "cache")
    monkeypatch.setattr(marks, "unscored", lambda asked, base, folder: not (folder / "scores").exists())
    quiz, texts = toy("toy", Task("asked", chance=0.25)), toy("text", Task("told", "gain", metric="bits_per_byte"))
    study(tmp_path / "here", rows([1.0] * 60 + [0.0] * 40, ALONE))
    here, there = Asked(tmp_path / "here", quiz), Asked(tmp_path / "there", quiz, texts)
    assert marks.known(there, "base", "all") is None  # pyright: ignore[reportArgumentType]
    told = marks.keep(here, "base", "all")  # pyright: ignore[reportArgumentType]
    assert told == ["tasks that can show forgetting: asked"]
    kept = read_json(tmp_path / "here" / "base" / "marks.json")["asked"]
    error = pytest.approx(math.sqrt(0.24 / 99))
    assert kept == {"mark": "between", "measures": "keep", "base": 0.6, "chance": 0.25, "n": 100, "pool": 1000, "error": error}
    for items in ("all", "test"):
        found = marks.known(there, "base", items)  # pyright: ignore[reportArgumentType]
        assert found is not None
        assert marks.sentences(found) == [*told, "tasks that can show learning: told"], "a text can show it whatever it scores"
    assert marks.known(there, "another base", "all") is None  # pyright: ignore[reportArgumentType]


PLUGIN = """
from dataclasses import dataclass
from harness.strategy import Memory, Strategy

@dataclass(frozen=True)
class Mine(Strategy):
    def setup(self, origin):
        return Memory()
"""


def test_a_run_keeps_its_marks_and_what_its_items_are_for(
    tmp_path: Path, small_run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(PLUGIN)
    words = ("--tokens", 640, "--seeds", 1, "--no-milestones", "--output", "out", "--strategies", "none")
    assert small_run(*words) == (0, "")
    assert {task: facts["mark"] for task, facts in read_json(Path("out/base/marks.json")).items()} == {"new_text": "text"}
    code, err = small_run(*words, "--items", "test")
    assert (code, Path("out/plan.yaml").read_text().count("items: all")) == (2, 1)
    assert "out reports all items, and what was seen cannot be unseen; give --items all, or give --output another folder" in err
