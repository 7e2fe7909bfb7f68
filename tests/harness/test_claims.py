"""What may be said of an arm, from its estimates alone."""

from typing import Any

import pytest

from harness.claims import Claim, compare
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
