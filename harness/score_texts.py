"""Held-out documents of the plan's own corpora as a suite, in bits per byte."""

import hashlib
import heapq
import re
from collections.abc import Iterator
from functools import partial
from typing import Any

from harness.corpus import Corpus
from harness.plan import digest
from harness.sources import parts
from harness.suite import Suite, Task

DOCUMENTS, CHARACTERS = 200, 8000

CONFIG = {
    "output_type": "loglikelihood_rolling",
    "doc_to_text": "",
    "doc_to_target": "text",
    "metric_list": [{"metric": "bits_per_byte"}],
}


def documents_suite(name: str, new: Corpus | None, old: Corpus | None, task: Corpus | None = None) -> Suite:
    """Test documents of the new text (gain), the task's (gain) and the old (keep, same source), a task each corpus.

    At most 200 documents each, the same for all. Task text is often small: a corpus of it that has none to hold out has no
    task here.
    """
    held = list(_tasks("task_text", task, ", the text of the task", True, measures="gain", source=None))
    corpora = [corpus for corpus in (new, old, task if held else None) if corpus is not None]
    tasks = [
        *_tasks("new_text", new, "", measures="gain", source=None),
        *_tasks("old_text", old, ", the source of the old text", measures="keep", source="same"),
        *held,
    ]
    return Suite(
        name=name,
        about="bits per byte of held-out documents of the text that is learned and of the text that arms may read",
        tasks=tuple(tasks),
        key=digest([[corpus.key for corpus in corpora], [new is None, old is None], DOCUMENTS, CHARACTERS, CONFIG]),
        sensitive=any(corpus.sensitive for corpus in corpora),
    )


def _tasks(name: str, corpus: Corpus | None, which: str, if_any: bool = False, **facts: Any) -> Iterator[Task]:
    """A task for each corpus of a source (`if_any`: that holds documents out); one that is mixed has several, by its parts."""
    for one in parts(corpus) if corpus else ():
        if if_any and next(iter(one.read("test")), None) is None:
            continue
        own = name if one is corpus else f"{name}_{one.name}"
        yield _task(own, one, f"held-out documents of {one.name}{which}", **facts)


def _task(name: str, corpus: Corpus, about: str, **facts: Any) -> Task:
    return Task(
        name=name,
        metric="bits_per_byte",
        identity="id",
        about=about,
        config=CONFIG,
        documents=partial(_documents, corpus),
        **facts,
    )


def _documents(corpus: Corpus) -> Iterator[dict[str, str]]:
    """The documents with the smallest hashes of their ids: a seeded choice that an added document hardly moves."""
    texts = ((_hash(document.id), document) for document in corpus.read("test") if document.text.strip())
    for _, document in heapq.nsmallest(DOCUMENTS, texts, key=lambda pair: pair[0]):
        yield {"id": document.id, "text": cut(document.text, CHARACTERS)}


def _hash(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def cut(text: str, most: int) -> str:
    """The text's beginning, cut at the last white space within `most` characters."""
    if len(text) <= most:
        return text
    borders = [match.start() for match in re.finditer(r"\s", text[: most + 1])]
    return text[: borders[-1]] if borders and borders[-1] > 0 else text[:most]
