"""What all arms of a run share, and which rows each update reads."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harness import arithmetic
from harness.errors import TrialError, one_line, said
from harness.hooks import failure
from harness.mixture import rows_of
from harness.objective import Objective
from harness.origin import TrialOrigin
from harness.plan import Budget
from harness.strategy import NEW, OLD, TASK, Course, Memory, Strategy, Table, owners
from harness.text import Kept, shared_out


@dataclass(frozen=True)
class Setting:
    """What all arms of a run share.

    load              the base, newly loaded: fp32 weights, dropout off
    tables            packed training rows by source
    micro_batch       rows of one forward and backward
    keys              source name (and `base`) to a digest of its content, as packed
    cache             folder of what is remembered across runs
    start             the token that a document starts after
    checkpoint_every  updates, or time, between checkpoints; 0: none
    models            other models that the plan names, newly loaded
    held              packed rows of new text that no arm trains on: what may be selected on (validation)
    control           seed to the finished control, newly loaded
    keep_checkpoints  how many of a trial's newest checkpoints are kept while it is trained
    keep_best         whether that with the lowest loss on held-out new text is kept beside them
    score_best        whether that one is what a trial ends with
    on_nan            what a step that is not finite does: `stop` the trial, or `skip` itself
    """

    budget: Budget
    load: Callable[[], nn.Module]
    tables: Mapping[str, Table]
    micro_batch: int
    keys: Mapping[str, str]
    cache: Path
    start: int = 0
    checkpoint_every: int | timedelta = 0
    models: Mapping[str, Callable[[], nn.Module]] = field(default_factory=dict)
    held: Callable[[], Table] | None = None
    control: Callable[[int], nn.Module] | None = None
    keep_checkpoints: int = 2
    keep_best: bool = False
    score_best: bool = False
    on_nan: str = "stop"

    def with_steps(self, steps: int) -> "Setting":
        """The same setting for so many updates."""
        return replace(self, budget=replace(self.budget, steps=steps))

    def origin(self, seed: int, device: torch.device, autocast: Callable[[], Any]) -> TrialOrigin:
        """Where a trial comes from; models beside the trained one are kept as it is."""
        engine = self.budget.engine
        fitted = partial(arithmetic.fitted, engine=engine, start=self.start)
        return TrialOrigin(
            budget=replace(self.budget),
            seed=seed,
            tables=dict(self.tables),
            keys=self.keys,
            cache=self.cache,
            load=partial(fitted, self.load),
            device=device,
            autocast=autocast,
            start=self.start,
            others={name: partial(fitted, load) for name, load in self.models.items()},
            held=self.held,
            finished=partial(fitted, partial(self.control, seed)) if self.control else None,
            quantise=arithmetic.quantised if engine.reference_weights == "int8" else None,
            offloading=engine.offload_reference,
        )


@dataclass(frozen=True)
class MicroBatch:
    """Rows of one forward and backward: tokens (b, T), and where each row came from."""

    tokens: Tensor
    sources: tuple[str, ...]
    rows: tuple[int, ...]
    objective: Objective
    autocast: Callable[[], Any]

    def losses(self) -> Tensor:
        """(b, T-1) cross-entropies of the model being trained, in nats, without gradient."""
        with self.autocast():
            return self.objective.losses(self.tokens)


SOURCE = r"[a-z][a-z0-9_]*(\.\d+)?"
COLUMNS: dict[str, str] = {
    "update": "updates done",
    "tokens": "tokens read by then, rows x length",
    "learning_rate": "of this update",
    "loss": "cross-entropy in nats a predicted token that counts; an added term stands beside it as term.<name>, as weighted",
    "norm_before": "norm of the gradient before the strategy changed it; only where it does",
    "norm": "norm of the gradient that is clipped",
    "clipped": "whether it was",
    "distance": "of the weights from the base's over the base's norm, where they are the same tensors; only at milestones",
    "seconds": "of training by then, evaluation left out",
    "tokens_per_second": "of this update",
    "memory": "peak memory by then, in bytes: of the device where there is one, else of the process",
    "skipped": "why the update was not made; only where it was not",
    "rows": "the rows that it had read",
    "micro_batch": "rows of a forward and backward from here on, where memory ran out",
}
"""What training.jsonl calls its own figures, a line an update.

Beside them stand the tokens read by then of each source under its name, what strategies log, as strategy.<name>, and at
milestones the change to the base of each task in bits per byte or answer, as milestone.<task>.
"""


class Reader:
    """Which rows each update reads: a pure function of strategy, seed and update.

    Positions are derived, not stored: a restart replays the mixture's arithmetic up to the update it continues from.
    """

    def __init__(self, strategy: Strategy, memory: Memory, setting: Setting, seed: int, vocabulary: int = 0) -> None:
        self.strategy, self.memory, self.setting, self.seed = strategy, memory, setting, seed
        self.vocabulary = vocabulary
        self.update = 0
        self._check_sources()
        self.tables = {**setting.tables, **memory.sources}
        self.positions = dict.fromkeys(self.tables, 0)
        self._course = Course(setting.budget, seed, strategy.schedule(setting.budget))
        self._counts = shared_out(self._shares, setting.budget.steps, setting.budget.batch)
        self._kept: dict[str, Kept | None] = {}

    def skip(self, updates: int) -> None:
        """Pass over updates that were already trained on."""
        for _ in range(updates):
            self._advance()

    def read(self) -> list[tuple[str, int]]:
        """(source, row) of every row of the next update: the sources of its mixture as they are named, then new text."""
        picked: list[tuple[str, int]] = []
        for source, (start, count) in self._advance().items():
            rows = rows_of(self.tables[source], self.seed, source, range(start, start + count), self.kept(source))
            picked += [(source, row) for row in rows]
        return picked

    def tokens(self, picked: Sequence[tuple[str, int]]) -> Tensor:
        """(len(picked), T) tokens of rows."""
        return torch.stack([self._row(source, row) for source, row in picked])

    def _row(self, source: str, row: int) -> Tensor:
        """(T,) tokens of one row; those of a source that a strategy brought are looked at first."""
        if source not in self.memory.sources:
            return self.tables[source].tokens([row])[0]
        try:
            found = self.tables[source].tokens([row])[0]
        except Exception as error:  # a plugin may fail in any way
            raise self._odd(f"row {row} of its source {source} cannot be had: {said(error)}") from error
        wanted = (self.setting.budget.length,)
        if not isinstance(found, Tensor) or found.dtype != torch.int64 or tuple(found.shape) != wanted:
            kind = f"{found.dtype} {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
            raise self._odd(f"row {row} of its source {source} is {kind}; a row is {wanted[0]} token ids, torch.int64")
        if self.vocabulary and not 0 <= int(found.min()) <= int(found.max()) < self.vocabulary:
            raise self._odd(f"row {row} of its source {source} has tokens beyond the {self.vocabulary} of the base")
        return found

    def _check_sources(self) -> None:
        """Refuse sources of a strategy that would hide the plan's own, or columns of the log, or cannot be read."""
        for name, table in self.memory.sources.items():
            if not isinstance(name, str) or not re.fullmatch(SOURCE, name) or name in COLUMNS:
                raise self._odd(f"it brought the source {one_line(repr(name))}; a source is called by a word of its own")
            if name in (NEW, OLD, TASK):
                raise self._odd(f"it brought a source called {name}, which is the plan's; give it a name of its own")
            if not hasattr(table, "tokens") or not hasattr(table, "__len__") or not len(table):
                raise self._odd(f"its source {name} has no rows; a source is a table with rows, and tokens(rows)")

    def _odd(self, cause: str) -> TrialError:
        return failure(owners(self.strategy, "setup"), "setup", cause)

    def kept(self, source: str) -> Kept | None:
        """The rows of a source that the strategy reads; None: all of them."""
        if source not in self._kept:
            chosen = self.strategy.choose(source, self.memory)
            self._kept[source] = None if chosen is None else self._checked(source, np.unique(self._numbers(chosen)))
        return self._kept[source]

    def _numbers(self, chosen: Any) -> np.ndarray:
        """Row numbers; what would be rounded to some (a mask, fractions) is refused."""
        try:
            rows = np.asarray(chosen)
        except (TypeError, ValueError, RuntimeError):  # uneven lists; a tensor elsewhere
            rows = np.asarray(None)
        if rows.ndim != 1 or (len(rows) and rows.dtype.kind not in "iu"):
            cause = (
                "it returned no list of whole numbers; give the numbers of the rows that may be read (of a mask, its places)"
            )
            raise failure(owners(self.strategy, "choose"), "choose", cause)
        return rows.astype(np.int64)

    def _checked(self, source: str, rows: np.ndarray) -> Kept:
        total = len(self.tables[source])
        if not len(rows) or rows[0] < 0 or rows[-1] >= total:
            cause = f"it returned {len(rows)} rows of the {total} of {source}; give rows 0 to {total - 1}"
            raise failure(owners(self.strategy, "choose"), "choose", cause)
        return Kept(rows)

    def _shares(self, update: int) -> Mapping[str, float]:
        """The mixture of an update, of sources that are there."""
        shares = self.strategy.mixture(update, self._course)
        if missing := [name for name in shares if name not in self.tables]:
            cause = f"the mixture of update {update} names {', '.join(missing)}, which nobody brought"
            raise failure(owners(self.strategy, "mixture"), "mixture", cause)
        return shares

    def _advance(self) -> dict[str, tuple[int, int]]:
        """Source to (first position, rows) of the next update."""
        self.update += 1
        counts = next(self._counts)
        spans = {source: (self.positions[source], count) for source, count in counts.items() if count}
        for source, (start, count) in spans.items():
            self.positions[source] = start + count
        return spans
