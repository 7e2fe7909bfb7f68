"""Forgetting by suite, bits per byte and flipped items: what they say is what was planted and what stands in the rows."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from harness import record
from harness.forgetting import FORGETTING, Study
from harness.statistics import Estimate
from reports import corpora, flipped, items, page, suites, words
from reports.section import shared


@pytest.fixture(scope="module")
def study(run: Path) -> Study:
    return Study(record.read(run))


def test_a_suite_is_the_macro_average_of_its_tasks(study: Study) -> None:
    found = {(row.suite, row.source): row for row in suites.rows(study, "text")}
    assert set(found) == {("world_general", "unrehearsed"), ("world_general", "rehearsed")}
    row, whole = found["world_general", "unrehearsed"], study.figure(FORGETTING, "none")
    assert whole is not None
    assert row.found["none"] == whole  # the only suite with such text
    sizes = [(stats.t.ppf(0.975, e.freedom) + stats.t.ppf(0.8, e.freedom)) * e.error for e in row.found.values()]
    assert row.smallest == pytest.approx(np.median(sizes))
    assert "The control clearly forgot in every row below, most in world_general" in suites.answer(study, [
        row for kind in suites.KINDS for row in suites.rows(study, kind)
    ])  # fmt: skip


def test_an_arm_keeps_its_name_at_the_head_of_a_sentence(study: Study) -> None:
    """Without a control the first arm is spoken of, spelled as it was typed."""
    alone = replace(study, record=replace(study.record, plan={**study.record.plan, "control": ""}))
    assert suites.answer(alone, suites.rows(alone, "text")).startswith("none clearly forgot in ")


def test_where_there_is_no_interval_none_is_told() -> None:
    """Of a single cluster nobody knows how sure a figure is."""
    alone = Estimate(0.5, math.inf, 1, 12, 1)
    assert words.interval(alone, "text") == "no interval, a single cluster"
    assert words.percents(alone) == "no interval, a single cluster"
    assert shared(alone).under == "no interval, a single cluster"


def test_macro_averages_give_every_corpus_the_same_weight(study: Study) -> None:
    found = corpora.rows(study)
    (macro,) = [row for row in found if row.name.startswith("macro")]
    parts = [row for row in found if row.purpose == macro.purpose and row is not macro]
    assert len(parts) == 2
    assert macro.base.value == pytest.approx(np.mean([row.base.value for row in parts]))
    assert macro.changes["kl"].value == pytest.approx(np.mean([row.changes["kl"].value for row in parts]))
    medical = next(row for row in found if row.name == "text_medical")
    fell = f"fell from {medical.base.value:.3f} to {medical.base.value + medical.changes['none'].value:.3f} bits per byte"
    assert fell in corpora.answer(study, found)


def test_what_flipped_is_shown_as_it_stands_in_the_rows(study: Study) -> None:
    samples = [sample for sample in study.samples.values() if sample.kind == "accuracy"]
    (table,) = flipped.tables(study, samples)
    shown = {getattr(row[1], "text", ""): row for row in table.rows}
    assert len(shown) == len(table.rows) == flipped.MOST
    sample = study.samples["grammar"]
    place = flipped.flips(study, sample)[0]
    row = shown[f"Question {place} of grammar: the answer is"]
    cells: list[Any] = [row[3], row[4 + study.arms.index("none")]]
    for cell, right in zip(cells, (sample.before[place], sample.after["none", 0][place]), strict=True):
        assert cell.text.startswith("✓") == bool(right)
    rows = study.rows["none", 0]["grammar"]
    moved = rows["margin"].iloc[place] - study.start["grammar"]["margin"].iloc[place]
    assert cells[1].under == f"{words.fixed(moved, 1, True)}\u00a0nats"
    total = sum(len(flipped.flips(study, each)) for each in samples)
    assert f"{flipped.MOST} of {total:,} questions that flipped" in table.caption
    assert "scores/*.parquet" in table.caption


def test_few_flips_are_all_shown_and_many_share_the_room() -> None:
    assert flipped.chosen({"a": [1, 2], "b": [], "c": [3]}) == {"a": [1, 2], "b": [], "c": [3]}
    picks = flipped.chosen({"large": list(range(500)), "small": list(range(7)), "middle": list(range(120))})
    assert {task: len(found) for task, found in picks.items()} == {"small": 7, "middle": 96, "large": 97}


def test_shares_that_flipped_are_of_the_items(study: Study) -> None:
    sample = study.samples["grammar"]
    found = items.counted(study, [sample])["grammar", "none"]
    lost = int(((sample.before > 0.5) & (sample.after["none", 0] < 0.5)).sum())
    table = items.counts(study, [sample], {("grammar", "none"): found})
    row: Any = dict(zip(table.head, table.rows[0], strict=True))
    assert (row["lost"].value, row["lost"].under) == (lost / len(sample.items), f"{lost} items")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("−0.031", -0.031), ("+4.2 *", 4.2), ("307 k", 307_000), ("3.1 B", 3.1e9), ("3 of 3", 3), ("27 %", 27)),
        *(
            ("< .001", 0.001),
            ("1.2e-05", 1.2e-05),
            ("1,024", 1024),
            ("–", None),
            ("unknown", None),
            ("", None),
            ("v2.13.0", None),
        ),
    ],
)
def test_words_are_sorted_by_their_number(text: str, value: float | None) -> None:
    assert words.number(text) == (None if value is None else pytest.approx(value))
    assert page.ranked(text) == ("" if value is None else f' data-value="{value:.9g}"')


def test_a_suite_of_a_single_cluster_draws_no_band_and_says_so(tmp_path: Path, fabricate: Any) -> None:
    arms = {name: fabricate.ARMS[name] for name in ("none", "kl")}
    recipe = fabricate.Recipe(arms=arms, seeds=(0,), documents=1, items=20, milestones=())
    study = Study(record.read(fabricate.run_folder(tmp_path / "run", recipe)))
    found = {drawn.name: drawn for block in suites.section(study).blocks for drawn in getattr(block, "figures", ())}
    assert found["forest-text"].conclusion == "This run could show no change: all items of a row belong together."
    assert found["forest-text"].plot["layout"]["shapes"] == []
    assert len(found["forest-accuracy"].plot["layout"]["shapes"]) == len(suites.rows(study, "accuracy"))
