"""results.csv: one row an arm, seed and task, for whoever reads tables and not pages."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from harness import flags
from harness.files import writing
from harness.forgetting import UNITS, Study
from harness.pairing import Sample
from harness.record import Record, Result, read


def write(folder: Path) -> None:
    """results.csv of a run folder."""
    with writing(folder / "results.csv") as beside:
        results(read(folder)).to_csv(beside, index=False)


def results(record: Record) -> pd.DataFrame:
    """The rows of results.csv: one an arm, seed and task; a trial that failed or is missing is a row that says so.

    base, value, change, low and high are in `unit` and the task's own direction (a negative change in accuracy is a
    loss, a positive one in bits per byte is a loss); the interval contains items, not seeds. items: all, or where the plan
    keeps some for choosing, test and validation in rows of their own; n of them were scored, of the task's pool. flagged:
    of the n, those that training text holds (harness/flags.py), and change_unflagged, the change of the others; empty where
    that is not known, or where too few are left.
    """
    chosen = Study(record).chosen
    studies = {"test": Study(record), "validation": Study(record, "validation")} if chosen else {"all": Study(record)}
    seen = {split: _seen(study) for split, study in studies.items()}
    rows: list[dict[str, Any]] = []
    for trial in record.trials:
        whose = {"arm": trial.name, "seed": trial.seed, "status": trial.status}
        for split, study in studies.items() if trial.status == "done" else ():
            scored = [sample for sample in study.samples.values() if (trial.name, trial.seed) in sample.after]
            rows += [
                whose | {"items": split} | _task_row(study, sample, trial) | seen[split](sample, trial) for sample in scored
            ]
        if trial.status != "done":
            rows.append(whose | {"error": trial.facts.get("error", "")})
    return pd.DataFrame(rows, columns=RESULT_COLUMNS)


RESULT_COLUMNS = [
    *("arm", "seed", "suite", "task", "measures", "source", "metric", "unit", "base", "value", "change", "low", "high"),
    *("items", "n", "pool", "clusters", "flagged", "change_unflagged"),
    *("chance", "answer_bits_base", "answer_bits", "status", "error"),
]


def _task_row(study: Study, sample: Sample, trial: Result) -> dict[str, Any]:
    facts = study.record.tasks[sample.task]
    change = sample.change(trial.name, (trial.seed or 0,))
    bits = study.answers.get(sample.task)
    return {
        **{key: facts.get(key) for key in ("suite", "measures", "source", "metric")},
        "chance": study.chance(sample.task),
        "task": sample.task,
        "pool": sample.pool,
        "unit": UNITS[sample.kind],
        "base": sample.base.value,
        "value": sample.base.value + change.value,
        **{key: getattr(change, key) for key in ("low", "high", "n", "clusters")},
        "change": change.value,
        "answer_bits_base": bits.base.value if bits else None,
        "answer_bits": bits.base.value + bits.change(trial.name, (trial.seed or 0,)).value if bits else None,
    }


def _seen(study: Study) -> Callable[[Sample, Result], dict[str, Any]]:
    """What a row says of items that training text holds."""
    tallies, clean = flags.tallies(study), flags.clean(study)

    def row(sample: Sample, trial: Result) -> dict[str, Any]:
        if sample.task not in tallies:
            return {}
        left = (clean or study).samples.get(sample.task)
        change = left.change(trial.name, (trial.seed or 0,)).value if left else None
        return {"flagged": len(tallies[sample.task].flagged), "change_unflagged": change}

    return row
