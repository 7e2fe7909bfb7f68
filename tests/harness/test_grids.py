"""The grids of a sweep: equal for every arm, typed values kept, what cannot be swept refused."""

import itertools
from typing import Any

import pytest

from harness.errors import InputError
from harness.grids import RATES, Strength, planned, strength, swept
from harness.registry import installed
from harness.settings import settings
from harness.typed import parse_arms


def grid(*words: str, **more: Any) -> dict[str, tuple[str, ...]]:
    asked = settings({"strategies": list(words), "sweep": True, **more}, "here")
    return dict(swept(asked, {}).families)


def test_the_control_is_swept_over_as_many_settings_as_every_arm() -> None:
    found = grid("kl", "replay")
    assert list(found) == ["none", "kl", "replay"]
    assert {len(set(names)) for names in found.values()} == {15}
    assert found["none"][:3] == ("none:lr=0.13", "none:lr=0.18", "none:lr=0.24")
    assert "none" in found["none"]
    assert found["kl"][:4] == ("kl:weight=0.03:lr=0.3", "kl:weight=0.03", "kl:weight=0.03:lr=3", "kl:weight=0.1:lr=0.3")


@pytest.mark.parametrize("name", sorted(set(installed("strategies")) - {"none", "old_only", "fails"}))
def test_every_registered_strategy_has_a_grid_of_the_same_size(name: str) -> None:
    found = grid(name)
    assert {len(set(names)) for names in found.values()} == {15}
    for word in found[name]:
        assert len(parse_arms(word)) == 1


@pytest.mark.parametrize(
    ("typed", "first", "kept"),
    [
        ("kl:weight=0.1", "kl:weight=0.1:lr=0.13", ":weight=0.1"),  # its strength is typed: 15 rates
        ("lora", "lora:rank=16:lr=3", "lora:rank="),  # times the rate that it has anyway
        ("kl:lr=0.3", "kl:weight=0.03:lr=0.3", ":lr=0.3"),  # its rate is typed: 15 strengths
        ("ewc:weight=10", "ewc:weight=10:lr=0.13", ":weight=10"),  # which leaves no room for a relative strength
        ("expand", "expand:every=1:lr=0.3", "expand:every="),  # three strengths: five rates each
        ("kl_old:share=0.1", "kl_old:share=0.1:weight=0.3:lr=0.3", ":share=0.1"),
        ("replay_surprise:share=0.1", "replay_surprise:share=0.1:uniform=0:lr=0.18", ":share=0.1"),  # two strengths: 8 and 7
        ("reuse:steps=2", "reuse:floor=0:lr=0.3:steps=2", ":steps=2"),
    ],
)
def test_what_was_typed_is_kept_and_the_rest_is_swept(typed: str, first: str, kept: str) -> None:
    found = grid(typed)[typed]
    assert found[0] == first
    assert all(kept in name for name in found)


def test_arms_without_a_training_of_their_own_share_those_of_the_control() -> None:
    found = grid("wise")
    rates = {name.partition(":lr=")[2] for name in found["wise"]}
    assert {f"none:lr={rate}" if rate else "none" for rate in rates} < set(found["none"])


def test_rates_lie_evenly_on_both_sides_of_the_arm_s_own() -> None:
    rates = sorted(RATES)
    assert len(set(rates)) == 15
    assert all(1.2 < above / below < 1.5 for below, above in itertools.pairwise(rates))
    for count in (1, 3, 5, 7, 15):
        few = RATES[:count]
        assert sum(rate < 1 for rate in few) == sum(rate > 1 for rate in few)


@pytest.mark.parametrize(
    ("strength", "shares", "values"),
    [
        (Strength(0, "weight", (0.01, 1.0, 100.0)), (0, 0.25, 0.5, 1), (0.01, 0.1, 1.0, 100.0)),
        (Strength(0, "margin", (0.0, 1.0)), (0, 0.5, 1), (0.0, 0.5, 1.0)),
        (Strength(0, "every", (1, 4)), (0, 0.5, 0.75, 1), (1, 2, 3, 4)),
    ],
)
def test_between_two_strengths_lies_their_geometric_mean(strength: Strength, shares: Any, values: Any) -> None:
    assert tuple(strength.at(share) for share in shares) == values


def test_a_strength_is_the_first_parameter_that_was_not_typed() -> None:
    arm = parse_arms("replay:share=0.05+kl")[0]
    found = strength(arm, {})
    assert found
    assert (found.place, found.key) == (1, "weight")


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"match": 0.5}, "sweep and match are both given; a sweep holds every strength already, so give one of them"),
        ({"items": "all"}, "sweep chooses by a fifth of the items, which are then not reported; leave out items, or give test"),
        (
            {"controls": "matched"},
            "sweep compares arms at equal adaptation, over settings; leave out controls, or leave out sweep",
        ),
        (
            {"strategies": "kl:weight=1:lr=1"},
            "kl:weight=1:lr=1 leaves 1 of the 15 settings that every arm of a sweep has; "
            "type the arm without its lr, or leave it out",
        ),
        (
            {"strategies": "expand:lr=1"},
            "expand:lr=1 leaves 4 of the 15 settings that every arm of a sweep has; "
            "type the arm without its lr, or leave it out",
        ),
    ],
)
def test_what_cannot_be_swept_is_a_sentence(asked: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError) as error:
        planned(settings({"strategies": "kl", "sweep": True, **asked}, "here"), {})
    assert str(error.value) == sentence
