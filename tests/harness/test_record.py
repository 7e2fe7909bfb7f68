"""Files are complete or absent, a folder has one owner, and what is damaged is named."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.errors import InputError, RecordError
from harness.files import Log, owned, read_json, write_json, write_text, writing
from harness.folder import merged
from harness.record import Result, read, read_plan, write_plan
from harness.typed import parse_arms

PLAN = {"fingerprint": "f", "arms": ["none", "replay:share=0.05+kl"], "seeds": [1, 2], "tasks": {"t": {"suite": "s"}}}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_whole_or_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"
    write_text(path, "first")
    with pytest.raises(KeyError), writing(path) as beside:  # noqa: PT012
        beside.write_text("half of the sec")
        assert path.read_text() == "first"
        raise KeyError
    assert path.read_text() == "first"
    assert names(path.parent) == ["file.txt"]


def test_a_reader_of_the_old_file_keeps_it(tmp_path: Path) -> None:
    """The new file takes the name; the old one is never written into."""
    write_text(tmp_path / "file.txt", "first")
    with (tmp_path / "file.txt").open() as reader:
        write_text(tmp_path / "file.txt", "second")
        assert reader.read() == "first"
    assert (tmp_path / "file.txt").read_text() == "second"


def test_a_failed_first_write_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(KeyError), writing(tmp_path / "file.txt") as beside:  # noqa: PT012
        beside.write_text("half")
        raise KeyError
    with pytest.raises(FileNotFoundError), writing(tmp_path / "file.txt"):
        pass  # nothing was written
    assert names(tmp_path) == []


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"deep": [1.0, float("-inf")]}])
def test_json_has_no_word_for_what_is_not_finite(value: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "result.json", value)
    with Log(tmp_path / "log.jsonl") as log, pytest.raises(ValueError, match="not JSON compliant"):
        log.write({"value": value})
    assert (tmp_path / "log.jsonl").read_text() == ""
    assert names(tmp_path) == ["log.jsonl"]


def test_json_comes_back_as_it_was(tmp_path: Path) -> None:
    value = {"b": [1, 2.5, None, True], "a": {"ü": "„“ \n"}}
    write_json(tmp_path / "x.json", value)
    assert read_json(tmp_path / "x.json") == value
    assert list(json.loads((tmp_path / "x.json").read_text())) == ["a", "b"]


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b""])
def test_damaged_json_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_bytes(content)
    with pytest.raises(RecordError, match=r"result\.json is damaged \(.*\); delete it and run the same command again"):
        read_json(tmp_path / "result.json")


def test_a_log_is_cut_back_and_goes_on(tmp_path: Path) -> None:
    with Log(tmp_path / "log") as log:
        for i in range(4):
            log.write({"i": i})
    with (tmp_path / "log").open("a") as file:
        file.write('{"i": 4, "torn')
    with Log(tmp_path / "log", keep=2) as log:
        log.write({"i": 20})
    assert [json.loads(line)["i"] for line in (tmp_path / "log").read_text().splitlines()] == [0, 1, 20]


@pytest.mark.parametrize(("content", "keep"), [("", 1), ('{"i": 0}\n', 2), ('{"i": 0}\n{"i"', 2)])
def test_a_log_that_lost_lines_is_refused(content: str, keep: int, tmp_path: Path) -> None:
    (tmp_path / "log").write_text(content)
    with pytest.raises(RecordError, match=f"has fewer whole lines than the {keep} that its checkpoint knew"):
        Log(tmp_path / "log", keep)
    assert (tmp_path / "log").read_text() == content


HOLD = """
import sys
from pathlib import Path
from harness.files import owned
with owned(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
    if sys.argv[2] == "dies":
        import os
        os._exit(9)
"""


@pytest.mark.parametrize("end", ["ends", "dies"])
def test_a_second_process_is_told_who_holds_a_folder(end: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    held = subprocess.Popen([sys.executable, "-c", HOLD, str(folder), end], stdin=-1, stdout=-1, text=True)
    assert held.stdin is not None
    assert held.stdout is not None
    assert held.stdout.readline() == "held\n"
    with pytest.raises(RecordError) as found, owned(folder):
        pass
    assert str(found.value) == (
        f"{folder} is in use by process {held.pid} on {socket.gethostname()}; wait for it, or give --output another folder"
    )
    held.communicate("\n")
    with owned(folder):
        assert (folder / ".owner").read_text() == f"process {os.getpid()} on {socket.gethostname()}"
    assert not (folder / ".owner").exists()


def test_a_plan_comes_back_as_it_was(tmp_path: Path) -> None:
    plan = {**PLAN, "notes": ["a: b", "ü", "- c"], "budget": {"peak": 1e-5, "steps": 3}}
    write_plan(tmp_path, plan)
    assert read_plan(tmp_path) == plan


def test_a_folder_without_a_plan_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(InputError) as found:
        read(tmp_path)
    assert str(found.value) == f"{tmp_path} is no run folder: it holds no plan.yaml; give the folder that `harness run` wrote"


@pytest.mark.parametrize("content", [b"a: [", b"\xff", b"[1, 2]", b"", b"arms: [none]"])
def test_a_damaged_plan_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_bytes(content)
    with pytest.raises(
        RecordError, match=r"plan\.yaml (is damaged|holds no plan with a fingerprint).*restore it or start again"
    ):
        read_plan(tmp_path)


def test_a_plan_cut_after_any_line_is_named(tmp_path: Path) -> None:
    write_plan(tmp_path, {"fingerprint": "f", **PLAN})
    lines = (tmp_path / "plan.yaml").read_text().splitlines(keepends=True)
    for kept in range(len(lines)):
        (tmp_path / "plan.yaml").write_text("".join(lines[:kept]))
        with pytest.raises(RecordError, match=r"plan\.yaml .*restore it or start again"):
            read_plan(tmp_path)


def test_what_is_missing_is_a_trial_that_says_so(tmp_path: Path) -> None:
    write_plan(tmp_path, PLAN)
    trial = tmp_path / "replay-share-0.05-kl" / "seed-2"
    write_json(trial / "result.json", {"status": "failed", "error": "because"})
    (trial / "training.jsonl").write_text('{"update": 1, "loss": 2.0}\n{"update": 2, "lo')
    record = read(tmp_path)
    assert [(result.name, result.seed, result.status) for result in record.trials] == [
        ("none", 1, "missing"), ("replay:share=0.05+kl", 1, "missing"),
        ("none", 2, "missing"), ("replay:share=0.05+kl", 2, "failed"),
    ]  # fmt: skip
    assert (record.base.name, record.base.status, record.tasks) == ("base", "missing", PLAN["tasks"])
    assert record.trials[3].training["loss"].tolist() == [2.0]
    assert record.base.scores.empty
    assert record.base.completions.empty


def test_a_run_that_grew_under_other_libraries_says_so_from_then_on(tmp_path: Path) -> None:
    """Arms of one page that were trained by two versions of a library are not silently compared."""
    plan: dict[str, Any] = {"command": "a", "arms": [], "seeds": [1], "strategies": {}, "trainings": {}, "notes": ["own"]}
    plan |= {"fingerprint": "f", "created": "then", "commands": ["a"], "versions": {"torch": "2.9", "numpy": "2.0"}}
    told = []
    for torch in ("2.9", "2.10", "2.10"):
        write_plan(tmp_path, merged(tmp_path, plan | {"versions": {"torch": torch, "numpy": "2.0"}}))
        told.append(read_plan(tmp_path)["notes"])
    said = "between two commands of this run, what computes it changed: torch from 2.9 to 2.10; trials before and after may "
    assert told == [["own"], ["own", f"{said}differ by that too"], ["own", f"{said}differ by that too"]]


def test_a_trial_in_the_place_of_another_is_named(tmp_path: Path) -> None:
    trial = Result(tmp_path, parse_arms("kl")[0], 1)
    write_json(tmp_path / "result.json", {"arm": "kl", "seed": 0, "status": "done"})
    with pytest.raises(RecordError, match=r"result\.json is of kl, seed 0, and not of kl, seed 1; delete .* the same command"):
        _ = trial.status


def test_a_point_of_another_curve_is_named_and_what_is_no_point_is_not_read(tmp_path: Path) -> None:
    facts = {"status": "done", "weights": "w", "of": "a", "share": 0.5}
    for name in ("0.5", "old", "0.55"):
        write_json(tmp_path / "curve" / name / "result.json", facts)
    write_json(tmp_path / "result.json", {"status": "done", "weights": "a"})
    control = parse_arms("none")[0]
    assert [share for share, _ in Result(tmp_path, control, 1).curve] == [0.5]
    write_json(tmp_path / "result.json", {"status": "done", "weights": "b"})
    with pytest.raises(RecordError, match=r"0\.5 is of another curve; delete it and run the same command again"):
        _ = Result(tmp_path, control, 1).curve
