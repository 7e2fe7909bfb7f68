"""The items of a run's suites, as the scorer asks them, against all texts of its plan; made once, and found again."""

import json
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness import contaminated
from harness.asking import ask
from harness.contaminated import items
from harness.contamination import Item
from harness.flags import FLAG, flagged
from harness.resolve import Ready, resolve
from harness.suite import Suite, Task

LONG = "which of the two old rivers of the land is known to all who live by the wide market"
Config = dict[str, Any]
EXACT, BITS = [{"metric": "exact_match"}], [{"metric": "bits_per_byte"}]
CHOICE = {"output_type": "multiple_choice", "doc_to_choice": "options", "metric_list": [{"metric": "acc"}]}
CASES: dict[str, tuple[Config, Config, tuple[str, str]]] = {
    "choice": (
        {**CHOICE, "doc_to_text": "Q: {{q}}\nA:", "doc_to_target": "right", "description": "Answer.", "num_fewshot": 1},
        {"q": LONG, "options": ["Aldon", "Brisk"], "right": 1},
        (f"Q: {LONG}\nA:", "Brisk"),
    ),
    "choice by contexts": (
        {**CHOICE, "doc_to_text": "right", "doc_to_target": "end"},
        {"options": ["the old one", "the wide one"], "right": 1, "end": "is known"},
        ("the wide one", "is known"),
    ),
    "several right": (
        {**CHOICE, "doc_to_text": "q", "doc_to_target": "right"},
        {"q": LONG, "options": ["a", "b", "c"], "right": [1, 2]},
        (LONG, "b"),
    ),
    "generated": (
        {"output_type": "generate_until", "doc_to_text": "q", "doc_to_target": "end", "metric_list": EXACT},
        {"q": LONG, "end": "the answer"},
        (LONG, "the answer"),
    ),
    "continuation": (
        {"output_type": "loglikelihood", "doc_to_text": "q", "doc_to_target": "end", "metric_list": [{"metric": "acc"}]},
        {"q": LONG, "end": "the answer"},
        (LONG, "the answer"),
    ),
    "text": (
        {"output_type": "loglikelihood_rolling", "doc_to_text": "", "doc_to_target": "q", "metric_list": BITS},
        {"q": LONG},
        ("", LONG),
    ),
}  # fmt: skip


def task(name: str, config: Config, documents: list[Config], **known: Any) -> Task:
    def read() -> Iterator[Mapping[str, Any]]:
        return iter(documents)

    metric = config["metric_list"][0]["metric"]
    full = {"task": name, "test_split": "test", "metadata": {"version": 1.0}, **config}
    return Task(name, metric=metric, config=full, documents=read, identity="id", **known)


@pytest.mark.parametrize("name", CASES)
def test_an_item_is_what_is_asked_and_what_is_right(name: str) -> None:
    """Neither examples nor descriptions belong to it."""
    config, document, wanted = CASES[name]
    made = task("quiz", config, [{"id": f"{i}", **document} for i in range(3)])
    assert list(items([Suite("s", "", (made,), "k")], None)) == [Item("s", "quiz", str(i), *wanted) for i in range(3)]


def test_where_the_target_only_tries_answers_another_field_is_the_answer() -> None:
    config, document, _ = CASES["generated"]
    made = task("code", config, [{"id": "0", **document, "solution": "return 1"}], reference="solution")
    (item,) = items([Suite("s", "", (made,), "k")], None)
    assert (item.question, item.answer) == (LONG, "return 1")


def test_a_limit_is_that_of_scoring() -> None:
    config, document, _ = CASES["generated"]
    made = Suite("s", "", (task("quiz", config, [{"id": f"{i}", **document} for i in range(9)]),), "k")
    assert len(list(items([made], 4))) == 4


@pytest.fixture
def planted(tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A plan whose new and old text and a part of the task text each hold one question, and the plan."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    asked = [" ".join(random.Random(number).choices(LONG.split(), k=20)) for number in range(6)]

    def text(name: str, holds: list[int]) -> Path:
        lines = [f"{i} the {name} text tells of the river of Aldon, which is wide and known to all" for i in range(60)]
        for number in holds:
            lines[7 + number] += f". Who knows? {asked[number].upper()}! Yes"
        path = tmp_path / f"{name}.jsonl"
        rows = [{"id": f"{name}-{i}", "text": line} for i, line in enumerate(lines)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        for split in ("validation", "test"):
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / f"{split}.jsonl").write_text(
                json.dumps({"id": f"{name}-{split}", "text": f"{name} {split}"}) + "\n"
            )
        path.rename(tmp_path / name / "train.jsonl")
        return tmp_path / name

    rows = [{"QUESTION": "Whose?", "CONTEXTS": [line], "final_decision": "yes"} for line in asked]
    (tmp_path / "asked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "suite.yaml").write_text(
        "name: quiz\ntasks: [{task: pubmedqa, measures: keep, chance: 0.333, files: {test: asked.jsonl}}]\n"
    )
    given = {
        "new": str(text("fresh", [0])),
        "old": f"{text('stale', [1])},{text('worn', [2, 3])}",
        "task": str(text("aim", [4])),
    }
    words = {
        **given,
        "model": str(model_folder),
        "suites": str(tmp_path / "suite.yaml"),
        "length": 16,
        "batch": 4,
        "tokens": 1280,
    }
    return lambda **more: resolve(ask(None, {**words, "seeds": 1, "strategies": "kl", "output": str(tmp_path / "run"), **more}))


def found(ready: Ready) -> dict[str, list[str]]:
    """Source -> flagged items, with the documents that hold them."""
    table = pd.read_parquet(ready.folder / "contamination.parquet")
    table = table.loc[(table["task"] == "pubmedqa") & flagged(table)]
    return {
        str(source): [f"{r['item']} {r['document']}" for r in rows.to_dict("records")]
        for source, rows in table.groupby("source")
    }


def test_copies_are_found_in_every_text_of_the_plan(planted: Any) -> None:
    ready = planted()
    heard: list[tuple[float, int]] = []
    contaminated.keep(ready, lambda done, whole: heard.append((done, whole)))
    wanted = {"new": ["0 fresh-7"], "old: stale": ["1 stale-8"], "old: worn": ["2 worn-9", "3 worn-10"], "task": ["4 aim-11"]}
    assert found(ready) == wanted
    assert all(done <= whole for done, whole in heard)
    assert len(heard) == 4, "each text is read once for all suites"

    stamp = (ready.folder / "contamination.parquet").stat().st_mtime_ns
    contaminated.keep(ready, lambda done, whole: heard.append((done, whole)))
    assert (ready.folder / "contamination.parquet").stat().st_mtime_ns == stamp
    contaminated.keep(planted(output=str(ready.folder) + "-2"), lambda done, whole: heard.append((done, whole)))
    assert len(heard) == 4, "another folder finds what was found"


def test_a_damaged_table_is_made_anew(planted: Any) -> None:
    ready = planted()
    contaminated.keep(ready, lambda done, whole: None)
    path = ready.folder / "contamination.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    contaminated.keep(ready, lambda done, whole: None)
    assert path.read_bytes() == whole


def test_text_that_is_not_read_is_not_looked_through(planted: Any) -> None:
    """Of streamed text as many documents as were packed."""
    ready = planted()
    source = contaminated.Source(ready.corpora["new"], 7, 1000)
    overlap = contaminated.Overlap(list(items(ready.suites, None)))
    assert contaminated._look(overlap, source, lambda done, whole: None)["share"].max() < FLAG
