"""What a plan needs from the hub and cannot have: all of it in one sentence, before anything is downloaded or trained.

Mirrors are asked first, then the caches of this machine; the hub is asked for descriptions alone, and not at all where
HF_HUB_OFFLINE says so. A data set that is there by its description may still fail while it is loaded; those are gathered too.
"""

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import mirrors
from harness.corpus import Published
from harness.errors import HarnessError, InputError, said
from harness.score_data import kept
from harness.score_state import quiet
from harness.score_stock import leaves
from harness.score_tasks import build
from harness.suite import Suite, Task

NONE: Mapping[str, Published] = {}
UNASKED = "not in the cache, and the hub cannot be reached or HF_HUB_OFFLINE is set"


@dataclass(frozen=True)
class Lack:
    """Something of the hub that is not to be had.

    what   model, text or data set
    name   owner/name
    split  of a data set that is scored
    task   that needs it
    why    what the hub or the loader said
    line   what `mirrors.yaml` could say of it
    """

    what: str
    name: str
    why: str
    split: str = ""
    task: str = ""
    line: str = ""


def refuse_missing(suites: Iterable[Suite], models: Iterable[str] = (), texts: Mapping[str, Published] = NONE) -> None:
    """Name every model, text and data set that is neither here nor on the hub; texts by what was typed."""
    with quiet(), _asked_once():
        found = [*_models(models), *_texts(texts), *(lack for suite in suites for task in suite.tasks for lack in _sets(task))]
    _refuse(found)


@contextlib.contextmanager
def _asked_once() -> Iterator[None]:
    """A hub that cannot be reached is left alone for the rest of a listing: every answer takes it half a minute."""
    import datasets.config
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE = before


def _leave_alone() -> None:
    import datasets.config
    from huggingface_hub import constants

    constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True


def prepare(*suites: Suite) -> None:
    """Build all tasks, so that what cannot be loaded is said before anything is trained, and all of it at once."""
    found: list[Lack] = []
    with quiet():
        for task in (task for suite in suites for task in suite.tasks):
            try:
                build(task)
            except HarnessError:
                raise
            except ImportError as error:
                raise InputError(
                    f"task {task.name} needs a library that is not installed ({said(error)}); install it, or leave the task out"
                ) from error
            except Exception as error:  # the hub, a network, a loader: a dozen kinds
                if task.files or not _wanted(task):
                    raise InputError(
                        f"task {task.name}: its documents cannot be asked as lm-eval asks them ({said(error)}); "
                        f"they need the fields of {_data(task)[0]}"
                    ) from error
                found.append(Lack("data set", _data(task)[0], said(error), _data(task)[1], task.name))
    _refuse(found)


def _refuse(found: list[Lack]) -> None:
    """One sentence about all that is missing: by cause, then by name."""
    if not found:
        return
    causes = [
        f"{', '.join(_named([lack for lack in found if lack.why == why]))} ({why})"
        for why in dict.fromkeys(lack.why for lack in found)
    ]
    sets = [
        lack.line or f"{lack.name.replace(' ', '/')}: {{{lack.split}: file.jsonl}}" for lack in found if lack.what != "model"
    ]
    models = [f"{lack.name}: folder" for lack in found if lack.what == "model"]
    lines = [f"`{key}: {{{named[0]}}}`" for key, named in (("datasets", sets), ("models", models)) if named]
    raise InputError(
        f"what this needs cannot be had: {'; '.join(causes)}. Fetch it once with a network, or say in mirrors.yaml where it "
        f"lies, as in {' and '.join(lines)}, or leave it out"
    )


def _named(lacks: list[Lack]) -> list[str]:
    """Each thing once, with the splits and tasks that it is needed for."""
    found = []
    for what, name in dict.fromkeys((lack.what, lack.name) for lack in lacks):
        own = [lack for lack in lacks if (lack.what, lack.name) == (what, name)]
        splits = "/".join(dict.fromkeys(lack.split for lack in own if lack.split))
        tasks = list(dict.fromkeys(lack.task for lack in own if lack.task))
        used = f" [{splits} for {', '.join(tasks[:3])}{' and more' * (len(tasks) > 3)}]" if tasks else ""
        found.append(f"the {what} {name}{used}")
    return found


def _data(task: Task) -> tuple[str, str]:
    """The data set that a task reads, and the split that is scored."""
    if task.text:
        return task.text.dataset or "of files", task.text.split
    if task.config is not None:
        return "of its own", "test"
    first = leaves(task)[1][0]
    return f"{first.dataset} {first.configuration or ''}".strip(), first.scored


def _sets(task: Task) -> Iterator[Lack]:
    """The data sets that a task reads and that are not to be had."""
    if task.files or task.config is not None:
        return
    for name, wanted in _wanted(task).items():
        reasons = [reason for want in (wanted if _offline() else wanted[:1]) if (reason := _dataset(name, *want))]
        if reasons:
            yield Lack("data set", name, reasons[0], _data(task)[1], task.name)


def _wanted(task: Task) -> dict[str, list[tuple[str | None, dict[str, Any]]]]:
    """Data set -> configurations and files of it that a task reads from the hub."""
    known, found = mirrors.current(), dict[str, list[tuple[str | None, dict[str, Any]]]]()
    if text := task.text:
        there = known.dataset(text.dataset or "", text.config) or kept(text).is_file()
        files = {"data_files": {text.split: text.file}} if text.file else {}
        return {} if there else {text.dataset or "": [(text.config, {"revision": text.revision, **files})]}
    for leaf in leaves(task)[1]:
        name, part, options = leaf.dataset, leaf.configuration, leaf.config.get("dataset_kwargs") or {}
        if task.moved and not known.dataset(name, part):
            name, part, options = task.moved.dataset, task.moved.config, {}
        if "/" in name and not Path(name).exists() and not known.dataset(name, part):
            given = {key: options[key] for key in ("data_files", "data_dir", "revision") if key in options}
            found.setdefault(name, []).append((part, given))
    return found


def _offline() -> bool:
    from huggingface_hub import is_offline_mode

    return is_offline_mode()


def _why(ask: Callable[[], Any]) -> str | None:
    """Why something cannot be had; None: it can."""
    try:
        ask()
    except Exception as error:  # the hub's client and datasets raise a dozen kinds
        if isinstance(error, ConnectionError) or re.search("Connect|Timeout|Offline", type(error).__name__):
            _leave_alone()
        return UNASKED if _offline() else said(error)
    return None


def _dataset(name: str, configuration: str | None, options: dict[str, Any]) -> str | None:
    """Why a data set cannot be had, by its description alone."""
    from datasets import load_dataset_builder

    return _why(lambda: load_dataset_builder(name, configuration, **options))


def _models(names: Iterable[str]) -> Iterator[Lack]:
    """Models of the hub that are neither here nor there."""
    from huggingface_hub import HfApi, try_to_load_from_cache

    for name in dict.fromkeys(names):
        plain, _, at = name.partition("@")
        hub = plain.count("/") == 1 and not name.startswith((".", "/", "~")) and not Path(name).parent.is_dir()
        here = try_to_load_from_cache(plain, "config.json", revision=at or None) if hub else None
        if not hub or mirrors.current().model(name) or isinstance(here, str):
            continue
        if why := _why(lambda plain=plain, at=at: HfApi().model_info(plain, revision=at or None, timeout=20)):
            yield Lack("model", name, why)


def _texts(words: Mapping[str, Published]) -> Iterator[Lack]:
    """Texts of the hub that cannot be read; they are streamed, so a cache does not help."""
    from huggingface_hub import HfApi

    for word, of in words.items():
        if why := _why(lambda name=of.dataset: HfApi().dataset_info(name, timeout=20)):
            yield Lack("text", word, why, line=of.line)
