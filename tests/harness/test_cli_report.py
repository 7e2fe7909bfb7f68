"""`harness report`: what it writes and where, what it prints, and with which code it ends."""

import importlib
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from harness.cli_report import Format, report
from harness.errors import HarnessError, InputError

sys.path.append(str(Path(__file__).parents[1] / "reports"))
fabricate = importlib.import_module("fabricate")


def folder(where: Path, **changes: Any) -> Path:
    arms = {name: fabricate.ARMS[name] for name in ("none", "kl")}
    given = {"arms": arms, "seeds": (0,), "items": 30, "documents": 10, "milestones": ()}
    return fabricate.run_folder(where, fabricate.Recipe(**(given | changes)))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder(tmp_path_factory.mktemp("cli") / "one")


def test_a_page_is_written_into_the_run(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report([run])
    assert capsys.readouterr().out == f"page: {run.resolve() / 'report.html'}\n"
    assert (run / "report.html").read_text().startswith("<!doctype html>")


def test_several_runs_are_one_page_beside_the_first(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = folder(run.parent / "two", seeds=(1,))
    report([run, other])
    path = run.resolve().parent / "one+two.html"
    assert capsys.readouterr().out == f"page of 2 runs: {path}\n"
    assert "This page is of 2 runs" in path.read_text()


@pytest.mark.parametrize(("kind", "begins"), [(Format.md, "## What does"), (Format.csv, "arm,role,"), (Format.json, "{")])
def test_other_formats_are_printed_or_written(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: Format, begins: str
) -> None:
    report([run], format_=kind)
    printed = capsys.readouterr().out
    assert printed.startswith(begins)
    path = tmp_path / f"report.{kind}"
    report([run], format_=kind, output=path)
    assert path.read_text() == printed
    assert capsys.readouterr().out == f"{kind}: {path}\n"


def test_a_pipe_is_written_into_and_not_replaced(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """So is a device: who may would else lose /dev/null to a file."""
    report([run], format_=Format.csv)
    printed, pipe = capsys.readouterr().out, tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor() as reader:
        found = reader.submit(pipe.read_text)
        report([run], format_=Format.csv, output=pipe)
        assert pipe.is_fifo()
        assert found.result(10) == printed


def test_gates_end_with_1_after_everything_was_written(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "report.json"
    with pytest.raises(SystemExit) as ended:
        report([run], format_=Format.json, output=path, fail_if=["forgetting(general.bpb, none) > 0.1"], fail_unless=[])
    assert ended.value.code == 1
    told = capsys.readouterr()
    assert "\nFAIL  --fail-if 'forgetting(general.bpb, none) > 0.1'  none: 0.4" in told.out
    assert told.err == "harness: 1 of 1 gates failed: forgetting(general.bpb, none) > 0.1\n"
    assert json.loads(path.read_text())["schema"] == 1


def test_gates_that_hold_end_with_0_and_several_may_stand(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gates = ["forgetting(general.bpb) < 0.5", "adaptation(domain.bpb) > 0.1"]
    report([run], format_=Format.csv, fail_unless=gates, fail_if=["forgetting(general.bpb) > 0.5"])
    told = capsys.readouterr()
    assert [line[:4] for line in told.err.splitlines()] == ["pass"] * 3
    assert "pass" not in told.out


def test_a_gate_that_is_none_is_refused_before_anything_is_written(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "report.md"
    with pytest.raises(InputError, match="names no unit"):
        report([run], format_=Format.md, output=path, fail_unless=["forgetting(general) < 0.02"])
    assert not path.exists()


def test_a_folder_is_no_file(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is a folder; give --output a file, as in .*report\.md"):
        report([run], format_=Format.md, output=tmp_path)


@pytest.mark.parametrize("name", ["plan.yaml", "results.csv", "none/seed-0/result.json", "base/scores/world_general.parquet"])
def test_what_a_run_wrote_is_not_written_over(run: Path, name: str) -> None:
    (run / "results.csv").touch()
    before = (run / name).read_bytes()
    with pytest.raises(InputError, match=r"is a file of the run .*; give --output another, as in .*report\.csv"):
        report([run], format_=Format.csv, output=run / name)
    assert (run / name).read_bytes() == before


def test_a_report_in_the_run_folder_is_written_again(run: Path) -> None:
    for _ in range(2):
        report([run], format_=Format.md, output=run / "report.md")


def test_a_place_that_cannot_be_written_is_named(run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HarnessError, match=r"file/report\.md cannot be written \(.*\); give --output a file elsewhere"):
        report([run], format_=Format.md, output=tmp_path / "file" / "report.md")


def test_one_document_and_one_question_have_a_page(tmp_path: Path) -> None:
    made = folder(tmp_path / "one", items=1, documents=1)
    report([made])
    assert "could show no change" in (made / "report.html").read_text()


def test_a_run_that_is_named_twice_is_one(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    again = run.parent / "again"
    again.symlink_to(run)
    report([run, again], format_=Format.md)
    assert "2 runs" not in capsys.readouterr().out


def test_a_disk_that_is_full_is_told_and_the_old_report_stands(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.md"
    path.write_text("old")

    def full(*_: Any, **__: Any) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(HarnessError, match=r"report\.md cannot be written \(the disk is full\); give --output"):
        report([run], format_=Format.md, output=path)
    assert path.read_text() == "old"
