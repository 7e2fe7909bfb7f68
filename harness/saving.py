"""When a trial is saved while it is trained, how well it does on held-out text by then, and where it goes on from."""

import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from harness import resume, stopping
from harness.checkpoint import Checkpoints
from harness.errors import TrialError
from harness.files import Log, refuse_changed, refuse_changed_rows, rows_digest
from harness.objective import Objective
from harness.origin import untouched
from harness.tabled import TRAJECTORY

if TYPE_CHECKING:
    from harness.train import Training

HELD_ROWS = 32
"""Rows of held-out text that checkpoints are compared on, at most."""


class Saving:
    """The checkpoints of a training: every so many updates or minutes, after the last update, and where it is asked to end."""

    def __init__(self, training: "Training", folder: Path) -> None:
        self.training = training
        self.checkpoints = Checkpoints(folder / "checkpoints", training.setting.keep_checkpoints)
        self._last = time.monotonic()

    def go_on(self) -> list[str]:
        """Go on from the newest checkpoint that is whole; sentences that name the damaged ones."""
        state = self.checkpoints.newest()
        if state is not None:
            update, trial = state.numbers["update"], self.checkpoints.folder.parent
            for name, digest in state.numbers["logs"].items():
                refuse_changed(trial / name, update, digest)
            refuse_changed_rows(trial / TRAJECTORY, update, state.numbers["milestones"])
            resume.restore(self.training, state)
        where = f"{self.checkpoints.folder.parent} goes on from update {self.training.update}"
        return [f"the checkpoint {damaged}; {where}" for damaged in self.checkpoints.passed_over]

    def after_update(self, *logs: Log) -> None:
        """Save where that is due; end where a signal asks for it, saved too."""
        training, due, signal = self.training, self._due(), stopping.asked()
        steps = training.setting.budget.steps
        if due and training.setting.keep_best:
            training.held.append((training.update, held_loss(training)))
        if due or signal:
            for log in logs:
                log.flush()
            state = resume.state(training)
            state.numbers["logs"] = {log.name: log.digest for log in logs}
            state.numbers["milestones"] = rows_digest(self.checkpoints.folder.parent / TRAJECTORY, training.update)
            self.checkpoints.write(training.update, state, [training.best])
            self._last = time.monotonic()
        if signal:
            raise stopping.Stopped(signal, f" after update {training.update} of {steps} of {self.checkpoints.folder.parent}")

    def _due(self) -> bool:
        every, update = self.training.setting.checkpoint_every, self.training.update
        if not every:
            return False
        if update == self.training.setting.budget.steps:
            return True
        if isinstance(every, timedelta):
            return time.monotonic() - self._last >= every.total_seconds()
        return update % every == 0

    def choose(self) -> None:
        """Where the best checkpoint is scored: back to it."""
        training = self.training
        if training.setting.score_best and training.best:
            resume.rewind(training, self.checkpoints.at(training.best))
            training.scored_at = training.best


@torch.no_grad()
def held_loss(training: "Training") -> float:
    """Mean cross-entropy on the first rows of held-out new text, in nats per predicted token; changes nothing."""
    assert training.setting.held is not None
    table = training.setting.held()
    if not len(table):
        raise TrialError("the new text has no held-out row to compare checkpoints on; give more text")
    rows, size = range(min(len(table), HELD_ROWS)), training.setting.micro_batch
    model = training.model
    total = 0.0
    with untouched(model), training.origin.autocast():
        objective = Objective(model.eval())
        for start in rows[::size]:
            tokens = table.tokens(rows[start : start + size]).to(training.accelerator.device)  # (b, T)
            total += float(objective.losses(tokens).double().sum())  # (b, T-1)
    return total / (len(rows) * (training.setting.budget.length - 1))
