"""The gradient of a step: forward and backward over its micro-batches, every term divided by its count over the whole step."""

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import gather_object
from torch import Tensor

from harness.crash import crash_point
from harness.objective import Weighting
from harness.reader import MicroBatch

if TYPE_CHECKING:
    from harness.train import Training


def forward_backward(
    training: "Training", picked: Sequence[tuple[str, int]]
) -> tuple[dict[str, Tensor], Callable[[str], float]]:
    """Forward and backward over the micro-batches of a step; the sums of its terms, and their divisors."""
    batches = micro_batches(training, picked)
    weights = [training.strategy.weigh(batch, training.memory) for batch in batches]
    counts = {name: _positions(training, name, batches, weights) for name in _everywhere(n for given in weights for n in given)}
    budget, processes = training.setting.budget, training.accelerator.num_processes
    predicted = float(budget.batch * (budget.length - 1))
    sums: dict[str, Tensor] = {}
    for i, (batch, given) in enumerate(zip(batches, weights, strict=True)):
        last = i == len(batches) - 1
        weighting = Weighting(predicted, given, counts, training.loss_scale.factor)
        with contextlib.nullcontext() if last else training.accelerator.no_sync(training.prepared):
            beside = training.strategy.observe(batch, training.memory)
            with training.autocast():
                total, terms = training.prepared(batch.tokens, weighting, beside, training.memory)
            (total * processes).backward()  # gradients are averaged over processes: this undoes it
            del beside, total  # or they would stand beside those of the next micro-batch
        crash_point("in-accumulation")
        for name, value in terms.items():
            sums[name] = sums.get(name, 0) + value
    if processes > 1:
        nothing = torch.zeros((), device=training.accelerator.device)
        sums = {name: _summed(training, sums.get(name, nothing)) for name in _everywhere(sums)}
    return sums, Weighting(predicted, {}, counts).divisor


def _everywhere(own: Iterable[str]) -> list[str]:
    """Names of terms that any process has, in one order: rows of one process may bring a term that others lack."""
    return sorted({name for names in gather_object([list(own)]) for name in names})


def _positions(
    training: "Training", term: str, batches: Sequence[MicroBatch], weights: Sequence[Mapping[str, Tensor]]
) -> float:
    """Positions of the global step at which a term counts: all of a micro-batch that it was given no weights for."""
    own = sum(
        int(given[term].count_nonzero()) if term in given else batch.tokens[:, 1:].numel()
        for batch, given in zip(batches, weights, strict=True)
    )
    return float(_summed(training, torch.tensor(float(own)))) if training.accelerator.num_processes > 1 else float(own)


def _summed(training: "Training", value: Tensor) -> Tensor:
    """Over processes."""
    total: Any = training.accelerator.reduce(value.to(training.accelerator.device), "sum")
    return total


def micro_batches(training: "Training", picked: Sequence[tuple[str, int]]) -> list[MicroBatch]:
    """This process's rows of the step, in fixed pieces."""
    mine = picked[training.accelerator.process_index :: training.accelerator.num_processes]
    size = training.micro_batch
    return [one_batch(training, mine[start : start + size]) for start in range(0, len(mine), size)]


def one_batch(training: "Training", picked: Sequence[tuple[str, int]]) -> MicroBatch:
    """These rows on the device, with what hooks may ask of them."""
    tokens = training.reader.tokens(picked)
    sources, rows = zip(*picked, strict=True)
    return MicroBatch(tokens.to(training.accelerator.device), sources, rows, training.objective, training.origin.autocast)
