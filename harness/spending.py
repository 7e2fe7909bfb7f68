"""What arms may spend: tokens, batch and rates, as asked, else by default with the reason; and how many updates each gets."""

from collections.abc import Mapping
from dataclasses import replace

from harness import engine
from harness.arms import OLD_ONLY, Arms, parent_arm
from harness.errors import InputError
from harness.model import Base
from harness.plan import Budget
from harness.settings import BUILT_IN, Settings
from harness.strategy import NEW, Course, Strategy, overrides

LEAST_STEPS = 300


def decide(asked: Settings, base: Base, rows: int, length: int) -> tuple[Budget, list[str]]:
    """Tokens, batch, rates: as asked, else by default with the reason in the notes. `rows`: of an epoch of the new text."""
    notes: list[str] = []
    wanted = asked.tokens or int(rows * length * (asked.epochs or BUILT_IN["epochs"][0]))
    batch = asked.batch or BUILT_IN["batch"][0]
    while not asked.batch and batch > 1 and wanted < LEAST_STEPS * batch * length:
        batch //= 2
    if not asked.batch and batch != BUILT_IN["batch"][0]:
        notes.append(
            f"the batch is {batch} rows instead of 256, so that {wanted:,} tokens make more steps (at least 300 are wanted)"
        )
    if (steps := wanted // (batch * length)) < 1:
        raise InputError(
            f"{wanted:,} tokens are too few for one step of {batch} rows of {length} tokens; "
            f"give more text or tokens, or a smaller --batch or --length"
        )
    peak, why = _peak(asked, base)
    budget = Budget(
        steps=steps,
        batch=batch,
        length=length,
        peak=peak,
        **{
            key: BUILT_IN[key][0] if getattr(asked, key) is None else getattr(asked, key)
            for key in ("warmup", "floor", "weight_decay", "clip")
        },
        engine=engine.decide(asked),
    )
    return budget, notes + why


def _peak(asked: Settings, base: Base) -> tuple[float, list[str]]:
    if asked.learning_rate:
        return asked.learning_rate, []
    if peak := base.facts.get("peak"):
        return peak / 10, [f"the peak learning rate is {peak / 10:g}, a tenth of the base's pre-training peak {peak:g}"]
    rate = BUILT_IN["learning_rate"][0]
    return rate, [f"the peak learning rate is {rate:g}: the base's own is unknown; set it with --learning-rate"]


EQUAL = {
    "tokens": "every arm reads as many tokens as the control",
    "new_tokens": "every arm reads as many rows of new text as the control, to one step (to chance if seeds draw the mixture), "
    "and its other text on top",
    "flops": "every arm computes as much as the control, by what its strategies say of the cost of a step",
}
"""What arms may share. A pass before training (a Fisher, scores, generated text) is outside of it."""
LONGEST = 100
"""Times the control's updates that an arm may need for as much new text, at most."""
MOST = 10**9
"""Updates of an arm, at most."""


def updates(arms: Arms, budget: Budget, equal: str) -> tuple[dict[str, int], str]:
    """Arm name -> updates, and a note on what was made equal. The arm's own `steps` multiplies."""
    found: dict[str, int] = {}
    for arm in arms.arms:
        parent = parent_arm(arm, arms.strategies[arm.name])
        trained = parent or arm
        equals = "tokens" if trained.parts == OLD_ONLY.parts else equal  # as long as the control: it has no new text to equal
        shared = _shared(arm.name, arms.strategies[trained.name], budget, equals)
        if (wanted := arm.steps * shared) > MOST:
            raise InputError(f"{arm.name} asks for {wanted:.3g} updates; at most {MOST:,} are planned, give fewer steps")
        found[arm.name] = max(1, round(wanted))
    return found, f"equal {equal}: {EQUAL[equal]}; {_told(found)}. One-off passes are recorded beside this, not deducted"


def _told(found: Mapping[str, int]) -> str:
    control, *_ = found.values()
    others = [f"{steps} for {name}" for name, steps in found.items() if steps != control]
    return f"{control} updates an arm" + (f", but {', '.join(others)}" if others else "")


def _shared(name: str, strategy: Strategy, budget: Budget, equal: str) -> float:
    """Updates at which an arm spends what the control spends."""
    if equal == "flops":
        if not (cost := strategy.cost(budget)) > 0:
            raise InputError(f"{name} says that a step costs {cost:g} plain steps; a cost is above 0")
        return budget.steps / cost
    if equal == "new_tokens" and overrides(strategy, "mixture"):
        try:
            return _as_much_new(name, strategy, budget)
        except InputError:
            raise
        except Exception:  # a mixture that fails is its trial's to report
            return budget.steps
    return budget.steps


def _as_much_new(name: str, strategy: Strategy, budget: Budget) -> int:
    """The T at which T updates read as many new rows as the control, and T - 1 do not: a mixture depends on its length."""
    wanted = budget.steps * budget.batch
    low, high = 0, budget.steps
    while new_rows(strategy, replace(budget, steps=high)) < wanted:
        low, high = high, 2 * high
        if low > LONGEST * budget.steps:
            raise InputError(f"{name} reads too little new text to read as much as the control; type --equal tokens")
    while high - low > 1:
        middle = (low + high) // 2
        enough = new_rows(strategy, replace(budget, steps=middle)) >= wanted
        low, high = (low, middle) if enough else (middle, high)
    return high


def new_rows(strategy: Strategy, budget: Budget, seed: int = 0) -> int:
    """Rows of new text that a training of these updates reads; the seed matters where a mixture is drawn."""
    from harness.text import shared_out

    course = Course(budget, seed, strategy.schedule(budget))
    counts = shared_out(lambda update: strategy.mixture(update, course), budget.steps, budget.batch)
    return sum(next(counts)[NEW] for _ in range(budget.steps))
