"""`harness run` on several texts: what the plan says, what is scored, what arms read of each, and how a run goes on."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from harness import cli
from harness.files import read_json

Run = Callable[..., tuple[int, str, str]]


def text(path: str, topic: str, documents: int) -> None:
    rows = [
        {"id": str(i), "text": f"Note {i} on {topic}: {i * i} of {topic} and {i} more. <|endoftext|>"} for i in range(documents)
    ]
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def run(model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`harness run` with a small plan and these words: code, what was printed and what was complained of."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    for name, topic, documents in (("a", "rivers", 90), ("b", "towns", 60), ("old", "hills", 60), ("task", "boats", 30)):
        text(f"{name}.jsonl", topic, documents)

    def typed(*words: Any) -> tuple[int, str, str]:
        flags = ["--model", model_folder, "--length", 16, "--batch", 4, "--seeds", 1]
        flags += ["--output", "out", "--limit", 2, "--no-milestones", *words]
        monkeypatch.setattr(sys, "argv", ["harness", "run", *map(str, flags)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out, said.err

    return typed


def test_several_texts_are_trained_on_scored_and_recorded(run: Run) -> None:
    tapt = "replay:source=task:share=1"
    words = ("--new", "a.jsonl=0.75,b.jsonl=0.25", "--task", "task.jsonl", "--strategies", tapt, "--tokens", 1280)
    code, out, err = run(*words)
    assert (code, err) == (0, "")
    assert "the new text is, by tokens, 0.75 a (read" in out
    plan = yaml.safe_load(Path("out/plan.yaml").read_text())["sources"]
    assert [(part["name"], part["share"]) for part in plan["new"]["parts"]] == [("a", 0.75), ("b", 0.25)]
    assert "parts" not in plan["task"]
    tasks = set(pd.read_parquet("out/base/scores/text.parquet")["task"])
    assert tasks == {"new_text_a", "new_text_b", "task_text"}
    assert set(pd.read_parquet("out/contamination.parquet")["source"]) == {"new: a", "new: b", "task"}
    read = read_json(Path("out/none/seed-1/result.json"))["read"]
    assert {name: part["tokens"] for name, part in read["new"]["parts"].items()} == {"a": 960, "b": 320}
    assert set(read_json(Path("out/replay-source-task-share-1/seed-1/result.json"))["read"]) == {"task"}
    weights = read_json(Path("out/none/seed-1/result.json"))["weights"]
    code, out, err = run(*words)  # nothing is left to do
    assert (code, read_json(Path("out/none/seed-1/result.json"))["weights"]) == (0, weights)
    code, _, err = run("--new", "a.jsonl=0.7,b.jsonl=0.3", *words[2:])
    assert code == 2
    assert "out" in err


def test_an_epoch_reads_nothing_twice(run: Run) -> None:
    """And every row that a text alone has; a plan file may say the same in YAML, and old text may be mixed too."""
    Path("plan.yaml").write_text("new: {a.jsonl: 0.5, b.jsonl: 0.5}\nold: [old.jsonl, task.jsonl]\nstrategies: [replay]\n")
    code, out, err = run("plan.yaml", "--epochs", 1)
    assert (code, err) == (0, "")
    assert "the old text is, by tokens, " in out
    read = read_json(Path("out/none/seed-1/result.json"))["read"]["new"]
    assert read["tokens"] == read["unique_tokens"]
    assert max(part["epochs"] for part in read["parts"].values()) == pytest.approx(1, abs=0.05)
    assert set(read_json(Path("out/replay/seed-1/result.json"))["read"]["old"]["parts"]) == {"old", "task"}
    assert set(pd.read_parquet("out/base/scores/text.parquet")["task"]) == {
        "new_text_a", "new_text_b", "old_text_old", "old_text_task",
    }  # fmt: skip


def test_a_part_of_the_task_s_text_with_nothing_to_hold_out_has_no_task(run: Run) -> None:
    """As task text alone has none: it is often small."""
    text("tiny.jsonl", "lamps", 2)
    words = ("--new", "a.jsonl", "--task", "task.jsonl,tiny.jsonl", "--tokens", 640, "--strategies", "none")
    code, _, err = run(*words)
    assert (code, err) == (0, "")
    assert set(pd.read_parquet("out/base/scores/text.parquet")["task"]) == {"new_text", "task_text_task"}


@pytest.mark.parametrize(
    ("new", "sentence"),
    [
        ("a.jsonl=0.75,b.jsonl=0.5", "--new: the shares of a.jsonl, b.jsonl sum to 1.25; they are to sum to 1"),
        ("a.jsonl,./a.jsonl", "--new: a and a are the same text; name it once"),
        ("a.jsonl,c.jsonl", "there is no file or folder 'c.jsonl'; did you mean"),
    ],
)
def test_what_cannot_be_mixed_is_one_sentence(run: Run, new: str, sentence: str) -> None:
    code, _, err = run("--new", new, "--tokens", 640, "--strategies", "none")
    assert code == 2
    assert sentence in err
    assert not Path("out").exists()
