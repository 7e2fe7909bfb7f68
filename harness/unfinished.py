"""What of a run is not finished, and what it would take: partial runs have pages too."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.forgetting import Study
from harness.record import Result


@dataclass(frozen=True)
class Unfinished:
    """Trials that are not done.

    base      whether the base was scored
    commands  what does only what is missing, typed again; empty where it is not known
    seconds   what that takes, by what the finished trials took; None where none is finished
    """

    total: int
    failed: tuple[Result, ...]
    missing: tuple[Result, ...]
    base: bool
    commands: tuple[str, ...]
    seconds: float | None

    @property
    def complete(self) -> bool:
        """Whether everything of the plan was done."""
        return self.base and not self.failed and not self.missing

    @property
    def said(self) -> str:
        """Complete or partial, in a few words."""
        counts = {"failed": len(self.failed), "missing": len(self.missing)}
        parts = [f"{count} {name}" for name, count in counts.items() if count]
        parts += [] if self.base else ["the base has not been scored"]
        return f"partial, {self.total} trials: {', '.join(parts)}" if parts else f"complete, {self.total} trials"


def unfinished(study: Study) -> Unfinished:
    """What is missing of a run, and the price of it."""
    plan, trials = study.record.plan, study.record.trials
    kinds = {kind: tuple(trial for trial in trials if trial.status == kind) for kind in ("done", "failed", "missing")}
    times = [spent(trial) + seconds(trial, "score") for trial in kinds["done"]]
    count = len(kinds["failed"]) + len(kinds["missing"])
    last = (plan.get("commands") or [plan.get("command")])[-1:]  # a folder that grew was made by several
    return Unfinished(
        total=len(trials),
        failed=kinds["failed"],
        missing=kinds["missing"],
        base=study.record.base.status == "done",
        commands=tuple(str(command) for command in plan.get("resume", last) if command),
        seconds=count * sum(times) / len(times) if times else None,
    )


def seconds(trial: Result, name: str) -> float:
    """Wall time of a part of a trial."""
    found: Mapping[str, Any] = trial.facts.get("seconds") or {}
    return float(found.get(name) or 0)


def spent(trial: Result) -> float:
    """Seconds of set-up and training that this trial alone has cost: a training that is shared is paid once."""
    return seconds(trial, "setup") + (0.0 if shares(trial) else seconds(trial, "train"))


def shares(trial: Result) -> str | None:
    """The arm whose training this trial was made from, without one of its own."""
    return trial.facts.get("shared_with") or (trial.facts.get("facts") or {}).get("shared_with")
