"""What is done about a step that cannot be taken.

One that is not finite is left out, where the plan says so. One that memory is too short for is done again from its rows, in
micro-batches of half the size: the same gradient, to rounding. Other arms keep the plan's size, so that what an arm ends with
does not depend on which arms were trained before it.
"""

import gc
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from harness import train_gradient
from harness.checkpoint import State, flatten, random_state, restore_random, unflatten
from harness.diagnosis import memories, not_finite
from harness.errors import TrialError, out_of_memory, too_large
from harness.strategy import overrides

if TYPE_CHECKING:
    from harness.train import Training


def remembered(training: "Training", *hooks: str) -> Callable[[], None]:
    """What puts back memory, what was logged and random numbers as they stand now, if parts have one of these hooks."""
    device = training.accelerator.device
    own = [memory for part, memory in memories(training.strategy, training.memory) if any(overrides(part, h) for h in hooks)]
    states = [flatten("moving", memory.moving) for memory in own]
    copies = [
        State({name: tensor.clone() for name, tensor in state.tensors.items()}, deepcopy(state.numbers)) for state in states
    ]
    logs = [(memory, dict(memory.log)) for memory in (training.memory, *own)]
    chance = random_state() if own else None

    def back() -> None:
        for memory, copy in zip(own, copies, strict=True):
            unflatten("moving", memory.moving, copy, device)
        for memory, log in logs:
            memory.log.clear()
            memory.log.update(log)
        if chance:
            restore_random(chance)

    return back


def accumulate(training: "Training", picked: Sequence[tuple[str, int]]) -> tuple[dict[str, Tensor], Callable[[str], float]]:
    """The step's gradient, the sums of its terms and their divisors, in micro-batches that memory is not too short for."""
    while True:
        undo = remembered(training, "weigh", "observe", "loss")
        try:
            return train_gradient.forward_backward(training, picked)
        except Exception as error:
            if not out_of_memory(error):
                raise
            if training.micro_batch == 1 or training.accelerator.num_processes > 1:
                raise TrialError(
                    too_large(error, f"at update {training.update}, {_pieces(training)}", _shorter(training))
                ) from error
        training.objective.zero_grad()  # outside of the `except`: its traceback holds what was allocated
        undo()
        training.halved.append((training.update, training.micro_batch // 2))
        free()


def _pieces(training: "Training") -> str:
    rows = training.micro_batch
    return "in a micro-batch of one row" if rows == 1 else f"in a micro-batch of {rows} rows on each of several processes"


def _shorter(training: "Training") -> str:
    checkpointing = training.setting.budget.engine.gradient_checkpointing
    return f"give a shorter --length, {'' if checkpointing else '--gradient-checkpointing, '}or a smaller --model"


def told(row: Mapping[str, Any], trial: Path) -> list[str]:
    """What whoever watches a training should know of an update, by its line in the log."""
    if "micro_batch" not in row:
        return []
    rows = f"{row['micro_batch']} row{'s' if row['micro_batch'] > 1 else ''}"
    return [f"memory ran out at update {row['update']} of {trial}; its micro-batches have {rows} from there on"]


def told_at_end(training: "Training", trial: Path) -> list[str]:
    """What whoever watches a training should know of it as a whole."""
    if not training.skipped:
        return []
    return [
        f"{training.skipped} of {training.update} steps of {trial} were skipped, because loss or gradient norm were not "
        "finite; its training.jsonl says of each why"
    ]


def free() -> None:
    """Give back what nothing refers to any more, to the device too."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def before_step(training: "Training") -> Callable[[], None]:
    """What undoes to memory what hooks do in a step, if steps may be skipped."""
    hooks = ("weigh", "observe", "loss", "gradients") if training.setting.on_nan == "skip" or training.loss_scale.on else ()
    return remembered(training, *hooks)


def skip(training: "Training", picked: Sequence[tuple[str, int]], why: str) -> dict[str, Any]:
    """Leave out the step under way: its rows and its update are spent, the weights stay as they are; its line in the log."""
    training.optimizer.zero_grad()
    training.skipped += 1
    return {"skipped": why, "rows": [f"{source} {row}" for source, row in picked]}


def skip_or_refuse(
    training: "Training", picked: Sequence[tuple[str, int]], wrong: TrialError, undo: Callable[[], None]
) -> dict[str, Any]:
    """Leave out a step that is not finite, if the plan says so, and if the next one can be: the weights themselves are."""
    if training.setting.on_nan == "stop" or not_finite(training.model):
        raise wrong
    undo()
    return skip(training, picked, str(wrong))


def refuse_idle(training: "Training") -> None:
    """Refuse a training that left out every step: its weights are those it began with."""
    if 0 < training.skipped == training.update:
        raise TrialError(
            f"all {training.update} steps were skipped, because loss or gradient norm were not finite: nothing was learned; "
            f"training.jsonl says of each why, and --on-nan stop ends at the first"
        )
