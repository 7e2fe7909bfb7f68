"""From raw documents to the rows that are trained on: sources through a recipe into one file, and the table of what was taken.

A recipe's steps are passes: cleaners and filters, up to a step that must see the whole corpus (duplicates, a quantile),
are one pass over the documents, from files to files, so that memory does not grow with the corpus. All splits of a source are
read: the output is one corpus, whose splits are cut when it is used. The work folder beside the output is keyed by the content
of the sources, the recipe and the code of its steps; what was stopped goes on there, and it is removed at the end.
"""

import errno
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from harness import hiding, prepare_work
from harness.clean import Step
from harness.crash import crash_point
from harness.duplicates import Index
from harness.errors import HarnessError, InputError
from harness.files import flush_folder, owned, read_json, write_facts, writing
from harness.plan import file_digest
from harness.prepare_job import Job, Pass, passes
from harness.prepare_pass import EXAMPLES, Row, chunks, example, mapped
from harness.prepare_survey import Watch, survey
from harness.prepare_table import report
from harness.prepare_work import Kept, Progress
from harness.prepare_write import write_rows

Array = np.ndarray[Any, Any]


def prepared(job: Job) -> dict[str, Any] | None:
    """The table of a preparation that is finished, and just this one; an output of another origin is refused."""
    if not job.output.exists():
        return None
    notes = [read_json(note) for note in (job.folder / job.note.name, job.note) if note.is_file()]
    sha256 = file_digest(job.output)
    known = next((note for note in notes if note.get("sha256") == sha256), None)
    if known is None:
        raise InputError(f"{job.output} is there and is not what this command wrote; remove it, or name another --output")
    if job.folder.exists():  # what was begun goes on
        return None
    return known if known["key"] == job.key else None


def prepare(job: Job, watch: Watch) -> dict[str, Any]:
    """Read, clean, compare and write; what was stopped goes on."""
    with owned(job.folder, job.output, "name another --output"), _room(job.folder), _discreet(job):
        progress = Progress(job.folder, job.key)
        if progress.foreign:
            watch.note("what was begun here was of other sources or another recipe; it begins anew")
        if "sources" not in progress.known:
            survey(job, progress, watch)
        elif progress.number or progress.position:
            watch.note(
                f"goes on where it was stopped: pass {progress.number + 1}, {progress.position:,} documents of it are done"
            )
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
    if not rows:
        return np.empty(0)
    made = step.run([row.text for row in rows], f"{len(rows)} documents from {rows[0].id!r} on")
    if not isinstance(made, Sequence | np.ndarray) or [type(score) for score in made if not isinstance(score, Real)]:
        raise InputError(f"{step.word} returned no list of numbers; a scorer returns a number a document")
    if len(made) != len(rows):
        raise InputError(f"{step.word} returned {len(made)} numbers for {len(rows)} documents; a scorer returns one a document")
    return np.array(made, np.float64)


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
        shutil.rmtree(job.folder)
        raise HarnessError(f"no document is left ({takers}); nothing was written; change the recipe or the source")
    output, note = job.folder / job.output.name, job.folder / job.note.name  # a kill leaves nothing beside the output
    write_rows(output, prepare_work.read(folder, keep), job.sensitive)
    write_facts(note, found | {"sha256": file_digest(output)})
    output.replace(job.output)
    crash_point("file-renamed")
    note.replace(job.note)
    flush_folder(job.output.resolve().parent)
    return read_json(job.note)
