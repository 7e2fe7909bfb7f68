"""The control's curve: its finished weights, interpolated with the base's, scored on what the verdict rests on.

No training: nine points between the base and the control (see crossing.py for what is read from them). Each lies in a folder of
its own below the trial's, with scores as everything has them; what is there already is not scored again. After a sweep the
control is the setting of it that is reported, known once all of them are trained.
"""

import contextlib
import time
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from harness import registry
from harness.arms import CONTROL
from harness.code import code
from harness.crossing import SHARES
from harness.errors import HarnessError, said
from harness.files import write_facts
from harness.forgetting import Study
from harness.keeping import finished_model
from harness.plan import Part, Trial, digest, spell
from harness.record import Result, read
from harness.resolve import Ready
from harness.stopping import insist
from harness.strategy import Memory, Strategy
from harness.suite import Task
from harness.tables import Scoring, fill, scoring, unscored

if TYPE_CHECKING:
    from harness.run import Watch


def asked(ready: Ready) -> Scoring:
    """How a point is scored: on the tasks of both axes alone, without prompts."""
    names = axes(task for suite in ready.suites for task in suite.tasks)
    suites = [replace(suite, tasks=tuple(task for task in suite.tasks if task.name in names)) for suite in ready.suites]
    return replace(scoring(ready), suites=tuple(suite for suite in suites if suite.tasks), prompts=())


def axes(tasks: Iterable[Task]) -> set[str]:
    """Tasks that forgetting is claimed on, and adaptation beside it: texts, where there are none accuracies; both or none."""
    tasks = list(tasks)
    keep = [task for task in tasks if (task.measures, task.source) == ("keep", "other")]
    gain = [task for task in tasks if task.measures == "gain"]
    text = any(map(_is_text, keep))
    kept = [task for task in keep if _is_text(task) == text]
    learned = [task for task in gain if _is_text(task) == text] or gain
    return {task.name for task in (*kept, *learned)} if kept and learned else set()


def _is_text(task: Task) -> bool:
    return task.metric == "bits_per_byte"


def wanted(ready: Ready) -> bool:
    """Whether a curve was asked for and there is something to score."""
    return bool(ready.plan.options.get("curve") and asked(ready).suites)


def count(ready: Ready) -> int:
    """Points that a run will score, of controls that are finished and of those to come."""
    if not wanted(ready):
        return 0
    there = {result.folder: len(missing(ready, result)) for result in finished(ready)}
    name = next(iter(chosen(ready)), CONTROL.name)
    controls = [Result(ready.folder / t.folder, t.arm, t.seed) for t in ready.plan.trials if t.arm.name == name]
    to_come = [each for each in controls if each.status != "done" or not chosen(ready)]
    return sum(there.values()) + len(SHARES) * len(to_come)


def settings(ready: Ready) -> tuple[str, ...]:
    """Arms that are the control: one, or in a sweep all of its settings."""
    return tuple(ready.plan.families.get(CONTROL.name, (CONTROL.name,)))


def chosen(ready: Ready) -> tuple[str, ...]:
    """The arm that the others are compared with; none while a setting that it will be chosen from is yet to be trained."""
    names = settings(ready)
    if len(names) == 1:
        return names
    record = read(ready.folder) if (ready.folder / "plan.yaml").is_file() else None
    if record is None or any(trial.status == "missing" for trial in record.trials if trial.name in names):
        return ()
    return (Study(record).control,)


def finished(ready: Ready) -> list[Result]:
    """Finished controls, of earlier commands too, with the weights that a curve is made from."""
    results = read(ready.folder).trials if (ready.folder / "plan.yaml").is_file() else ()
    names = chosen(ready)
    return [each for each in results if each.name in names and each.status == "done" and (each.folder / "weights").exists()]


def missing(ready: Ready, control: Result) -> list[float]:
    """Points of a finished control's curve that lack scores, or have those of other weights."""
    how, places = asked(ready), {share: _place(control.folder, share) for share in SHARES}
    return [
        share
        for share, place in places.items()
        if not (place / "result.json").is_file() or unscored(how, key(ready, control, share), place)
    ]


def pending(ready: Ready) -> set[Trial]:
    """Controls of which a point was not yet scored, or that may still be chosen: their weights are needed."""
    if not wanted(ready):
        return set()
    names = chosen(ready) or settings(ready)
    controls = [trial for trial in ready.plan.trials if trial.arm.name in names]
    places = {trial: [_place(ready.folder / trial.folder, share) for share in SHARES] for trial in controls}
    return {trial for trial, found in places.items() if not all((place / "result.json").is_file() for place in found)}


def keep(ready: Ready, watch: "Watch") -> list[str]:
    """Score what is missing of the curves of finished controls; the names of those that failed."""
    if not wanted(ready):
        return []
    return [name for control in finished(ready) if (name := _keep(ready, control, watch))]


def _keep(ready: Ready, control: Result, watch: "Watch") -> str | None:
    """Score one; its name where that failed, as a trial does: the others go on."""
    from harness.mishaps import free

    shares, own = missing(ready, control), control.folder / "curve"
    if not shares and Result(own, control.arm, control.seed).status != "failed":  # else it was stopped before it said so
        return None
    name, began, facts = str(own.relative_to(ready.folder)), time.perf_counter(), {"status": "done"}
    try:
        _score(ready, control, shares, watch)
    except (Exception, SystemExit) as problem:
        insist()
        facts = {"status": "failed", "error": str(problem) if isinstance(problem, HarnessError) else said(problem)}
    write_facts(own / "result.json", facts)
    insist()
    free()
    watch.end(name, facts.get("error"), time.perf_counter() - began)
    return name if "error" in facts else None


def _score(ready: Ready, control: Result, shares: list[float], watch: "Watch") -> None:
    from harness.train import device

    origin = ready.setting.origin(control.seed or 0, device(), contextlib.nullcontext)
    for share in shares:
        place, weights = _place(control.folder, share), key(ready, control, share)
        watch.stage(str(place.relative_to(ready.folder)), "interpolated and scored")
        model = finished_model(control.folder, "its curve needs").to(device())
        _between(share).finish(model, Memory(), origin)
        seconds = fill(asked(ready), model, weights, place, partial(watch.step, logged={}))
        of = {"status": "done", "weights": weights, "of": control.facts["weights"], "share": share}
        write_facts(place / "result.json", of | {"seconds": {"score": round(seconds, 2)}})


def key(ready: Ready, control: Result, share: float) -> str:
    """What stands for the digest of a point's weights: everything that they are made from."""
    made = code(type(_between(share)).__module__)
    return digest(["interpolated", ready.base.digest, control.facts["weights"], share, made])


def _between(share: float) -> Strategy:
    """The strategy that interpolates, as it is registered."""
    return registry.strategy(Part("wise", (("alpha", share),)))


def _place(control: Path, share: float) -> Path:
    return control / "curve" / spell(share)
