"""A plan in words, before it is run: what is compared, what was decided, and what is still to be done."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from harness.lookup import TEXT

if TYPE_CHECKING:
    from harness.resolve import Ready


def announced(ready: "Ready") -> Iterator[str]:
    """The lines that `harness run` begins with."""
    from harness.run import cost

    plan, budget, found = ready.plan, ready.plan.budget, cost(ready)
    yield f"base {plan.base['name']}; new text {plan.sources['new']['name']}; " + _old(plan.sources)
    yield f"arms {', '.join(arm.name for arm in plan.arms)}; seeds {', '.join(map(str, plan.seeds))}"
    whose = "an arm" if plan.alike else "for the control"
    yield (
        f"{budget.tokens:,} tokens {whose}: {budget.steps} steps of {budget.batch} x {budget.length}, "
        f"peak learning rate {budget.peak:g}, {budget.engine.told}"
    )
    for note in (*plan.notes, *(suite.note for suite in ready.suites if suite.note)):
        yield f"note: {note}"
    wait = "time unknown" if found.seconds is None else f"{about(found.seconds)} of plain steps"
    trained = f"{several(found.trainings, 'training')} ({found.tokens:,} tokens, {found.flops:.1e} FLOPs, {wait})"
    scoring = "" if found.scoring_seconds is None else f" ({about(found.scoring_seconds)})"
    yield f"to do: {trained}, {several(found.scorings, 'scoring')}{scoring}"


def proposed(ready: "Ready") -> list[str]:
    """Which tasks can show forgetting on this base, where its scores are there; else what would score it alone."""
    from harness import marks
    from harness.tables import scoring

    if found := marks.known(scoring(ready), ready.base.digest, ready.plan.options.get("items", "all")):
        return marks.sentences(found)
    suites = ",".join(suite.name for suite in ready.suites if suite.name != TEXT)
    asked = f" --suites {suites}{'' if ready.limit is None else f' --limit {ready.limit}'}"
    return [
        "which tasks can show forgetting is known once the base is scored, and said before anything is trained; "
        f"`harness score --base {ready.base.name}{asked}` scores it alone"
    ]


def about(seconds: float) -> str:
    """A wait in words."""
    return "less than a minute" if seconds < 57 else f"about {seconds / 60:.1f} minutes"


def several(count: int, what: str) -> str:
    """How many, with the word in its number."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _old(sources: Any) -> str:
    return f"old text {sources['old']['name']}" if "old" in sources else "no old text"
