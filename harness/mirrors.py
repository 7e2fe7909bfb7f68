"""Data sets and models of the hub that lie on this machine: `mirrors.yaml` says where.

    datasets:
      Rowan/hellaswag: {validation: hellaswag_validation.jsonl}    # a file a split: JSON Lines or Parquet
      nyu-mll/blimp/wh_island: {train: blimp/wh_island.jsonl}      # owner/name/configuration
      cais/mmlu: mmlu                                              # a folder: a copy of the repository, or of save_to_disk
      MedRAG/pubmed: {train: notes.jsonl.zst#body}                 # text to train on: any file, and the column it stands in
    models:
      HuggingFaceTB/SmolLM2-135M: models/smollm                    # or owner/name@revision, which stands for that alone

Paths are relative to the file. One file is read, the first there is of `--mirrors FILE`, HARNESS_MIRRORS and `mirrors.yaml` in
the current folder. What stands in it is never asked of the hub.
"""

import os
import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from harness.errors import InputError, one_line
from harness.keys import read_keys

VARIABLE, NAME = "HARNESS_MIRRORS", "mirrors.yaml"


def _hub(pattern: str, what: str) -> AfterValidator:
    def check(name: str) -> str:
        if not re.fullmatch(pattern, name):
            raise ValueError(f"{name!r} is no name of the hub; write {what}")
        return name

    return AfterValidator(check)


Dataset = Annotated[str, _hub(r"[\w.-]+(/[\w.-]+){1,2}", "owner/name or owner/name/configuration")]
Model = Annotated[str, _hub(r"[\w.-]+/[\w.-]+(@[\w./-]+)?", "owner/name or owner/name@revision")]
Splits = Annotated[dict[str, str], Field(min_length=1)]
Placed = tuple[Path, str]
"""A file or folder, and the column of its text where one was named."""


class Mirrors(BaseModel):
    """What a file says; `path` is where it stands, None where there is none."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    datasets: dict[Dataset, str | Splits] = {}
    models: dict[Model, str] = {}
    path: Path | None = None

    def dataset(self, name: str, configuration: str | None = None) -> Path | dict[str, Path] | None:
        """A folder, or a file a split, that stands for a data set of the hub; None: nothing does."""
        found = self.text(name, configuration)
        return {split: path for split, (path, _) in found.items()} if isinstance(found, dict) else found and found[0]

    def text(self, name: str, configuration: str | None = None) -> Placed | dict[str, Placed] | None:
        """As `dataset`, with the columns that were named."""
        found = self.datasets.get(f"{name}/{configuration}") or self.datasets.get(name)
        if isinstance(found, dict):
            return {split: self._placed(file) for split, file in found.items()}
        return self._placed(found) if found else None

    def model(self, name: str) -> Path | None:
        """The folder that stands for a model of the hub; None: none does."""
        return self._at(self.models[name]) if name in self.models else None

    def _placed(self, place: str) -> Placed:
        """`path#column`; a file that has a # in its name is found by its whole name."""
        name, mark, column = place.rpartition("#")
        return (self._at(place), "") if not mark or os.path.exists(self._at(place)) else (self._at(name), column)

    def _at(self, place: str) -> Path:
        folder = self.path.parent if self.path else Path()
        try:
            return (folder / Path(place).expanduser()).resolve()
        except (OSError, RuntimeError, ValueError) as error:  # links in a circle, ~nobody, what no path can hold
            raise InputError(f"{self.path}: {place[:200]!r} can be no path ({one_line(str(error))})") from error

    def absent(self) -> list[str]:
        """The paths that are not there, with their keys."""
        named = [(f"models.{name}", place) for name, place in self.models.items()]
        for name, found in self.datasets.items():
            files = found.items() if isinstance(found, dict) else [("", found)]
            named += [(f"datasets.{name}{'.' * bool(split)}{split}", place) for split, place in files]
        found = [(key, self._placed(place)[0]) for key, place in named]
        return [f"{key}: {path}" for key, path in found if not os.path.exists(path)]  # False also for names too long


def read(path: Path) -> Mirrors:
    """The mirrors of a file; every path in it must be there."""
    try:
        found = Mirrors.model_validate({**read_keys(path, "mirrors file"), "path": path})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"] if part not in ("str", "[key]")) or "the file"
        said = first["msg"].removeprefix("Value error, ")
        if first["type"] in ("string_type", "too_short") or "dict[" in str(first["loc"]):
            said = "give a folder, or of a data set a file a split: {test: file.jsonl}"
        known = "; allowed: datasets, models" if first["type"] == "extra_forbidden" else ""
        raise InputError(f"{path}: {place}: {said[0].lower()}{said[1:]}{known}") from error
    if absent := found.absent():
        raise InputError(f"{path} names what is not there: {'; '.join(absent)}")
    return found


def use(path: str | None) -> None:
    """Read this file from now on; None: whatever is there."""
    if path:
        os.environ[VARIABLE] = str(Path(path).resolve())


def current() -> Mirrors:
    """The mirrors that hold now."""
    if named := os.environ.get(VARIABLE):
        return read(Path(named))
    return read(Path(NAME)) if Path(NAME).is_file() else Mirrors()


def model(name: str) -> str:
    """The folder that stands for a model, or the name as it was."""
    return str(current().model(name) or name)
