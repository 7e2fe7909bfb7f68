"""What is looked at before a preparation begins: every row once, how much there is, and how long it will take."""

import hashlib
from array import array
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Protocol

import numpy as np

from harness.errors import InputError
from harness.formats import Found
from harness.prepare_job import Job, everything, passes
from harness.prepare_pass import pace
from harness.prepare_work import Progress

SAMPLE = 64
"""Documents on which the time of a preparation is foretold."""


class Watch(Protocol):
    """Who is told how a preparation goes."""

    def begin(self, what: str, total: int | None, done: int) -> None:
        """A pass over so many documents (None: unknown) begins."""

    def step(self, done: int) -> None:
        """So many documents of it are done."""

    def note(self, sentence: str) -> None:
        """Something to know."""


def survey(job: Job, progress: Progress, watch: Watch) -> None:
    """Count documents and bytes of every source and look at all ids once; a stream is not read for that."""
    sources = []
    for name, corpus in job.sources.items():
        facts: dict[str, Any] = {"name": name, "about": corpus.about, "licence": corpus.licence, "key": corpus.key}
        facts["notes"] = list(corpus.notes)  # files that are not read
        for note in corpus.notes:
            watch.note(note)
        if not getattr(corpus.read, "window", None):
            watch.begin(f"looking at {name}", None, 0)
            facts |= _looked_at(islice(everything(corpus), job.limit), watch)
            if facts.pop("ids") < facts["documents"]:
                _refuse_doubled(islice(everything(corpus), job.limit))
        sources.append(facts)
    progress.save(sources=sources)
    watch.note(_cost(job, sources))


def _looked_at(documents: Iterable[Found], watch: Watch) -> dict[str, int]:
    """How many there are, the bytes of their texts, and how many different ids (by 64 bits of each)."""
    ids, size = array("Q"), 0
    for number, found in enumerate(documents, 1):
        size += len(found.document.text.encode())
        ids.append(_bits(found))
        watch.step(number)
    return {"documents": len(ids), "bytes": size, "ids": len(np.unique(np.frombuffer(ids, np.uint64)))}


def _bits(found: Found) -> int:
    return int.from_bytes(hashlib.blake2b(found.document.id.encode(), digest_size=8).digest())


def _refuse_doubled(documents: Iterable[Found]) -> None:
    """Name the id that stands twice."""
    seen: set[str] = set()
    for found in documents:
        if (name := found.document.id) in seen:
            raise InputError(f"{found.where}: the id {name!r} stands a second time; every document has its own")
        seen.add(name)


def _cost(job: Job, sources: Sequence[Mapping[str, Any]]) -> str:
    """What the first pass will take, foretold on a few documents; those after it take less, but for a model's scores."""
    streamed = any("bytes" not in source for source in sources)
    part = list(islice(job.rows(), SAMPLE))
    todo = passes(job.recipe.steps)
    each = pace(part, job.work(todo[0])) if part else 0.0  # seconds a byte, of one process
    if streamed:
        return f"how much text there is is not known before it is read; {job.workers / max(each, 1e-9) / 1e6:.1f} MB a second"
    size = sum(source["bytes"] for source in sources)
    documents = sum(source["documents"] for source in sources)
    models = [step.name for step in job.recipe.steps if step.kind == "scorer"]
    more = f", and what {', '.join(models)} will take" if models else ""
    return (
        f"{documents:,} documents, {size / 1e6:.1f} MB of text: about {each * size / job.workers:.0f} s to clean and compare"
        f"{more}; up to {3 * size / 1e6:.0f} MB of the disk until it is done"
    )
