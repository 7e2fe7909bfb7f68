"""The control's way from the base on the plane: interpolated, and as it read; with the table behind it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import record
from harness.forgetting import ADAPTATION, FORGETTING, LEARNED, LOST, Study
from reports import tradeoff
from reports.paths import paths
from reports.section import Figures
from reports.tradeoff import PANELS


@pytest.fixture(scope="module")
def study(run: Path) -> Study:
    return Study(record.read(run))


def test_the_curve_is_a_line_of_eleven_points_from_the_base_to_the_control(study: Study) -> None:
    line = paths(study, FORGETTING, ADAPTATION)[0]
    names = [name for name, *_ in line.points]
    assert names == [f"none, {share}% of its weights" for share in range(0, 101, 10)]
    control, learned = study.figure(FORGETTING, "none"), study.figure(ADAPTATION, "none")
    assert control is not None
    assert learned is not None
    assert line.points[0][1:] == (0.0, 0.0)
    assert line.points[-1][1:] == (pytest.approx(learned.value), pytest.approx(control.value))
    assert line.points[5][1:] == (pytest.approx(0.75 * learned.value), pytest.approx(0.25 * control.value))
    assert line.dash == "solid"


def test_what_the_control_was_while_it_read_is_not_annealed_unless_nothing_decays(study: Study) -> None:
    _, path = paths(study, FORGETTING, ADAPTATION)
    assert "not annealed" in path.told
    assert path.dash == "dash"
    assert path.points[0] == ("none after 0 tokens, not annealed", 0.0, 0.0)
    plan = study.record.plan | {"budget": study.record.plan["budget"] | {"floor": 1.0}}
    flat = Study(replace(study.record, plan=plan))
    assert not any("annealed" in said for said in (paths(flat, FORGETTING, ADAPTATION)[1].told, *flat.record.plan["notes"]))


def test_lines_stand_on_the_plane_that_they_were_measured_on_and_in_the_table_behind_it(study: Study) -> None:
    assert paths(study, LOST, LEARNED) == []
    text, accuracy = (tradeoff.figure(study, panel) for panel in PANELS)
    strokes = [trace["line"]["dash"] for trace in text.plot["data"] if trace["mode"] == "lines+markers"]
    assert strokes == ["solid", "dash"]
    names = [str(row[0]) for row in text.table.rows]
    assert names[5:16] == [f"none, {share}% of its weights" for share in range(0, 101, 10)]
    assert len(names) == 5 + 11 + 5
    assert {len(row) for row in text.table.rows} == {len(text.table.head)}
    assert len(accuracy.table.rows) == 5
    assert "95 % intervals of items and seeds" in text.conclusion


def test_old_text_alone_is_drawn_and_is_on_no_frontier(tmp_path: Path, fabricate: Any) -> None:
    arms = {"none": fabricate.ARMS["none"], "old_only": fabricate.Effect(-0.1, 0.0, 0.01, 0.0, 0.0, 0.0)}
    folder = fabricate.run_folder(tmp_path, fabricate.Recipe(arms=arms, seeds=(0,), items=60, milestones=()))
    found = tradeoff.section(Study(record.read(folder)))
    assert "On unrehearsed text and new text, none is the only arm." in found.answer
    assert "An arm is on it" not in found.answer, "one arm makes no frontier"
    figures = next(block for block in found.blocks if isinstance(block, Figures))
    rows = {str(row[0]): row for row in figures.figures[0].table.rows}
    assert rows["old_only"][4] == "a control"
    assert rows["none"][4] == "yes"
