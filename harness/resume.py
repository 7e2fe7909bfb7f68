"""What a training needs to go on, bit for bit, from where it was."""

from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from harness import optimizer
from harness.checkpoint import State, check_apart, flatten, random_state, restore_random, unflatten
from harness.diagnosis import memories
from harness.errors import TrialError
from harness.hooks import failure
from harness.plan import digest
from harness.strategy import Combined, parts

if TYPE_CHECKING:
    from harness.train import Training


def identity(training: "Training") -> str:
    """What a checkpoint must share with the training that goes on from it."""
    setting = training.setting
    return digest([repr(training.strategy), training.seed, training.peak, dict(setting.keys), asdict(setting.budget)])


def made_by(training: "Training") -> dict[str, str]:
    """What computes: under another of these, what goes on ends with other bits than what was never stopped."""
    versions = {name: version(name) for name in ("forgetting-harness", "torch", "transformers")}
    return {**versions, "device": training.accelerator.device.type}


def state(training: "Training") -> State:
    """Weights, optimizer, moving memory, random numbers, and the counts of what was read and spent."""
    tensors = {f"model.{name}": p for name, p in training.model.named_parameters()}
    tensors |= {f"buffer.{name}": b for name, b in training.model.named_buffers()}
    tensors |= optimizer.state(training.optimizer, training.named)
    if training.chance:
        tensors["chance"] = training.chance.get_state()
    moving, chance = moving_memory(training, tensors), random_state()
    numbers = {"update": training.update, "positions": training.reader.positions, "seconds": training.seconds}
    numbers |= {"skipped": training.skipped, "halved": training.halved, "held": training.held}
    numbers |= {"reference_tokens": training.reference_tokens, "identity": identity(training)}
    numbers |= {"made_by": made_by(training)}
    numbers |= {"loss_scale": training.loss_scale.state()}
    numbers |= {"tokens_read": training.origin.tokens_read - training.setup_read}
    numbers |= {"tokens_drawn": training.origin.tokens_drawn - training.setup_drawn}
    numbers |= {"rate_area": training.rate_area, "moving": moving.numbers, "random": chance.numbers}
    numbers |= {"log": [{name: float(value) for name, value in log.items()} for log in _logs(training)]}
    return State({**tensors, **moving.tensors, **chance.tensors}, numbers)


def _logs(training: "Training") -> list[dict[str, Any]]:
    """What the arm's hooks logged last, and what those of each part did: it stands in every line until they log it anew."""
    whole = training.memory
    return [memory.log for memory in (whole, *(own for _, own in memories(training.strategy, whole)))]


def moving_memory(training: "Training", others: Mapping[str, Tensor]) -> State:
    """What the strategies' hooks keep up to date, wherever they keep it by now; none of it may share memory with `others`."""
    combined = isinstance(training.strategy, Combined)
    memory = training.memory
    kept = {str(i): own.moving for i, own in enumerate(memory.fixed)} if combined else memory.moving
    try:
        found = flatten("moving", kept)
        check_apart({**others, **found.tensors})
    except TrialError as error:
        raise failure(parts(training.strategy), "a hook after setup", str(error)) from error
    return found


@torch.no_grad()
def restore(training: "Training", state: State) -> None:
    """Go on from a state of this trial."""
    if state.numbers.get("identity") != identity(training):
        raise TrialError(f"the checkpoint at update {state.numbers['update']} is of another trial; delete its folder")
    before, now = state.numbers["made_by"], made_by(training)
    if other := [name for name in now if before.get(name) != now[name]]:
        was, found = (f"{other[0]} {given.get(other[0])}" for given in (before, now))
        raise TrialError(
            f"the checkpoint at update {state.numbers['update']} was written under {was}, and this is {found}: what goes on "
            f"from it would end elsewhere than what was never stopped; go on under {was}, or delete the trial's folder"
        )
    rewind(training, state)
    training.update, training.seconds = state.numbers["update"], state.numbers["seconds"]
    training.rate_area, training.skipped = state.numbers["rate_area"], state.numbers["skipped"]
    training.halved = [(update, rows) for update, rows in state.numbers["halved"]]
    training.earlier_reference = state.numbers["reference_tokens"] - training.origin.reference_tokens
    training.origin.tokens_read = training.setup_read + state.numbers["tokens_read"]
    training.origin.tokens_drawn = training.setup_drawn + state.numbers["tokens_drawn"]
    for log, kept in zip(_logs(training), state.numbers["log"], strict=True):
        log.clear()
        log.update(kept)
    training.held = [(update, loss) for update, loss in state.numbers["held"]]
    training.reader.skip(training.update)
    if training.reader.positions != state.numbers["positions"]:
        raise TrialError(f"the mixture of this arm no longer gives the rows that its checkpoint at {training.update} had read")
    restore_random(State(state.tensors, state.numbers["random"]))  # last: nothing may draw after this


@torch.no_grad()
def rewind(training: "Training", state: State) -> None:
    """Weights, optimizer, moving memory and random numbers of a state; what was read and spent stays counted."""
    _restore_model(training, state)
    training.loss_scale.restore(state.numbers["loss_scale"])
    device = training.accelerator.device
    unflatten("moving", training.memory.moving, State(state.tensors, state.numbers["moving"]), device)
    restore_random(State(state.tensors, state.numbers["random"]))


def _restore_model(training: "Training", state: State) -> None:
    """Weights, buffers, and what the optimizer keeps of each weight."""
    optimizer.restore(training.optimizer, training.named, state.tensors)
    if training.chance:
        training.chance.set_state(state.tensors["chance"])
    for name, p in training.model.named_parameters():
        p.copy_(state.tensors[f"model.{name}"])
    for name, b in training.model.named_buffers():
        b.copy_(state.tensors[f"buffer.{name}"])
