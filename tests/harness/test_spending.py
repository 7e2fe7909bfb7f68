"""How many updates an arm gets: equal tokens, equal new text to one update, equal FLOPs; its own steps multiply."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from harness.arms import gather
from harness.bench import tiny_setting
from harness.errors import InputError
from harness.plan import Budget
from harness.reader import Reader
from harness.registry import Entry
from harness.spending import EQUAL, updates
from harness.strategy import OLD, Course, Memory, Strategy

BUDGET = Budget(steps=30, batch=4, length=12, peak=1e-3)


@dataclass(frozen=True)
class Ebbs(Strategy):
    """Old text in the first `until` of the updates alone: the share depends on how long the training is."""

    until: float = 0.5

    def mixture(self, update: int, course: Course) -> Mapping[str, float]:
        return {OLD: 0.9 if update <= self.until * course.budget.steps else 0.0}


@dataclass(frozen=True)
class Free(Strategy):
    def cost(self, budget: Budget) -> float:
        return 0.0


@dataclass(frozen=True)
class Raises(Strategy):
    def mixture(self, update: int, course: Course) -> Mapping[str, float]:
        raise KeyError("of the plugin")


EXTRA = {cls.__name__.lower(): Entry(cls.__name__.lower(), cls, "here") for cls in (Ebbs, Free, Raises)}


def found(word: str, equal: str) -> int:
    return updates(gather([word], EXTRA, False, equal), BUDGET, equal)[0][word]


def new_text(word: str, steps: int, folder: Path) -> int:
    """Rows of new text that the reader hands out in so many updates."""
    strategy = gather([word], EXTRA, False, "tokens").strategies[word]
    setting = replace(tiny_setting(folder), budget=replace(BUDGET, steps=steps))
    reader = Reader(strategy, Memory(), setting, 1)
    reader.skip(steps)
    return reader.positions["new"]


@pytest.mark.parametrize("word", ["none", "kl", "replay", "ebbs", "wise"])
def test_equal_tokens_are_equal_updates(word: str) -> None:
    assert found(word, "tokens") == 30


MIXED = ["replay:share=0.25", "replay:share=0.3+kl", "replay:share=0.95", "curriculum", "curriculum:start=1:end=0.2", "ebbs",
         "ebbs:until=1"]  # fmt: skip


@pytest.mark.parametrize("word", MIXED)
def test_equal_new_text_is_exact_to_one_update(word: str, tmp_path: Path) -> None:
    steps = found(word, "new_tokens")
    assert new_text(word, steps, tmp_path) >= 30 * 4 > new_text(word, steps - 1, tmp_path)


@pytest.mark.parametrize(("word", "steps"), [("none", 30), ("kl", 30), ("replay:share=0.25", 40), ("replay:share=0.5", 60)])
def test_equal_new_text_by_hand(word: str, steps: int) -> None:
    assert found(word, "new_tokens") == steps


@pytest.mark.parametrize(("word", "steps"), [("none", 30), ("replay", 30), ("kl+replay", 22), ("kl+wise", 22), ("wise", 30)])
def test_equal_flops_divide_by_what_a_step_costs(word: str, steps: int) -> None:
    assert found(word, "flops") == steps


@pytest.mark.parametrize(
    ("word", "equal", "steps"),
    [
        ("none:steps=1.5", "tokens", 45),
        ("replay:share=0.25:steps=2", "new_tokens", 80),
        ("kl:steps=2", "flops", 45),
        ("none:steps=0.001", "tokens", 1),
    ],
)
def test_an_arms_own_steps_multiply(word: str, equal: str, steps: int) -> None:
    assert found(word, equal) == steps


def test_an_arm_without_a_training_of_its_own_has_its_parents_updates() -> None:
    arms = gather(["kl:weight=1+wise:steps=2"], EXTRA, False, "flops")
    assert updates(arms, BUDGET, "flops")[0] == {"none": 30, "kl:weight=1:steps=2": 45, "kl:weight=1+wise:steps=2": 45}


@pytest.mark.parametrize(
    ("word", "equal", "sentence"),
    [
        ("replay:share=1", "new_tokens",
         "replay:share=1 reads too little new text to read as much as the control; type --equal tokens"),
        ("kl:steps=1e308", "tokens",
         "kl:steps=1e308 asks for inf updates; at most 1,000,000,000 are planned, give fewer steps"),
        ("free", "flops", "free says that a step costs 0 plain steps; a cost is above 0"),
    ],
)  # fmt: skip
def test_what_cannot_be_made_equal_is_a_sentence(word: str, equal: str, sentence: str) -> None:
    with pytest.raises(InputError) as error:
        found(word, equal)
    assert str(error.value) == sentence


@pytest.mark.parametrize("equal", EQUAL)
def test_old_text_alone_is_read_for_as_long_as_the_control_trains(equal: str) -> None:
    steps = updates(gather(["replay:share=0.5"], EXTRA, False, equal), BUDGET, equal)[0]
    assert steps["old_only"] == steps["none"] == 30


def test_a_mixture_that_fails_is_left_to_its_trial() -> None:
    assert found("raises", "new_tokens") == 30


@pytest.mark.parametrize("equal", EQUAL)
def test_the_note_says_what_is_equal_and_how_many_updates_each_gets(equal: str) -> None:
    note = updates(gather(["replay:share=0.5", "kl:steps=2"], EXTRA, False, equal), BUDGET, equal)[1]
    ends = {
        "tokens": "30 updates an arm, but 60 for kl:steps=2",
        "new_tokens": "30 updates an arm, but 60 for replay:share=0.5, 60 for kl:steps=2",
        "flops": "30 updates an arm, but 45 for kl:steps=2",
    }
    assert note == (f"equal {equal}: {EQUAL[equal]}; {ends[equal]}. One-off passes are recorded beside this, not deducted")
