"""What leaves a page: CSV, JSON and Markdown say what the frames say, of whole runs and of partial ones, and harm nobody."""

import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import harness
from harness.columns import FRAMES
from harness.errors import RecordError
from harness.forgetting import FORGETTING, LOST, Study
from harness.frames import SMALL, Frames
from reports import copy, exports, markdown, page
from reports.section import Copy


@pytest.fixture(scope="module")
def made(run: Path) -> Frames:
    return harness.load(run)


def test_frames_have_the_columns_and_types_that_are_documented(made: Frames) -> None:
    for name, frame in FRAMES.items():
        found: pd.DataFrame = getattr(made, name)
        assert list(found.columns) == list(frame.columns)
        assert {column: str(kind) for column, kind in found.dtypes.items()} == {
            c: kind for c, (kind, _) in frame.columns.items()
        }


def test_figures_are_those_of_the_study_in_their_units(made: Frames) -> None:
    figures = made.figures[made.figures["against"] == "base"].set_index(["arm", "measure", "scope", "name", "source", "unit"])
    for reading, unit, factor in ((FORGETTING, "bpb", 1), (LOST, "points", 100)):
        found = made.study.figure(reading, "kl")
        assert found is not None
        row: Any = figures.loc[("kl", "forgetting", "general", "", "other", unit)]
        assert [row["value"], row["low"], row["high"]] == pytest.approx([factor * x for x in (found.value, *found.interval())])
        assert [row["lower"], row["upper"]] == pytest.approx([factor * x for x in found.interval(0.9)])
        assert (row["layers"], row["seeds"], row["n"], row["clusters"]) == ("items and seeds", 3, found.n, found.clusters)


def test_tasks_are_the_rows_of_results(made: Frames, tmp_path: Path) -> None:
    from harness import results

    path = tmp_path / "results.csv"
    results.results(made.study.record).to_csv(path, index=False)
    pd.testing.assert_frame_equal(
        pd.read_csv(path), pd.read_csv(io.StringIO(made.tasks.to_csv(index=False))), check_dtype=False
    )


def test_a_figure_can_be_computed_from_the_items(made: Frames) -> None:
    """sum of changes by sum of weights, macro over tasks, mean over seeds."""
    items = made.items
    rows = items[
        (items["arm"] == "kl") & (items["measures"] == "keep") & (items["source"] == "other") & (items["unit"] == "bits")
    ]
    rows = rows.assign(change=rows["after"] - rows["before"])
    sums: Any = rows.groupby(["seed", "task"])[["change", "weight"]].sum()
    figure = made.study.figure(FORGETTING, "kl")
    assert figure is not None
    assert (sums["change"] / sums["weight"]).mean() == pytest.approx(figure.value)


@pytest.mark.parametrize("name", SMALL)
def test_csv_reads_back_as_the_frame(made: Frames, name: str) -> None:
    frame: pd.DataFrame = getattr(made, name)
    again = pd.read_csv(io.StringIO(exports.csv(frame)))
    expected = frame.replace("", None)
    for column, (kind, _) in FRAMES[name].columns.items():
        values = [None if pd.isna(value) else value for value in expected[column]]
        found = [None if pd.isna(value) else value for value in again[column]]
        assert found == values if kind == "str" else found == pytest.approx(values), column


def test_json_reads_back_as_the_frames_and_has_no_nan(made: Frames) -> None:
    text = exports.dumped(exports.described(made))
    found = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert (found["schema"], found["harness"], found["complete"], found["resume"]) == (1, harness.__version__, True, None)
    assert found["runs"] == [str(made.study.record.folder)]
    assert set(found["frames"]) == {name for name in SMALL if len(getattr(made, name))}
    for name, rows in found["frames"].items():
        again = FRAMES[name].of(rows)
        pd.testing.assert_frame_equal(again, getattr(made, name))


def test_json_of_a_single_cluster_says_null(tmp_path: Path, fabricate: Any) -> None:
    arms = {name: fabricate.ARMS[name] for name in ("none", "kl")}
    recipe = fabricate.Recipe(arms=arms, seeds=(0,), documents=1, items=20, milestones=())
    found = json.loads(exports.dumped(exports.described(harness.load(fabricate.run_folder(tmp_path, recipe)))))
    row = next(row for row in found["frames"]["figures"] if row["name"] == "text_stories")
    assert row["value"] is not None
    assert [row[name] for name in ("low", "high", "lower", "upper", "p")] == [None] * 5


def cells(text: str) -> list[list[str]]:
    """The cells of a Markdown table's rows."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_markdown_says_the_verdict_the_prices_and_the_warnings(made: Frames) -> None:
    text = markdown.rendered(made.study)
    verdicts = cells(text.split("### ")[0])[2:]
    assert [row[0].replace("\\", "") for row in verdicts] == list(made.claims["arm"])
    assert [row[1] for row in verdicts] == list(made.claims["answer"])
    assert [float(row[3].split()[0]) for row in verdicts] == pytest.approx(list(made.claims["forgetting"]), abs=5e-4)
    low = [float(row[3].split("(")[1].split()[0]) for row in verdicts]
    assert low == pytest.approx(list(made.claims["forgetting_low"]), abs=5e-4)
    assert "### What did it cost?" in text
    assert "### Before you use this" in text
    assert len({len(row) for row in cells(text.split("### What did it cost?")[1])}) == 1


EVIL = (
    "</script><img src=x onerror=alert(1)> @octocat #1 GH-2 https://evil.example www.evil.example a|b `x` [y](z) <!-- \r\n# h"
)


def test_markdown_shows_hostile_words_and_obeys_none() -> None:
    found = markdown.escaped(EVIL)
    assert "\n" not in found
    assert "<" not in found
    assert not re.search(r"(?<!\\)[`|\[\]]|@(?!&#8203;)|\\#(?=\d)|GH-\d|:\/\/|www\.", found)
    assert markdown.escaped("- a") == r"\- a"
    assert markdown.escaped("1. a") == r"1\. a"
    assert markdown.escaped("replay:share=0.25+kl") == "replay:share=0.25+kl"


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_csv_holds_no_formula(start: str) -> None:
    frame = pd.DataFrame({"arm": [f"{start}cmd|' /C calc'!A0", None], "value": [-1.5, float("nan")]})
    rows = list(csv.reader(io.StringIO(exports.csv(frame), newline="")))
    assert rows[1][0] == f"'{start}cmd|' /C calc'!A0".replace("\r", "\n")
    assert rows[1][1] == "-1.5"
    assert rows[2] == ["", ""]


def test_what_is_sensitive_leaves_only_where_it_is_asked_for(tmp_path: Path, fabricate: Any) -> None:
    secret = "the patient Alberta Moon"
    recipe = fabricate.Recipe(
        arms={name: fabricate.ARMS[name] for name in ("none", "kl", "low_lr")},
        seeds=(0,),
        items=20,
        documents=10,
        milestones=(),
        failed=(("low_lr", 0),),
        error=secret,
        prompts=(secret,),
        completion=secret,
        plan={"shown": True, "sensitive": ["world_medical"]},
    )
    folder = fabricate.run_folder(tmp_path, recipe)

    def texts(shown: bool) -> list[str]:
        found = harness.load(folder, show_text=shown)
        frames = [exports.csv(getattr(found, name)) for name in FRAMES]
        return [*frames, exports.dumped(exports.described(found)), markdown.rendered(found.study)]

    assert not any(secret in text for text in texts(False))
    assert any(secret in text for text in texts(True))


PARTIAL: dict[str, dict[str, Any]] = {
    "one arm failed": {"failed": (("kl", 0), ("kl", 1))},
    "killed in the middle": {"missing": (("kl", 1), ("low_lr", 1))},
    "base only": {"missing": tuple((arm, seed) for arm in ("none", "kl", "low_lr") for seed in (0, 1))},
}


def partial(folder: Path, fabricate: Any, **changes: Any) -> Path:
    arms = {name: fabricate.ARMS[name] for name in ("none", "kl", "low_lr")}
    return fabricate.run_folder(folder, fabricate.Recipe(arms=arms, seeds=(0, 1), items=20, documents=10, **changes))


@pytest.mark.parametrize("which", [*PARTIAL, "empty"])
def test_a_partial_run_is_a_page_markdown_and_json(tmp_path: Path, fabricate: Any, which: str) -> None:
    folder = partial(tmp_path / "run", fabricate, **PARTIAL.get(which, PARTIAL["base only"]))
    if which == "empty":
        for path in (folder / "base").rglob("*.*"):
            path.unlink()
    made = harness.load(folder)
    assert "partial" in repr(made)
    pages = [page.render(made.study)] if which != "one arm failed" else []
    for words in (*pages, markdown.rendered(made.study)):
        assert "Partial" in words
        assert "does only what is missing" in words
        assert "harness run --strategies" in words
    found = json.loads(exports.dumped(exports.described(made)))
    assert found["complete"] is False
    assert found["resume"]["commands"] == ["harness run --strategies kl,ewc:weight=100,replay:share=0.25,low_lr"]
    assert (found["resume"]["seconds"] is None) == (which in ("base only", "empty"))
    assert len(found["frames"]["prices"]) == 6
    assert any("failed" in line or "Not yet run" in line for line in found["warnings"])
    assert exports.csv(made.figures).startswith("arm,role,measure")


@pytest.mark.parametrize("damaged", ["plan.yaml", "base/scores/world_general.parquet", "kl/seed-0/result.json"])
def test_a_run_that_was_tampered_with_is_named(tmp_path: Path, fabricate: Any, damaged: str) -> None:
    folder = partial(tmp_path / "run", fabricate)
    (folder / damaged).write_text("{")
    with pytest.raises(RecordError) as caught:
        exports.described(harness.load(folder))
    assert str(caught.value).startswith(str(folder / damaged))


def test_the_page_holds_its_own_data(made: Frames) -> None:
    section = copy.section(made.study)
    blocks = {block.name: block.text for block in section.blocks if isinstance(block, Copy)}
    assert list(blocks) == ["claims.csv", "figures.csv", "tasks.csv", "prices.csv", "run.json"]
    assert len(pd.read_csv(io.StringIO(blocks["figures.csv"]))) == len(made.figures)
    assert json.loads(blocks["run.json"])["frames"]["claims"][0]["arm"] == "none"
    assert f"version = {{{harness.__version__}}}" in copy.citation(made.study)
    empty = Study(made.study.record, without=frozenset())
    assert copy.section(empty).question.endswith("?")


def test_load_is_light_and_never_loads_torch(tmp_path: Path, fabricate: Any) -> None:
    run = partial(tmp_path / "run", fabricate)
    code = (
        "import sys, harness; assert 'pandas' not in sys.modules; "
        f"made = harness.load({str(run)!r}); made.claims, made.trajectory, repr(made); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "False", done.stderr
