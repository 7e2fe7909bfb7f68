"""Suites that a user brings: a YAML file, which is data and never code, or lm-eval's tasks by their names.

    name: clinic
    about: what our clinicians ask
    prompts: ["The patient was"]
    tasks:
      - {task: pubmedqa, measures: gain, metric: acc, chance: 0.333, files: {test: pubmedqa_test.jsonl}}
      - {task: hellaswag, metric: acc_norm, chance: 0.25, files: {validation: hellaswag_validation.jsonl}}
      - {task: letters, measures: gain, text: {column: body}, files: {test: letters.jsonl}, sensitive: true}

Every key is described where it is declared below, and in the README. Files are JSON Lines or Parquet with the fields of
lm-eval's data set, relative to the YAML. An entry with `text` is no task of lm-eval's: its documents are scored in bits per
byte, from its files or from a data set of the hub.
"""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from harness.errors import InputError
from harness.keys import read_keys
from harness.suite import Measures, Suite, Task, Text
from suites import code, general, instruct, languages, medical, reasoning

STOCK = (general, reasoning, instruct, languages, medical, code)
KNOWN = {task.name: task for module in STOCK for task in module.TASKS}
"""Tasks whose metric, chance and clusters are known when they are asked for by name."""


class Strict(BaseModel):
    """A part of the file; a key that is not known is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TextEntry(Strict):
    """Documents that are scored in bits per byte: of a data set on the hub, or of the task's files."""

    dataset: str | None = Field(None, pattern=r"^[\w.-]+/[\w.-]+$", description="owner/name on the hub; none: the task's files")
    split: str = Field("test", description="split that is read")
    column: str = Field("text", description="field that holds the text")
    config: str | None = Field(None, description="configuration of the data set")
    file: str | None = Field(None, description="one file of the data set, where all would be too many")
    revision: str | None = Field(None, description="commit on the hub; none: the newest when it is first read")
    documents: int = Field(200, ge=1, description="so many documents, the first that are not blank, 8,000 characters of each")


class TaskEntry(Strict):
    """One entry of `tasks`; what is not given is taken from the known task of that name."""

    task: str = Field(pattern=r"^[\w.-]+$", description="lm-eval's task or group; a name of your own where `text` is given")
    measures: Measures = Field(
        "keep", description="keep: losing it is forgetting; gain: having it is adaptation; probe: beside"
    )
    metric: str | None = Field(None, description="the metric that counts; none: lm-eval's first that is a mean over items")
    filter: str | None = Field(None, description="lm-eval's filter whose answers count, where it has several")
    fewshot: int | None = Field(None, ge=0, le=100, description="examples before a question; none: as lm-eval defines it")
    chance: float | None = Field(None, ge=0, lt=1, description="expected value of the metric by guessing")
    source: Literal["same", "other"] | None = Field(
        "other", description="same: of the source that arms may read as old text; other: not; for what is kept alone"
    )
    cluster: str | None = Field(None, description="field of an item whose equal values belong together (passage, patient)")
    identity: str | None = Field(None, description="field that identifies an item; none: its place in the split")
    about: str = Field("", description="what it asks, in words")
    sensitive: bool = Field(False, description="keep its prompts and answers off pages, exports and trackers")
    text: TextEntry | None = Field(None, description="score text in bits per byte instead: the fields below")
    files: dict[str, str] = Field({}, description="split: file, JSON Lines or Parquet, relative to this file")

    @model_validator(mode="after")
    def _meant(self) -> "TaskEntry":
        if self.measures == "gain" and self.source == "same":
            raise ValueError("source is about what to keep; leave it out where measures is gain")
        if self.text and not (self.text.dataset or self.text.split in self.files):
            raise ValueError(f"text needs a dataset of the hub, or files with its split {self.text.split}")
        if self.text and self.metric not in (None, "bits_per_byte"):
            raise ValueError("text is scored in bits_per_byte; leave metric out")
        return self

    def resolve(self, folder: Path) -> Task:
        """The task, with absolute files and what is known of it."""
        known = KNOWN.get(self.task, Task(self.task, metric=""))
        given: dict[str, Any] = {key: getattr(self, key) for key in self.model_fields_set - {"task", "files", "text"}}
        given.setdefault("source", None if self.measures == "gain" else "other")
        files = {split: str((folder / path).resolve()) for split, path in self.files.items()}
        if self.text:
            known = Task(self.task, metric="bits_per_byte", text=Text(**self.text.model_dump()), identity="id")
        given = {key: value for key, value in given.items() if key != "metric" or value}
        return replace(known, files=files, items=None, **{"measures": self.measures, **given})


class SuiteEntry(Strict):
    """The whole file."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", description="what the suite is called")
    about: str = Field("", description="what it is about, in words")
    prompts: tuple[str, ...] = Field((), description="openings that base and arms complete, side by side on the page")
    sensitive: bool = Field(False, description="keep all its prompts and answers off pages, exports and trackers")
    note: str = Field("", description="a sentence that the page carries wherever the suite is shown")
    tasks: tuple[TaskEntry, ...] = Field(min_length=1, description="its tasks, each with the keys below")


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
    within = TextEntry if "text" in place[:-1] else TaskEntry if len(place) > 1 else SuiteEntry
    return list(within.model_fields)


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
    tasks = tuple(_kept(KNOWN.get(name, Task(name, metric=""))) for name in names)
    _refuse_doubles(tasks, words)
    return Suite(
        name=names[0] if len(names) == 1 else "tasks",
        about=f"lm-eval's {', '.join(names)}",
        tasks=tasks,
        key=hashlib.sha256(repr(tasks).encode()).hexdigest(),
    )


def _kept(task: Task) -> Task:
    return replace(task, measures="keep", source="other")
