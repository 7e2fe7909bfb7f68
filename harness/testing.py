"""The laws: what every strategy must keep, ours and everybody's.

    from harness.testing import check_strategy

    def test_mine():
        check_strategy(Mine)

A law is put to a strategy on a model of two layers and text of random tokens, in seconds and without a network. A broken law is
an AssertionError that names the law and gives the numbers; a law that cannot apply is returned with its reason.
"""

import inspect
import re
import shutil
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from harness.bench import BATCH, STEPS, Bench, distance, norm, same_bits, tiny_setting, trained_weights
from harness.checkpoint import random_state
from harness.errors import TrialError
from harness.files import read_json
from harness.strategy import HOOKS, Combined, Strategy, overrides
from harness.train import Training, train

ROUNDING = 1e-5
"""Largest difference, relative to the control's, that rounding may make."""


class NotApplicable(Exception):
    """A law that cannot be put to a strategy, and why."""


def says_where_it_comes_from(bench: Bench) -> None:
    """Source, Cost and Parameters stand in the docstrings."""
    text = f"{inspect.getdoc(inspect.getmodule(bench.cls)) or ''}\n{inspect.getdoc(bench.cls) or ''}"
    for word in ("Source:", "Cost:", "Parameters:"):
        assert word in text, f"the docstrings of {bench.cls.__name__} have no line that starts with {word}"
    for f in fields(bench.cls):
        assert re.search(rf"^\s*{f.name}: \S", text, re.MULTILINE), f"the parameter {f.name} is not described under Parameters:"


def neutral_is_the_control(bench: Bench) -> None:
    """At its neutral parameters the strategy is plain training, bit for bit, its hooks still called."""
    if bench.cls.neutral is None:
        assert bench.cls.reason, f"{bench.cls.__name__} has no neutral parameters and gives no reason"
        raise NotApplicable(bench.cls.reason)
    neutral = bench.cls(**{**bench.cls.example, **bench.cls.neutral})
    found, wanted = bench.end(neutral).weights, bench.plain.weights
    assert same_bits(found, wanted), f"{neutral} ends {distance(found, wanted):.3g} away from the control's weights"


def example_is_not_the_control(bench: Bench) -> None:
    """A strategy that does something changes the weights that training ends with."""
    if not any(overrides(bench.example, hook) for hook in HOOKS):
        raise NotApplicable("it has no hooks: it is the control")
    found = distance(bench.whole.weights, bench.plain.weights)
    assert found > 1e-6, f"{bench.example} ends {found:.3g} away from the control's weights: it does nothing"


def same_seed_same_weights(bench: Bench) -> None:
    """Two trainings with one seed end the same, bit for bit; another seed ends elsewhere."""
    first, second, other = bench.whole.weights, bench.end(bench.example).weights, bench.end(bench.example, 2).weights
    assert same_bits(first, second), f"two trainings of {bench.example} differ by {distance(first, second):.3g}"
    assert not same_bits(first, other), f"{bench.example} ends the same under seeds 1 and 2"


def adding_none_changes_nothing(bench: Bench) -> None:
    """The strategy combined with plain training is the strategy, bit for bit."""
    alone = bench.whole.weights
    for combined in (Combined((bench.example, bench.control)), Combined((bench.control, bench.example))):
        found = bench.end(combined).weights
        assert same_bits(found, alone), f"{bench.example} with none beside it differs by {distance(found, alone):.3g}"


def resumes_anywhere(bench: Bench) -> None:
    """Stopped after any update and started again from its checkpoint, a training ends the same, bit for bit."""
    left = [bench.folder / f"stopped-{stop}" for stop in range(1, STEPS)]  # what a process that ended then leaves behind
    folder = bench.empty()

    def show(update: int, total: int, row: Any) -> None:
        if update > 1:  # the checkpoint of this update is not written yet: the newest is of the one before
            shutil.copytree(folder, left[update - 2])

    watched = bench.training(bench.example, checkpoint_every=1)
    train(watched, folder, show)
    found = trained_weights(watched)
    wanted = bench.whole.weights
    assert same_bits(found, wanted), f"with checkpoints on the way it differs by {distance(found, wanted):.3g}"
    for stop, place in enumerate(left, 1):
        again = bench.training(bench.example)
        train(again, place)
        found = trained_weights(again)
        assert same_bits(found, wanted), f"stopped after update {stop} and resumed, it differs by {distance(found, wanted):.3g}"
        shutil.rmtree(place)


def micro_batches_change_rounding_only(bench: Bench) -> None:
    """One forward of four rows and two of two give the same gradient and losses to 1e-5."""
    _close(bench, "micro-batches of 2 rows", bench.usual, bench.slope(bench.example, micro_batch=2))


def chunks_change_rounding_only(bench: Bench) -> None:
    """Chunks of 5 positions and of all give the same gradient and losses to 1e-5."""
    _close(bench, "chunks of 5 positions", bench.usual, bench.slope(bench.example, size=5))


def _close(bench: Bench, what: str, one: tuple[dict[str, Tensor], dict[str, float]], two: Any) -> None:
    apart = distance(one[0], two[0]) / max(norm(one[0]), 1e-12)
    assert apart < ROUNDING, f"{what} change the gradient of {bench.example} by {apart:.3g} of its norm"
    for name, value in one[1].items():
        gap = abs(value - two[1][name]) / max(abs(value), 1.0)
        assert gap < ROUNDING, f"{what} change the term {name} of {bench.example} from {value:.8g} to {two[1][name]:.8g}"


def setup_touches_nothing(bench: Bench) -> None:
    """`setup` leaves the base's weights, gradients, mode and the random state as they were."""
    if not overrides(bench.example, "setup"):
        raise NotApplicable("it has no setup")
    training = bench.training(bench.control)
    origin = training.origin
    origin.cache = bench.empty()
    base = origin.base.model
    before = ({n: p.clone() for n, p in base.named_parameters()}, base.training, random_state())
    bench.example.setup(origin)
    after = random_state()
    assert same_bits(before[0], dict(base.named_parameters())), "setup changed the base's weights"
    assert all(p.grad is None for p in base.parameters()), "setup left gradients on the base"
    assert not any(p.requires_grad for p in base.parameters()), "setup left the base's weights trainable"
    assert base.training is before[1], "setup changed the base's mode"
    assert after.numbers == before[2].numbers, "setup drew from Python's or numpy's random numbers"
    assert same_bits(after.tensors, before[2].tensors), "setup drew from torch's or numpy's random numbers"


def setup_ignores_micro_batches(bench: Bench) -> None:
    """What `setup` computes does not depend on the micro-batch."""
    if not overrides(bench.example, "setup"):
        raise NotApplicable("it has no setup")
    found = []
    for rows in (4, 1):
        cache = bench.empty()
        training = Training(bench.example, tiny_setting(cache, micro_batch=rows), 1)
        kept = [path for path in cache.rglob("*") if path.is_file()]
        found.append({path.name: _untimed(path) for path in kept})
        facts = training.memory.facts
        found.append(facts)
    assert found[0] == found[2], "what setup keeps differs between micro-batches of 4 rows and of 1"
    assert found[1] == found[3], f"what setup reports differs between micro-batches of 4 rows and of 1: {found[1]}, {found[3]}"


def _untimed(path: Path) -> Any:
    """What a file that `setup` kept holds, without the seconds that making it took."""
    if path.suffix != ".json":
        return path.read_bytes()
    return {name: value for name, value in read_json(path).items() if name != "seconds"}


def no_pull_at_the_base(bench: Bench) -> None:
    """A penalty for leaving the base adds nothing to the gradient while the weights are the base's."""
    if not bench.cls.anchor:
        raise NotApplicable("it does not penalise leaving the base")
    slopes = []
    for strategy in (bench.example, bench.control):
        training = bench.training(strategy)
        training.slope(training.reader.read())
        slopes.append({n: p.grad.clone() for n, p in training.model.named_parameters() if p.grad is not None})
    apart = distance(*slopes) / norm(slopes[1])
    assert apart < ROUNDING, f"at the base's own weights {bench.example} changes the gradient by {apart:.3g} of its norm"


def frozen_weights_stay(bench: Bench) -> None:
    """What `adapt` froze ends as it began, bit for bit: no update, no decay."""
    if overrides(bench.example, "weights") or overrides(bench.example, "finish"):
        raise NotApplicable("its hooks after the optimizer may move what is frozen")
    training = bench.training(bench.example)
    frozen = {name for name, p in training.model.named_parameters() if not p.requires_grad}
    if not frozen:
        raise NotApplicable("it freezes nothing")
    before = trained_weights(training)
    train(training, bench.empty())
    after = trained_weights(training)
    moved = [name for name in sorted(frozen) if not torch.equal(after[name], before[name])]
    assert not moved, f"{', '.join(moved)} moved by {distance({n: after[n] for n in moved}, {n: before[n] for n in moved}):.3g}"


def spends_the_budget_exactly(bench: Bench) -> None:
    """Rows read, of all sources together, are steps x batch."""
    rows = bench.whole.rows
    assert rows == STEPS * BATCH, f"{bench.example} read {rows} rows; the budget is {STEPS * BATCH}"


LAWS: dict[str, Callable[[Bench], None]] = {
    law.__name__: law
    for law in (
        says_where_it_comes_from,
        neutral_is_the_control,
        example_is_not_the_control,
        same_seed_same_weights,
        adding_none_changes_nothing,
        resumes_anywhere,
        micro_batches_change_rounding_only,
        chunks_change_rounding_only,
        setup_touches_nothing,
        setup_ignores_micro_batches,
        no_pull_at_the_base,
        frozen_weights_stay,
        spends_the_budget_exactly,
    )
}


def check_law(strategy: type[Strategy], law: str, bench: Bench | None = None) -> str | None:
    """Put one law to a strategy; the reason where it cannot apply. Laws that share a bench share its trainings."""
    try:
        LAWS[law](bench or Bench(strategy))
    except NotApplicable as reason:
        return str(reason)
    except (AssertionError, TrialError) as broken:
        raise AssertionError(f"{strategy.__name__} breaks the law {law}: {broken}") from None
    return None


def check_strategy(strategy: type[Strategy]) -> dict[str, str]:
    """Put every law to a strategy; the laws that could not apply, with their reasons."""
    bench = Bench(strategy)
    return {law: reason for law in LAWS if (reason := check_law(strategy, law, bench))}


__all__ = ["LAWS", "check_law", "check_strategy"]
