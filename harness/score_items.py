"""A few fixed items of a run's suites, asked again of a model in training: the bits that each text or right answer costs.

Prompts, tokens and windows are those of `score`; what is left out is everything that does not change from one question of
the same item to the next. Tasks that generate or have no right option are left out: bits move before a choice does.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.pairing import Kind, is_choice
from harness.score_rows import Scored
from harness.score_state import quiet, unchanged
from harness.score_tasks import SEED, build
from harness.suite import Suite, Task

if TYPE_CHECKING:
    from harness.score_model import Scorer

Tokens = tuple[list[int], list[int]]
"""Context, and what is scored after it."""


@dataclass(frozen=True)
class Item:
    """One item as it was scored on the base, and as it is asked.

    weight      bytes of a text, 1 for an answer
    before      bits of the base: of the whole text, or of the right answer
    windows     what the model reads of it
    """

    task: str
    item: str
    cluster: str
    kind: Kind
    weight: float
    before: float
    windows: tuple[Tokens, ...]

    @property
    def facts(self) -> dict[str, Any]:
        """All but what the model reads."""
        return {name: value for name, value in vars(self).items() if name != "windows"}

    @property
    def tokens(self) -> int:
        """Tokens of a forward pass over it."""
        return sum(len(context) + len(scored) for context, scored in self.windows)


def choose(model: Any, tokenizer: Any, suites: Sequence[Suite], base: Any, bos: bool | None, most: int) -> list[Item]:
    """At most so many items of each task that measures keeping or gaining, by seeded chance, one of every task in turn.

    base  the base's rows, a table with SCORE_COLUMNS: only what was scored there is asked again
    """
    rows = {str(task): found.set_index("item") for task, found in base.groupby("task", sort=False)}
    tasks = [(suite, task) for suite in suites for task in suite.tasks if task.measures in ("keep", "gain")]
    with quiet(), unchanged(model):
        scorer = _scorer(model, tokenizer, bos)
        found = [_items(scorer, suite, task, rows[task.name], most) for suite, task in tasks if _asked(task, rows)]
    return [item for turn in zip_longest(*found) for item in turn if item is not None]


def _asked(task: Task, rows: dict[str, Any]) -> bool:
    return task.name in rows and (task.metric == "bits_per_byte" or is_choice(rows[task.name]))


def _items(scorer: "Scorer", suite: Suite, task: Task, rows: Any, most: int) -> list[Item]:
    """Items of a task, with the prompts that `score` gives them: all are built, as examples are drawn in order."""
    asked = dict(_requests(suite, task))
    names = [name for name in rows.index if name in asked]
    chosen = random.Random(task.name).sample(names, min(most, len(names)))
    return [_item(scorer, task, rows.loc[name], asked[name]) for name in chosen]


def _requests(suite: Suite, task: Task) -> Iterator[tuple[str, list[Any]]]:
    """Item -> lm-eval's requests of it, an option each."""
    for name, leaf in build(task).items():
        leaf.set_fewshot_seed(SEED)
        leaf.build_all_requests(limit=None, rank=0, world_size=1)
        asked: dict[int, list[Any]] = {}
        for request in leaf.instances:
            asked.setdefault(request.doc_id, []).append(request)
        leaf._instances = None
        scored = Scored(suite, task, name, leaf, {})
        for number, requests in asked.items():
            yield scored.identity({"doc": requests[0].doc, "doc_id": number}), requests


def _item(scorer: "Scorer", task: Task, row: Any, requests: list[Any]) -> Item:
    if text := task.metric == "bits_per_byte":
        windows, nats, weight = scorer.windows(requests[0].args[0]), row["loglikelihoods"][0], float(row["option_bytes"][0])
    else:
        right = next(request for request in requests if request.idx == row["answer"])
        windows, nats, weight = scorer.encode_pairs([right.args]), row["loglikelihoods"][int(row["answer"])], 1.0
    cluster, kind = str(row["cluster"]), "text" if text else "answer"
    return Item(task.name, str(row.name), cluster, kind, weight, -float(nats) / np.log(2), tuple(windows))


class Asked:
    """Items put to one model, again and again while it is trained; nothing of it is changed."""

    def __init__(self, model: Any, tokenizer: Any, items: Sequence[Item]) -> None:
        self.model, self.tokenizer, self.items = model, tokenizer, items

    @cached_property
    def _scorer(self) -> "Scorer":
        with quiet():
            return _scorer(self.model, self.tokenizer, None)  # prompts are tokens already

    def bits(self) -> list[float]:
        """Bits of every item under the weights as they are now."""
        owners = [number for number, item in enumerate(self.items) for _ in item.windows]
        windows = [(None, *window) for item in self.items for window in item.windows]
        totals = [0.0] * len(self.items)
        with unchanged(self.model):
            for owner, (nats, _) in zip(owners, self._scorer._loglikelihood_tokens(windows), strict=True):
                totals[owner] -= nats / np.log(2)
        return [float(total) for total in totals]


def _scorer(model: Any, tokenizer: Any, bos: bool | None) -> "Scorer":
    from harness.score_model import Scorer

    return Scorer(model, tokenizer, length=None, bos=bos)
