"""Arms as typed, numbers as typed, and fingerprints that change when the training does."""

import doctest
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import typed
from harness.errors import InputError
from harness.plan import Arm, Budget, Part, Plan, Trial, spell
from harness.typed import number, parse_arms

SMALL = settings(deadline=None, max_examples=200)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("kl", ["kl"]),
        ("kl,ewc, replay ", ["kl", "ewc", "replay"]),
        ("ewc:weight=10", ["ewc:weight=10"]),
        ("ewc:weight=10:tokens=64k", ["ewc:weight=10:tokens=64000"]),
        ("replay:share=0.05+kl:weight=0.1:lr=0.3", ["replay:share=0.05+kl:weight=0.1:lr=0.3"]),
        ("replay:lr=0.3:share=0.05+kl", ["replay:share=0.05+kl:lr=0.3"]),
        ("replay:share=0.01/0.05/0.25", ["replay:share=0.01", "replay:share=0.05", "replay:share=0.25"]),
        ("none:lr=0.1/1", ["none:lr=0.1", "none:lr=1"]),
        ("kl:steps=1.33+replay:lr=2", ["kl+replay:lr=2:steps=1.33"]),
        ("wsd:decay=0.1/0.5:shape=linear/sqrt", [
            "wsd:decay=0.1:shape=linear", "wsd:decay=0.1:shape=sqrt", "wsd:decay=0.5:shape=linear", "wsd:decay=0.5:shape=sqrt",
        ]),
        ("kl:weight=1/2+replay:share=0.1/0.2", [
            "kl:weight=1+replay:share=0.1", "kl:weight=1+replay:share=0.2",
            "kl:weight=2+replay:share=0.1", "kl:weight=2+replay:share=0.2",
        ]),
    ],
)  # fmt: skip
def test_arms_are_what_was_typed(text: str, names: list[str]) -> None:
    assert [arm.name for arm in parse_arms(text)] == names


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "an arm is empty in ''; type names separated by single commas, as in kl,ewc,replay"),
        ("kl,,ewc", "an arm is empty in 'kl,,ewc'; type names separated by single commas, as in kl,ewc,replay"),
        ("KL", "'KL' in the arm 'KL' is no name of a strategy; names are lower-case words such as kl"),
        ("kl+", "'' in the arm 'kl+' is no name of a strategy; names are lower-case words such as kl"),
        ("kl=3", "'kl=3' in the arm 'kl=3' is no name of a strategy; names are lower-case words such as kl"),
        ("kl:weight", "'weight' in the arm 'kl:weight' is no setting; type name=value, as in kl:lr=0.3"),
        ("kl:weight=", "'weight=' in the arm 'kl:weight=' is no setting; type name=value, as in kl:lr=0.3"),
        ("kl:=3", "'=3' in the arm 'kl:=3' is no setting; type name=value, as in kl:lr=0.3"),
        ("kl:weight=1//2", "'weight=1//2' in the arm 'kl:weight=1//2' is no setting; type name=value, as in kl:lr=0.3"),
        ("kl:weight=1:weight=2", "weight stands twice in the arm 'kl:weight=1:weight=2'; give it once"),
        ("a:lr=1+b:lr=2",
         "lr stands twice in the arm 'a:lr=1+b:lr=2'; lr belongs to the whole arm, give it once"),
        ("kl:lr=0", "lr=0 in the arm 'kl:lr=0' is no multiple of the peak rate; give a number above 0"),
        ("kl:lr=-1", "lr=-1 in the arm 'kl:lr=-1' is no multiple of the peak rate; give a number above 0"),
        ("kl:lr=fast", "lr=fast in the arm 'kl:lr=fast' is no multiple of the peak rate; give a number above 0"),
        ("kl:lr=true", "lr=true in the arm 'kl:lr=true' is no multiple of the peak rate; give a number above 0"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(InputError) as found:
        parse_arms(text)
    assert str(found.value) == sentence


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12), ("64k", 64_000), ("3M", 3_000_000), ("1.5B", 1_500_000_000), ("0.5k", 500), ("-3", -3), ("0.05", 0.05),
        (".5", 0.5), ("2.", 2.0), ("1e-5", 1e-5), ("1e6", 1e6), ("true", True), ("false", False), ("sqrt", "sqrt"),
        ("1K", "1K"), ("k", "k"), ("nan", "nan"), ("inf", "inf"), ("1_000", "1_000"), ("", ""),
    ],
)  # fmt: skip
def test_numbers_are_read_as_typed(text: str, value: Any) -> None:
    assert number(text) == value
    assert type(number(text)) is type(value)


values = st.one_of(
    st.booleans(),
    st.integers(-(10**12), 10**12),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["sqrt", "linear"]),
)


@SMALL
@given(value=values)
def test_a_spelled_value_is_read_back_as_it_was(value: Any) -> None:
    assert number(spell(value)) == value


@SMALL
@given(given=st.dictionaries(st.sampled_from(["weight", "share", "tokens"]), values), lr=st.none() | st.floats(1e-9, 1e9))
def test_an_arm_is_read_back_from_its_name(given: dict[str, Any], lr: float | None) -> None:
    """The run folder holds arms by their names alone."""
    arm = Arm((Part("kl", tuple(given.items())), Part("none")), lr)
    assert parse_arms(arm.name) == (arm,)


@SMALL
@given(pair=st.tuples(st.floats(0, 1e300), st.floats(0, 1e300)))
def test_two_values_have_two_names_and_two_folders(pair: tuple[float, float]) -> None:
    arms = [Arm((Part("kl", (("weight", value),)),)) for value in pair]
    assert (arms[0] == arms[1]) is (arms[0].name == arms[1].name) is (arms[0].folder == arms[1].folder)


def test_a_plus_before_a_digit_belongs_to_the_number() -> None:
    assert [arm.name for arm in parse_arms("ewc:weight=1e+06+kl:weight=1E+2")] == ["ewc:weight=1e6+kl:weight=100"]


@pytest.mark.parametrize("word", ["replay:share=0.05+kl:weight=0.1:lr=0.3", "ewc:weight=1e6", "kl:weight=1e-7"])
def test_a_folder_is_a_plain_name(word: str) -> None:
    folder = Trial(parse_arms(word)[0], 2).folder
    assert folder.endswith("/seed-2")
    assert not set(folder) & set(":=+ ,*?\\")


BUDGET = Budget(steps=10, batch=4, length=8, peak=1e-3)
PLAN = Plan(
    base={"name": "b", "digest": "1"},
    sources={"new": {"key": "n"}},
    budget=BUDGET,
    arms=parse_arms("none,kl,kl:lr=0.5"),
    strategies={
        "none": [{"name": "none"}],
        "kl": [{"name": "kl", "weight": 0.5}],
        "kl:lr=0.5": [{"name": "kl", "weight": 0.5}],
    },
    rates={"none": 1.0, "kl": 1.0, "kl:lr=0.5": 0.5},
    steps={"none": 10, "kl": 10, "kl:lr=0.5": 10},
    seeds=(1, 2),
    suites={},
    micro_batch=4,
)


def test_trials_are_all_arms_seed_by_seed_the_control_first() -> None:
    assert [trial.folder for trial in PLAN.trials] == [
        "none/seed-1", "kl/seed-1", "kl-lr-0.5/seed-1", "none/seed-2", "kl/seed-2", "kl-lr-0.5/seed-2",
    ]  # fmt: skip
    assert len({PLAN.trial_fingerprint(trial) for trial in PLAN.trials}) == 6


@pytest.mark.parametrize(
    "changed",
    [
        {"base": {"name": "b", "digest": "2"}},
        {"sources": {"new": {"key": "other"}}},
        *({"budget": replace(BUDGET, **{key: value})} for key, value in {
            "steps": 11, "batch": 8, "length": 16, "peak": 2e-3, "warmup": 0.1, "floor": 0.0, "weight_decay": 0.0, "beta1": 0.5,
            "beta2": 0.99, "clip": 2.0,
        }.items()),
        *({"budget": replace(BUDGET, engine=replace(BUDGET.engine, **{key: value}))} for key, value in {
            "precision": "bf16", "weights": "bf16", "optimizer": "adafactor", "attention": "eager", "document_mask": True,
            "gradient_checkpointing": True, "reference_weights": "int8", "offload_reference": True, "compile": True,
            "liger": True,
        }.items()),
    ],
)  # fmt: skip
def test_what_changes_every_training_changes_the_fingerprint(changed: dict[str, Any]) -> None:
    assert replace(PLAN, **changed).fingerprint() != PLAN.fingerprint()


@pytest.mark.parametrize(
    "changed", [{"arms": PLAN.arms[:2]}, {"seeds": (1, 2, 3)}, {"suites": {"s": "k"}}, {"prompts": ("x",)}]
)
def test_a_run_may_grow(changed: dict[str, Any]) -> None:
    grown = replace(PLAN, **changed)
    assert grown.fingerprint() == PLAN.fingerprint()
    assert all(
        grown.trial_fingerprint(trial) == PLAN.trial_fingerprint(trial) for trial in grown.trials if trial in PLAN.trials
    )


def test_a_default_that_changed_is_another_trial() -> None:
    other = replace(PLAN, strategies={**PLAN.strategies, "kl": [{"name": "kl", "weight": 0.6}]})
    assert other.trial_fingerprint(PLAN.trials[1]) != PLAN.trial_fingerprint(PLAN.trials[1])


def test_tokens_are_rows_times_length() -> None:
    assert BUDGET.tokens == 320


def test_the_examples_in_the_docstrings_are_so() -> None:
    assert doctest.testmod(typed) == (0, 1)
