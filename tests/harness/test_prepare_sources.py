"""`harness prepare` says of its sources what it does not read of them."""

import sys
from pathlib import Path

import pytest

from harness import cli
from harness.files import read_json


def test_files_that_are_not_read_are_said_and_stand_in_the_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in {"a.py": "value = 1  # one\n" * 20, "b.java": "class B {}", "empty.py": "", ".git/c.py": "c = 1"}.items():
        path = tmp_path / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    typed = ["harness", "prepare", "project", "--domain", "code", "--output", "out.jsonl", "--workers", "1"]
    monkeypatch.setattr(sys, "argv", typed)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    sentence = "project: 1 file is read; not read are 1 .java, 1 empty, 1 hidden or in node_modules or __pycache__"
    assert f"note: {sentence}" in capsys.readouterr().out
    assert read_json(Path("out.jsonl.prepared.json"))["sources"][0]["notes"] == [sentence]
