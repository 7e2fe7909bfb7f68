"""Which tasks can show forgetting or learning: decided on the base alone, kept and said before anything is trained."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.files import write_facts
from harness.folder import stored_plan
from harness.forgetting import Study
from harness.pairing import Sample
from harness.record import Record, Result
from harness.tables import scoring, unscored

if TYPE_CHECKING:
    from harness.resolve import Ready

MARKS = "marks.json"
"""Beside the base's scores: task -> mark, base, error, chance, n and pool, as they were before training."""


def scored(ready: "Ready") -> Study | None:
    """The base's scores as they are in the run folder; None where they are not whole."""
    base = ready.folder / "base"
    if unscored(scoring(ready), ready.base.digest, base):
        return None
    return Study(Record(ready.folder, stored_plan(ready, ""), Result(base, None, None), ()))


def keep(ready: "Ready") -> list[str]:
    """Write the base's marks into the run folder; the sentences about them."""
    study = scored(ready)
    assert study, "marks are made once the base is scored"
    facts = {task: _facts(study, sample) for task, sample in study.samples.items()}
    write_facts(ready.folder / "base" / MARKS, facts)
    return sentences(study)


def _facts(study: Study, sample: Sample) -> dict[str, Any]:
    text = sample.kind == "text"
    numbers = {"base": sample.base.value, "n": len(sample.items), "pool": sample.pool, "chance": study.chance(sample.task)}
    error = {"error": sample.base.error} if sample.base.clusters > 1 else {}
    return {"mark": "text" if text else study.mark(sample), **numbers, **error}


def sentences(study: Study) -> list[str]:
    """Which tasks can show what they are scored for, and which cannot and why."""
    keep, gain = (_of(study, measures) for measures in ("keep", "gain"))
    found = [_able("forgetting", [s for s in keep if study.mark(s) == "between"])]
    found += [_able("learning", [s for s in gain if study.mark(s) in ("between", "chance")])] if gain else []
    found += _unable("the base answers no better than by guessing, and cannot forget it", study, keep, "chance")
    found += _unable("the base is at the ceiling, where small losses change no answer", study, keep, "ceiling")
    found += _unable("the base is at the ceiling, and cannot learn more", study, gain, "ceiling")
    return found + _unable("nobody said what guessing would score; give its chance in the suite", study, keep, "unknown")


def _of(study: Study, measures: str) -> list[Sample]:
    return [sample for task, sample in study.samples.items() if study.record.tasks[task]["measures"] == measures]


def _able(what: str, samples: Sequence[Sample]) -> str:
    names = ", ".join(sample.task for sample in samples)
    return f"tasks that can show {what}: {names}" if names else f"no task of this run can show {what}"


def _unable(why: str, study: Study, samples: Sequence[Sample], mark: str) -> list[str]:
    named = [f"{s.task} ({_points(s.base.value)}{_guess(study, s)})" for s in samples if study.mark(s) == mark]
    return [f"{', '.join(named)}: {why}"] if named else []


def _guess(study: Study, sample: Sample) -> str:
    chance = study.chance(sample.task)
    return "" if chance is None else f", chance {_points(chance)}"


def _points(share: float) -> str:
    return f"{100 * share:.1f}"
