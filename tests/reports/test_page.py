"""The page: whole, harmless, and drawn."""

import json
import re
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness import record
from harness.forgetting import LOST, Study
from reports import flipped, page, tradeoff
from reports.words import clean


class Elements(HTMLParser):
    """Element names and attributes of a page, and the text of its JSON blocks."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.blocks: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if data.strip() and self.tags and self.tags[-1][0] == "script" and "data-figure" in self.tags[-1][1]:
            self.blocks.append(data)


def parsed(path: Path) -> Elements:
    """The page without its two scripts."""
    return Elements(re.sub(r"<script>.*?</script>\n", "", path.read_text(encoding="utf-8"), flags=re.DOTALL))


def test_hostile_strings_make_no_elements(evil: Path, finished: Path) -> None:
    known = {tag for tag, _ in parsed(finished).tags}
    found = parsed(evil)
    assert {tag for tag, _ in found.tags} <= known
    assert not any(name.startswith("on") for _, attributes in found.tags for name in attributes)
    assert "img" not in {tag for tag, _ in found.tags}


def test_json_blocks_parse_and_their_labels_are_escaped(evil: Path) -> None:
    blocks = parsed(evil).blocks
    assert len(blocks) >= 6
    text = json.dumps([json.loads(block) for block in blocks])
    assert "<img" not in text
    assert "&lt;img" in text


def test_templates_are_not_evaluated_and_bidi_marks_are_gone(evil: Path) -> None:
    text = evil.read_text(encoding="utf-8")
    body = re.sub(r"<script>.*?</script>\n", "", text, flags=re.DOTALL)
    assert "{{7*7}}" in body
    assert not set(body) & set("\u202e\u202c\u2066\u2069\x07")
    assert "gnikaerb" in body


def test_clean_keeps_what_is_harmless() -> None:
    assert clean("naïve 日本 👩‍🔬\n\tx") == "naïve 日本 👩‍🔬\n\tx"
    assert clean("a\u202eb\x00c\ud800") == "ab\ufffdc\ufffd"


def test_nothing_points_to_a_network(finished: Path) -> None:
    tags = parsed(finished).tags
    assert not [a for _, a in tags if {"src", "action"} & a.keys() or not str(a.get("href", "#")).startswith("#")]
    policies = [a["content"] for t, a in tags if t == "meta" and a.get("http-equiv") == "Content-Security-Policy"]
    assert len(policies) == 1
    assert "default-src 'none'" in str(policies[0])
    assert "script-src 'sha256-" in str(policies[0])


def test_plotly_is_inlined_once(finished: Path) -> None:
    assert finished.read_text(encoding="utf-8").count("plotly.js v") == 1
    assert finished.stat().st_size < 6_000_000


def test_every_figure_has_marks_a_sentence_and_a_table(run: Path) -> None:
    objects = pytest.importorskip("plotly.graph_objects")
    study = Study(record.read(run))
    figures = [
        figure
        for module in page.SECTIONS
        for block in module.section(study).blocks
        if block.kind == "figures"
        for figure in block.figures  # pyright: ignore[reportAttributeAccessIssue]
    ]
    assert len(figures) >= 15
    for figure in figures:
        objects.Figure(figure.plot)  # raises where plotly does not know a setting
        assert figure.conclusion
        assert figure.table.rows


def test_a_plane_is_drawn_where_no_unit_has_both_axes(tmp_path: Path, fabricate: Any) -> None:
    kept = ("grammar", "text_rehearsed", "text_medical")
    recipe = fabricate.Recipe(seeds=(0,), tasks={task: fabricate.TASKS[task] for task in kept})
    study = Study(record.read(fabricate.run_folder(tmp_path, recipe)))
    assert [panel.name for panel in tradeoff.panels(study)] == ["plane-mixed", "plane-rehearsed"]
    figures = tradeoff.section(study).blocks[0].figures  # pyright: ignore[reportAttributeAccessIssue]
    assert "points lost on unrehearsed tasks" in figures[0].plot["layout"]["yaxis"]["title"]["text"]
    assert "bits per byte learned on new text" in figures[0].plot["layout"]["xaxis"]["title"]["text"]


def test_every_section_asks_and_answers(run: Path) -> None:
    study = Study(record.read(run))
    sections = [module.section(study) for module in page.SECTIONS]
    assert all(section.question.endswith("?") for section in sections)
    assert all(section.answer.endswith(".") for section in sections)
    assert len({section.name for section in sections}) == len(sections)


def test_tables_are_rectangular(run: Path) -> None:
    study = Study(record.read(run))
    for module in page.SECTIONS:
        for block in module.section(study).blocks:
            if block.kind == "table":
                assert {len(row) for row in block.rows} <= {len(block.head)}  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("left", ["plan", "base", "failures", "one arm"])
def test_partial_runs_are_pages_too(tmp_path: Path, fabricate: Any, left: str) -> None:
    every = tuple((arm, 0) for arm in fabricate.ARMS)
    recipe = fabricate.Recipe(seeds=(0,), missing=every[1:] if left == "one arm" else () if left == "failures" else every,
                              failed=every if left == "failures" else ())  # fmt: skip
    folder = fabricate.run_folder(tmp_path, recipe)
    if left == "plan":
        (folder / "base" / "result.json").unlink()
        for path in (folder / "base" / "scores").iterdir():
            path.unlink()
    text = page.write(folder).read_text(encoding="utf-8")
    assert "Partial: of 5 trainings" in text
    assert "does only what is missing" in text


def test_sensitive_suites_keep_their_texts_off_the_page(tmp_path: Path, fabricate: Any) -> None:
    recipe = fabricate.Recipe(seeds=(0,), plan={"sensitive": ["world_general"]})
    text = page.write(fabricate.run_folder(tmp_path, recipe)).read_text(encoding="utf-8")
    told = set(re.findall(r"Question \d+ of (\w+)", re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)))
    assert told == {"drugs", "diseases"}  # of the suite that is not sensitive
    assert "sha256 prompt-" in text


def test_questions_without_words_in_their_rows_are_told_by_their_own_digests(tmp_path: Path, fabricate: Any) -> None:
    """Of a sensitive task no words are stored, so that a digest of what is there would be that of nothing, for all alike."""
    folder = fabricate.run_folder(tmp_path, fabricate.Recipe(seeds=(0,)))
    for path in folder.rglob("scores/*.parquet"):
        rows = pd.read_parquet(path)
        rows.assign(prompt="", options=[[]] * len(rows)).to_parquet(path)
    study = Study(record.read(folder))
    (table,) = flipped.tables(study, study.tasks(LOST))
    asked = [getattr(row[1], "text", "") for row in table.rows]
    assert len(set(asked)) == len(asked) > 3
    assert all(re.fullmatch(r"item (\S+), sha256 prompt-.*", question) for question in asked)
    assert {str(row[2]).split()[0] for row in table.rows} == {"option"}


def test_the_same_run_gives_the_same_page(run: Path) -> None:
    assert page.write(run).read_bytes() == page.write(run).read_bytes()


def test_a_small_run_is_a_page_in_seconds(run: Path) -> None:
    page.write(run)
    began = time.process_time()
    page.write(run)
    assert time.process_time() - began < 5


def test_the_report_loads_no_torch() -> None:
    code = "import sys, reports.page; sys.exit(bool({'torch', 'transformers', 'lm_eval'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(page.__file__).parents[1])
