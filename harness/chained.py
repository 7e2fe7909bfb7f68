"""Runs that follow each other: the base of one is what another trained. They are not compared; they are stages.

R[i, j] is the performance after stage i on the held-out text of stage j's own new text: minus bits per byte, so that higher is
better (harness/stages.py has the measures). A model between two runs is scored by both, as an arm of one and the base of the
other; a text is found in another run by its documents, whatever it is called there.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from harness import statistics
from harness.errors import InputError
from harness.forgetting import FORGETTING, Study
from harness.pairing import Sample
from harness.record import Record, Result
from harness.stages import Stages
from harness.statistics import Estimate, Floats

MEASURES = {"ACC": "average", "BWT": "backward", "FWT": "forward", "F": "forgotten", "F_general": "general_forgotten"}
MEASURES |= {"ID": "own", "Bwd": "older", "Fwd": "later"}
"""What a matrix is summed up by -> its name in Stages."""


def chain(records: Sequence[Record]) -> Record | None:
    """The last run, with those that it follows; None where no run follows another."""
    before = {
        place: other for place, one in enumerate(records) for other, _ in enumerate(records) if _parent(one, records[other])
    }
    if not before:
        return None
    ends = [place for place in range(len(records)) if place not in before.values()]
    path = ends[:1]
    while path[0] in before and len(path) <= len(records):
        path.insert(0, before[path[0]])
    if len(path) != len(records):
        found = ", ".join(f"{records[one].folder} follows {records[other].folder}" for one, other in before.items())
        raise InputError(f"some of these runs follow each other and some do not ({found}); give one row of stages, or none")
    return replace(records[path[-1]], earlier=tuple(records[place] for place in path[:-1]))


def _parent(record: Record, other: Record) -> Result | None:
    """The trial of another run that made the base of a run; weights that an arm left as they were are the base's own."""
    made = _bases(record) - _bases(other)
    trials = () if other is record else other.trials
    return next((trial for trial in trials if trial.status == "done" and trial.facts.get("weights") in made), None)


def _bases(record: Record) -> set[str]:
    base = record.plan["base"]
    return {base[key] for key in ("digest", "weights") if base.get(key)}


class Text(NamedTuple):
    """A task that scores text, and what tells that text from others, whatever a run calls it."""

    task: str
    documents: tuple[tuple[str, ...], float]


@dataclass(frozen=True)
class Matrix:
    """The stages of a run and of those before it."""

    records: tuple[Record, ...]

    @cached_property
    def studies(self) -> tuple[Study, ...]:
        """The runs, read."""
        return tuple(map(Study, self.records))

    @cached_property
    def path(self) -> tuple[Result, ...]:
        """What each run but the last handed on."""
        found = [_parent(later, run) for run, later in zip(self.records, self.records[1:], strict=False)]
        return tuple(trial for trial in found if trial)

    @cached_property
    def texts(self) -> tuple[tuple[Text, ...], ...]:
        """Each stage's own held-out text."""
        found = tuple(tuple(_text(study, task) for task in own(study) if task in study.samples) for study in self.studies)
        for place, texts in enumerate(found):
            earlier = {text.documents for before in found[:place] for text in before}
            if both := [text.task for text in texts if text.documents in earlier]:
                raise InputError(
                    f"{both[0]} is scored as new text in two of the runs, so nobody knows whose own it is; "
                    "score the held-out new text of each run too, with `text` among its --suites"
                )
        return found

    @cached_property
    def general(self) -> tuple[tuple[Text, ...], ...]:
        """Unrehearsed texts to keep, one by one, as the first run scored them."""
        first = self.studies[0]
        return tuple((_text(first, sample.task),) for sample in first.tasks(FORGETTING))

    @cached_property
    def known(self) -> tuple[dict[Any, Sample], ...]:
        """Every run's texts, by their documents."""
        texts = [[sample for sample in study.samples.values() if sample.kind == "text"] for study in self.studies]
        return tuple(
            {_text(study, each.task).documents: each for each in found}
            for study, found in zip(self.studies, texts, strict=True)
        )

    @cached_property
    def last(self) -> dict[str, tuple[int, ...]]:
        """Arms of the last run and their finished seeds."""
        trials = [trial for trial in self.studies[-1].done if trial.name in self.studies[-1].arms]
        return {arm: tuple(t.seed or 0 for t in trials if t.name == arm) for arm in dict.fromkeys(t.name for t in trials)}

    def stages(self, arm: str, seed: int) -> Stages:
        """One arm of the last run under one seed, with all that came before it."""
        return Stages(self._scores(self.texts, arm, seed), self._scores(self.general, arm, seed))

    def _scores(self, texts: Sequence[Sequence[Text]], arm: str, seed: int) -> Floats:
        """(T + 1, texts); NaN where a model was not scored on all of a text."""
        rows = range(len(self.records) + 1)
        found = [[[self._performance(row, one, arm, seed) for one in text] or [np.nan] for text in texts] for row in rows]
        return np.array([[float(np.mean(each)) for each in line] for line in found]).reshape(len(rows), -1)

    def _performance(self, stage: int, text: Text, arm: str, seed: int) -> float:
        """Minus bits per byte of the model after a stage: as the base of the next run, or as an arm of its own."""
        if stage < len(self.records) and (sample := self.known[stage].get(text.documents)):
            return -float(sample.before.sum() / sample.weights.sum())
        sample = self.known[stage - 1].get(text.documents) if stage else None
        if sample is None:
            return np.nan
        handed = self.path[stage - 1] if stage < len(self.records) else None
        after = sample.after.get((handed.name, handed.seed or 0) if handed else (arm, seed))
        return np.nan if after is None else -float(after.sum() / sample.weights.sum())

    def missing(self) -> Iterator[str]:
        """What must have been scored for the cells that are empty."""
        for record, texts in zip(self.records, self.texts, strict=True):
            names = ", ".join(text.task for text in texts)
            if not texts:
                yield f"{record.folder} scores no held-out text of its own: type its command again with `text` among --suites."
            lacks = [other for other, known in zip(self.records, self.known, strict=True) if not _all(known, texts)]
            for other in lacks if texts else ():
                yield (
                    f"{other.folder} did not score {names} of {record.folder}: give these documents as a suite file, "
                    "and its command scores them too."
                )

    def measures(self, arm: str) -> dict[str, Estimate | None]:
        """ACC, BWT, FWT and F over an arm's seeds; with one seed the value alone, of this checkpoint."""
        found = [self.stages(arm, seed) for seed in self.last[arm]]
        return {name: _over_seeds([_value(each, how) for each in found]) for name, how in MEASURES.items()}


def _all(known: Mapping[Any, Sample], texts: Sequence[Text]) -> bool:
    return all(text.documents in known for text in texts)


def own(study: Study) -> list[str]:
    """The tasks that score held-out documents of a run's own new text; where none does, all text that is to be learned."""
    tasks = study.record.tasks
    gains = [task for task, facts in tasks.items() if (facts["measures"], facts["metric"]) == ("gain", "bits_per_byte")]
    return [task for task in gains if tasks[task]["suite"] == "text" and task.startswith("new_text")] or gains


def _text(study: Study, task: str) -> Text:
    """A text by what was read: the digests of its documents, and their bytes."""
    return Text(task, (tuple(sorted(study.before[task]["target_hash"])), float(study.samples[task].weights.sum())))


def _value(stages: Stages, how: str) -> float | None:
    found: Any = getattr(stages, how)
    found = found() if callable(found) else found
    return None if found is None or np.isnan(found) else float(found)


def _over_seeds(values: Sequence[float | None]) -> Estimate | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    return statistics.over_seeds(known)


def rows(record: Record) -> Iterator[dict[str, Any]]:
    """The rows of the frame `stages`."""
    if not record.earlier:
        return
    matrix = Matrix((*record.earlier, record))
    for arm, seeds in matrix.last.items():
        scores = np.mean([matrix.stages(arm, seed).scores for seed in seeds], axis=0)
        for stage, line in enumerate(scores):
            run = str(matrix.records[stage - 1].folder) if stage else ""
            count = len(seeds) if stage == len(matrix.records) else 1
            for text, value in enumerate(line, 1):
                yield {"arm": arm, "stage": stage, "run": run, "text": text, "value": value, "seeds": count}


def summaries(record: Record) -> Iterator[dict[str, Any]]:
    """The rows of the frame `transfer`."""
    matrix = Matrix((*record.earlier, record)) if record.earlier else None
    for arm, seeds in matrix.last.items() if matrix else ():
        found = matrix.measures(arm)  # pyright: ignore[reportOptionalMemberAccess]
        yield {"arm": arm, "seeds": len(seeds)} | {name: each.value if each else None for name, each in found.items()}
