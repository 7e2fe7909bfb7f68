"""The state of a trial, written so that it is whole or absent.

A checkpoint is a sealed folder: tensors as safetensors, numbers as JSON, and a manifest with digests that is written last.
The one before it goes only after the new one was read back and found whole.
"""

import json
import random
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from harness.errors import RecordError, TrialError
from harness.files import write_json
from harness.sealed import damage, drop, staged


@dataclass(frozen=True)
class State:
    """Everything a training needs to go on: tensors by name, and numbers."""

    tensors: dict[str, Tensor]
    numbers: dict[str, Any]


def save(folder: Path, state: State) -> None:
    """Write a checkpoint folder, whole or not at all."""
    tensors = {name: tensor.detach().contiguous().cpu() for name, tensor in state.tensors.items()}
    with staged(folder) as stage:
        save_file(tensors, stage / "state.safetensors")
        write_json(stage / "state.json", state.numbers)


def load(folder: Path) -> State:
    """Read a checkpoint that `damage` found whole."""
    if reason := damage(folder):
        raise RecordError(f"the checkpoint {folder} cannot be used: {reason}; delete {folder.parent.parent} and run again")
    return State(load_file(folder / "state.safetensors"), json.loads((folder / "state.json").read_text(encoding="utf-8")))


class Checkpoints:
    """The checkpoints of one trial, by update; damaged ones are named and passed over.

    keep    how many of the newest are kept: two, as one may turn out to be damaged
    """

    def __init__(self, folder: Path, keep: int = 2) -> None:
        self.folder, self.keep = folder, keep
        self.passed_over: list[str] = []

    def newest(self) -> State | None:
        """The newest checkpoint that is whole."""
        for path in reversed(self._all()):
            if (reason := damage(path)) is None:
                return load(path)
            self.passed_over.append(f"{path.name}: {reason}")
        return None

    def at(self, update: int) -> State:
        """The checkpoint of an update; RecordError where it is not whole, or another's."""
        path = self._path(update)
        state = load(path)
        if state.numbers["update"] != update:
            raise RecordError(f"the checkpoint {path} cannot be used: it is of update {state.numbers['update']}")
        return state

    def write(self, update: int, state: State, kept: Collection[int] = ()) -> None:
        """Write one, read it back, and only then drop others: old ones but those `kept`, newer ones that were passed over."""
        path = self._path(update)
        save(path, state)
        if reason := damage(path):
            raise RecordError(f"the checkpoint {path} was written and is not whole: {reason}; is the disk full?")
        found = self._all()
        last = found[: found.index(path) + 1][-self.keep :]
        for other in found:
            if other not in last and other not in map(self._path, kept):
                drop(other)

    def clear(self) -> None:
        """Drop them all: the trial is finished and its weights are stored."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, update: int) -> Path:
        return self.folder / f"update-{update:08d}"

    def _all(self) -> list[Path]:
        return sorted(self.folder.glob("update-*")) if self.folder.is_dir() else []


def random_state() -> State:
    """The states of Python's, numpy's and torch's random numbers."""
    kind, words, gauss = random.getstate()
    legacy: Any = np.random.get_state()
    tensors = {"random.torch": torch.get_rng_state(), "random.numpy": torch.from_numpy(legacy[1].astype(np.int64))}
    if torch.cuda.is_available():
        tensors["random.cuda"] = torch.cuda.get_rng_state()
    return State(tensors, {"python": [kind, list(words), gauss], "numpy": [legacy[0], *map(float, legacy[2:])]})


def restore_random(state: State) -> None:
    """Put random numbers back; a state that cannot be put back is an error."""
    kind, words, gauss = state.numbers["python"]
    random.setstate((kind, tuple(words), gauss))
    name, position, has_gauss, cached = state.numbers["numpy"]
    words = state.tensors["random.numpy"].numpy().astype(np.uint32)
    np.random.set_state((name, words, int(position), int(has_gauss), cached))
    torch.set_rng_state(state.tensors["random.torch"].cpu())
    if "random.cuda" in state.tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(state.tensors["random.cuda"].cpu())


def flatten(prefix: str, moving: Mapping[str, Any]) -> State:
    """A nested dict of tensors and plain values, as named tensors and a JSON tree that says where each of them stood."""
    tensors: dict[str, Tensor] = {}
    tree: dict[str, Any] = {"tensors": {}, "dicts": {}, "values": {}}
    for key, value in moving.items():
        name = f"{prefix}/{key}"
        if isinstance(value, Tensor):
            tensors[name] = value
            tree["tensors"][key] = value.device.type
        elif isinstance(value, dict):
            inner = flatten(name, value)
            tensors |= inner.tensors
            tree["dicts"][key] = inner.numbers
        else:
            tree["values"][key] = value
        if not isinstance(key, str) or "/" in key or not _plain(tree["values"].get(key)):
            raise TrialError(
                f"{name} in a strategy's moving memory is a {type(value).__name__} that no checkpoint brings back as it was; "
                f"keep tensors, finite numbers, words, and lists and dicts of these under names without a /"
            )
    return State(tensors, tree)


def check_apart(tensors: Mapping[str, Tensor]) -> None:
    """Refuse moving tensors that share memory with others: brought back, they would be copies."""
    first: dict[int, str] = {}
    for name, tensor in tensors.items():
        other = first.setdefault(tensor.untyped_storage().data_ptr(), name) if tensor.numel() else name
        if other != name and "moving/" in (name[:7], other[:7]):
            raise TrialError(f"{name} in a strategy's moving memory shares its values with {other}; keep a clone of it")


def _plain(value: Any) -> bool:
    """Whether JSON brings a value back as it was."""
    try:
        return json.loads(json.dumps(value, allow_nan=False)) == value
    except (TypeError, ValueError):
        return False


def unflatten(prefix: str, moving: dict[str, Any], state: State, device: torch.device | None = None) -> None:
    """Make a nested dict, in place, what `flatten` had seen: parts of a combined arm hold references into it."""
    tree = state.numbers
    for key in moving.keys() - {*tree["tensors"], *tree["dicts"], *tree["values"]}:
        del moving[key]
    for key, kind in tree["tensors"].items():
        tensor = state.tensors[f"{prefix}/{key}"]
        moving[key] = tensor if kind == "cpu" else tensor.to(device)
    for key, inner in tree["dicts"].items():
        if not isinstance(moving.get(key), dict):
            moving[key] = {}
        unflatten(f"{prefix}/{key}", moving[key], State(state.tensors, inner), device)
    moving.update(tree["values"])
