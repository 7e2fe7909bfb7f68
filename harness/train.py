"""The training loop: every arm goes through this one, and only its strategy differs."""

import contextlib
import logging
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator, PartialState
from torch import Tensor, nn

from harness import arithmetic, optimizer, stopping
from harness.checkpoint import check_apart, flatten, random_state, restore_random
from harness.crash import crash_point
from harness.diagnosis import logged, refuse_base, refuse_weights, wrong_model, wrong_step
from harness.errors import TrialError
from harness.files import Log
from harness.hooks import failure
from harness.memory import peak_memory
from harness.mishaps import accumulate, before_step, refuse_idle, skip, skip_or_refuse, told, told_at_end
from harness.objective import Objective, multiplied
from harness.reader import Reader, Setting
from harness.saving import Saving
from harness.strategy import CROSS_ENTROPY, Chunk, Memory, Strategy, overrides, owners

Show = Callable[[int, int, Mapping[str, float]], None]
"""(updates done, updates in all, what the last one logged)."""


class Training:
    """One trial being trained: model, optimizer, memory, and where it stands."""

    def __init__(
        self,
        strategy: Strategy,
        setting: Setting,
        seed: int,
        lr: float = 1.0,
        trained: nn.Module | None = None,
        shared: Path | None = None,
    ) -> None:
        """A training from the base; or, with `trained` weights from the folder `shared`, one that only has to finish."""
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        budget = setting.budget
        self.strategy, self.setting, self.seed = strategy, setting, seed
        self.accelerator, engine = Accelerator(mixed_precision="no"), budget.engine  # precision is ours: fp16 on CPUs too
        device = self.accelerator.device
        self.autocast = partial(arithmetic.autocast, engine, device)
        self.origin = setting.origin(seed, device, self.autocast)
        self.memory = self._set_up()
        self.setup_read, self.setup_drawn = self.origin.tokens_read, self.origin.tokens_drawn
        self.setup_reference = self.origin.reference_tokens
        self.shared = shared
        start = (trained or setting.load()).to(device)
        self.multiplied = multiplied(start)
        self.model = strategy.adapt(start)
        if wrong := wrong_model(self.model):
            raise failure(owners(strategy, "adapt"), "adapt", wrong)
        self.fitting = contextlib.ExitStack() if shared else arithmetic.fit(self.model, engine, setting.start)
        self.loss_scale = arithmetic.LossScale(engine)
        self.chance = torch.Generator(device).manual_seed(seed) if engine.weights == "bf16" else None
        """What weights in bf16 are rounded by."""
        self.model.train()
        self.objective = Objective(self.model, partial(_terms, strategy))
        self.prepared, self.optimizer = self.accelerator.prepare(self.objective), optimizer.make(self.model, budget)
        self.peak, self.rate = budget.peak * lr * strategy.peak(), strategy.schedule(budget)
        self.named = dict(self.model.named_parameters())
        self.origin.moments = self._momentum
        head: Any = self.model.get_output_embeddings()  # pyright: ignore[reportCallIssue]
        self.reader = Reader(strategy, self.memory, setting, seed, head.weight.shape[0])
        self.update = 0
        self.seconds = 0.0
        self.rate_area = 0.0
        self.norm_before: float | None = None
        """Norm of the last gradient before the strategy changed it; None where it changes none."""
        self.held: list[tuple[int, float]] = []
        """(update, loss on held-out new text) of the checkpoints that were measured."""
        self.scored_at = budget.steps
        self.skipped = 0
        self.halved: list[tuple[int, int]] = []
        """(update, rows of a micro-batch from there on), where memory ran out."""
        self.earlier_reference = 0

    def _set_up(self) -> Memory:
        before = random_state()
        memory = self.strategy.setup(self.origin)
        self.origin.free_control()
        self.origin.offload()
        restore_random(before)
        refuse_base(self, "setup")
        try:
            check_apart(flatten("moving", memory.moving).tensors)  # refused now, else at the first checkpoint
        except TrialError as error:
            raise failure(owners(self.strategy, "setup"), "setup", str(error)) from error
        return memory

    def step(self) -> dict[str, Any]:
        """One update; what it logs."""
        picked = self.reader.read()
        self.update += 1
        rate = self.origin.rate = self.peak * self.rate(self.update)
        undo = before_step(self)
        values = self.slope(picked)
        norm = float(nn.utils.clip_grad_norm_(self.named.values(), self.setting.budget.clip))
        if self.loss_scale.overflowed:
            undo()
            return self._standing(rate) | skip(self, picked, self.loss_scale.why)
        if wrong := wrong_step(self, norm, values, picked):
            return self._standing(rate) | skip_or_refuse(self, picked, wrong, undo)
        crash_point("before-optimizer")
        optimizer.step(self.optimizer, rate, self.chance)
        crash_point("after-optimizer")
        self.strategy.weights(self.model, self.memory, self.origin)
        self.optimizer.zero_grad()
        self.rate_area += rate
        return self._standing(rate) | {
            "loss": values.pop(CROSS_ENTROPY),
            **{f"term.{name}": value for name, value in values.items()},
            **({} if self.norm_before is None or not math.isfinite(self.norm_before) else {"norm_before": self.norm_before}),
            "norm": norm,
            "clipped": norm > self.setting.budget.clip,
            **{f"strategy.{name}": value for name, value in logged(self.strategy, self.memory).items()},
        }

    @property
    def micro_batch(self) -> int:
        """Rows of one forward and backward: the plan's, until memory runs out."""
        return self.halved[-1][1] if self.halved else self.setting.micro_batch

    def _standing(self, rate: float) -> dict[str, Any]:
        """What is logged of every update, of one that was skipped too."""
        length = self.setting.budget.length
        return {
            "update": self.update,
            "tokens": self.update * self.setting.budget.batch * length,
            "learning_rate": rate,
            **{source: rows * length for source, rows in self.reader.positions.items()},
            **({"micro_batch": self.micro_batch} if self.halved and self.halved[-1][0] == self.update else {}),
        }

    def spent(self, seconds: float) -> dict[str, float]:
        """What is logged of what an update took."""
        self.seconds += seconds
        rate = self.setting.budget.batch * self.setting.budget.length / seconds
        return {"seconds": round(self.seconds, 4), "tokens_per_second": round(rate, 1), "memory": peak_memory()}

    def _momentum(self, name: str) -> Tensor:
        """The optimizer's first moment of a trained tensor; zeros before its first step."""
        return optimizer.momentum(self.optimizer, self.named[name])

    def slope(self, picked: Sequence[tuple[str, int]]) -> dict[str, float]:
        """Fill `.grad` with the whole step's gradient, the strategy's own included; each term's mean in nats."""
        sums, divisor = accumulate(self, picked)
        if self.loss_scale.unscale(self.model):
            if overrides(self.strategy, "gradients"):
                gradients = [p.grad for p in self.named.values() if p.grad is not None]
                self.norm_before = float(nn.utils.get_total_norm(gradients))
            self.strategy.gradients(self.model, self.memory, self.origin)
        return {name: float(total) / divisor(name) for name, total in sums.items()}

    @contextlib.contextmanager
    def as_stored(self) -> Iterator[Any]:
        """The model as it would be stored now, in fp32; afterwards it is trained on as before."""
        self.fitting.close()
        try:
            yield self.model
        finally:
            self.fitting = arithmetic.fit(self.model, self.setting.budget.engine, self.setting.start)

    def finish(self) -> None:
        """What the strategy does once, after the last step."""
        refuse_weights(self, "weights")
        self.fitting.close()
        self.strategy.finish(self.model, self.memory, self.origin)
        refuse_weights(self, "finish")
        refuse_base(self, "a hook after setup")

    @property
    def reference_tokens(self) -> int:
        """Tokens of forward passes that nothing is learned from: through the base, other models, and the trained one."""
        return self.earlier_reference + self.origin.reference_tokens + self.objective.tokens_seen

    @property
    def best(self) -> int:
        """The update of the checkpoint with the lowest loss on held-out new text, the first of equals; 0: none was measured."""
        return min(((loss, update) for update, loss in self.held), default=(0.0, 0))[1]

    def release(self) -> None:
        """Give back gradients and optimizer state: only scoring follows."""
        self.optimizer.zero_grad()
        self.optimizer.state.clear()


def device() -> torch.device:
    """Where a training in this process stands."""
    found = PartialState().device
    assert found is not None
    return found


def _terms(strategy: Strategy, chunk: Chunk, memory: Memory) -> Mapping[str, Tensor]:
    """The next-token loss and what the strategy adds to it."""
    return {CROSS_ENTROPY: chunk.losses, **strategy.loss(chunk, memory)}


def train(
    training: Training,
    folder: Path,
    show: Show | None = None,
    tell: Callable[[str], None] | None = None,
    evaluate: Callable[[int], Mapping[str, float]] | None = None,
) -> None:
    """Train to the budget's end, from the newest whole checkpoint in `folder`, logging each update to training.jsonl.

    evaluate    called with the updates done, before the first and after each, for what is logged of it; it leaves the
                training as it was
    """
    setting, saving = training.setting, Saving(training, folder)
    tell = tell or logging.getLogger(__name__).warning
    for sentence in saving.go_on():
        tell(sentence)
    with Log(folder / "training.jsonl", keep=training.update) as log, stopping.between_updates():
        if evaluate and training.update == 0:
            evaluate(0)
        while training.update < setting.budget.steps:
            began = time.perf_counter()
            row = training.step()
            row |= training.spent(time.perf_counter() - began)
            row |= evaluate(training.update) if evaluate else {}
            log.write(row)
            for sentence in told(row, folder):
                tell(sentence)
            if show:
                show(training.update, setting.budget.steps, row)
            saving.after_update(log)
    saving.choose()
    refuse_idle(training)
    for sentence in told_at_end(training, folder):
        tell(sentence)
    training.finish()
