"""A run that ends anywhere, by whatever it may be, and is started again has the same bits; never a wrong number unsaid."""

import random
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import harness
from harness import cli
from harness.crash import POINTS
from tests.harness.forks import KILLED, Job, ends, outcome

ARMS = "low_lr,wise:alpha=0.5"
HELD = """
import sys
from pathlib import Path
from harness.files import owned
with owned(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


def words(model: Path, text: Path, output: str, arms: str = ARMS) -> tuple[str, ...]:
    flags = {"model": model, "new": text, "old": text, "strategies": arms, "output": output, "seeds": 1, "limit": 2}
    flags |= {"length": 16, "batch": 4, "micro-batch": 2, "tokens": 320, "learning-rate": 0.01, "checkpoint-every": 2}
    return tuple(str(word) for key, value in flags.items() for word in (f"--{key}", value))


def test_every_point_in_the_code_is_listed_and_every_point_listed_is_in_the_code() -> None:
    code = "".join(path.read_text() for path in Path(harness.__file__).parent.glob("*.py"))
    assert set(re.findall(r'crash_point\("([a-z-]+)"\)', code)) == set(POINTS)


TIMES = {"file-written": 8, "file-renamed": 9, "in-accumulation": 6, "before-optimizer": 4, "after-optimizer": 3}
"""Where a point is passed often: the passage at which the process ends, within the first training."""


@pytest.fixture(scope="module")
def ended(model_folder: Path, text_file: Path, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """An undisturbed run; one that ended at every point, one after the other, as on a machine that keeps failing."""
    folder = tmp_path_factory.mktemp("crashes")
    typed = words(model_folder, text_file, "failing")
    jobs = [Job(words(model_folder, text_file, "whole")), *[Job(typed, crash=point) for point in POINTS], Job(typed)]
    typed = words(model_folder, text_file, "full")
    names = ["whole", *POINTS, "failing", "full", "emptied"]
    return SimpleNamespace(
        folder=folder, ends=dict(zip(names, ends(folder, [*jobs, Job(typed, limit=SHORT), Job(typed)]), strict=True))
    )


SHORT = 60_000
"""Bytes that a file may have on the full disk: weights fit, the first checkpoint does not."""


def same(folder: Path, name: str) -> None:
    """The run of that name is the undisturbed one, and nothing half written or no longer needed is left in it."""
    assert outcome(folder / name) == outcome(folder / "whole")
    odd = [path for path in (folder / name).rglob("*") if path.suffix in (".tmp", ".old") or path.name == "checkpoints"]
    assert odd == []


def test_ended_at_every_point_one_after_the_other_a_run_has_the_same_bits(ended: SimpleNamespace) -> None:
    codes = {name: ended.ends[name].code for name in ("whole", *POINTS, "failing")}
    assert codes == {"whole": 0, **dict.fromkeys(POINTS, 9), "failing": 0}, ended.ends["failing"].said
    same(ended.folder, "failing")


def test_a_full_disk_fails_in_a_sentence_and_what_it_stopped_is_done_when_there_is_room(ended: SimpleNamespace) -> None:
    full = ended.ends["full"]
    assert full.code == 1
    assert re.search(r"low_lr/seed-1: SafetensorError: .*File too large", " ".join(full.said.split())), full.said
    assert "Traceback" not in full.said
    assert ended.ends["emptied"].code == 0
    same(ended.folder, "full")


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_ended_at_any_point_and_started_again_a_run_has_the_same_bits(
    point: str, ended: SimpleNamespace, model_folder: Path, text_file: Path
) -> None:
    typed = words(model_folder, text_file, point)
    jobs = [Job(words(model_folder, text_file, "warm")), Job(typed, crash=f"{point}:{TIMES.get(point, 1)}"), Job(typed)]
    assert [end.code for end in ends(ended.folder, jobs)] == [0, 9, 0]
    same(ended.folder, point)


@pytest.fixture
def again(
    ended: SimpleNamespace, model_folder: Path, text_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> Callable[[str], tuple[int, str]]:
    """The same command for a run folder: exit code, and what was complained of."""
    monkeypatch.chdir(ended.folder)
    monkeypatch.setenv("HARNESS_CACHE", str(ended.folder / "cache"))

    def typed(name: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["harness", "run", *words(model_folder, text_file, name)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return int(end.value.code or 0), capsys.readouterr().err

    return typed


def test_a_second_process_says_who_holds_the_folder_and_goes_on_where_its_owner_was_killed(
    ended: SimpleNamespace, again: Callable[[str], tuple[int, str]]
) -> None:
    held = subprocess.Popen([sys.executable, "-c", HELD, str(ended.folder / "held")], stdin=-1, stdout=-1, text=True)
    assert held.stdout
    assert held.stdout.readline() == "held\n"
    owner = f"process {held.pid} on {socket.gethostname()}"
    assert again("held") == (1, f"harness: held is in use by {owner}; wait for it, or give --output another folder\n")
    held.kill()
    held.communicate()
    assert again("held") == (0, "")
    same(ended.folder, "held")


def flip(content: bytes, place: int) -> bytes:
    """One bit of a byte, counted from the end."""
    return content[:-place] + bytes([content[-place] ^ 1]) + content[len(content) - place + 1 :]


HARMS: dict[str, Callable[[bytes], bytes]] = {
    "flipped at the end": lambda content: flip(content, 9),
    "flipped in the middle": lambda content: flip(content, len(content) // 2),
    "empty": lambda content: b"",
    "one byte": lambda content: content[:1],
    "half": lambda content: content[: len(content) // 2],
    "one byte less": lambda content: content[:-1],
}
OF_TRIAL = (
    "trial.json",
    "result.json",
    "training.jsonl",
    "scores/text.json",
    "scores/text.parquet",
    "drift.json",
    "drift.parquet",
    "weights/model.safetensors",
)
WRITTEN = ["plan.yaml", "results.csv", "report.html", "base/result.json", "base/marks.json"]
WRITTEN += ["base/scores/text.json", "base/scores/text.parquet"]
WRITTEN += [f"low_lr/seed-1/{name}" for name in (*OF_TRIAL, "weights/model.safetensors")]


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("harm", [pytest.param(harm, marks=pytest.mark.slow if i else []) for i, harm in enumerate(HARMS)])
def test_a_damaged_file_is_named_or_made_anew_and_no_number_is_another(
    harm: str, name: str, ended: SimpleNamespace, again: Callable[[str], tuple[int, str]]
) -> None:
    shutil.rmtree(ended.folder / "harmed", ignore_errors=True)
    shutil.copytree(ended.folder / "whole", ended.folder / "harmed")
    path = ended.folder / "harmed" / name
    path.write_bytes(HARMS[harm](path.read_bytes()))
    code, err = again("harmed")
    if code:
        assert re.fullmatch(r"harness: .*harmed.*; .*\n", err), err
        assert Path(name).parent.name in err
    else:
        found, wanted = outcome(ended.folder / "harmed"), outcome(ended.folder / "whole")
        assert {key for key in wanted if found[key] != wanted[key]} <= {key for key in wanted if key.endswith(".safetensors")}


def test_everything_that_a_run_writes_was_damaged_once(ended: SimpleNamespace) -> None:
    trial = ended.folder / "whole" / "low_lr" / "seed-1"
    names = {str(path.relative_to(ended.folder / "whole")) for path in trial.rglob("*") if path.is_file()}
    other = {name for name in names if "/weights/" in name and not name.endswith("model.safetensors")}
    assert names - other <= set(WRITTEN)


@pytest.mark.slow
@pytest.mark.parametrize("arm", ["kl:weight=0.5", "ewc:weight=10", "replay:share=0.3+reptile"])
def test_killed_at_random_times_a_run_has_the_same_bits(arm: str, model_folder: Path, text_file: Path, tmp_path: Path) -> None:
    chance = random.Random(arm)
    typed = words(model_folder, text_file, "killed", arm)
    kills = [Job(typed, kill=chance.uniform(0.1, 3.0)) for _ in range(12)]
    found = ends(tmp_path, [Job(words(model_folder, text_file, "whole", arm)), *kills, Job(typed)])
    assert found[-1].code == 0, found[-1].said
    assert KILLED in [end.code for end in found]
    assert {end.code for end in found} <= {0, KILLED}
    same(tmp_path, "killed")
