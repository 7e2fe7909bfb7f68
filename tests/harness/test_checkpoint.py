"""A checkpoint is whole or absent: killed anywhere, damaged, or out of disk, a training ends with the same bits."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from harness import resume
from harness.bench import same_bits, tiny_setting
from harness.checkpoint import Checkpoints, State, flatten, load, random_state, restore_random, save, unflatten
from harness.errors import RecordError, TrialError
from harness.registry import arm
from harness.sealed import damage, seal
from harness.strategy import Memory, Strategy
from harness.train import Training, train
from harness.typed import parse_arms

CRASHES = ["folder-staged", "folder-written", "folder-sealed", "folder-renamed", "before-optimizer"]

WORD = "replay:share=0.3+kl:weight=0.5"
JOBS: list[tuple[str, str, int]] = [
    ("whole", "", 0),
    *[("killed", crash, 0) for crash in [*CRASHES, ""]],  # one after the other, as a machine that keeps failing would
    ("full", "folder-renamed", 0),
    ("full", "", 10_000),  # less than the second checkpoint needs
]
"""(folder, point at which the process ends, bytes that a file may have)."""

TRAIN = """
import json, os, resource, sys
from pathlib import Path
import torch
from safetensors.torch import save_file
from harness.typed import parse_arms
from harness.registry import arm
from harness.bench import tiny_setting
from harness.train import Training, train

def trained(folder, crash, limit):
    os.environ["HARNESS_CRASH_AT"] = crash
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    training = Training(arm(parse_arms(sys.argv[2])[0]), tiny_setting(folder / "cache", checkpoint_every=2), 1)
    train(training, folder)
    save_file({name: p.detach() for name, p in training.model.named_parameters()}, folder / "end.safetensors")

torch.set_num_threads(1)
trained(Path(sys.argv[1]) / "first", "", 0)  # what is loaded when it is first used is loaded once
codes = []
for name, crash, limit in json.loads(sys.argv[3]):
    child = os.fork()
    if not child:
        try:
            trained(Path(sys.argv[1]) / name, crash, limit)
        except BaseException as error:
            print(type(error).__name__, error, file=sys.stderr)
            os._exit(1)
        os._exit(0)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(json.dumps(codes))
"""


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[int]]:
    """Where the jobs wrote, and how each process ended: one interpreter that forks, as importing torch takes seconds."""
    folder = tmp_path_factory.mktemp("jobs")
    command = [sys.executable, "-c", TRAIN, str(folder), WORD, json.dumps(JOBS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout)


def test_killed_at_every_point_of_writing_it_ends_with_the_same_bits(jobs: tuple[Path, list[int]]) -> None:
    folder, codes = jobs
    assert codes[:7] == [0, 9, 9, 9, 9, 9, 0]
    assert same_bits(*(load_file(folder / name / "end.safetensors") for name in ("whole", "killed")))


def test_a_full_disk_keeps_the_checkpoint_before(jobs: tuple[Path, list[int]], tmp_path: Path) -> None:
    folder, codes = jobs
    assert codes[7] == 9
    assert codes[8] not in (0, 9)
    kept = Checkpoints(folder / "full" / "checkpoints").newest()
    assert kept is not None
    assert kept.numbers["update"] == 2
    training = Training(arm(parse_arms(WORD)[0]), tiny_setting(tmp_path, checkpoint_every=2), 1)
    train(training, folder / "full")
    found = {name: p.detach() for name, p in training.model.named_parameters()}
    assert same_bits(found, load_file(folder / "whole" / "end.safetensors"))


def state(value: float) -> State:
    return State(
        {"model.w": torch.full((300,), value), "empty": torch.zeros(0)},
        {"update": int(value), "random": random_state().numbers},
    )


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9] + b"?" + path.read_bytes()[-8:])


def garble(path: Path) -> None:
    path.write_bytes(b"\xff{")


@pytest.mark.parametrize(
    ("name", "harm", "reason"),
    [
        ("state.safetensors", cut, "state.safetensors differs from its digest"),
        ("state.safetensors", flip, "state.safetensors differs from its digest"),
        ("state.safetensors", Path.unlink, "state.safetensors is missing"),
        ("state.json", cut, "state.json differs from its digest"),
        ("manifest.json", cut, "its manifest is damaged"),
        ("manifest.json", garble, "its manifest is damaged"),
        ("manifest.json", Path.unlink, "its manifest is missing"),
        ("manifest.json", lambda path: path.write_text("{}"), "its manifest is damaged"),
        ("manifest.json", lambda path: path.write_text("[]"), "its manifest is damaged"),
    ],
)
def test_a_damaged_newest_is_named_and_passed_over(name: str, harm: Callable[[Path], Any], reason: str, tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    for update in (1, 2, 3):
        checkpoints.write(update, state(update))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["update-00000002", "update-00000003"]
    harm(tmp_path / "update-00000003" / name)
    found = checkpoints.newest()
    assert found is not None
    assert found.numbers["update"] == 2
    assert found.tensors["model.w"][0] == 2
    assert checkpoints.passed_over == [f"update-00000003: {reason}"]
    with pytest.raises(RecordError, match="update-00000003 cannot be used: "):
        load(tmp_path / "update-00000003")


def test_the_old_one_stays_where_the_new_one_is_not_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a disk keeps may not be what was written."""
    checkpoints = Checkpoints(tmp_path, keep=1)
    checkpoints.write(1, state(1))

    def badly(folder: Path, written: State) -> None:
        save(folder, written)
        flip(folder / "state.safetensors")

    monkeypatch.setattr("harness.checkpoint.save", badly)
    with pytest.raises(RecordError, match=r"update-00000002 was written and is not whole: state.* differs from its"):
        checkpoints.write(2, state(2))
    again = checkpoints.newest()
    assert again is not None
    assert again.numbers["update"] == 1


def test_none_that_is_whole_is_none(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path / "absent").newest() is None
    (tmp_path / "update-00000007").mkdir()
    (tmp_path / ".update-00000009.tmp").mkdir()
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.newest() is None
    assert checkpoints.passed_over == ["update-00000007: its manifest is missing"]


def test_writing_again_replaces_what_was_damaged(tmp_path: Path) -> None:
    save(tmp_path / "update-1", state(1))
    cut(tmp_path / "update-1" / "state.json")
    save(tmp_path / "update-1", state(2))
    assert damage(tmp_path / "update-1") is None
    assert load(tmp_path / "update-1").numbers["update"] == 2


def test_a_seal_is_over_every_file(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "config.json").write_text("{}")
    seal(tmp_path)
    assert damage(tmp_path) is None
    garble(tmp_path / "config.json")
    assert damage(tmp_path) == "config.json differs from its digest"


def test_random_numbers_go_on_where_they_were() -> None:
    import random

    def draw() -> list[float]:
        return [
            random.random(),
            random.gauss(0, 1),
            np.random.rand(),
            np.random.randn(),
            torch.rand(()).item(),
            torch.randn(3).sum().item(),
        ]

    draw()  # of a pair of normal numbers, Python and numpy keep the second
    kept = random_state()
    first = draw()
    draw()
    restore_random(kept)
    assert draw() == first


def test_a_nested_memory_comes_back_in_place_with_its_types() -> None:
    kept = {"0": {"mean": torch.ones(2), "n": 3, "deep": {"a.b": torch.zeros(1), "on": True}}, "1": {}, "rate": 0.1}
    flat = flatten("moving", kept)
    fresh: dict[str, Any] = {
        "0": {"mean": torch.zeros(2), "n": 0, "deep": {"a.b": torch.ones(1), "on": False}},
        "1": {},
        "rate": 0.0,
    }
    inner = fresh["0"]
    unflatten("moving", fresh, flat)
    assert fresh["0"] is inner
    assert (inner["n"], inner["deep"]["on"], fresh["rate"]) == (3, True, 0.1)
    assert torch.equal(inner["mean"], torch.ones(2))
    assert torch.equal(inner["deep"]["a.b"], torch.zeros(1))
    assert set(fresh) == set(kept)
    assert set(inner) == set(kept["0"])  # type: ignore[arg-type]


def test_what_hooks_added_after_setup_comes_back_too() -> None:
    """An average that begins at the third update is not in the memory that `setup` made."""
    kept = {"0": {"average": torch.ones(2), "began": 3}}
    fresh: dict[str, Any] = {"0": {}}
    unflatten("moving", fresh, flatten("moving", kept))
    assert fresh["0"]["began"] == 3
    assert torch.equal(fresh["0"]["average"], torch.ones(2))


def test_a_dictionary_that_hooks_added_comes_back_too_and_what_they_dropped_does_not() -> None:
    kept = {"averages": {"model.w": torch.ones(2), "model.b": torch.zeros(1)}, "n": 3}
    fresh: dict[str, Any] = {"first": True, "start": torch.ones(1), "plan": {"x": 1}}
    unflatten("moving", fresh, flatten("moving", kept))
    assert fresh.keys() == kept.keys()
    assert same_bits(fresh["averages"], kept["averages"])  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [(1, 2), {1, 2}, float("nan"), np.float64(2.0) * np.ones(2), {3: 4}, Path("x")])
def test_what_no_checkpoint_brings_back_is_refused_at_once(value: Any, tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Mine(Strategy):
        def setup(self, origin: Any) -> Memory:
            return Memory(moving={"kept": value})

    with pytest.raises(
        TrialError, match=r"moving/kept.* in a strategy's moving memory is a .* no checkpoint brings back as it was"
    ):
        Training(Mine(), tiny_setting(tmp_path), 1)


@dataclass(frozen=True)
class Swaps(Strategy):
    """Puts a new dictionary in place of its moving memory."""

    def gradients(self, model, memory, origin):
        memory.moving = {"n": memory.moving.get("n", 0) + 1}


@pytest.mark.parametrize("strategy", [Swaps(), Swaps() + Strategy(), Strategy() + Swaps()])
def test_a_memory_that_was_put_in_the_place_of_another_comes_back(strategy: Strategy, tmp_path: Path) -> None:
    stopped = Training(strategy, tiny_setting(tmp_path), 1)
    stopped.step()
    again = Training(strategy, tiny_setting(tmp_path), 1)
    resume.restore(again, resume.state(stopped))
    again.step()
    own = again.memory.fixed if again.memory.fixed else [again.memory]
    assert [memory.moving for memory in own if memory.moving] == [{"n": 2}]


@dataclass(frozen=True)
class Keeps(Strategy):
    """Keeps one tensor under two names from the start, or a weight itself once the training is under way."""

    twice: bool = False

    def setup(self, origin):
        tensor = torch.ones(2)
        return Memory(moving={"a": tensor, "b": tensor[:1]} if self.twice else {})

    def weights(self, model, memory, origin):
        memory.moving["w"] = next(model.parameters())


def test_moving_tensors_that_share_memory_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TrialError, match=r"failed in setup: moving/b in .* shares its values with moving/a; keep a clone"):
        Training(Keeps(twice=True), tiny_setting(tmp_path), 1)
    training = Training(Keeps(), tiny_setting(tmp_path), 1)
    training.step()
    with pytest.raises(TrialError, match=r"keeps failed in a hook after setup: moving/w in .* shares its values with model\."):
        resume.state(training)


def test_a_name_that_spells_another_place_is_refused() -> None:
    with pytest.raises(TrialError, match="moving/a/b in a strategy's moving memory"):
        flatten("moving", {"a/b": torch.ones(1), "a": {"b": torch.zeros(1)}})


class Beside(Strategy):
    """Reads and draws in its set-up, and in every step."""

    def setup(self, origin: Any) -> Memory:
        origin.tokens_read, origin.tokens_drawn = 7, 5
        return Memory()

    def gradients(self, model: Any, memory: Memory, origin: Any) -> None:
        origin.tokens_read, origin.tokens_drawn = origin.tokens_read + 2, origin.tokens_drawn + 3


def test_what_was_read_and_drawn_beside_the_text_is_counted_once(tmp_path: Path) -> None:
    def show(done: int, *_: Any) -> None:
        if done == 3:
            raise KeyError

    setting = tiny_setting(tmp_path / "cache", checkpoint_every=2)
    with pytest.raises(KeyError):
        train(Training(Beside(), setting, 1), tmp_path, show)
    again = Training(Beside(), setting, 1)
    train(again, tmp_path)
    assert (again.origin.tokens_read, again.origin.tokens_drawn) == (7 + 5 * 2, 5 + 5 * 3)
