"""Suites that a user brings: a YAML file, which is data and never code, or lm-eval's tasks by their names.

    name: clinic
    about: what our clinicians ask
    prompts: ["The patient was"]
    tasks:
      - {task: pubmedqa, measures: gain, metric: acc, chance: 0.333, files: {test: pubmedqa_test.jsonl}}
      - {task: hellaswag, metric: acc_norm, chance: 0.25, files: {validation: hellaswag_validation.jsonl}}

Files are JSON Lines with the fields of lm-eval's data set, relative to the YAML.
"""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from harness.errors import InputError
from harness.keys import read_keys
from harness.suite import Measures, Suite, Task
from suites.code import TASKS as CODE
from suites.general import TASKS as GENERAL
from suites.medical import TASKS as MEDICAL

KNOWN = {task.name: task for task in (*GENERAL, *MEDICAL, *CODE)}
"""Tasks whose metric, chance and clusters are known when they are asked for by name."""


class Strict(BaseModel):
    """A part of the file; a key that is not known is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TaskEntry(Strict):
    """One entry of `tasks`; what is not given is taken from the known task of that name."""

    task: str = Field(min_length=1)
    measures: Measures = "keep"
    metric: str | None = None
    chance: float | None = Field(default=None, ge=0, lt=1)
    source: Literal["same", "other"] | None = "other"
    cluster: str | None = None
    identity: str | None = None
    about: str = ""
    files: dict[str, str] = {}

    @model_validator(mode="after")
    def _no_source_for_gain(self) -> "TaskEntry":
        if self.measures == "gain" and self.source == "same":
            raise ValueError("source is about what to keep; leave it out where measures is gain")
        return self

    def resolve(self, folder: Path) -> Task:
        """The task, with absolute files and what is known of it."""
        known = KNOWN.get(self.task, Task(self.task))
        given = {key: getattr(self, key) for key in self.model_fields_set - {"task", "files"}}
        facts: dict[str, Any] = {
            "metric": known.metric,
            "chance": known.chance,
            "cluster": known.cluster,
            "about": known.about,
            "source": None if self.measures == "gain" else "other",
            **given,
        }
        files = {split: str((folder / path).resolve()) for split, path in self.files.items()}
        return Task(name=self.task, files=files, unsafe=known.unsafe, **facts)


class SuiteEntry(Strict):
    """The whole file."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    about: str = ""
    prompts: tuple[str, ...] = ()
    sensitive: bool = False
    note: str = ""
    tasks: tuple[TaskEntry, ...] = Field(min_length=1)


def from_file(path: str | Path) -> Suite:
    """A suite from a YAML file."""
    path = Path(path)
    content = read_keys(path, "suite")
    try:
        entry = SuiteEntry.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        allowed = f"; allowed: {', '.join(_fields(first['loc']))}" if first["type"] == "extra_forbidden" else ""
        raise InputError(f"{path}: {place}: {first['msg']}{allowed}") from error
    tasks = tuple(task.resolve(path.parent) for task in entry.tasks)
    _refuse_doubles(tasks, str(path))
    _refuse_missing(tasks, path)
    digest = hashlib.sha256(path.read_bytes())
    for task in tasks:
        for split, file in sorted(task.files.items()):
            digest.update(f"\0{task.name}\0{split}\0".encode())
            digest.update(hashlib.sha256(Path(file).read_bytes()).digest())
    return Suite(
        name=entry.name,
        about=entry.about,
        tasks=tasks,
        key=digest.hexdigest(),
        prompts=entry.prompts,
        sensitive=entry.sensitive,
        note=entry.note,
    )


def _fields(place: tuple[int | str, ...]) -> list[str]:
    return list((TaskEntry if len(place) > 1 else SuiteEntry).model_fields)


def _refuse_doubles(tasks: tuple[Task, ...], where: str) -> None:
    names = [task.name for task in tasks]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{where}: task {name} stands twice; give it once")


def _refuse_missing(tasks: tuple[Task, ...], path: Path) -> None:
    for task in tasks:
        for split, file in task.files.items():
            if not Path(file).is_file():
                raise InputError(f"{path}: task {task.name}: files.{split}: {file} is no file")


def named(words: str) -> Suite:
    """lm-eval's tasks or groups by their names, `hellaswag,arc_easy`: all to be kept; chance where it is known."""
    names = [word.strip() for word in words.split(",")]
    if not all(names):
        raise InputError(f"a task is empty in {words!r}; type names with commas between, as in hellaswag,arc_easy")
    tasks = tuple(_kept(KNOWN.get(name, Task(name))) for name in names)
    _refuse_doubles(tasks, words)
    return Suite(
        name=names[0] if len(names) == 1 else "tasks",
        about=f"lm-eval's {', '.join(names)}",
        tasks=tasks,
        key=hashlib.sha256(repr(tasks).encode()).hexdigest(),
    )


def _kept(task: Task) -> Task:
    return replace(task, measures="keep", source="other")
