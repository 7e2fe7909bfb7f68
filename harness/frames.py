"""A run as data frames: what `harness.load` gives, what leaves a page as CSV or JSON, and what gates read.

There is one truth: the page's sentences and these rows are computed by the same functions from the same scores.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from harness import chained, flags, joined, results, sensitive
from harness import claims as claimed
from harness.columns import FRAMES
from harness.figures import UNITS, evidence, figures, role
from harness.forgetting import Study
from harness.record import Record, Result, read
from harness.trajectory import Trajectories
from harness.unfinished import shares, unfinished

Folder = str | Path
SMALL = ("claims", "figures", "tasks", "prices", "stages", "transfer")
"""Frames that an export holds; the others have a row an item."""


@dataclass(frozen=True)
class Frames:
    """A run as data frames, each computed when first asked for; docs/data.md says what stands in their columns.

    study  the run, read; of runs that follow each other the last
    """

    study: Study

    @cached_property
    def claims(self) -> pd.DataFrame:
        """What may be said of every arm."""
        return FRAMES["claims"].of(_claim(self.study, claim) for claim in claimed.claims(self.study).values())

    @cached_property
    def figures(self) -> pd.DataFrame:
        """Every figure with its interval, by arm, measure, scope and unit."""
        return FRAMES["figures"].of(figures(self.study))

    @cached_property
    def tasks(self) -> pd.DataFrame:
        """The rows of results.csv."""
        found = results.results(self.study.record)
        told = {error: sensitive.error(self.study, error) for error in found["error"].dropna().unique()}
        return FRAMES["tasks"].of(found.assign(error=found["error"].map(told)).to_dict("records"))  # pyright: ignore

    @cached_property
    def prices(self) -> pd.DataFrame:
        """What every trial cost, and whether it was finished."""
        return FRAMES["prices"].of(_price(self.study, trial) for trial in self.study.record.trials)

    @cached_property
    def items(self) -> pd.DataFrame:
        """Every item before and after; read when asked for, and large."""
        return _items(self.study)

    @cached_property
    def trajectory(self) -> pd.DataFrame:
        """Items that were asked at milestones."""
        return FRAMES["trajectory"].of(Trajectories(self.study).rows.to_dict("records"))

    @cached_property
    def stages(self) -> pd.DataFrame:
        """The performance matrix of runs that follow each other; empty of one run."""
        return FRAMES["stages"].of(chained.rows(self.study.record))

    @cached_property
    def transfer(self) -> pd.DataFrame:
        """What that matrix is summed up by: ACC, BWT, FWT, F."""
        return FRAMES["transfer"].of(chained.summaries(self.study.record))

    def __repr__(self) -> str:
        lines = [f"{name:<11} {', '.join(FRAMES[name].columns)}" for name in FRAMES]
        said = [f"{arm}: {answer}" for arm, answer in zip(self.claims["arm"], self.claims["answer"], strict=True)]
        return "\n".join([f"{self.name}; {unfinished(self.study).said}", *said, "frames:", *(f"  {line}" for line in lines)])

    @property
    def name(self) -> str:
        """What was typed to have this."""
        record = self.study.record
        names = record.plan.get("runs") or [str(each.folder) for each in (*record.earlier, record)]
        return f"harness.load({names[0]!r})" if len(names) == 1 else f"harness.load({names!r})"


def load(runs: Folder | Sequence[Folder], show_text: bool = False) -> Frames:
    """A run folder as data frames; of several the runs together, where they are comparable.

    runs       what `harness run` or `harness score` wrote, one or several
    show_text  with sensitive texts that the run kept: a reason why a trial failed may quote them
    """
    given = [runs] if isinstance(runs, str | Path) else list(runs)
    return frames([read(Path(run)) for run in given], show_text)


def frames(records: Sequence[Record], shown: bool = False) -> Frames:
    """Runs that were read: one, several that are compared, or several that follow each other."""
    return Frames(Study(chained.chain(records) or joined.join(records), shown=shown))


def _claim(study: Study, claim: claimed.Claim) -> dict[str, Any]:
    keep, gain = claimed.primary(study), claimed.learned(study)
    assert keep
    unit, factor = UNITS[keep.kind]
    found: dict[str, Any] = {
        "arm": claim.arm,
        "role": role(study, claim.arm),
        "answer": claim.answer,
        "unit": unit,
        "margin": study.margin(keep.kind) * factor,
    }
    if claim.arm in study.competitors:
        found |= {"relation": claim.relation, "keeps": claim.keeps, "learns": claim.learns}
        found |= {"keeps_at_own": claim.at.get(claimed.OWN)}
        found |= {"p_keeps": claim.p.get(claimed.END), "p_keeps_at_own": claim.p.get(claimed.OWN)}
    about = {"forgetting": (claim.forgetting, factor)}
    if gain and claim.adaptation:
        about["adaptation"] = (claim.adaptation, UNITS[gain.kind][1])
        found["adaptation_unit"] = UNITS[gain.kind][0]
    for name, (estimate, times) in about.items():
        scaled = estimate.times(times)
        beside = evidence(scaled)
        found |= {name: scaled.value, f"{name}_low": beside["low"], f"{name}_high": beside["high"]}
    return found | {"layers": claim.forgetting.layers, "seeds": claim.forgetting.seeds}


def _price(study: Study, trial: Result) -> dict[str, Any]:
    facts = trial.facts
    seconds: Mapping[str, Any] = facts.get("seconds") or {}
    tokens: Mapping[str, int] = facts.get("tokens") or {}
    error = facts.get("error")
    return {
        "arm": trial.name,
        "role": role(study, trial.name),
        "seed": trial.seed,
        "status": trial.status,
        "error": sensitive.error(study, str(error)) if error else None,
        "shared_with": shares(trial),
        "new_tokens": tokens.get("new"),
        "tokens": sum(tokens.values()) if tokens else None,
        **{
            name: facts.get(name)
            for name in ("setup_tokens", "beside_tokens", "flops", "setup_flops", "peak_memory_bytes", "stored_bytes")
        },
        "updates": facts.get("steps"),
        "rate_area": facts.get("learning_rate_area"),
        **{f"{name}_seconds": seconds.get(name) for name in ("setup", "train", "score")},
        "trained_parameters": facts.get("parameters_trained"),
    }


def _items(study: Study) -> pd.DataFrame:
    """Column by column: a run may have millions of rows."""
    units = {"text": "bits", "accuracy": "right", "answer": "answer bits"}
    seen = flags.tallies(study)
    found: list[pd.DataFrame] = []
    for sample in (*study.samples.values(), *study.answers.values()):
        facts = study.record.tasks[sample.task]
        alike = {"suite": facts["suite"], "task": sample.task, "measures": facts["measures"], "source": facts.get("source")}
        held = pd.Series(sample.items).isin(seen[sample.task].flagged) if sample.task in seen else None
        same = {"item": sample.items, "cluster": sample.clusters, "weight": sample.weights, "before": sample.before}
        for (arm, seed), after in sample.after.items():
            if arm in study.arms:
                whose = alike | {"arm": arm, "seed": seed, "unit": units[sample.kind], "after": after, "flagged": held}
                found.append(pd.DataFrame(same).assign(**whose))
    empty = FRAMES["items"].of([])
    return pd.concat(found, ignore_index=True)[list(empty.columns)].astype(empty.dtypes) if found else empty  # pyright: ignore


def small(made: Frames) -> Iterator[tuple[str, pd.DataFrame]]:
    """The frames of an export that have rows, with their names."""
    found = ((name, getattr(made, name)) for name in SMALL)
    return ((name, frame) for name, frame in found if len(frame))
