"""Every registered strategy keeps every law; being registered is enough to be tested."""

from functools import lru_cache

import pytest

from harness import registry
from harness.bench import Bench
from harness.strategy import Strategy
from harness.testing import LAWS, check_law

STRATEGIES = sorted(registry.installed("strategies"))

# What cannot apply, and nothing else may be left out.
NO_NEUTRAL = {"constant", "cosine", "expand", "infinite", "lora", "old_only", "reuse", "rsqrt", "wsd"}
ANCHORS = {"kl", "ewc", "l2sp", "mas", "si"}


FROZEN = {"freeze"}

bench = lru_cache(maxsize=1)(Bench)  # one a strategy: its laws share the trainings that they compare with


def excused(name: str, cls: type[Strategy]) -> set[str]:
    """The laws that cannot be put to a strategy."""
    found = {"neutral_is_the_control"} if name in NO_NEUTRAL else set()
    found |= set() if name in FROZEN else {"frozen_weights_stay"}
    found |= {"example_is_not_the_control"} if name == "none" else set()
    found |= {"setup_touches_nothing", "setup_ignores_micro_batches"} if cls.setup is Strategy.setup else set()
    return found | (set() if name in ANCHORS else {"no_pull_at_the_base"})


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", STRATEGIES)
def test_law(name: str, law: str) -> None:
    cls = registry.installed("strategies")[name].load()
    reason = check_law(cls, law, bench(cls))
    assert (reason is not None) == (law in excused(name, cls)), reason
