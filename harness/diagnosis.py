"""What is refused of a training: steps and weights that are not finite, a base that was changed; and whose hook it was.

Which hook made a step not finite is asked after the fact, so that a step that goes well pays nothing for it.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from harness import train_gradient
from harness.errors import TrialError, one_line
from harness.hooks import failure
from harness.strategy import CROSS_ENTROPY, Chunk, Combined, Memory, Strategy, overrides, owners, parts

if TYPE_CHECKING:
    from harness.train import Training


class Fault(NamedTuple):
    """Whose hook it was, and what it did."""

    strategies: Sequence[Strategy]
    hook: str
    cause: str


def not_finite(model: nn.Module, gradients: bool = False) -> str | None:
    """The first tensor of a model whose weights, or gradients, are not finite."""
    for name, p in model.named_parameters():
        values = p.grad if gradients else p
        if values is not None and not bool(values.isfinite().all()):
            return name
    return None


def memories(strategy: Strategy, memory: Memory) -> list[tuple[Strategy, Memory]]:
    """The parts of an arm, each with its own memory."""
    return list(zip(parts(strategy), memory.fixed if isinstance(strategy, Combined) else (memory,), strict=True))


def logged(strategy: Strategy, memory: Memory) -> dict[str, float]:
    """What the hooks of an update logged, as numbers; what is none is refused with the part that logged it."""
    for part, own in memories(strategy, memory):
        for name, value in own.log.items():
            try:
                fine = math.isfinite(float(value)) and not isinstance(value, str)
            except (TypeError, ValueError, RuntimeError):
                fine = False
            if not fine:
                hooks = " or ".join(hook for hook in _LOGGING if overrides(part, hook))
                raise failure([part], hooks, f"it logged {one_line(f'{name} = {value}')}; what is logged is one finite number")
    return {name: float(value) for name, value in memory.log.items()}


_LOGGING = ("setup", "weigh", "observe", "loss", "gradients", "weights")


def wrong_model(model: object) -> str:
    """What is wrong with a model that a strategy adapted; nothing: an empty string."""
    if not isinstance(model, nn.Module) or not callable(getattr(model, "get_output_embeddings", None)):
        return f"it returned a {type(model).__name__}, which is no language model as transformers makes them"
    if not any(p.requires_grad for p in model.parameters()):
        return "it left no weight that is trained"
    odd = next((name for name, p in model.named_parameters() if p.requires_grad and p.dtype != torch.float32), None)
    return f"it left {odd} in {model.get_parameter(odd).dtype}; weights are trained in torch.float32" if odd else ""


def wrong_step(
    training: "Training", norm: float, values: Mapping[str, float], picked: Sequence[tuple[str, int]]
) -> TrialError | None:
    """What is wrong with a step that is not finite, before the weights change."""
    bad = [name for name, value in {**values, "gradient norm": norm}.items() if not math.isfinite(value)]
    if not bad:
        return None
    rows = ", ".join([*(f"{source} {row}" for source, row in picked[:8]), *(["..."] if len(picked) > 8 else [])])
    where = f"at update {training.update} of {training.setting.budget.steps} (rows {rows})"
    if found := fault(training, picked, values):
        return failure(found.strategies, found.hook, f"{found.cause} {where}")
    return TrialError(
        f"{' and '.join(bad)} not finite {where}; the weights were left as they were; try a lower --learning-rate"
    )


def refuse_weights(training: "Training", hook: str) -> None:
    """Refuse weights that are not finite; the hook that may have made them so is named."""
    if name := not_finite(training.model):
        if found := owners(training.strategy, hook):
            raise failure(found, hook, f"it left {name} not finite at the end of the training")
        raise TrialError(f"{name} is not finite at the end of the training; try a lower --learning-rate")


def refuse_base(training: "Training", hook: str) -> None:
    """Refuse what was measured against a base that is no longer what it was."""
    for frozen in (training.origin.loaded, *training.origin.loaded_others.values()):
        if frozen and (name := frozen.changed()):
            raise failure(parts(training.strategy), hook, f"it changed {name} of a model that others are measured against")


def fault(training: "Training", picked: Sequence[tuple[str, int]], values: Mapping[str, float]) -> Fault | None:
    """The hook that made terms or gradient of this step not finite; None where it was no hook."""
    strategy = training.strategy
    if name := not_finite(training.model):
        found = owners(strategy, "weights")
        return Fault(found, "weights", f"it left {name} not finite after the update before this, found") if found else None
    terms = [name for name, value in values.items() if not abs(value) < float("inf")]
    for term in (name for name in terms if name != CROSS_ENTROPY):
        return Fault([_bringing(strategy, term)], "loss", f"its term {term} is {values[term]}")
    if terms:
        return None  # the model's own loss: its weights are finite, and so are those of every position
    for term in (name for name in values if name != CROSS_ENTROPY):
        if _gradient(training, picked, term):
            return Fault([_bringing(strategy, term)], "loss", f"the gradient of its term {term} is not finite")
    if _gradient(training, picked, CROSS_ENTROPY):
        return None
    return _hooked(training, picked)


def _gradient(training: "Training", picked: Sequence[tuple[str, int]], term: str) -> str | None:
    """The tensor whose gradient is not finite when the loss has this term alone."""
    objective, whole = training.objective, training.objective.terms

    def alone(chunk: Chunk, memory: Memory) -> Mapping[str, Tensor]:
        return {name: values for name, values in whole(chunk, memory).items() if name == term}

    objective.zero_grad()
    objective.terms = alone
    try:
        train_gradient.forward_backward(training, picked)
    finally:
        objective.terms = whole
    return not_finite(training.model, gradients=True)


def _hooked(training: "Training", picked: Sequence[tuple[str, int]]) -> Fault | None:
    """The part whose `gradients` spoils a gradient that was finite before it."""
    training.objective.zero_grad()
    train_gradient.forward_backward(training, picked)
    for part, own in memories(training.strategy, training.memory):
        part.gradients(training.model, own, training.origin)
        if name := not_finite(training.model, gradients=True):
            return Fault([part], "gradients", f"it left the gradient of {name} not finite")
    return None


def _bringing(strategy: Strategy, term: str) -> Strategy:
    """The part of an arm that brings a term: from the second that brings any, the terms are numbered."""
    bringing = owners(strategy, "loss")
    numbered = re.fullmatch(r".*\.(\d+)", term)
    place = int(numbered[1]) if numbered and isinstance(strategy, Combined) else 1
    return bringing[min(place, len(bringing)) - 1]
