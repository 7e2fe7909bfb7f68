"""What goes wrong in a strategy's hook, as a sentence that names the strategy, the hook and the cause.

A strategy's hooks are replaced, where its class is made, by ones that pass on what they were given and look at what comes back:
an exception, or a result that the loop could not use, ends this trial alone, and says whose it was.
"""

import json
import math
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from inspect import unwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError, TrialError, one_line, out_of_memory, said

if TYPE_CHECKING:
    from torch import Tensor

    from harness.strategy import Batch, Chunk, Strategy

ASKED = ("controls", "cost", "fits", "needed")
"""What a strategy says of itself when the plan is made."""


def watched(hook: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The hook, whose exceptions and useless results become a TrialError."""
    look = _LOOKS.get(hook)

    @wraps(function)
    def called(self: Any, *given: Any, **named: Any) -> Any:
        try:
            made = function(self, *given, **named)
        except HarnessError:
            raise
        except (Exception, SystemExit) as error:  # a plugin may fail in any way
            if (hook == "fits" and isinstance(error, ValueError)) or (hook not in ASKED and out_of_memory(error)):
                raise  # so it refuses a base or a budget; where memory ran out, the loop may still have a way
            raise failure([self], hook, f"{said(error)}{_place(function, error)}") from error
        if look and (wrong := look(made, *given)):
            raise failure([self], hook, wrong)
        return _checked_rate(self, made) if hook == "schedule" else made

    return called


def failure(strategies: "Sequence[Strategy]", hook: str, cause: str) -> TrialError:
    """What is raised where the hook of a strategy, or of one of several, went wrong."""
    from harness.registry import called

    return TrialError(f"{' or '.join(called(type(each)) for each in strategies)} failed in {hook}: {cause}")


def wrong_term(name: str, values: "Tensor", chunk: "Chunk") -> str:
    """What is wrong with a term of a loss; nothing: an empty string."""
    shape, wanted = tuple(getattr(values, "shape", (type(values).__name__,))), tuple(chunk.targets.shape)
    if shape != wanted:
        return f"the term {name} has the shape {shape}; a loss returns one value a position: {wanted}"
    follows = chunk.logits.requires_grad or chunk.hidden.requires_grad
    if follows and not values.requires_grad and bool(values.any()):
        return f"the term {name} has no gradient: it was detached from the chunk's logits and hidden states"
    return ""


TAKEN = ("distance", "shared_with")
"""Facts that the run itself stores of a trial."""


def wrong_facts(facts: Any) -> str:
    """What is wrong with what the page shall say of a set-up; nothing: an empty string."""
    if not isinstance(facts, Mapping):
        return f"its facts are {_kind(facts)}; facts are words and finite numbers by name"
    for name, value in facts.items():
        if not isinstance(name, str) or name in TAKEN:
            return f"a fact is called {one_line(str(name))}; it must be a word of its own, not {' or '.join(TAKEN)}"
        try:
            json.dumps(value, allow_nan=False, sort_keys=True)
        except (TypeError, ValueError):
            kind = one_line(str(value)) if isinstance(value, float) else _kind(value)
            return f"the fact {one_line(name)} is {kind}; facts are words and finite numbers, and lists and dicts of these"
    return ""


def _place(function: Callable[..., Any], error: BaseException) -> str:
    """Where in the strategy's own file it happened."""
    file = getattr(unwrap(function), "__code__", _place.__code__).co_filename
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f" ({Path(file).name}, line {lines[-1]})" if lines else ""


def _checked_rate(strategy: Any, rate: Callable[[int], float]) -> Callable[[int], float]:
    def checked(update: int) -> float:
        try:
            value = float(rate(update))
        except Exception as error:
            raise failure([strategy], "schedule", f"{said(error)}{_place(rate, error)}") from error
        if not 0 <= value < math.inf:
            raise failure([strategy], "schedule", f"the rate of update {update} is {value:g}; it must be finite, 0 or more")
        return value

    return checked


# What a hook handed back, looked at: the end of a sentence about what is wrong with it, or an empty string.


def _memory(made: Any, *given: Any) -> str:
    from harness.strategy import Memory

    return wrong_facts(made.facts) if isinstance(made, Memory) else f"it returned {_kind(made)}; it must return a Memory"


def _ended(made: Any, model: Any, memory: Any, *given: Any) -> str:
    return wrong_facts(memory.facts)


def _model(made: Any, *given: Any) -> str:
    return "" if hasattr(made, "named_parameters") else f"it returned {_kind(made)}; it must return the model"


def _words(made: Any, *given: Any) -> str:
    fine = isinstance(made, list | tuple) and all(isinstance(word, str) for word in made)
    return "" if fine else f"it returned {one_line(repr(made))}; it must return words, in a list or tuple"


def _cost(made: Any, *given: Any) -> str:
    fine = isinstance(made, int | float) and math.isfinite(made)
    return "" if fine else f"it returned {one_line(repr(made))}; it must return a finite number"


def _factor(made: Any, *given: Any) -> str:
    fine = isinstance(made, int | float) and 0 < made < math.inf
    return "" if fine else f"it returned {made!r}; it must be a number above 0, and finite"


def _function(made: Any, *given: Any) -> str:
    return "" if callable(made) else f"it returned {_kind(made)}; it must return a function of the update"


def _rows(made: Any, *given: Any) -> str:
    fine = made is None or (hasattr(made, "__len__") and not isinstance(made, str | Mapping))
    return "" if fine else f"it returned {_kind(made)}; it must return row numbers, or None for all rows"


def _shares(made: Any, *given: Any) -> str:
    if not isinstance(made, Mapping):
        return f"it returned {_kind(made)}; it must return shares by source"
    wrong = {name: share for name, share in made.items() if not isinstance(share, int | float) or not 0 <= share <= 1}
    return "".join(f"the share of {name} is {share}; a share lies between 0 and 1" for name, share in list(wrong.items())[:1])


def _along(made: Any, batch: "Batch", *given: Any) -> str:
    """Tensors that lie along the predicted positions: (b, T-1, ...)."""
    if not isinstance(made, Mapping):
        return f"it returned {_kind(made)}; it must return tensors by name"
    wanted = (batch.tokens.shape[0], batch.tokens.shape[1] - 1)
    for name, values in made.items():
        if tuple(getattr(values, "shape", ()))[:2] != wanted:
            shape = tuple(getattr(values, "shape", ()))
            return f"{name} has the shape {shape}; it must begin with {wanted}, a row and a predicted position"
    return ""


def _weights(made: Any, batch: "Batch", *given: Any) -> str:
    if wrong := _along(made, batch):
        return wrong
    for name, values in made.items():
        if values.ndim != 2:
            return f"{name} has the shape {tuple(values.shape)}; weights are one number a row and predicted position"
        if not bool(values.isfinite().all()):
            return f"the weights of {name} are not finite"
    return ""


def _terms(made: Any, chunk: "Chunk", *given: Any) -> str:
    from harness.strategy import CROSS_ENTROPY

    if not isinstance(made, Mapping):
        return f"it returned {_kind(made)}; it must return terms by name"
    if CROSS_ENTROPY in made:
        return f"it returns the term {CROSS_ENTROPY}, which is the loop's own; rename it, or use weigh"
    if odd := [name for name in made if not isinstance(name, str)]:
        return f"it returns a term called {odd[0]!r}; terms are called by words"
    return next((wrong for name, values in made.items() if (wrong := wrong_term(name, values, chunk))), "")


def _kind(made: Any) -> str:
    return "nothing" if made is None else f"a {type(made).__name__}"


_LOOKS: dict[str, Callable[..., str]] = {
    "setup": _memory,
    "adapt": _model,
    "peak": _factor,
    "schedule": _function,
    "choose": _rows,
    "mixture": _shares,
    "weigh": _weights,
    "observe": _along,
    "loss": _terms,
    "finish": _ended,
    "controls": _words,
    "needed": _words,
    "cost": _cost,
}
