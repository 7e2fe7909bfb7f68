"""`harness score`: checkpoints that were trained elsewhere, scored as a run scores its arms, into a folder of the same form.

The base is scored first, then every checkpoint on the same items; one that fails is a row that says so, and the others go on.
Of several steps of a training the last is compared, and every step is a point of its course.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from harness import bos, elsewhere, marks, results
from harness.comparison import Comparison, stored
from harness.drifted import keep_drift_from
from harness.elsewhere import Checkpoint, Found
from harness.errors import HarnessError, said
from harness.files import owned, read_json, write_facts, writing
from harness.gathered import settle
from harness.plan import Trial, file_digest
from harness.record import read, write_plan
from harness.run import Watch
from harness.stopping import insist
from harness.tabled import TRAJECTORY
from harness.tables import fill, wanting


def missing(one: Comparison) -> list[Trial]:
    """Trainings of which something is to be scored."""
    return [key for key in one.trainings if _status(one, key) != "done"]


def _status(one: Comparison, key: Trial) -> str:
    path, steps = one.folder / key.folder / "result.json", one.trainings[key]
    if not path.is_file() or any(wanting(one.how, one.models[step].digest, _place(one, key, step)) for step in steps):
        return "missing"
    return read_json(path)["status"]


def _place(one: Comparison, key: Trial, checkpoint: Checkpoint) -> Path:
    """The last step lies where a trial's scores lie, every other one in a folder of its own below."""
    folder = one.folder / key.folder
    return folder if checkpoint == one.trainings[key][-1] else folder / "steps" / str(checkpoint.step)


@dataclass(frozen=True)
class Price:
    """What is to be scored: models, items of each, and the seconds that all take by the base's; 0 where nothing is missing."""

    models: int
    items: int
    seconds: float


PROBED = 8
"""Items of every task that are scored to see how long all take."""


def price(one: Comparison) -> Price:
    """What is still to be done, before it starts; where the base was not scored, a few items of it are."""
    from harness.score_tasks import build

    counts = {task.name: sum(len(leaf.eval_docs) for leaf in build(task).values()) for s in one.how.suites for task in s.tasks}
    asked = {name: min(count, one.how.limit or count) for name, count in counts.items()}
    models = sum(len(one.trainings[key]) for key in missing(one)) + (not _base_done(one))
    path = one.folder / "base" / "result.json"
    each = read_json(path)["seconds"]["score"] if path.is_file() else _probe(one, asked) if models else 0.0
    return Price(models, sum(asked.values()), models * each)


def _probe(one: Comparison, asked: Mapping[str, int]) -> float:
    """Seconds that the base takes, by a few items of every suite."""
    from harness.model import load_model
    from harness.score import score
    from harness.train import device

    model, seconds = load_model(one.base.folder, one.code).to(device()), 0.0
    for suite in one.how.suites:
        began = time.perf_counter()
        few: Any = one.how.settings | {"limit": min(PROBED, one.how.limit or PROBED)}
        rows = score(model, one.how.tokenizer, suite, **few)
        seconds += (time.perf_counter() - began) * sum(asked[task.name] for task in suite.tasks) / max(1, len(rows))
    return seconds


def _base_done(one: Comparison) -> bool:
    folder = one.folder / "base"
    return (folder / "result.json").is_file() and not wanting(one.how, one.base.digest, folder)


def run(one: Comparison, command: str, watch: Watch | None = None) -> list[str]:
    """Score what is missing; the names of models that failed."""
    watch = watch or Watch()
    settle(one.folder, stored(one, command))  # nothing is held, or written, where it cannot stand
    with owned(one.folder):
        write_plan(one.folder, settle(one.folder, stored(one, command)))  # again: another process may have ended since
        trials, seconds = missing(one), None
        if (path := one.folder / "base" / "result.json").is_file():
            seconds = read_json(path)["seconds"]["score"]
        watch.begin(len(one.trainings), {key.folder: 0.0 for key in trials}, seconds)
        if not _base_done(one):
            _score_base(one, watch)
        for sentence in marks.keep(one.how, one.base.digest, "all"):
            watch.note(sentence)
        failed = [key.folder for key in trials if not _score_trial(one, key, watch)]
        results.write(one.folder)
    return failed


def _score_base(one: Comparison, watch: Watch) -> None:
    from harness.model import load_model

    watch.stage("base", "scored")
    began, folder = time.perf_counter(), one.folder / "base"
    model = load_model(one.base.folder, one.code)
    elsewhere.refuse_changed(Found(one.base.folder, one.base.digest, code=one.code), tokenizer=True)
    seconds = fill(one.how, model, one.base.digest, folder, partial(watch.step, logged={}))
    facts = {"status": "done", "digest": one.base.digest, "seconds": {"score": round(seconds, 2)}}
    facts["bos"] = bos.compare(model, one.how.tokenizer, bos.openings(one.how.suites))
    write_facts(folder / "result.json", facts)
    watch.end("base", None, time.perf_counter() - began)


def _score_trial(one: Comparison, key: Trial, watch: Watch) -> bool:
    """Score every step of a training; whether all went well."""
    from harness.mishaps import free

    began, folder, error = time.perf_counter(), one.folder / key.folder, None
    named = {"arm": key.arm.name, "seed": key.seed}
    watch.stage(key.folder, "scored")
    try:
        spent = [_score_step(one, key, checkpoint, watch) for checkpoint in one.trainings[key]]
        facts = {**named, "weights": one.models[one.trainings[key][-1]].digest, "seconds": {"score": round(spent[-1], 2)}}
        write_facts(folder / "result.json", {**facts, "status": "done", "logs": dict(_course(one, key))})
    except (Exception, SystemExit) as problem:  # a model that fails is a row that says so; the others go on
        insist()
        error = str(problem) if isinstance(problem, HarnessError) else said(problem)
        write_facts(folder / "result.json", {**named, "status": "failed", "error": error})
    insist()
    free()
    watch.end(key.folder, error, time.perf_counter() - began)
    return error is None


def _score_step(one: Comparison, key: Trial, checkpoint: Checkpoint, watch: Watch) -> float:
    found, place = one.models[checkpoint], _place(one, key, checkpoint)
    largest = max(one.how.tokenizer.get_vocab().values())
    model = elsewhere.load(found, one.base, largest, one.code)
    elsewhere.refuse_changed(found, base=one.base)
    seconds = fill(one.how, model, found.digest, place, partial(watch.step, logged={}))
    if checkpoint == one.trainings[key][-1]:
        keep_drift_from(one.how, one.base, model, found.digest, place, one.code)
    return seconds


def _course(one: Comparison, key: Trial) -> Iterator[tuple[str, str]]:
    """Of a training with several steps, write what every item cost at each of them; the file's name and digest."""
    steps = one.trainings[key]
    if len(steps) < 2:
        return
    from harness.course import course

    places = {step.step or 0: (step.tokens, _place(one, key, step)) for step in steps}
    rows = course(read(one.folder), places)
    path = one.folder / key.folder / TRAJECTORY
    with writing(path) as beside:
        rows.to_parquet(beside, index=False)
    yield TRAJECTORY, file_digest(path)
