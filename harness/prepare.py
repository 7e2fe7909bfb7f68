"""From raw documents to the rows that are trained on: sources through a recipe into one file, and the table of what was taken.

A recipe's steps are passes: cleaners and filters, up to a step that must see the whole corpus (duplicates, a quantile),
are one pass over the documents, from files to files, so that memory does not grow with the corpus. All splits of a source are
read: the output is one corpus, whose splits are cut when it is used. The work folder beside the output is keyed by the content
of the sources, the recipe and the code of its steps; what was stopped goes on there, and it is removed at the end.
"""

import errno
import hashlib
import shutil
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from harness import hiding, prepare_work
from harness.clean import Step
from harness.duplicates import Index
from harness.errors import HarnessError, InputError
from harness.files import owned, read_json, write_facts, writing
from harness.formats import Found
from harness.plan import file_digest
from harness.prepare_job import Job, Pass, everything, passes
from harness.prepare_pass import EXAMPLES, Row, chunks, example, mapped, pace
from harness.prepare_table import report
from harness.prepare_work import Kept, Progress
from harness.prepare_write import write_rows

Array = np.ndarray[Any, Any]
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


def prepared(job: Job) -> dict[str, Any] | None:
    """The table of a preparation that is finished, and just this one; an output of another origin is refused."""
    if not job.output.exists() or job.folder.exists():
        return None
    known = read_json(job.note) if job.note.is_file() else {}
    if known.get("sha256") != file_digest(job.output):
        raise InputError(f"{job.output} is there and is not what this command wrote; remove it, or name another --output")
    return known if known["key"] == job.key else None


def prepare(job: Job, watch: Watch) -> dict[str, Any]:
    """Read, clean, compare and write; what was stopped goes on."""
    with owned(job.folder, job.output, "name another --output"), _room(job.folder), _discreet(job):
        progress = Progress(job.folder, job.key)
        if progress.foreign:
            watch.note("what was begun here was of other sources or another recipe; it begins anew")
        if "sources" not in progress.known:
            _survey(job, progress, watch)
        todo = passes(job.recipe.steps)
        while progress.number < len(todo):
            _run(job, todo[progress.number], progress, watch)
        found = _finish(job, progress, len(todo) - 1)
        shutil.rmtree(job.folder)
    return found


@contextmanager
def _discreet(job: Job) -> Iterator[None]:
    """No error repeats what a sensitive document says."""
    before = hiding.quotes()
    hiding.quote(not job.secret)
    try:
        yield
    finally:
        hiding.quote(before)


@contextmanager
def _room(folder: Path) -> Iterator[None]:
    """A full disk as a sentence."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        free = shutil.disk_usage(folder).free // 2**20
        raise HarnessError(
            f"there is no room left for {folder} ({free:,} MiB are free); make some and type the same command again, "
            "and it goes on from where it was"
        ) from error


def _survey(job: Job, progress: Progress, watch: Watch) -> None:
    """Count documents and bytes of every source and look at all ids once; a stream is not read for that."""
    sources = []
    for name, corpus in job.sources.items():
        facts: dict[str, Any] = {"name": name, "about": corpus.about, "licence": corpus.licence, "key": corpus.key}
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


def _input(job: Job, progress: Progress) -> Iterator[Row]:
    """What a pass reads: the sources, or what the pass before it left and kept."""
    if not progress.number:
        return job.rows()
    folder = progress.place(progress.number - 1)
    return prepare_work.read(folder, np.load(folder / "keep.npy", mmap_mode="r"))


def _run(job: Job, one: Pass, progress: Progress, watch: Watch) -> None:
    """A pass, from where it stands to its end."""
    names = ", ".join(step.name for step in (*one.steps, one.then) if step)
    watch.begin(names or "reading", _total(progress), progress.position)
    parts = chunks(islice(_input(job, progress), progress.position, None))
    scorer = one.then if one.then and one.then.kind == "scorer" else None
    workers = job.workers if one.steps or not scorer else 1
    with Kept(progress) as kept:
        for made in mapped(parts, job.work(one), workers):
            kept.add(made, _scores(scorer, made.rows) if scorer else None)
            watch.step(progress.position)
    folder = progress.place(progress.number)
    keep = _settled(job, one.then, folder, progress)
    with writing(folder / "keep.npy") as beside, beside.open("wb") as file:
        np.save(file, keep)
    progress.next()


def _total(progress: Progress) -> int | None:
    """Documents that a pass will read, where that is known."""
    if progress.number:
        return int(np.load(progress.place(progress.number - 1) / "keep.npy", mmap_mode="r").sum())
    counted = [source.get("documents") for source in progress.known["sources"]]
    return None if None in counted else sum(counted)


def _scores(step: Step, rows: Sequence[Row]) -> Array:
    """A scorer's number for every document, (n,)."""
    return np.array(step.call([row.text for row in rows]) if rows else [], np.float64)


def _settled(job: Job, step: Step | None, folder: Path, progress: Progress) -> Array:
    """Which documents of a pass stay, (N,), after the step that saw all of them; what it took is counted."""
    facts = prepare_work.facts(folder)
    first: Any = None
    keep = np.ones(len(facts), bool)
    if step is not None and step.kind == "scorer":
        scores = prepare_work.scores(folder)
        keep = scores <= step.limit(scores)
    elif step is not None:
        first, copy = step.call(Index(folder))
        keep = first == np.arange(len(first))
        across = facts["source"] != facts["source"][first]
        for kind, of_kind in (("exact", copy), ("near", ~copy)):
            for where, there in (("within", ~across), ("across", across)):
                progress.counts[f"{step.name} {kind} {where}"] = int((~keep & of_kind & there).sum())
    if step is not None:
        progress.counts[f"{step.name} taken"] = int((~keep).sum())
        progress.counts[f"{step.name} tokens"] = int(facts["tokens"][~keep].sum())
        some = [int(number) for number in np.flatnonzero(~keep)[:EXAMPLES]]
        _show(job, step, folder, {number: None if first is None else int(first[number]) for number in some}, progress)
    return keep


def _show(job: Job, step: Step, folder: Path, some: Mapping[int, int | None], progress: Progress) -> None:
    """Examples of what a step took; of duplicates with the document that stays."""
    wanted = {*some, *some.values()}
    last = max(some, default=-1)
    rows = {number: row for number, row in enumerate(islice(prepare_work.read(folder), last + 1)) if number in wanted}
    for number, other in some.items():
        of = {} if other is None else {"like": rows[other].id}
        progress.show(step.name, example(rows[number], job.secret) | of)


def _finish(job: Job, progress: Progress, last: int) -> dict[str, Any]:
    """The output, then its table with its digest."""
    folder = progress.place(last)
    keep = np.load(folder / "keep.npy", mmap_mode="r")
    facts = prepare_work.facts(folder)[keep]
    found = report(job, progress, facts)
    if not len(facts):
        takers = ", ".join(f"{row['step']} took {row['taken']:,}" for row in found["steps"] if row["taken"]) or "there was none"
        raise HarnessError(f"no document is left ({takers}); nothing was written; change the recipe or the source")
    write_rows(job.output, prepare_work.read(folder, keep), job.sensitive)
    write_facts(job.note, found | {"sha256": file_digest(job.output)})
    return read_json(job.note)
