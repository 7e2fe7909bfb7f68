"""Model and suite to scores: one row an item, by lm-eval's own tasks and metrics.

`score` changes nothing: weights, modes, gradient flags, tokenizer and random states are the same before and after, also
after an error. Rows have the columns of `SCORE_COLUMNS`; aggregates are computed from rows by whoever needs them.
"""

import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import pandas as pd

from harness.errors import HarnessError, said
from harness.score_code import permitted
from harness.score_complete import complete
from harness.score_encode import window
from harness.score_keys import score_key, shared_key, suite_key
from harness.score_missing import prepare, refuse_missing
from harness.score_rows import Row, Scored, place
from harness.score_state import quiet, unchanged
from harness.score_stock import completed, folder_suite
from harness.score_tasks import SEED, build, subset
from harness.score_texts import documents_suite
from harness.suite import Suite, Task
from harness.tabled import PATHS, SCORE_COLUMNS

if TYPE_CHECKING:
    from harness.score_model import Scorer

__all__ = [
    "complete",
    "completed",
    "documents_suite",
    "folder_suite",
    "permitted",
    "prepare",
    "refuse_missing",
    "score",
    "score_key",
    "shared_key",
    "suite_key",
    "window",
]


class Settings(TypedDict, total=False):
    """How a model is scored; part of a score's key.

    length  tokens that the model reads at once; None: what its configuration says
    limit   items a task: a seeded random subset, the same for every model; None: all
    bos     True: prompts begin with BOS (EOS where there is none) also where the tokenizer adds none; False: never;
            None: what the tokenizer does. Documents are always conditioned on it, and it is never scored
    """

    length: int | None
    limit: int | None
    bos: bool | None


def score(
    model: Any,
    tokenizer: Any,
    suite: Suite,
    *,
    show: Callable[[float, int], None] | None = None,
    **settings: Unpack[Settings],
) -> pd.DataFrame:
    """Score a model in memory: one row an item, with the columns of SCORE_COLUMNS; attrs say how requests were read (PATHS).

    show  called with the tasks done and their number, after each task and while one generates
    """
    from harness.score_model import Scorer

    rows: list[Row] = []
    paths: dict[str, str] = {}
    with quiet(), unchanged(model):
        scorer = Scorer(
            model,
            tokenizer,
            length=settings.get("length"),
            bos=settings.get("bos"),
        )
        for done, task in enumerate(suite.tasks, 1):
            if show:
                scorer.told = lambda part, whole, done=done: show(round(done - 1 + part / whole, 2), len(suite.tasks))
            scorer.path = ""
            rows += _score_task(scorer, suite, task, settings.get("limit"))
            paths |= {task.name: scorer.path} if scorer.path else {}
            if show:
                show(done, len(suite.tasks))
    table = _frame(rows)
    table.attrs[PATHS] = paths
    return table


def _score_task(scorer: "Scorer", suite: Suite, task: Task, limit: int | None) -> list[Row]:
    """Rows of one task, by lm-eval's `evaluate`."""
    from lm_eval.evaluator import evaluate

    built = build(task)
    chosen = subset(built, limit)
    if chosen is not None:
        built = {leaf: built[leaf] for leaf in chosen}
    for leaf in built.values():
        leaf.set_fewshot_seed(SEED)
    try:
        results: Any = evaluate(
            scorer, {"tasks": built}, samples=chosen, bootstrap_iters=0, confirm_run_unsafe_code=task.allowed
        )
    except Exception as error:
        if _of_ours(error):
            raise
        raise HarnessError(f"task {task.name} cannot be asked: {said(error)}; look at its documents and examples") from error
    samples: Mapping[str, Any] = results["samples"]
    rows = [
        row for leaf, found in built.items() for row in Scored(suite, task, leaf, found, scorer.predicted).rows(samples[leaf])
    ]
    scorer.predicted.clear()
    for leaf in built.values():
        leaf._instances = None  # lm-eval would hold every prompt until the next model
    _refuse_doubles(task, rows)
    place(rows, build(task).values())
    return rows


def _of_ours(error: BaseException) -> bool:
    """Whether an error came through code of ours, the model's included, and not through lm-eval and documents alone."""
    here = Path(__file__).parent
    return any(Path(frame.filename).parent == here for frame in traceback.extract_tb(error.__traceback__)[1:])


def _refuse_doubles(task: Task, rows: list[Row]) -> None:
    seen: set[str] = set()
    for row in rows:
        if row["item"] in seen:
            raise HarnessError(
                f"task {task.name}: item {row['item']} occurs twice; items are paired by it, so it must be unique"
            )
        seen.add(row["item"])


def _frame(rows: list[Row]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(SCORE_COLUMNS)).astype(SCORE_COLUMNS)
