"""When a training is looked at, and how many items its length pays for: milestones are a small share of its cost."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.plan import Budget
from harness.suite import Suite

if TYPE_CHECKING:
    from harness.score_items import Item

SHARE = 0.05
"""Of the time that the control trains, at most."""
FORWARD = 0.5
"""Time of a token that is only read, in tokens that are trained on: a third of the arithmetic, in rows of unequal length."""
MOST, LEAST = 32, 4
"""Items of a task."""
SPACINGS = (5, 10, 20)
"""Per cent of a training between two milestones, the finest that leaves LEAST items of every task."""
SHORT = 12
"""Tokens that an item has at least, as a rule: for what the plan says before any item was read."""


def milestones(steps: int, spacing: int) -> list[int]:
    """Updates: 0; 1, 2, 4, ... % of the training; then every `spacing` %, and the last.

    >>> milestones(200, 20)
    [0, 2, 4, 8, 16, 32, 40, 80, 120, 160, 200]
    """
    doubled = [2**power for power in range(7) if 2**power < spacing]
    return sorted({round(steps * percent / 100) for percent in (0, *doubled, *range(spacing, 101, spacing))})


def room(budget: Budget, spacing: int) -> float:
    """Tokens that each milestone may read."""
    return SHARE / FORWARD * budget.tokens / len(milestones(budget.steps, spacing))


def afford(items: "Sequence[Item]", budget: Budget) -> tuple[list["Item"], int]:
    """The items, and the spacing, that SHARE of the control's training pays for; no items where it pays for too few."""
    for spacing in SPACINGS:
        left = room(budget, spacing)
        kept: list[Item] = []
        for item in items:
            left -= item.tokens
            if left < 0:
                break
            kept.append(item)
        each = Counter(item.task for item in kept)
        if kept and all(each[task] >= min(LEAST, count) for task, count in Counter(item.task for item in items).items()):
            return kept, spacing
    return [], 0


def foreseen(suites: Sequence[Suite], budget: Budget, limit: int | None) -> list[str]:
    """What the plan says of a training that is hardly long enough to be looked at."""
    tasks = [task for suite in suites for task in suite.tasks if task.measures in ("keep", "gain")]
    asked = sum(task.metric not in ("exact_match", "pass_at_1", "pass_at_k") for task in tasks)
    least, there = min(LEAST, limit or LEAST), room(budget, SPACINGS[-1])
    if there >= SHORT * least * asked:
        return []
    what = f"{least} item{'s' if least > 1 else ''} of {f'each of {asked} tasks' if asked > 1 else 'the task'}"
    return [
        f"the training is likely too short for looks at milestones: {100 * SHARE:g} % of its time let each read {there:.0f} "
        f"tokens, and {what} have more, as a rule; give more --tokens or fewer --suites to see forgetting on the way"
    ]


TOO_SHORT = (
    f"no training is looked at while it is under way: {100 * SHARE:g} % of the control's time do not pay for {LEAST} items of "
    "every task; give more --tokens or fewer --suites"
)
"""What a run says once its items were read."""
