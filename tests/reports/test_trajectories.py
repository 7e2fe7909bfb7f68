"""When forgetting set in and whether it came back: planted courses are found, said and drawn; nothing is said without data."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness import record
from harness.forgetting import ADAPTATION, FORGETTING, Study
from harness.trajectory import Trajectories
from reports import trajectories


def study(folder: Path) -> Study:
    return Study(record.read(folder))


def courses(tmp_path: Path, after: dict[int, list[float]], seeds: int = 1) -> Trajectories:
    """A run of the control with one text task of three documents of 100 bytes, whose bits are given by update."""
    plan = {"fingerprint": "f", "arms": ["none"], "seeds": list(range(seeds)), "options": {"milestones": True},
            "trainings": {"none": {"updates": 100}},
            "tasks": {"text": {"suite": "s", "measures": "keep", "metric": "bits_per_byte", "source": "other"}}}  # fmt: skip
    tmp_path.mkdir(exist_ok=True)
    record.write_plan(tmp_path, plan)
    for seed in range(seeds):
        folder = tmp_path / "none" / f"seed-{seed}"
        folder.mkdir(parents=True)
        rows = [{"update": update, "tokens": 10 * update, "task": "text", "item": f"{i}", "cluster": f"{i}", "kind": "text",
                 "weight": 100.0, "before": 200.0, "after": 200 + 100 * (bits + 0.01 * seed)}
                for update, found in after.items() for i, bits in enumerate(found)]  # fmt: skip
        pd.DataFrame(rows).to_parquet(folder / "trajectory.parquet")
    return Trajectories(study(tmp_path))


def test_a_milestone_is_the_paired_difference_to_the_base(tmp_path: Path) -> None:
    """(0.1 + 0.2 + 0.6) / 3 with s / sqrt(3) over documents; two seeds 0.01 apart add s_seed / sqrt(2) in quadrature."""
    values = [0.1, 0.2, 0.6]
    one = courses(tmp_path / "one", {0: [0, 0, 0], 50: values}).curve("none", FORGETTING)
    assert [(point.update, point.tokens) for point in one] == [(0, 0), (50, 500)]
    assert (one[1].figure.value, one[1].figure.error) == pytest.approx((0.3, np.std(values, ddof=1) / 3**0.5))
    two = courses(tmp_path / "two", {50: values}, seeds=2).curve("none", FORGETTING)[0].figure
    wanted = (np.var(values, ddof=1) / 3 + np.var([0, 0.01], ddof=1) / 2) ** 0.5
    assert (two.value, two.error, two.layers) == (pytest.approx(0.305), pytest.approx(wanted), "items and seeds")


@pytest.mark.parametrize(
    ("course", "height", "recovered"),
    [
        ({0: 0, 10: 0.5, 20: 0.32, 50: 0.305, 100: 0.3}, 0.2, 500),
        ({0: 0, 10: 0.1, 50: 0.2, 100: 0.3}, 0.0, None),
        ({0: 0, 10: -0.1, 50: -0.2, 100: -0.3}, 0.3, 1000),
    ],
)
def test_the_stability_gap_is_the_highest_minus_the_last(
    course: dict[int, float], height: float, recovered: float | None, tmp_path: Path
) -> None:
    gap = courses(tmp_path, {update: [bits] * 3 for update, bits in course.items()}).gap("none", FORGETTING, 0.01)
    assert gap
    assert gap.height.value == pytest.approx(height)
    assert gap.recovered == recovered


def test_items_that_were_not_asked_everywhere_are_left_out(tmp_path: Path) -> None:
    found = courses(tmp_path, {0: [0, 0, 9], 100: [0.1, 0.3]})
    assert found.curve("none", FORGETTING)[-1].figure.value == pytest.approx(0.2)


def test_what_was_planted_is_said_and_stands_in_the_table(run: Path) -> None:
    found = trajectories.section(study(run))
    assert found.answer.startswith("In none, forgetting on unrehearsed text was highest after 30.7 k of 307 k tokens (0.51")
    assert "had come back to where it ended by 123 k tokens (stability gap 0.1" in found.answer
    figures, _, note = found.blocks
    names = [figure.name for figure in figures.figures]  # type: ignore[union-attr]
    assert names == [panel.name for panel in trajectories.PANELS]
    table = figures.figures[0].table  # type: ignore[union-attr]
    assert table.head == ("trained", *study(run).record.plan["arms"])
    assert [row[0] for row in table.rows] == ["0%", "2%", "10%", "40%", "100%"]
    for said in ("weights as the optimizer left them", "8 items of each task", "biased upward", "De Lange"):
        assert said in note.text  # type: ignore[union-attr]


def test_every_arm_has_its_stability_gap_in_a_table(tmp_path: Path) -> None:
    """Up to 0.5, back to 0.3: 0.2 in every document, so that the interval is the value."""
    course = {0: 0, 10: 0.5, 20: 0.32, 50: 0.305, 100: 0.3}
    found = courses(tmp_path, {update: [bits] * 3 for update, bits in course.items()})
    (table,) = trajectories.gaps(found)
    assert table.head == ("arm", "highest", "after (tokens)", "at the end", "stability gap")
    (row,) = table.rows
    assert [cell if isinstance(cell, str) else cell.text for cell in row] == ["none", "0.500", "100", "0.300", "0.200"]
    assert "95 % intervals of items below" in table.caption


def test_a_rise_to_the_end_is_no_recovery(tmp_path: Path) -> None:
    found = courses(tmp_path, {0: [0, 0, 0], 50: [0.1, 0.2, 0.3], 100: [0.2, 0.3, 0.4]})
    assert trajectories.answer(found) == (
        "In none, forgetting on unrehearsed text was highest at the end "
        "(0.300 bits per byte, 95 % interval 0.052 to 0.548, items): none of it came back."
    )


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "It was not looked at while training; `--milestones` does, for at most 5 % of the time"),
        ({"milestones": True}, "No training was long enough for it: a look at a few items of every task would have cost more"),
    ],
)
def test_without_data_the_reason_stands_there(options: dict[str, bool], says: str, tmp_path: Path, fabricate: Any) -> None:
    recipe = fabricate.Recipe(seeds=(0,), milestones=(), plan={"options": options})
    found = trajectories.section(study(fabricate.run_folder(tmp_path, recipe)))
    assert found.answer.startswith(says)
    assert not found.blocks


def test_a_table_that_changed_after_the_trial_is_named(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    path = tmp_path / "run" / "none" / "seed-0" / "result.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "logs": {"trajectory.parquet": "0" * 64}}))
    with pytest.raises(record.RecordError, match=r"trajectory\.parquet is not as it was written; delete"):
        trajectories.section(study(tmp_path / "run"))


def test_an_unfinished_arm_is_drawn_as_far_as_it_came(tmp_path: Path, fabricate: Any) -> None:
    folder = fabricate.run_folder(tmp_path, fabricate.Recipe(seeds=(0,)))
    path = folder / "kl" / "seed-0" / "trajectory.parquet"
    pd.read_parquet(path).query("update <= 30").to_parquet(path)
    (path.parent / "result.json").unlink()
    found = Trajectories(study(folder))
    assert [point.update for point in found.curve("kl", ADAPTATION)] == [0, 6, 30]
    assert len(found.curve("none", ADAPTATION)) == 5
