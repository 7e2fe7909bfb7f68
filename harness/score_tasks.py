"""A suite's tasks as lm-eval's task objects: its own by name or with local files, and ours from documents."""

import random
import weakref
from contextlib import nullcontext
from typing import Any

from harness.errors import HarnessError, InputError, did_you_mean
from harness.score_code import judged, refuse
from harness.score_data import mirrored, moved_tables, on_disk, table, tables, text_documents
from harness.score_stock import Leaf, leaves
from harness.score_texts import CONFIG
from harness.suite import Task

Built = dict[str, Any]
"""Leaf name -> lm-eval task; one leaf, or the members of a group."""

SEED = 1234  # lm-eval's own seed for few-shot examples
_built: dict[int, Built] = {}


def build(task: Task) -> Built:
    """lm-eval's task of a Task; built once while the Task lives, because documents do not change between models."""
    if id(task) not in _built:
        refuse(task.name, task.unsafe, task.allowed)
        built = _stock(task) if task.config is None and task.text is None else _own(task)
        _built[id(task)] = {name: _settle(name, found, task) for name, found in built.items()}
        weakref.finalize(task, _built.pop, id(task), None)
    return _built[id(task)]


def subset(built: Built, limit: int | None) -> dict[str, list[int]] | None:
    """A seeded random choice of `limit` documents by their position, the same for every model; None: all of them."""
    if limit is None:
        return None
    if limit < 1:
        raise InputError(f"a limit of {limit} items leaves nothing to score; give 1 or more")
    pool = [(name, position) for name, task in built.items() for position in range(len(task.eval_docs))]
    chosen = random.Random(" ".join(built)).sample(pool, min(limit, len(pool)))
    found: dict[str, list[int]] = {}
    for name, position in sorted(chosen):
        found.setdefault(name, []).append(position)
    return found


def _settle(name: str, found: Any, task: Task) -> Any:
    """Check a built task, and keep its prepared documents: lm-eval prepares them anew at every look."""
    offered = list(found.aggregation())
    if task.metric not in offered:
        raise InputError(f"task {name} has no metric {task.metric}; it offers {', '.join(offered)}")
    filters = [ensemble.name for ensemble in found._filters]
    if task.filter and task.filter not in filters:
        raise InputError(f"task {name} has no filter {task.filter}; it offers {', '.join(filters)}")
    documents = found.eval_docs
    if len(documents) == 0:
        raise HarnessError(f"task {name} holds no documents; nothing can be scored")
    config = found.config
    if task.fewshot is not None:
        found.set_config("num_fewshot", task.fewshot)
    if callable(getattr(config, "process_docs", None)):
        found.dataset[config.test_split or config.validation_split] = documents
        config.process_docs = None
    return found


def _own(task: Task) -> Built:
    """A task with a configuration of its own, or of text, from its documents."""
    from lm_eval.api.task import ConfigurableTask

    config = dict(task.config or CONFIG)
    made = text_documents(task) if task.text else task.documents() if task.documents else ()
    documents = [dict(document) for document in made]
    if not documents:
        raise HarnessError(f"task {task.name} holds no documents; nothing can be scored")
    split = config.get("test_split") or config.get("validation_split") or "test"
    rows = table(documents, f"task {task.name}")
    config |= {"task": task.name, "custom_dataset": lambda **_: {split: rows}}
    config.setdefault("test_split", split)
    return {task.name: ConfigurableTask(config=config)}


def _stock(task: Task) -> Built:
    """lm-eval's task or group of that name, or that of a folder of task files: from the hub, from local files or mirrors."""
    manager, found = leaves(task)
    if task.files and (len(found) > 1 or found[0].name != task.name):
        raise InputError(f"{task.name} is a group of tasks; give files for each of its tasks, not for the group")
    specs = [{**leaf.overrides, "task": leaf.name, **_light(task, leaf), **_local(task, leaf)} for leaf in found]
    unsafe = [leaf.name for leaf in found if leaf.config.get("unsafe_code")]
    for name in unsafe:
        refuse(name, True, task.allowed)
    with judged() if unsafe else nullcontext():
        return dict(manager.load([{"group": "harness", "task": specs}])["tasks"])


def _light(task: Task, leaf: Leaf) -> dict[str, Any]:
    """The metric that counts alone, where the library `evaluate` would fetch another from the hub."""
    entries = leaf.metrics()
    fetched = any(entry.get("hf_evaluate") for name, entry in entries.items() if name != task.metric)
    return {"metric_list": [entries[task.metric]]} if fetched and task.metric in leaf.means() else {}


def _local(task: Task, leaf: Leaf) -> dict[str, Any]:
    """What replaces a task's hub data set: its rows on this machine, with the splits that are not there unset."""
    local = tables(task.files) if task.files else mirrored(leaf.dataset, leaf.configuration)
    if local is None and task.moved:
        local = moved_tables(task.moved, leaf.scored)
    if local is None and not leaf.config.get("custom_dataset"):
        local = on_disk(leaf.dataset, leaf.configuration, leaf.config.get("dataset_kwargs") or {})
    if local is None:
        return {}
    wanted, where = leaf.splits, f"task {leaf.name}"
    unknown = set(task.files) - set(wanted.values())
    if unknown:
        raise InputError(f"{where} has no split {', '.join(sorted(unknown))}; {did_you_mean(min(unknown), wanted.values())}")
    if leaf.scored not in local:
        raise InputError(f"{where} scores its split {leaf.scored}; give a file for it: files: {{{leaf.scored}: ...}}")
    shots = leaf.config.get("num_fewshot") if task.fewshot is None else task.fewshot
    examples = leaf.config.get("fewshot_config") or {}
    source = wanted.get("fewshot_split") or wanted.get("training_split") or wanted.get("validation_split")
    if shots and source not in local and not examples.get("samples"):
        raise InputError(f"{where} takes {shots} examples from its split {source}; give a file for it too")
    kept = {key: split if split in local else None for key, split in wanted.items()}
    hub = {"dataset_path": "json", "dataset_name": None, "dataset_kwargs": None}
    return {**kept, **hub, "custom_dataset": lambda **_: dict(local)}
