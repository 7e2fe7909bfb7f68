"""The arms of a plan: those typed, their parents before them, and the controls that isolate what they do."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from harness.arms import Arms, gather
from harness.errors import InputError
from harness.registry import Entry
from harness.strategy import Broken, Strategy
from strategies.kl import KL


@dataclass(frozen=True)
class Held(Strategy):
    """An arm whose controls are given by a word."""

    word: str = "plain"

    def controls(self) -> Sequence[str]:
        return {
            "plain": ("none:lr=0.1", "replay:share=0.25"),
            "same": ("held:word=same", "kl:lr=1:weight=0.5", "none"),
            "flops": ("none:steps=1.33", "kl"),
            "shared": ("kl+wise:alpha=0.5",),
            "two": ("replay:share=0.1/0.2",),
            "unknown": ("nothing_like_it:weight=3",),
            "wrong": ("kl:weight",),
        }[self.word]


EXTRA = {"held": Entry("held", Held, "here")}


def gathered(*words: str, matched: bool = False, equal: str = "tokens") -> Arms:
    return gather(words, EXTRA, matched, equal)


def names(arms: Arms) -> list[str]:
    return [arm.name for arm in arms.arms]


def test_without_matched_controls_are_named_and_not_added() -> None:
    arms = gathered("held", "kl")
    assert names(arms) == ["none", "held", "kl"]
    assert arms.controls["held"] == ("none:lr=0.1", "replay:share=0.25")
    assert arms.controls["none"] == ()
    assert arms.notes == ()


def test_matched_controls_are_added_with_the_reason() -> None:
    arms = gathered("held", matched=True)
    assert names(arms) == ["none", "held", "none:lr=0.1", "replay:share=0.25", "old_only"]
    assert set(arms.strategies) == set(names(arms))
    assert arms.notes == (
        "the arm none:lr=0.1 was added: held is measured against it",
        "the arm replay:share=0.25 was added: held is measured against it",
        "the arm old_only was added: replay:share=0.25 reads old text, and what that text alone changes is measured",
    )


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["kl", "replay:source=task"], ["none", "kl", "replay:source=task"]),
        (["ewc", "kl_old"], ["none", "ewc", "kl_old", "old_only"]),
        (["old_only", "replay"], ["none", "old_only", "replay"]),
        (["replay+wise"], ["none", "replay", "replay+wise", "old_only"]),
    ],
)
def test_where_an_arm_reads_old_text_that_text_alone_is_an_arm_too(words: list[str], expected: list[str]) -> None:
    assert names(gathered(*words)) == expected


def test_a_control_that_is_there_under_any_name_is_not_doubled() -> None:
    arms = gathered("held", "replay", "none:lr=0.1", matched=True)
    assert names(arms) == ["none", "held", "replay", "none:lr=0.1", "old_only"]
    assert arms.controls["held"] == ("none:lr=0.1", "replay")
    assert gathered("held:word=same", "kl", matched=True).controls["held:word=same"] == ("kl", "none")


def test_two_arms_share_a_control_that_is_added_once() -> None:
    arms = gathered("kl", "kl:direction=reverse", matched=True)
    assert names(arms) == ["none", "kl", "kl:direction=reverse", "none:steps=1.33"]


@pytest.mark.parametrize(
    ("typed", "controls"),
    [
        ("reptile:lr=3", ["none:lr=0.3"]),  # lr times epsilon
        ("reptile:epsilon=0.3:lr=0.1:steps=2", ["none:lr=0.03:steps=2"]),
        ("kl:lr=0.3", ["none:lr=0.3:steps=1.33"]),
        ("kl:steps=2", ["none:steps=2.66"]),
        ("ewc:lr=0.3", ["l2sp:lr=0.3"]),
        ("lora:lr=1", ["none:lr=0.3", "none:lr=3"]),  # full training at its own best rate, whatever the adapters'
        ("lora:lr=1:steps=2", ["none:lr=0.3:steps=2", "none:lr=3:steps=2"]),
    ],
)
def test_a_control_has_the_rate_and_the_length_of_its_arm(typed: str, controls: list[str]) -> None:
    assert list(gathered(typed).controls[typed]) == controls


@pytest.mark.parametrize(
    ("typed", "controls"),
    [
        ("replay+kl", ["replay:steps=1.33"]),
        ("replay:share=0.1+reptile", ["replay:share=0.1:lr=0.1"]),
        ("ewc+replay", ["l2sp+replay"]),
        ("wsd+curriculum", ["wsd+replay:share=0.3", "wsd+curriculum:start=0.9:end=0.5"]),
        ("lora+kl", ["kl:lr=0.3", "kl:lr=3", "lora:steps=1.33"]),
        ("mofo+select", ["mofo:share=0.15:score=random+select", "mofo+select:score=random:share=0.1"]),
        ("agem+replay", ["replay:share=0.2:steps=1.25"]),  # replay twice has no meaning, so that it stands alone
    ],
)
def test_the_control_of_a_part_stands_in_its_place(typed: str, controls: list[str]) -> None:
    assert list(gathered(typed).controls[typed]) == controls
    assert gathered(typed, matched=True)


def test_at_equal_flops_no_control_has_updates_of_its_own() -> None:
    assert gathered("agem:steps=2", equal="flops").controls["agem:steps=2"] == ("replay:share=0.2:steps=2",)


def test_a_control_that_is_made_from_a_training_brings_it() -> None:
    arms = gathered("held:word=shared", matched=True)
    assert names(arms) == ["none", "held:word=shared", "kl", "kl+wise:alpha=0.5"]
    assert arms.notes[1] == "the arm kl was added: kl+wise:alpha=0.5 is made from its training"


def test_a_word_may_name_several_controls() -> None:
    assert gathered("held:word=two").controls["held:word=two"] == ("replay:share=0.1", "replay:share=0.2")


def test_at_equal_flops_the_control_itself_computes_as_much() -> None:
    assert gathered("held:word=flops").controls["held:word=flops"] == ("none:steps=1.33", "kl")
    assert gathered("held:word=flops", equal="flops").controls["held:word=flops"] == ("none", "kl")


def test_a_control_that_nobody_brought_is_named_and_refused_where_it_must_be_trained() -> None:
    assert gathered("held:word=unknown").controls["held:word=unknown"] == ("nothing_like_it:weight=3",)
    with pytest.raises(InputError, match="names the control nothing_like_it:weight=3, which cannot be trained: unknown"):
        gathered("held:word=unknown", matched=True)


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("wrong", "held:word=wrong names the control kl:weight, which cannot be trained: 'weight' in the arm 'kl:weight' is no "
                  "setting; type name=value, as in kl:lr=0.3"),
    ],
)  # fmt: skip
def test_controls_that_cannot_be_read_are_a_sentence(word: str, sentence: str) -> None:
    with pytest.raises(InputError) as error:
        gathered(f"held:word={word}")
    assert str(error.value) == sentence


def test_an_arm_whose_controls_cannot_be_had_fails_in_its_turn() -> None:
    arms = gathered("held:word=raises", "kl")
    assert names(arms) == ["none", "held:word=raises", "kl"]
    failed = arms.strategies["held:word=raises"]
    assert isinstance(failed, Broken)
    assert failed.cause.startswith("held failed in controls: KeyError: 'raises' (test_arms.py, line ")
    assert arms.controls["held:word=raises"] == ()


def test_a_parent_that_was_typed_after_its_arm_is_trained_before_it() -> None:
    arms = gathered("kl+wise", "wise", "kl")
    assert names(arms) == ["none", "kl", "kl+wise", "wise"]
    assert arms.notes == ()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["kl:lr=1"], ["none", "kl"]),
        (["none:lr=1"], None),
        (["kl", "kl:lr=1"], None),
        (["kl", "kl:lr=0.5"], ["none", "kl", "kl:lr=0.5"]),
        ([], ["none"]),
    ],
)
def test_a_rate_that_an_arm_takes_anyway_is_no_other_arm(words: list[str], named: list[str] | None) -> None:
    if named is not None:
        assert names(gathered(*words)) == named
    else:
        with pytest.raises(InputError, match="stands twice; give each arm once"):
            gathered(*words)


def test_a_value_may_be_every_value_worth_trying() -> None:
    found = names(gathered("kl:weight=sweep", "replay:share=0.1+kl:weight=sweep:lr=0.3"))
    weights = KL.sweep["weight"]
    assert found == [
        "none",
        *(f"kl:weight={w:g}" for w in weights),
        *(f"replay:share=0.1+kl:weight={w:g}:lr=0.3" for w in weights),
        "old_only",
    ]


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("kl:direction=sweep", "kl:direction=sweep cannot be swept: it declares values for weight; type the values"),
        ("held:word=sweep", "held:word=sweep cannot be swept: it declares no values worth trying; type the values"),
    ],
)
def test_what_declares_no_values_is_not_swept(word: str, says: str) -> None:
    with pytest.raises(InputError) as error:
        gathered(word)
    assert says in str(error.value)
