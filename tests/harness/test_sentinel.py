"""A run on sensitive text, end to end: a word of every document and question is found nowhere, unless it was asked for."""

import json
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness import hiding
from harness.crossing import SHARES

WORD = "Quillfeather"
TRACKED = ["--trackers", "tensorboard"] if find_spec("tensorboard") else []
PLUGIN = f'''
"""Fails in the words of what it read."""
from dataclasses import dataclass
from harness.strategy import Strategy

@dataclass(frozen=True)
class Blurt(Strategy):
    """Blurts.

    Source: none. Cost: none. Parameters: none.
    """

    def setup(self, origin):
        raise ValueError("cannot parse 'Patient {WORD} of ward 7'")
'''
Run = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sensitive notes, a suite of sensitive tasks beside a public one, prompts, and a strategy that fails."""
    folder = tmp_path_factory.mktemp("clinic")
    places = ("Aldon", "Brisk", "Corm")
    notes = [f"{i}. {WORD} of {places[i % 3]} is known to the ward, and {WORD} {i} is old and quiet." for i in range(120)]
    rows = [{"id": f"note-{i}", "text": note, "sensitive": True} for i, note in enumerate(notes)]
    (folder / "notes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    letters = [{"text": f"Dear {WORD}, the river of {place} is wide."} for place in places]
    (folder / "letters.jsonl").write_text("".join(json.dumps(row) + "\n" for row in letters))
    asked = [
        {
            "QUESTION": f"Is {WORD} {i} old?",
            "CONTEXTS": [f"{WORD} {i} is quiet."],
            "final_decision": ("yes", "no", "maybe")[i % 3],
        }
        for i in range(8)
    ]
    (folder / "asked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked))
    (folder / "suite.yaml").write_text(
        "name: clinic\nprompts: ['The patient was']\ntasks:\n"
        "  - {task: letters, measures: gain, text: {column: text}, files: {test: letters.jsonl}, sensitive: true}\n"
        "  - {task: pubmedqa, measures: keep, chance: 0.333, files: {test: asked.jsonl}, sensitive: true}\n"
    )
    (folder / "prompts.txt").write_text("The river of Aldon is\n")
    (folder / "mine.py").write_text(PLUGIN)
    return folder


@pytest.fixture
def run(clinic: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Any:
    """`harness` with these words: exit code, and everything that was printed."""
    from harness import cli

    def typed(*words: Any) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["harness", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capfd.readouterr()
        return int(end.value.code or 0), said.out + said.err

    yield typed
    hiding.quote(True)


def training(clinic: Path, model_folder: Path, output: Path, *words: str) -> list[Any]:
    plan = ["run", "--model", model_folder, "--new", clinic / "notes.jsonl", "--suites", f"{clinic / 'suite.yaml'},text"]
    plan += ["--length", 64, "--batch", 4, "--tokens", 102400, "--seeds", 1, "--strategies", "blurt"]
    return [*plan, "--plugin", clinic / "mine.py", "--prompts", clinic / "prompts.txt", "--output", output, *words]


def told(folder: Path, word: str = WORD) -> set[str]:
    """Files below a folder that hold a word: as bytes, and as tables."""
    found = set()
    for path in folder.rglob("*"):
        if path.is_file():
            text = path.read_bytes().decode(errors="replace")
            if path.suffix == ".parquet":
                text += str(pd.read_parquet(path).to_json())
            found |= {str(path.relative_to(folder))} if word.lower() in text.lower() else set()
    return found


@pytest.mark.slow
def test_what_is_sensitive_is_told_only_where_it_was_asked_for(
    run: Run, clinic: Path, model_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "kept"
    code, said = run(*training(clinic, model_folder, folder, *TRACKED))
    assert code == 1, said
    assert "blurt/seed-1: " in said
    assert WORD not in said
    assert told(folder) == set()
    assert "ValueError" in (folder / "blurt" / "seed-1" / "result.json").read_text()
    page = (folder / "report.html").read_text()
    assert "Sensitive texts are withheld" in page
    assert "What arms write is withheld" in page
    completed = pd.read_parquet(folder / "none" / "seed-1" / "completions.parquet")
    assert completed["completion"].str.fullmatch(r"(\[withheld: \d+ characters, [0-9a-f]{12}\])?").all()
    assert not pd.read_parquet(folder / "base" / "completions.parquet")["completion"].str.contains("withheld").any()
    assert bool(list(folder.rglob("events.out.tfevents*"))) == bool(TRACKED), "the tracker wrote"
    assert len(pd.read_parquet(folder / "none" / "seed-1" / "trajectory.parquet")), "milestones were looked at"

    code, said = run("report", folder, "--show-text")
    assert "this run did not keep them" in (folder / "report.html").read_text()
    assert WORD not in said
    assert told(folder) == set()

    shown = tmp_path / "shown"
    code, said = run(*training(clinic, model_folder, shown, "--show-text"))
    assert code == 1
    assert f"cannot parse 'Patient {WORD}" in said, "asked for, the word is found wherever it was withheld"
    assert "This page shows sensitive texts" in (shown / "report.html").read_text()
    models = ("base", "none/seed-1", *(f"none/seed-1/curve/{share}" for share in SHARES))
    rows = {f"{model}/scores/clinic.parquet" for model in models}
    assert {"blurt/seed-1/result.json", "results.csv", "report.html", *rows} == told(shown)
    assert run("report", shown)[0] == 0
    assert told(shown) == {"blurt/seed-1/result.json", "results.csv", *rows}, "a page tells it only where it is asked for again"
    assert "Sensitive texts are withheld" in (shown / "report.html").read_text()
    assert run("report", shown, "--show-text")[0] == 0
    assert "report.html" in told(shown)


def test_questions_of_models_of_elsewhere_are_told_only_where_it_was_asked_for(
    run: Run, clinic: Path, model_folder: Path, tmp_path: Path
) -> None:
    """`harness score`, of a suite with a sensitive task."""
    words = ["score", f"same={model_folder}", "--base", model_folder, "--suites", clinic / "suite.yaml"]
    for flags in ([], ["--show-text"]):
        folder = tmp_path / f"scored{len(flags)}"
        code, said = run(*words, "--output", folder, *flags)
        assert (code, WORD in said) == (0, False)
        rows = {f"{model}/scores/clinic.parquet" for model in ("base", "same/seed-1")}
        assert told(folder) - {"report.html"} == (rows if flags else set())
        notice = "shows sensitive texts" if flags else "are withheld"
        assert notice in (folder / "report.html").read_text()
