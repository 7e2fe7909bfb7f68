"""What is done about a step that cannot be taken: where the plan says so, one that is not finite is left out."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from harness.checkpoint import State, flatten, unflatten
from harness.diagnosis import memories, not_finite
from harness.errors import TrialError
from harness.strategy import overrides

if TYPE_CHECKING:
    from harness.train import Training


def remembered(training: "Training", *hooks: str) -> Callable[[], None]:
    """What puts moving memory, and what was logged, back as they stand now, of the parts that have one of these hooks."""
    device = training.accelerator.device
    own = [memory for part, memory in memories(training.strategy, training.memory) if any(overrides(part, h) for h in hooks)]
    states = [flatten("moving", memory.moving) for memory in own]
    copies = [
        State({name: tensor.clone() for name, tensor in state.tensors.items()}, deepcopy(state.numbers)) for state in states
    ]
    logs = [(memory, dict(memory.log)) for memory in (training.memory, *own)]

    def back() -> None:
        for memory, copy in zip(own, copies, strict=True):
            unflatten("moving", memory.moving, copy, device)
        for memory, log in logs:
            memory.log.clear()
            memory.log.update(log)

    return back


def before_step(training: "Training") -> Callable[[], None]:
    """What undoes to memory what hooks do in a step, if steps may be skipped."""
    hooks = ("weigh", "observe", "loss", "gradients") if training.setting.on_nan == "skip" else ()
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
