"""Strategies in pairs: what is not refused trains, resumes bit for bit, and commutes where the hooks are disjoint."""

from itertools import combinations

import pytest

from harness import registry
from harness.bench import Bench, Control, same_bits
from harness.errors import InputError
from harness.strategy import HOOKS, Combined, Strategy, overrides
from harness.testing import resumes_anywhere
from harness.typed import parse_arms

FAST = {  # one pair a kind of hook
    "setup": "ewc+replay",
    "adapt": "freeze+kl",
    "peak": "low_lr+wsd",
    "schedule": "constant+ema",
    "choose": "select+replay",
    "mixture": "curriculum+rho1",
    "weigh": "flow+token_mask",
    "observe": "kl+kl_old",
    "loss": "kl+l2sp",
    "gradients": "ewc+l2sp",
    "weights": "ema+mofo",
    "finish": "lines+wise",
}


def example(name: str) -> Strategy:
    cls = registry.find("strategies", name).load()
    return cls(**cls.example)


def core() -> list[str]:
    names = set(registry.installed("strategies")) - {"none", "old_only"}
    return [name for name in sorted(names) if not example(name).experimental]


def hooks(strategy: Strategy) -> set[str]:
    """Those that act on the training; `setup` has a memory of its own in every part."""
    return {hook for hook in HOOKS if overrides(strategy, hook)} - {"setup"}


def check(first: Strategy, second: Strategy) -> None:
    """Put the pair to the law of resuming, and compare its two orders."""
    bench = Bench(Control)
    bench.example = Combined((first, second))
    resumes_anywhere(bench)
    if not hooks(first) & hooks(second):
        turned = bench.end(Combined((second, first))).weights
        assert same_bits(bench.whole.weights, turned), f"{first} and {second} do not commute"


@pytest.mark.parametrize(("hook", "pair"), FAST.items())
def test_one_pair_a_hook(hook: str, pair: str) -> None:
    first, second = (example(part.name) for part in parse_arms(pair)[0].parts)
    assert overrides(first, hook)
    check(first, second)


def test_every_hook_has_its_pair() -> None:
    assert tuple(FAST) == HOOKS


@pytest.mark.slow
@pytest.mark.parametrize(("first", "second"), list(combinations(core(), 2)))
def test_pair(first: str, second: str) -> None:
    try:
        check(example(first), example(second))
    except InputError as error:  # what cannot be meant is said, and nothing else may stop a pair
        if "cannot be combined" not in str(error):
            raise
