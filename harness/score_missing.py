"""What a plan needs from the hub and cannot have: all of it in one sentence, before anything is downloaded or trained.

Mirrors are asked first, then the caches of this machine; the hub is asked for descriptions alone, and not at all where
HF_HUB_OFFLINE says so. A data set that is there by its description may still fail while it is loaded; those are gathered too.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from harness import mirrors
from harness.errors import HarnessError, InputError, said
from harness.score_data import kept
from harness.score_state import quiet
from harness.score_stock import leaves
from harness.score_tasks import build
from harness.suite import Suite, Task

HUB = re.compile(r"(?:hub:)?([\w.-]+/[\w.-]+)(?:/[\w.-]+)?(?:#.+)?")
"""Text of the hub, as it is typed."""


def refuse_missing(suites: Iterable[Suite], models: Iterable[str] = (), texts: Iterable[str] = ()) -> None:
    """Name every model, text and data set that is neither here nor on the hub."""
    with quiet():
        found = [*_absent_models(models), *_absent_texts(texts)]
        found += [line for suite in suites for task in suite.tasks for line in _absent(task)]
    if found:
        raise InputError(_sentence(found))


def prepare(*suites: Suite) -> None:
    """Build all tasks, so that what cannot be loaded is said before anything is trained, and all of it at once."""
    found: list[str] = []
    with quiet():
        for task in (task for suite in suites for task in suite.tasks):
            try:
                build(task)
            except HarnessError:
                raise
            except ImportError as error:
                raise InputError(f"task {task.name} needs a library that is not installed: {said(error)}") from error
            except Exception as error:  # the hub, a network, a loader: a dozen kinds
                found.append(f"the data of {_asked(task)} ({said(error)})")
    if found:
        raise InputError(_sentence(found))


def _sentence(found: list[str]) -> str:
    what = "this" if len(found) == 1 else f"{len(found)} things"
    return (
        f"{what} cannot be had: {'; '.join(found)}. Fetch with a network once, or say in mirrors.yaml where files of it lie, "
        "as in `datasets: {owner/name/configuration: {split: file.jsonl}}` and `models: {owner/name: folder}`; or leave them out"
    )


def _asked(task: Task) -> str:
    """A task with the data set that it reads."""
    if task.text:
        return f"task {task.name}: {task.text.dataset or 'its files'}, split {task.text.split}"
    if task.config is not None:
        return f"task {task.name}"
    first = leaves(task)[1][0]
    return f"task {task.name}: {' '.join(filter(None, (first.dataset, first.configuration)))}, split {first.scored}"


def _absent(task: Task) -> Iterator[str]:
    """A line a data set that a task reads and that is not to be had."""
    if task.files or task.config is not None:
        return
    for name, wanted in _wanted(task).items():
        reasons = [reason for want in (wanted if _offline() else wanted[:1]) if (reason := _dataset(name, *want))]
        if reasons:
            parts = f", {len(wanted)} parts" if len(wanted) > 1 else ""
            yield f"the data set {name} ({_asked(task)}{parts}: {reasons[0]})"


def _wanted(task: Task) -> dict[str, list[tuple[str | None, dict[str, Any]]]]:
    """Data set -> configurations and files of it that a task reads from the hub."""
    known, found = mirrors.current(), dict[str, list[tuple[str | None, dict[str, Any]]]]()
    if text := task.text:
        there = known.dataset(text.dataset or "", text.config) or kept(text).is_file()
        files = {"data_files": {text.split: text.file}} if text.file else {}
        return {} if there else {text.dataset or "": [(text.config, {"revision": text.revision, **files})]}
    for leaf in leaves(task)[1]:
        name, options = leaf.dataset, leaf.config.get("dataset_kwargs") or {}
        if "/" in name and not Path(name).exists() and not known.dataset(name, leaf.configuration):
            given = {key: options[key] for key in ("data_files", "data_dir", "revision") if key in options}
            found.setdefault(name, []).append((leaf.configuration, given))
    return found


def _offline() -> bool:
    from huggingface_hub import is_offline_mode

    return is_offline_mode()


def _why(ask: Callable[[], Any]) -> str | None:
    """Why something cannot be had; None: it can."""
    try:
        ask()
    except Exception as error:  # the hub's client and datasets raise a dozen kinds
        return "it is not in the cache, and HF_HUB_OFFLINE is set" if _offline() else said(error)
    return None


def _dataset(name: str, configuration: str | None, options: dict[str, Any]) -> str | None:
    """Why a data set cannot be had, by its description alone."""
    from datasets import load_dataset_builder

    return _why(lambda: load_dataset_builder(name, configuration, **options))


def _absent_models(names: Iterable[str]) -> Iterator[str]:
    """A line a model of the hub that is neither here nor there."""
    from huggingface_hub import HfApi, try_to_load_from_cache

    for name in names:
        plain = name.partition("@")[0]
        if name.count("/") != 1 or name.startswith((".", "/", "~")) or Path(name).exists() or mirrors.current().model(plain):
            continue
        if not isinstance(try_to_load_from_cache(plain, "config.json"), str):
            reason = _why(lambda plain=plain: HfApi().model_info(plain, timeout=20))
            if reason:
                yield f"the model {name} ({reason})"


def _absent_texts(words: Iterable[str]) -> Iterator[str]:
    """A line a text of the hub that cannot be read."""
    from huggingface_hub import HfApi

    for word in words:
        match = HUB.fullmatch(mirrors.corpus(word))
        if match and not Path(word.partition("#")[0]).exists():
            reason = _why(lambda name=match[1]: HfApi().dataset_info(name, timeout=20))
            if reason:
                yield f"the text {word} ({reason})"
