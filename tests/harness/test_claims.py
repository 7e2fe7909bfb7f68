"""What may be said of an arm, from its estimates alone."""

from typing import Any

import pytest
from scipy import stats

from harness.claims import END, OWN, Claim, Evidence, compare, judge
from harness.pairing import Kind
from harness.statistics import Estimate


@pytest.mark.parametrize(
    ("value", "error", "p", "expected"),
    [
        (0.30, 0.010, 0.001, "more"),
        (-0.3, 0.010, 0.001, "less"),
        (0.001, 0.002, 0.60, "as much"),
        (0.002, 0.0001, 0.0, "as much"),
        (0.02, 0.010, 0.06, "unclear"),
    ],
)
def test_comparisons_with_the_control(value: float, error: float, p: float, expected: str) -> None:
    assert compare(Estimate(value, error, 100, 101, 101), 0.01, p) == expected


@pytest.mark.parametrize(
    ("keeps", "learns", "expected"),
    [
        ("more", "as much", "better"),
        ("more", "more", "better"),
        ("as much", "more", "better"),
        ("more", "less", "trades"),
        ("less", "more", "trades"),
        ("as much", "as much", "same"),
        ("less", "as much", "worse"),
        ("as much", "less", "worse"),
        ("more", "unclear", "unsettled"),
        ("unclear", "less", "unsettled"),
    ],
)
def test_standing_needs_both_axes(keeps: Any, learns: Any, expected: str) -> None:
    estimate = Estimate(0.0, 1.0, 10, 11, 11)
    assert Claim("kl", "forgotten", estimate, estimate, keeps, learns).relation == expected


def estimate(value: float, p: float) -> Estimate:
    """A value whose two-sided p against 0 is this, by a normal distribution."""
    return Estimate(value, abs(value) / float(stats.norm.isf(p / 2)), 1e9, 100, 100)


MARGINS: dict[Kind, float] = {"text": 0.01, "accuracy": 0.01}
FORGETS = Estimate(0.3, 0.01, 99, 100, 100)


def test_every_keeps_more_of_a_page_is_one_family() -> None:
    """Holm by hand, m = 4: .01 x 4 holds, .015 x 3 holds, .03 x 2 does not, and nothing after it does."""
    found = judge(
        {
            "a": Evidence(FORGETS, None, {END: estimate(0.1, 0.01), OWN: estimate(0.1, 0.03)}),
            "b": Evidence(FORGETS, None, {END: estimate(-0.1, 0.015), OWN: estimate(0.1, 0.04)}),
        },
        "text",
        MARGINS,
    )
    assert (found["a"].keeps, found["a"].at) == ("more", {OWN: "unclear"})
    assert (found["b"].keeps, found["b"].at) == ("less", {OWN: "unclear"})


def test_what_is_learned_is_a_family_of_its_own_over_arms_and_readings() -> None:
    """m = 3 with p = .02 each: 3 x .02 > 5 %; with two of them 2 x .02 < 5 %, however many comparisons keep."""
    learned: dict[Kind, Estimate] = {"text": estimate(0.1, 0.02), "accuracy": estimate(0.1, 0.02)}
    kept = {END: estimate(0.1, 0.02), OWN: estimate(0.1, 0.02)}
    two = judge({"a": Evidence(FORGETS, None, kept, learned)}, "text", MARGINS)
    assert two["a"].learns == "more"
    three = judge(
        {"a": Evidence(FORGETS, None, kept, learned), "b": Evidence(FORGETS, None, {}, {"text": estimate(0.1, 0.02)})},
        "text",
        MARGINS,
    )
    assert {claim.learns for claim in three.values()} == {"unclear"}


def test_an_arm_that_competes_with_none_has_its_answer_and_stands_nowhere() -> None:
    found = judge({"none": Evidence(FORGETS)}, "text", MARGINS)["none"]
    assert (found.answer, found.keeps, found.learns, found.at) == ("forgotten", "unclear", "unclear", {})
