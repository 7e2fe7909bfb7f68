"""Samples that lm-eval wrote become a run folder: base and tuned models, paired by hashes of document, prompt and target."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from harness import registry, results
from harness.elsewhere import RESERVED, Checkpoint, unique
from harness.errors import InputError
from harness.files import owned, write_facts, write_json, writing
from harness.gathered import NO_CONTROL, plan_of, settle, trial_folder, versions
from harness.plan import digest, file_digest
from harness.record import write_plan
from harness.suite import Suite, Task
from harness.tabled import SCORE_COLUMNS
from harness.withheld import guarded

OWN = "lm_eval"
"""The suite of tasks that no given suite file names."""


@dataclass(frozen=True)
class Logged:
    """A model of which samples lie in a folder: task -> file."""

    name: str
    folder: Path
    files: Mapping[str, Path]

    @property
    def digest(self) -> str:
        """Of the files that were read."""
        return digest({task: file_digest(path) for task, path in self.files.items()})


def take(
    folders: Sequence[Path], base: str | None, suites: str | None, output: Path | None, command: str, shown: bool = False
) -> Path:
    """Import samples of a base and of models made from it: the run folder; `shown`: with the texts of sensitive suites."""
    before, models = _parted(folders, base)
    chosen = guarded(_suites(before, suites), (), shown)
    tables = {model.name: _tables(model, chosen) for model in (before, *models)}
    for model in models:
        _refuse_others(before, model, tables)
    told = [{"arm": one.name, "seed": 1, "path": str(one.folder), "digest": one.digest} for one in models]
    more = {"command": command, "control": NO_CONTROL, "prompts": [], "notes": _notes(before, models), "versions": versions()}
    plan = plan_of({"name": before.name, "digest": before.digest}, told, chosen, more | {"options": {}})
    folder = output or Path(f"runs/{before.name}-samples")
    plan = settle(folder, plan)
    with owned(folder):
        write_plan(folder, plan)
        _write(folder / "base", tables[before.name], {"digest": before.digest})
        for model in models:
            _write(
                folder / trial_folder(model.name, 1),
                tables[model.name],
                {"arm": model.name, "seed": 1, "weights": model.digest},
            )
        results.write(folder)
    return folder


def _parted(folders: Sequence[Path], base: str | None) -> tuple[Logged, list[Logged]]:
    """The base, and the models that stand against it."""
    found = [model for folder in folders for model in _models(folder)]
    there = {each for model in found for each in (model.name, model.folder.name, str(model.folder.resolve()))}
    if base and not {base, str(Path(base).resolve())} & there and Path(base).is_dir():
        found += _models(Path(base))
    named = ", ".join(model.name for model in found)
    if doubled := next((model.name for model in found if [m.name for m in found].count(model.name) > 1), None):
        raise InputError(f"two folders of samples are called {doubled}; give them folders of other names")
    unique([Checkpoint(str(model.folder), model.name) for model in found])
    if base is None:
        raise InputError(f"say with --base which of {named} is the base: every difference is taken against it")
    place = Path(base).resolve()
    own = [model for model in found if base in (model.name, model.folder.name) or model.folder.resolve() == place]
    if len(own) != 1:
        raise InputError(f"--base {base} is none of the models whose samples were given; they are {named}")
    if len(found) < 2:
        raise InputError(f"samples of {own[0].name} alone were given; give those of the models that were made from it too")
    return own[0], [model for model in found if model is not own[0]]


def _models(folder: Path) -> list[Logged]:
    """The models of a folder: it holds samples itself, or has a folder a model, as lm-eval writes them."""
    from harness.score_samples import files

    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}; give one that lm-eval's --log_samples --output_path wrote")
    found = [(each, files(each)) for each in (folder, *sorted(path for path in folder.iterdir() if path.is_dir()))]
    found = [Logged(_name(each), each, named) for each, named in found if named]
    if not found:
        raise InputError(f"{folder} holds no samples_<task>_<date>.jsonl, nor do its folders; run lm-eval with --log_samples")
    return found


def _name(folder: Path) -> str:
    """What a model is called: lm-eval writes its owner or path before it, with __ between."""
    name = re.sub(r"[^A-Za-z0-9._@-]+", "-", folder.resolve().name.rpartition("__")[2]).lstrip("._-@")
    return f"{name}-model".lstrip("-") if name in ("", RESERVED) else name


def _suites(before: Logged, words: str | None) -> tuple[Suite, ...]:
    """What is known of the tasks whose samples are there: from suite files, else from the known tasks, all to be kept."""
    from harness.score_samples import metric

    read = registry.find("readers", "suite").load()
    given: list[Suite] = [read(word) for word in (words or "").split(",") if word]
    said = {task.name for suite in given for task in suite.tasks}
    known = registry.find("readers", "tasks").load()
    loose: list[Task] = [known(name).tasks[0] for name in before.files if name not in said]
    suites = [*given, *([Suite(OWN, "as lm-eval scored them", tuple(loose), digest(sorted(before.files)))] if loose else [])]
    found = []
    for suite in suites:
        tasks = [task for task in suite.tasks if task.name in before.files]
        kept = tuple(replace(task, metric=metric(task, before.files[task.name])) for task in tasks)
        found += [replace(suite, tasks=kept)] if kept else []
    return tuple(found)


def _tables(model: Logged, suites: Sequence[Suite]) -> dict[str, list[dict[str, Any]]]:
    """Suite -> rows."""
    from harness.score_samples import rows, totals

    pools = totals(model.folder)
    return {
        suite.name: [
            row
            for task in suite.tasks
            if task.name in model.files
            for row in rows(suite, task, model.files[task.name], pools.get(task.name))
        ]
        for suite in suites
    }


def _refuse_others(before: Logged, model: Logged, tables: Mapping[str, Mapping[str, list[dict[str, Any]]]]) -> None:
    """Refuse items that were not the same for both."""
    from harness.score_samples import unlike, versions

    asked = versions(before.folder), versions(model.folder)
    for task in before.files.keys() & model.files.keys():
        one, other = (each.get(task) for each in asked)
        if one and other and one != other:
            raise InputError(
                f"{before.name} was asked version {one} of {task}, {model.name} version {other}; score both with one lm-eval"
            )
    for suite, rows in tables[before.name].items():
        for task in dict.fromkeys(row["task"] for row in rows):
            one, other = ([row for row in tables[each.name][suite] if row["task"] == task] for each in (before, model))
            if other and (odd := unlike(one, other)):
                of = f"{len(odd)} of {max(len(one), len(other))} items of {task}"
                raise InputError(
                    f"{model.name} and {before.name} were not asked the same: {of} differ in document, prompt or target, "
                    f"the first is item {odd[0]}; score both with the same settings"
                )


def _notes(before: Logged, models: Sequence[Logged]) -> list[str]:
    """What a reader must know of where rows came from."""
    found = ["rows were imported from samples that lm-eval wrote: its figures, and whatever it was told when it made them"]
    for model in models:
        if lacking := sorted(set(before.files) - set(model.files)):
            found.append(f"{model.name} has no samples of {', '.join(lacking)}")
        if extra := sorted(set(model.files) - set(before.files)):
            found.append(f"samples of {model.name} on {', '.join(extra)} are left out: the base has none")
    return found


def _write(folder: Path, tables: Mapping[str, list[dict[str, Any]]], facts: Mapping[str, Any]) -> None:
    for suite, rows in tables.items():
        path = folder / "scores" / f"{suite}.parquet"
        with writing(path) as beside:
            pd.DataFrame(rows, columns=list(SCORE_COLUMNS)).astype(SCORE_COLUMNS).to_parquet(beside, index=False)
        made = {"key": "imported", "weights": facts.get("weights", facts.get("digest")), "sha256": file_digest(path)}
        write_json(path.with_suffix(".json"), made)
    write_facts(folder / "result.json", {**facts, "status": "done"})
