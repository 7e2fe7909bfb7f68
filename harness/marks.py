"""Which tasks can show forgetting or learning: decided on the base alone, kept and said before anything is trained.

Kept in the run folder, as what was known before training; and in the cache across runs, suite by suite under the key of the
base's scores, so that a dry run can propose tasks on a base that was scored before, wherever that was.
"""

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.errors import RecordError
from harness.files import read_json, write_facts
from harness.folder import described
from harness.forgetting import Study
from harness.lookup import cache
from harness.pairing import Sample
from harness.plan import digest
from harness.record import Record, Result
from harness.suite import Suite
from harness.tables import Scoring, unscored

Marks = Mapping[str, Mapping[str, Any]]
"""Task -> mark (chance, ceiling, between, unknown; text), measures, base, error, chance, n and pool."""
MARKS = "marks.json"


def keep(asked: Scoring, base: str, items: str) -> list[str]:
    """Write the marks of a base that is scored; the sentences about them. `base` is its digest, `items` which of them count."""
    made = {which: _of_rows(asked, which) for which in ("all", "test")}  # a run that counts the others may come later
    write_facts(asked.folder / "base" / MARKS, made[items])
    for which, found in made.items():
        for suite in asked.suites:
            with contextlib.suppress(OSError):  # a full disk is no reason to stop
                marks = {task.name: found[task.name] for task in suite.tasks if task.name in found}
                write_facts(_kept(asked, base, which, suite), marks)
    return sentences(made[items])


def known(asked: Scoring, base: str, items: str) -> Marks | None:
    """The marks of a base as far as they can be had without scoring it; None where a suite is missing."""
    if not unscored(asked, base, asked.folder / "base"):
        return _of_rows(asked, items)
    found: dict[str, Any] = {}
    for suite in asked.suites:
        try:
            found |= read_json(_kept(asked, base, items, suite))
        except (OSError, RecordError):
            if any(task.metric != "bits_per_byte" for task in suite.tasks):
                return None
            found |= {task.name: {"mark": "text", "measures": task.measures} for task in suite.tasks}  # whatever it scores
    return found


def _kept(asked: Scoring, base: str, items: str, suite: Suite) -> Path:
    return cache() / "marks" / f"{digest([asked.score_key(base, suite), items])}.json"


def _of_rows(asked: Scoring, items: str) -> dict[str, dict[str, Any]]:
    """From the base's rows in the run folder."""
    plan = described(asked.suites) | {"options": {"items": items}}
    study = Study(Record(asked.folder, plan, Result(asked.folder / "base", None, None), ()))
    return {task: _facts(study, sample) for task, sample in study.samples.items()}


def _facts(study: Study, sample: Sample) -> dict[str, Any]:
    mark = "text" if sample.kind == "text" else study.mark(sample)
    error = {"error": sample.base.error} if sample.base.clusters > 1 else {}
    return {
        "mark": mark,
        "measures": study.record.tasks[sample.task]["measures"],
        "base": sample.base.value,
        "chance": study.chance(sample.task),
        "n": len(sample.items),
        "pool": sample.pool,
        **error,
    }


ABLE = {"keep": ("forgetting", ("between", "text")), "gain": ("learning", ("between", "text", "chance"))}
"""By what a task measures: what it shows, and where the base must stand for that."""
UNABLE = (
    ("keep", "chance", "the base answers no better than by guessing, and cannot forget it"),
    ("keep", "ceiling", "the base is at the ceiling, where small losses change no answer"),
    ("gain", "ceiling", "the base is at the ceiling, and cannot learn more"),
    ("keep", "unknown", "nobody said what guessing would score; give its chance in the suite"),
)


def sentences(marks: Marks) -> list[str]:
    """Which tasks can show what they are scored for, and which cannot and why."""
    found = []
    for measures, (shown, where) in ABLE.items():
        able = _where(marks, lambda facts, m=measures, w=where: facts["measures"] == m and facts["mark"] in w)
        if able or measures == "keep":
            names = ", ".join(able)
            found.append(f"tasks that can show {shown}: {names}" if able else f"no task of this run can show {shown}")
    for measures, mark, why in UNABLE:
        if unable := _where(marks, lambda facts, m=measures, k=mark: (facts["measures"], facts["mark"]) == (m, k)):
            found.append(f"{', '.join(f'{task} ({_stands(marks[task])})' for task in unable)}: {why}")
    return found


def _where(marks: Marks, holds: Callable[[Mapping[str, Any]], bool]) -> list[str]:
    return [task for task, facts in marks.items() if holds(facts)]


def _stands(facts: Mapping[str, Any]) -> str:
    """Points of the base, and by guessing where that is known."""
    base, chance = f"{100 * facts['base']:.1f}", facts["chance"]
    return base if chance is None else f"{base}, chance {100 * chance:.1f}"
