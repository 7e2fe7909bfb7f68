"""lm-eval's own definitions, and those of a folder of task files: found by name, and taken apart into single tasks."""

import contextlib
import importlib.util
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from harness.errors import InputError, did_you_mean
from harness.score_state import quiet
from harness.suite import Suite, Task

SPLITS = ("training_split", "validation_split", "test_split", "fewshot_split")
MEANS = ("acc", "acc_norm", "exact_match")
"""Metrics of lm-eval that are means over items also where a definition does not say so."""


@dataclass(frozen=True)
class Leaf:
    """A single task of lm-eval's, or a member of a group.

    config     its definition with what it includes; functions by their names
    overrides  what its group sets otherwise
    """

    name: str
    config: Mapping[str, Any]
    overrides: Mapping[str, Any] = field(default_factory=dict)

    @property
    def dataset(self) -> str:
        """Its data set: owner/name on the hub, or the word for files (json)."""
        return str(self.config.get("dataset_path") or "")

    @property
    def configuration(self) -> str | None:
        """The data set's configuration."""
        return self.config.get("dataset_name")

    @property
    def splits(self) -> dict[str, str]:
        """Its splits by the key that names them."""
        return {key: self.config[key] for key in SPLITS if self.config.get(key)}

    @property
    def scored(self) -> str:
        """The split that is scored."""
        return self.splits.get("test_split") or self.splits.get("validation_split") or "test"

    def metrics(self) -> dict[str, Mapping[str, Any]]:
        """Its metrics by name, with what its definition says of them, in its order."""
        from lm_eval.api.registry import DEFAULT_METRIC_REGISTRY

        usual = DEFAULT_METRIC_REGISTRY.get(self.config.get("output_type", ""), [])
        listed = self.config.get("metric_list") or [{"metric": name} for name in usual]
        return {_short(entry["metric"]): entry for entry in listed}

    def means(self) -> dict[str, bool]:
        """Metrics that are a mean over items, or bits per byte: name -> whether higher is better."""
        return {
            name: bool(entry.get("higher_is_better", name != "bits_per_byte"))
            for name, entry in self.metrics().items()
            if name == "bits_per_byte" or entry.get("aggregation", "mean" if name in MEANS else "") == "mean"
        }


def _short(metric: Any) -> str:
    """A metric's name; of a function the last part of its own."""
    return str(getattr(metric, "__name__", metric)).rpartition(".")[2]


NAME = re.compile(rb"""^['"]?(?:task|group)['"]?\s*:\s*['"]?([\w./-]+)['"]?\s*$""", re.MULTILINE)
TAG = re.compile(rb"""^['"]?tag['"]?\s*:((?:\s*-?\s*['"]?[\w./-]+['"]?[ \t]*(?:\n(?=\s*-)|$))+)""", re.MULTILINE)


@lru_cache(maxsize=8)
def _names(root: Path) -> dict[str, tuple[Path, ...]]:
    """The YAML of every task and group below a folder, and those that bear a tag: a second where lm-eval's index takes 15."""
    found: dict[str, tuple[Path, ...]] = {}
    tags: dict[str, tuple[Path, ...]] = {}
    for path in sorted(root.rglob("*.yaml")):
        content = path.read_bytes()
        for name in NAME.findall(content):
            found.setdefault(name.decode(), (path,))
        for listed in TAG.findall(content):
            for name in re.findall(rb"[\w./-]{2,}", listed):
                tags[name.decode()] = (*tags.get(name.decode(), ()), path)
    return tags | found


@lru_cache(maxsize=1)
def _shipped() -> Path:
    package = importlib.util.find_spec("lm_eval")
    assert package is not None
    assert package.origin is not None
    return Path(package.origin).parent / "tasks"


def find(name: str) -> Path:
    """The YAML that defines lm-eval's task or group of a name; of a tag the first that bears it."""
    return _paths(name)[0]


def _paths(name: str) -> tuple[Path, ...]:
    known = _names(_shipped())
    if name not in known:
        raise InputError(f"lm-eval has no task {name!r}; {did_you_mean(name, known)}")
    return known[name]


def _folders(names: Iterable[str]) -> tuple[Path, ...]:
    """Folders of lm-eval that define these names."""
    return tuple(dict.fromkeys(path.parent for name in names for path in _paths(name)))


def home(task: Task) -> Path:
    """The YAML that defines a task: in its own folder of task files, or lm-eval's."""
    return _names(Path(task.folder))[task.name][0] if task.folder else find(task.name)


@lru_cache(maxsize=32)
def manager(folders: tuple[Path, ...]) -> Any:
    """lm-eval's task manager over some of its folders; indexing all of them takes 15 seconds."""
    from lm_eval.tasks import TaskManager

    with quiet():  # a tag in two folders is told of, and put together below
        return TaskManager(include_path=[str(folder) for folder in folders], include_defaults=False)


def leaves(task: Task) -> tuple[Any, list[Leaf]]:
    """lm-eval's task manager that knows a task, and the single tasks that it stands for; nothing is loaded."""
    folders = (Path(task.folder),) if task.folder else _folders([task.name])
    while True:
        index = manager(folders).task_index
        found = list(_members(index, task.name, {}))
        strange = [leaf.name for leaf in found if not leaf.config]
        if not strange or task.folder:
            break
        folders += _folders(strange)
    if strange or not found:
        raise InputError(f"task {task.name} of {task.folder} names {', '.join(strange) or 'no task'}, which is not there")
    return manager(folders), found


def _members(index: Mapping[str, Any], member: Any, overrides: Mapping[str, Any]) -> Iterator[Leaf]:
    """The single tasks of a name or of an entry of a group; one that the index lacks has no config."""
    from lm_eval.config.group import GroupConfig

    entry = {"task": member} if isinstance(member, str) else dict(member)
    name = entry.get("group") or entry["task"]
    known = index.get(name) if isinstance(name, str) else None
    config = dict((known.cfg or {}) if known else {})
    kind = known.kind.name if known else ""
    given = {key: value for key, value in entry.items() if key not in GroupConfig.__dataclass_fields__}
    if kind == "TAG":
        for tagged in sorted(each.name for each in index.values() if name in each.tags and each.kind.name != "TAG"):
            yield from _members(index, {**entry, "task": tagged}, overrides)
    elif kind == "GROUP" or "group" in entry:
        group = config | entry if "group" in entry else config
        own = {key: value for key, value in group.items() if key not in GroupConfig.__dataclass_fields__}
        for below in group.get("task") or ():
            yield from _members(index, below, {**own, **overrides, **given})
    else:
        own = {**overrides, **given}
        yield Leaf(str(name), config | own if known else {}, own)


def completed(suite: Suite) -> Suite:
    """The suite with a metric, its direction and, where options are fixed, its chance for every task that says none."""
    tasks = tuple(_completed(task) if task.metric == "" else _directed(task) for task in suite.tasks)
    return suite if tasks == suite.tasks else replace(suite, tasks=tasks)


def _completed(task: Task) -> Task:
    first = leaves(task)[1][0]
    means = first.means()
    if not means:
        raise InputError(f"task {task.name} has no metric that is a mean over items; it offers {', '.join(first.metrics())}")
    metric = next((name for name, rises in means.items() if rises), next(iter(means)))
    options = first.config.get("doc_to_choice")
    guess = 1 / len(options) if isinstance(options, list) and metric in ("acc", "acc_norm") else None
    unsafe = task.unsafe or bool(first.config.get("unsafe_code"))
    known = guess if task.chance is None else task.chance
    return _counted(replace(task, metric=metric, higher=means[metric], chance=known, unsafe=unsafe))


def _directed(task: Task) -> Task:
    """With the direction that lm-eval's definition gives a metric whose name does not tell it."""
    if task.config is not None or task.text or task.higher is not None or task.metric in (*MEANS, "bits_per_byte"):
        return task
    entry = leaves(task)[1][0].metrics().get(task.metric, {})
    return task if entry.get("higher_is_better", True) else _counted(replace(task, higher=False))


def _counted(task: Task) -> Task:
    """Refuse to count a fall of what is better low: as forgetting it would have the wrong sign."""
    if task.higher is False and task.metric != "bits_per_byte" and task.measures in ("keep", "gain"):
        raise InputError(
            f"task {task.name} has {task.metric}, which is better the lower it is, and what is kept or gained is counted in "
            "what rises; give it another metric, or measures: probe, in a suite file"
        )
    return task


def folder_suite(word: str) -> Suite:
    """Every task of a folder of lm-eval task files, to be kept; they are code, and the suite's key is all their bytes."""
    from harness.plan import digest, file_digest

    root = Path(word).expanduser().resolve()
    if not root.is_dir():
        raise InputError(f"{word} is no folder; give a folder of lm-eval task files, a suite file, or the name of a task")
    files = [path for path in sorted(root.rglob("*")) if path.is_file() and "__pycache__" not in path.parts]
    tasks = tuple(Task(name, metric="", folder=str(root)) for name in _names(root) if not _is_group(root, name))
    if not tasks:
        raise InputError(f"{word} holds no task of lm-eval's: no YAML file in it has a line `task: <name>`")
    key = digest([[str(path.relative_to(root)), file_digest(path)] for path in files])
    for path in root.rglob("*.py"):  # what was compiled of an earlier version goes by time and size
        with contextlib.suppress(OSError):
            Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)
    return Suite(name=root.name, about=f"task files of {root} ({key[:12]})", tasks=tasks, key=key)


def _is_group(root: Path, name: str) -> bool:
    return manager((root,)).task_index[name].kind.name in ("GROUP", "TAG")
