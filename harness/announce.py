"""A plan in words, before it is run: what is compared, what was decided, and what is still to be done."""

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from harness.lookup import TEXT

if TYPE_CHECKING:
    from harness.resolve import Ready
    from harness.settings import Settings


def announced(ready: "Ready") -> Iterator[str]:
    """The lines that `harness run` begins with."""
    from harness.run import cost

    plan, budget, found = ready.plan, ready.plan.budget, cost(ready)
    yield f"base {plan.base['name']}; new text {plan.sources['new']['name']}; " + _old(plan.sources)
    yield f"arms {', '.join(plan.families or (arm.name for arm in plan.arms))}; seeds {', '.join(map(str, plan.seeds))}"
    if sweep := plan.chosen_by.get("sweep"):
        names = {name for found in plan.families.values() for name in found}
        yield (
            f"sweep: {sweep['settings']} settings an arm, the control included: {len(names)} settings under "
            f"{several(len(plan.seeds), 'seed')}; one an arm is chosen by validation items and reported on the others"
        )
    if match := plan.chosen_by.get("match"):
        arms, others = len(plan.families) - 1, len(plan.seeds) - 1
        again = f", and the setting found under {several(others, 'other seed')}" if others else ""
        yield (
            f"match: a setting of every arm that learns {match['target']:.0%} of what the control learns, by validation items: "
            f"at most {match['trainings']} trainings an arm under seed {match['seed']}{again}: "
            f"at most {arms * (match['trainings'] + others)} trainings beside the control's"
        )
    whose = "an arm" if plan.alike else "for the control"
    yield (
        f"{budget.tokens:,} tokens {whose}: {budget.steps} steps of {budget.batch} x {budget.length}, "
        f"peak learning rate {budget.peak:g}, {budget.engine.told}"
    )
    for note in dict.fromkeys((*plan.notes, *(suite.note for suite in ready.suites if suite.note))):
        yield f"note: {note}"
    wait = "time unknown" if found.seconds is None else f"{about(found.seconds)} of plain steps"
    trained = f"{several(found.trainings, 'training')} ({found.tokens:,} tokens, {found.flops:.1e} FLOPs, {wait})"
    scoring = "" if found.scoring_seconds is None else f" ({about(found.scoring_seconds)})"
    points = f", and {several(found.points, 'scoring')} of the control's curve, of two axes alone" if found.points else ""
    begun = "to do, before the search goes on" if match else "to do"
    yield f"{begun}: {trained}, {several(found.scorings, 'scoring')}{scoring}{points}"


def proposed(ready: "Ready", asked: "Settings") -> list[str]:
    """What would be looked for in the text, and which tasks can show forgetting, or what would score the base alone."""
    size = sum(facts["bytes"] for facts in ready.plan.sources.values()) / 1e6
    looked = f"before training, every item that is scored is looked for in the {size:,.1f} MB of training text"
    return [looked, *_able(ready, asked)]


def _able(ready: "Ready", asked: "Settings") -> list[str]:
    """Which tasks can show forgetting on this base, where its scores are there; else what would score it alone."""
    from harness import marks
    from harness.tables import scoring

    if found := marks.known(scoring(ready), ready.base.digest, ready.plan.options.get("items", "all")):
        return marks.sentences(found)
    words = {"base": ready.base.name, "suites": ",".join(word for word in asked.suites or () if word != TEXT)}
    words |= {"limit": asked.limit, "mirrors": asked.mirrors}
    typed = [word for name, value in words.items() if value for word in (f"--{name}", str(value))]
    typed += ["--allow-code-execution"] if asked.allow_code_execution else []
    return [
        "which tasks can show forgetting is known once the base is scored, and said before anything is trained; "
        f"`{shlex.join(['harness', 'score', *typed])}` scores it alone"
    ]


def about(seconds: float) -> str:
    """A wait in words."""
    return "less than a minute" if seconds < 57 else f"about {seconds / 60:.1f} minutes"


def several(count: int, what: str) -> str:
    """How many, with the word in its number."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _old(sources: Any) -> str:
    return f"old text {sources['old']['name']}" if "old" in sources else "no old text"
