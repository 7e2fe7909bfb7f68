"""Every figure of a run, one by one: by measure, scope and unit, with what its interval contains.

A suite's figure is over its tasks of one kind and source: what was rehearsed and what was not are never one number, nor are
bits and points.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from harness import forgetting as fg
from harness.pairing import Kind
from harness.statistics import Estimate

UNITS: dict[Kind, tuple[str, float]] = {"text": ("bpb", 1.0), "accuracy": ("points", 100.0), "answer": ("bits", 1.0)}
"""What figures are told in, and how many of these what is stored makes: a share of 1 is 100 points."""
SHARES = {"retention": ("percent", 100.0), "avoided": ("percent", 100.0)}
"""Measures that are shares of something."""
Row = dict[str, Any]
KEPT = (fg.FORGETTING, fg.REHEARSED, fg.LOST, fg.LOST_REHEARSED)
GAINED = (fg.ADAPTATION, fg.LEARNED, fg.ANSWERS)
WHOLE = {"keep": "general", "gain": "domain"}
"""What all tasks of a purpose together are called."""


@dataclass(frozen=True)
class Scope:
    """What a figure is over: all tasks of a reading, a suite's, or one."""

    kind: str
    name: str
    reading: fg.Reading


def figures(study: fg.Study) -> Iterator[Row]:
    """The rows of the frame `figures`."""
    for arm in study.arms:
        for scope in (scope for reading in (*KEPT, *GAINED) for scope in scopes(study, reading)):
            yield from _of(study, arm, scope)
        for scope in (Scope(WHOLE[reading.measures], "", reading) for reading in (*KEPT, *GAINED) if study.control):
            yield from _row(study, arm, (_measure(scope), "control"), scope, study.against_control(scope.reading, arm))
        if study.control:
            whole = Scope("general", "", fg.FORGETTING)
            yield from _row(study, arm, ("avoided", "control"), whole, study.recovered(arm))


def scopes(study: fg.Study, reading: fg.Reading) -> list[Scope]:
    """All tasks of a reading together, then by suite, then one by one."""
    names = [sample.task for sample in study.tasks(reading)]
    suites = dict.fromkeys(study.record.tasks[name]["suite"] for name in names)
    whole = [Scope(WHOLE[reading.measures], "", reading)] if names else []
    by_suite = [Scope("suite", suite, replace(reading, suite=suite)) for suite in suites]
    return [*whole, *by_suite, *(Scope("task", name, replace(reading, task=name)) for name in names)]


def _of(study: fg.Study, arm: str, scope: Scope) -> Iterator[Row]:
    """What an arm lost or learned there; of accuracies to keep also what is left of them."""
    yield from _row(study, arm, (_measure(scope), "base"), scope, study.figure(scope.reading, arm))
    if scope.reading.measures == "keep" and scope.reading.kind == "accuracy":
        yield from _row(study, arm, ("retention", "base"), scope, study.retention(arm, scope.reading))


def _measure(scope: Scope) -> str:
    return "forgetting" if scope.reading.measures == "keep" else "adaptation"


def _row(study: fg.Study, arm: str, measured: tuple[str, str], scope: Scope, found: Estimate | None) -> Iterator[Row]:
    """The row of a figure; `measured`: what, and against what."""
    if found is not None:
        measure, against = measured
        unit, factor = SHARES.get(measure) or UNITS[scope.reading.kind]
        whose = {"arm": arm, "role": role(study, arm), "measure": measure, "against": against}
        where = {"scope": scope.kind, "name": scope.name, "source": scope.reading.source or ""}
        scaled = found.times(factor)
        yield whose | where | {"unit": unit, "value": scaled.value} | evidence(scaled)


def role(study: fg.Study, arm: str) -> str:
    """Whether an arm is the control (of which there may be several settings), the control of old text, or competes."""
    families = study.record.plan.get("families") or {}
    settings = families.get(study.record.plan["arms"][0], ()) if study.control else ()
    return "control" if arm in (study.control, *settings) else "old text alone" if arm == fg.OLD_TEXT else "arm"


def evidence(found: Estimate) -> dict[str, Any]:
    """What stands beside a value: its bounds, and what they contain. A single cluster bounds nothing."""
    none = math.isinf(found.error)
    low, high = (None, None) if none else found.interval()
    lower, upper = (None, None) if none else found.interval(0.9)
    bounds = {"low": low, "high": high, "lower": lower, "upper": upper, "p": None if none else found.p}
    return bounds | {name: getattr(found, name) for name in ("layers", "seeds", "n", "clusters")}
