"""`harness score`: checkpoints that were trained elsewhere, scored as a run scores its arms, into a folder of the same form.

The base is scored first, then every checkpoint on the same items; one that fails is a row that says so, and the others go on.
Of several steps of a training the last is compared, and every step is a point of its course.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from harness import bos, elsewhere, lookup, manifest, marks
from harness.drifted import keep_drift_from
from harness.elsewhere import Checkpoint, Found
from harness.errors import HarnessError, InputError, said
from harness.files import owned, read_json, write_facts, writing
from harness.gathered import NO_CONTROL, plan_of, settle, versions, write_results
from harness.model import Base, count_parameters, identity, load_tokenizer, locate
from harness.plan import Arm, Part, Trial, file_digest
from harness.record import TRAJECTORY, read, write_plan
from harness.run import Watch
from harness.settings import settings
from harness.stopping import insist
from harness.tables import Scoring, fill, wanting


@dataclass(frozen=True)
class Words:
    """What was typed."""

    base: str
    models: tuple[str, ...] = ()
    manifest: Path | None = None
    suites: str = "general"
    limit: int | None = None
    mirrors: str | None = None
    output: Path | None = None
    code: bool = False
    programs: bool = False


@dataclass(frozen=True)
class Comparison:
    """A base and checkpoints, found and checked, and how they are scored.

    control  the arm they stand against, if any
    code     whether Python files that came with the base are run
    """

    base: Base
    how: Scoring
    models: Mapping[Checkpoint, Found]
    control: str
    code: bool

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.how.folder

    @property
    def trainings(self) -> dict[Trial, list[Checkpoint]]:
        """Arm and seed -> its checkpoints, the last step last."""
        found: dict[Trial, list[Checkpoint]] = {}
        for checkpoint in sorted(self.models, key=lambda one: one.step or 0):
            found.setdefault(trial(checkpoint), []).append(checkpoint)
        return {key: found[key] for key in dict.fromkeys(map(trial, self.models))}


def trial(checkpoint: Checkpoint) -> Trial:
    """Its arm and seed."""
    return Trial(Arm((Part(checkpoint.arm),)), checkpoint.seed)


def compare(words: Words) -> Comparison:
    """Everything looked up and checked; nothing is written, and no model is loaded."""
    if words.models and words.manifest:
        raise InputError("give the models to be scored, or --manifest with a CSV that names them; not both")
    control, models = NO_CONTROL, elsewhere.checkpoints(words.models)
    if words.manifest:
        models, control = manifest.read(words.manifest)
    given = {"model": words.base, "suites": words.suites, "mirrors": words.mirrors, "limit": words.limit}
    asked = settings(given | {"allow_code_execution": words.programs}, "harness score")
    suites = lookup.named(asked, [model.word for model in models])
    base = locate(words.base)
    code = words.code and elsewhere.carries_code(elsewhere.place(words.base, words.code))
    base = replace(base, digest=identity(base.folder, code=True)) if code else base
    tokenizer = load_tokenizer(base.folder, code)
    found = {model: elsewhere.find(model, base, tokenizer, words.code) for model in elsewhere.unique(models)}
    prompts = tuple(dict.fromkeys(prompt for suite in suites if not suite.sensitive for prompt in suite.prompts))
    folder = words.output or Path(f"runs/{Path(base.name).name}-checkpoints")
    how = Scoring(folder, tokenizer, lookup.ready(suites), prompts, asked.limit, base.facts.get("bos"), versions())
    return Comparison(base, how, found, control, code)


def stored(one: Comparison, command: str) -> dict[str, Any]:
    """plan.yaml: what a report needs to know. What is not known of the trainings is absent."""
    return plan_of(
        {"name": one.base.name, "digest": one.base.digest, "parameters": count_parameters(one.base.folder)},
        [_model(checkpoint, found.digest) for checkpoint, found in one.models.items()],
        one.how.suites,
        {
            "command": command,
            "control": one.control,
            "prompts": list(one.how.prompts),
            "notes": [note for found in one.models.values() for note in found.notes],
            "versions": dict(one.how.versions),
            "options": {"limit": one.how.limit} if one.how.limit else {},
        },
    )


def _model(one: Checkpoint, made: str) -> dict[str, Any]:
    return {"arm": one.arm, "seed": one.seed, "path": one.word, "digest": made, **one.told}


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
    """What is to be scored: models, items of each, and the seconds that all take by the base's; None: nothing was measured."""

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
        write_results(one.folder)
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
