"""A run that ends anywhere, by whatever ends it, and is started again has the same bits; never a wrong number without a word."""

import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

import harness
from harness.crash import POINTS
from tests.harness.forks import KILLED, End, Job, ends, outcome

ARMS = "replay:share=0.5,wise:alpha=0.5"


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
    return SimpleNamespace(folder=folder, ends=dict(zip(["whole", *POINTS, "failing"], ends(folder, jobs), strict=True)))


def same(folder: Path, name: str) -> None:
    """The run of that name is the undisturbed one, and nothing half written or no longer needed is left in it."""
    assert outcome(folder / name) == outcome(folder / "whole")
    odd = [path for path in (folder / name).rglob("*") if path.suffix in (".tmp", ".old") or path.name == "checkpoints"]
    assert odd == []


def test_ended_at_every_point_one_after_the_other_a_run_has_the_same_bits(ended: SimpleNamespace) -> None:
    codes = {name: end.code for name, end in ended.ends.items()}
    assert codes == {"whole": 0, **dict.fromkeys(POINTS, 9), "failing": 0}, ended.ends["failing"].said
    same(ended.folder, "failing")


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_ended_at_any_point_and_started_again_a_run_has_the_same_bits(
    point: str, ended: SimpleNamespace, model_folder: Path, text_file: Path
) -> None:
    typed = words(model_folder, text_file, point)
    jobs = [Job(words(model_folder, text_file, "warm")), Job(typed, crash=f"{point}:{TIMES.get(point, 1)}"), Job(typed)]
    assert [end.code for end in ends(ended.folder, jobs)] == [0, 9, 0]
    same(ended.folder, point)
