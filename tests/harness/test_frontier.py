"""Frontiers against worked numbers."""

import pytest

from harness import frontier

POINTS = [(0.5, 0.3), (0.4, 0.1), (0.3, 0.2), (0.1, 0.05)]


def test_frontier() -> None:
    assert frontier.pareto(POINTS) == [True, True, False, True]
    assert frontier.hypervolume(POINTS, (0, 0.5)) == pytest.approx(0.185)


def test_points_outside_of_the_reference_count_for_nothing() -> None:
    assert frontier.hypervolume([(0.2, 0.5), (0.0, 0.1), (-0.1, 0.0), (0.3, 0.6)], (0, 0.5)) == 0
    assert frontier.hypervolume([(0.2, -0.1)], (0, 0.5)) == pytest.approx(0.12)


@pytest.mark.parametrize(("level", "expected"), [(0.25, 0.10), (0.35, None), (0.10, 0.01), (0.05, None), (0.30, 0.15)])
def test_forgetting_at_an_adaptation_is_not_extrapolated(level: float, expected: float | None) -> None:
    points = [(0.10, 0.01), (0.20, 0.05), (0.30, 0.15)]
    assert frontier.at_adaptation(points, level) == (None if expected is None else pytest.approx(expected))


def test_a_dominated_point_is_not_read() -> None:
    assert frontier.at_adaptation([(0.1, 0.0), (0.2, 0.5), (0.3, 0.2)], 0.2) == pytest.approx(0.1)


def test_what_lies_between_two_distant_points_is_flagged() -> None:
    found = frontier.bracket([(0.30, 0.15), (0.10, 0.01), (0.20, 0.05)], 0.25)
    assert found is not None
    assert (found.low, found.high, found.weight) == (2, 0, pytest.approx(0.5))
    assert found.gap == pytest.approx(0.1)
    assert found.wide(plain=0.49)
    assert not found.wide(plain=0.51)


def test_hypervolumes_are_taken_to_two_references_in_the_units_of_plain_training() -> None:
    plain = [(0.4, 0.5), (0.2, 0.1)]
    first, second = frontier.references(plain)
    assert (first, second) == ((0.0, 0.5), (0.2, 0.5))
    assert frontier.share_of_volume(plain, plain, first) == pytest.approx(0.5 * 0.8)
    assert frontier.share_of_volume(POINTS, plain, first) == pytest.approx(0.185 / (0.4 * 0.5))
    assert frontier.share_of_volume([(0.3, 0.25)], plain, second) == pytest.approx(0.25 * 0.5)


@pytest.mark.parametrize("plain", [[(0.0, 0.5)], [(0.4, -0.1)]])
def test_without_a_unit_there_is_no_share(plain: list[frontier.Point]) -> None:
    assert frontier.share_of_volume(POINTS, plain, frontier.references(plain)[0]) is None
