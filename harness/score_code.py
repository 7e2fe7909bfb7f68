"""Tasks that run what a model wrote: left out unless they are allowed, and then judged in the sandbox.

lm-eval's code tasks judge by `code_eval` of the library `evaluate`, which is fetched from the hub and runs programs inside this
process, with all its rights. A Judge stands in its place while such a task is built; prompts, filters and tests are lm-eval's.
"""

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from harness import sandbox
from harness.errors import InputError
from harness.suite import Suite

FLAG = "--allow-code-execution"


def permitted(suite: Suite, allowed: bool) -> Suite:
    """The suite with its tasks that run model-written code marked as allowed, or without them; its note says which."""
    names = [task.name for task in suite.tasks if task.unsafe]
    tasks = tuple(replace(task, allowed=allowed) for task in suite.tasks if allowed or not task.unsafe)
    if not names:
        return replace(suite, tasks=tasks)
    which = f"{' and '.join(names)} {'runs' if len(names) == 1 else 'run'} what the model wrote"
    if not tasks:
        raise InputError(f"{which}, which is done only where {FLAG} is given (a program a time, without network or files)")
    done = "a program a time, without network or files" if allowed else f"left out, as {FLAG} was not given"
    return replace(suite, tasks=tasks, note=" ".join(filter(None, (suite.note, f"{which}: {done}."))))


def refuse(name: str, unsafe: bool, allowed: bool) -> None:
    """Refuse a task that runs what a model wrote, where that was not allowed."""
    if unsafe and not allowed:
        raise InputError(f"task {name} runs what the model wrote, which was not allowed; give {FLAG}, or leave it out")


class Judge:
    """`code_eval`, by the sandbox."""

    def compute(
        self, references: Sequence[str], predictions: Sequence[Sequence[str]], k: Sequence[int] = (1,), **_: Any
    ) -> tuple[dict[str, float], dict[str, Any]]:
        """The share of problems that k answers solve, from all answers to each (Chen et al. 2021, arXiv:2107.03374)."""
        asked = zip(references, predictions, strict=True)
        right = [[sandbox.passes(f"{said}\n{test}") for said in texts] for test, texts in asked]
        return {f"pass@{n}": sum(_solved(len(each), sum(each), n) for each in right) / len(right) for n in k}, {}


def _solved(answers: int, right: int, k: int) -> float:
    """Probability that k of the answers hold a right one.

    >>> _solved(2, 1, 1)
    0.5
    """
    return 1 - math.comb(answers - right, k) / math.comb(answers, k)


@contextlib.contextmanager
def judged() -> Iterator[None]:
    """Inside, `evaluate` hands out a Judge for `code_eval`; refused where nothing can be judged."""
    import evaluate

    sandbox.check()

    load = evaluate.load
    evaluate.load = lambda name, *given, **named: Judge() if name == "code_eval" else load(name, *given, **named)
    try:
        yield
    finally:
        evaluate.load = load


def answered(sample: Any, metric: str) -> float:
    """The value of an item; lm-eval's `pass_at_k` names its answer pass@1."""
    return float(sample[metric if metric in sample else "pass@1"])
