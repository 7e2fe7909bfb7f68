"""Items that training text holds: on the page with figures as they follow from the rows; and said to be none where none are."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness import flags, record, results
from harness.forgetting import FORGETTING, LEARNED, Study
from harness.tabled import CONTAMINATION_COLUMNS
from reports import cautions, data, overlap, page

SHARES = {"drugs": 0.3, "facts": 0.02, "text_stories": 0.9}
"""Of the first items of a task, what the new text holds."""
HELD = 30


def held(folder: Path, shares: dict[str, float], count: int = HELD, **more: Any) -> Path:
    """Write what a run would have found: so much of the first items of these tasks in new text, and nothing in old text."""
    base = pd.concat([pd.read_parquet(path) for path in sorted((folder / "base" / "scores").glob("*.parquet"))])
    rows = []
    for task, found in base.groupby("task", sort=False):
        for place, each in enumerate(found.to_dict("records")):
            for source in ("new", "old"):
                share = shares.get(str(task), 0.0) if place < count and source == "new" else 0.0
                told = {"suite": each["suite"], "task": task, "item": each["item"], "source": source, "words": 40, "n": 13}
                shown = {"share": share, "question": share, "answer": share, "document": "doc-1" if share else ""}
                rows.append(told | shown | more)
    pd.DataFrame(rows, columns=list(CONTAMINATION_COLUMNS)).to_parquet(folder / "contamination.parquet")
    return folder


@pytest.fixture
def study(tmp_path: Path, fabricate: Any) -> Study:
    return Study(record.read(held(fabricate.run_folder(tmp_path, fabricate.Recipe()), SHARES)))


def test_flags_are_those_of_the_bound(study: Study) -> None:
    found = flags.tallies(study)
    assert {task: len(tally.flagged) for task, tally in found.items() if tally.flagged} == {"drugs": HELD, "text_stories": HELD}
    assert {task for task, tally in found.items() if tally.copied} == {"text_stories"}
    assert found["facts"].largest == 0.02


@pytest.mark.parametrize(("share", "answer", "flag"), [(0.2, 0.0, True), (0.19, 0.19, False), (0.0, 1.0, True)])
def test_an_answer_counts_as_much_as_the_whole(share: float, answer: float, flag: bool) -> None:
    assert flags.flagged(pd.DataFrame({"share": [share, math.nan], "answer": [answer, math.nan]})).tolist() == [flag, False]


@pytest.mark.parametrize("arm", ["none", "kl"])
def test_figures_without_flagged_items_follow_from_the_rows(study: Study, arm: str) -> None:
    """By hand: the mean over seeds and over the items that are left; bits per byte as a ratio of sums."""
    clean = flags.clean(study)
    assert clean
    seeds = [pd.concat(pd.read_parquet(path) for path in (study.record.folder / arm).glob(f"seed-{seed}/scores/*.parquet"))
             for seed in (0, 1, 2)]  # fmt: skip
    base = pd.concat(pd.read_parquet(path) for path in (study.record.folder / "base" / "scores").glob("*.parquet"))

    def of(rows: pd.DataFrame, task: str) -> pd.DataFrame:
        return rows[rows["task"] == task].iloc[HELD if task in ("drugs", "text_stories") else 0 :]

    def right(rows: pd.DataFrame, task: str) -> float:
        return float(of(rows, task)["value"].to_numpy().mean())

    def bits(rows: pd.DataFrame, task: str) -> float:
        left = of(rows, task)
        sizes = np.array([each[0] for each in left["option_bytes"]])
        return -sum(each[0] for each in left["loglikelihoods"]) / math.log(2) / sizes.sum()

    learned = np.mean([[right(rows, task) - right(base, task) for task in ("drugs", "diseases")] for rows in seeds])
    forgot = np.mean([[bits(rows, task) - bits(base, task) for task in ("text_stories", "text_letters")] for rows in seeds])
    for reading, wanted in ((LEARNED, learned), (FORGETTING, forgot)):
        figure = clean.figure(reading, arm)
        assert figure
        assert figure.value == pytest.approx(wanted, rel=1e-12)
        whole = study.figure(reading, arm)
        assert whole
        assert whole.value != figure.value
    rows = results.results(study.record)
    row = rows[(rows["arm"] == arm) & (rows["seed"] == 1) & (rows["task"] == "drugs")].iloc[0]
    assert (row["flagged"], row["n"]) == (HELD, 240)
    assert row["change_unflagged"] == pytest.approx(right(seeds[1], "drugs") - right(base, "drugs"), rel=1e-12)


def test_too_few_that_are_left_are_said_and_give_no_number(tmp_path: Path, fabricate: Any) -> None:
    folder = held(fabricate.run_folder(tmp_path, fabricate.Recipe(seeds=(0,))), {"text_stories": 0.5}, count=31)
    study = Study(record.read(folder))
    clean = flags.clean(study)
    assert clean
    assert "text_stories" not in clean.samples
    shown = page.render(study)
    assert "too few: 29, and a figure takes 30" in shown
    (row,) = [r for r in results.results(study.record).to_dict("records") if (r["arm"], r["task"]) == ("kl", "text_stories")]
    assert (row["flagged"], math.isnan(row["change_unflagged"])) == (31, True)


def test_a_conclusion_that_hangs_on_flagged_items_is_a_caution(tmp_path: Path, fabricate: Any) -> None:
    """All of what shows forgetting lies in the flagged documents: without them too few are left."""
    recipe = fabricate.Recipe()
    folder = held(
        fabricate.run_folder(tmp_path, recipe), {"text_stories": 1.0, "text_letters": 1.0, "facts": 1.0, "grammar": 1.0}, 240
    )
    study = Study(record.read(folder))
    (sentence,) = [line for line in cautions.warnings(study) if "Training text holds" in line]
    assert "none: nothing instead of forgotten" in sentence
    assert "Without them fewer than 30 items are left of " in sentence
    assert "The headline is of all items" in sentence
    assert not [
        line for line in cautions.warnings(Study(record.read(held(folder, SHARES, 2)))) if "Training text holds" in line
    ]


@pytest.mark.parametrize(
    ("shares", "more", "said"),
    [
        ({}, {}, "Of 1920 items that could be judged, the training text holds none."),
        ({"drugs": 0.9}, {}, "holds 30 as good as whole. Figures without them stand below."),
        ({"text_medical": 0.6}, {}, "holds parts of 30, none of them whole (60 % at most). All are documents (text_medical)"),
        ({}, {"n": 0, "share": math.nan}, "1920 others are too short to be told."),
    ],
)  # fmt: skip
def test_the_answer_says_what_was_found(
    tmp_path: Path, fabricate: Any, shares: dict[str, float], more: dict[str, Any], said: str
) -> None:
    study = Study(record.read(held(fabricate.run_folder(tmp_path, fabricate.Recipe(seeds=(0,))), shares, **more)))
    assert said in overlap.answer(study)


def test_what_was_not_looked_for_is_said(tmp_path: Path, fabricate: Any) -> None:
    folder = fabricate.run_folder(tmp_path, fabricate.Recipe(seeds=(0,)))
    assert "were not looked for" in data.section(Study(record.read(folder))).answer
    models = [{"arm": "kl", "seed": 0, "path": "kl", "digest": "d"}]
    told = fabricate.Recipe(seeds=(0,), arms={"kl": fabricate.ARMS["kl"]}, plan={"models": models, "control": ""})
    elsewhere = fabricate.run_folder(tmp_path / "other", told)
    assert "cannot be told" in data.section(Study(record.read(elsewhere))).answer


EVIL = "</script><img src=x onerror=alert(1)>"


def test_names_of_texts_and_documents_are_no_markup(tmp_path: Path, fabricate: Any) -> None:
    new = {"name": EVIL, "about": EVIL, "licence": EVIL, "notes": [EVIL], "key": "k", "documents": 1, "tokens": 1}
    folder = fabricate.run_folder(tmp_path, fabricate.Recipe(seeds=(0,), plan={"sources": {"new": new}}))
    held(folder, {"drugs": 1.0})
    rows = pd.read_parquet(folder / "contamination.parquet")
    rows.assign(document=EVIL, source=EVIL).to_parquet(folder / "contamination.parquet")
    shown = page.write(folder).read_text(encoding="utf-8")
    assert "&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;" in shown
    assert "<img src=x" not in shown


def test_the_list_is_cut_with_its_count(tmp_path: Path, fabricate: Any) -> None:
    folder = held(fabricate.run_folder(tmp_path, fabricate.Recipe(seeds=(0,))), {"drugs": 0.5, "facts": 0.6}, 120)
    table = overlap.listed(Study(record.read(folder)))
    assert len(table.rows) == overlap.LISTED
    assert "100 of 240" in table.caption
    assert {row[0] for row in table.rows} == {"facts"}, "the largest shares first"


def test_every_part_of_a_mixture_stands_with_what_was_read_of_it(tmp_path: Path, fabricate: Any) -> None:
    known = {"licence": "CC0", "documents": 5, "tokens": 4000}
    parts = [{"name": name, "sensitive": name == "ward", **known} for name in ("web", "ward")]
    old = {"name": "web+ward", "sensitive": True, "parts": parts}
    sources = {"new": {"name": "notes", "documents": 3, "tokens": 1000}, "old": old}
    folder = fabricate.run_folder(tmp_path, fabricate.Recipe(seeds=(0,), plan={"sources": sources}))
    path = folder / "none" / "seed-0" / "result.json"
    one = {"epochs": 0.25, "unique_tokens": 1000, "documents": 2}
    read = {"old": {"tokens": 3000, **one, "parts": {"web": {"tokens": 1000, **one}, "ward": {"tokens": 2000, **one}}}}
    facts = json.loads(path.read_text()) | {"tokens": {"new": 1000, "old": 3000, "drawn": 0}, "read": read}
    path.write_text(json.dumps(facts))
    study = Study(record.read(folder))
    told = data.texts(study)
    assert [row[0] for row in told.rows] == ["new text, to be learned"] + 2 * ["old text, which the base knows"]
    table = data.read(study)
    assert table.head[:4] == ("arm", "new", "old: web", "old: ward")
    cells: dict[str, Any] = dict(zip(table.head, table.rows[0], strict=True))
    assert (cells["new"].text, cells["new"].under) == ("1 k", "25 %")
    assert (cells["old: ward"].text, cells["old: ward"].under) == ("2 k", "50 %, 0.25 epochs, 1 k unique")
    assert any("old: ward text is sensitive" in sentence for sentence in data.withheld(study))
    assert "Sensitive texts are withheld" in page.render(study)
