"""The search for equal gain, on simulated responses: reached within six trainings, never a seventh, and said where not."""

import math
import random
from collections.abc import Callable

import pytest

from harness.matching import TRAININGS, Search, Spot

Response = Callable[[float, float], float]
"""Share of the control's gain at a place on the strength, 0 to 1, and a logarithm of the rate."""


def searched(
    response: Response, target: float = 0.75, strong: bool = True, rated: bool = True, stronger: float = 1.0
) -> Search:
    def name(spot: Spot) -> str:
        return f"{spot[0] if spot[0] is None else round(spot[0], 3)} {round(spot[1], 3)}"

    found = Search(target, strong, rated, name, stronger)
    while found.next:
        along, rate = found.next
        found.tell(response(0.0 if along is None else along, rate))
    return found


def logistic(steep: float, middle: float) -> Response:
    return lambda along, _: 1 / (1 + math.exp(steep * (along - middle)))


MONOTONE: dict[str, Response] = {
    "logistic": logistic(5, 0.6),
    "steep": logistic(20, 0.3),
    "line": lambda along, _: 1 - 0.9 * along,
    "concave": lambda along, _: 1 - 0.8 * along**3,
    "convex": lambda along, _: (1 - along) ** 3,
    "exponential": lambda along, _: math.exp(-3 * along),
    "more than the control": lambda along, _: 1.2 - along,
}


@pytest.mark.parametrize("target", [0.5, 0.75, 0.9])
@pytest.mark.parametrize("shape", MONOTONE)
def test_what_a_strength_can_reach_is_reached_within_six_trainings(shape: str, target: float) -> None:
    found = searched(MONOTONE[shape], target)
    assert found.nearest
    assert abs((found.shares[found.nearest] or 0) - target) <= 0.03 * target
    assert len(found.shares) <= 6
    assert found.verdict == "reached"
    assert all(name.endswith(" 0.0") for name in found.shares)  # at the rate that the arm has anyway


def test_noise_of_a_percent_is_no_hindrance() -> None:
    luck, reached = random.Random(3), 0
    for _ in range(400):
        clean = logistic(luck.choice([3.0, 5.0, 10.0]), luck.uniform(0.4, 0.9))
        found = searched(lambda along, rate, clean=clean: clean(along, rate) + luck.gauss(0, 0.01))
        assert len(found.shares) <= TRAININGS
        reached += found.verdict == "reached"
    assert reached > 380


def test_a_strength_that_cannot_reach_the_target_goes_on_with_the_rate() -> None:
    found = searched(lambda along, rate: (0.97 - 0.04 * along) * math.exp(0.5 * rate))
    assert found.verdict == "reached"
    names = list(found.shares)
    assert names[:2] == ["0.5 0.0", "1.0 0.0"]
    assert all(name.startswith("1.0 ") for name in names[2:])  # from the nearest strength


@pytest.mark.parametrize(("factor", "first"), [(1.1, "None -1.204"), (0.6, "None 1.099")])
def test_an_arm_without_a_strength_searches_the_rate(factor: float, first: str) -> None:
    found = searched(lambda _, rate: factor * math.exp(0.4 * rate), strong=False)
    assert list(found.shares)[:2] == ["None 0.0", first]
    assert found.verdict == "reached"


@pytest.mark.parametrize("stronger", [0.0, 1.0])
def test_a_strength_that_falls_is_followed_the_other_way(stronger: float) -> None:
    found = searched(lambda along, _: 1 - 0.6 * (1 - along), stronger=stronger)
    assert found.verdict == "reached"
    assert len(found.shares) <= (4 if stronger == 0 else 5)


@pytest.mark.parametrize("constant", [0.2, 0.95])
def test_what_cannot_be_reached_is_said_with_the_nearest(constant: float) -> None:
    found = searched(lambda along, _: constant + 0.01 * along)
    assert len(found.shares) <= TRAININGS
    assert found.verdict == f"not attained, {found.nearest} is nearest"
    assert found.nearest == min(found.shares, key=lambda name: abs((found.shares[name] or 0) - 0.75))


def test_a_response_of_pure_noise_never_takes_a_seventh_training() -> None:
    luck = random.Random(5)
    counts = [len(searched(lambda along, rate: luck.uniform(-0.5, 1.5)).shares) for _ in range(300)]
    assert max(counts) == TRAININGS == 6


def test_whole_numbers_are_not_tried_twice() -> None:
    found = Search(0.75, True, False, lambda spot: str(1 + round(3 * (spot[0] or 0))))
    while found.next:
        found.tell(1.1 - 0.2 * float(found.name(found.next)))
    assert found.verdict == "not attained, 2 is nearest"
    assert sorted(found.shares) == ["2", "3", "4"] or len(found.shares) <= 4


def test_a_setting_that_failed_ends_the_search() -> None:
    found = Search(0.75, True, True, str)
    found.tell(None)
    assert found.next is None
    assert (found.nearest, found.verdict) == (None, "not attained")


def test_nothing_is_searched_where_all_was_typed() -> None:
    found = searched(lambda along, rate: 0.5, strong=False, rated=False)
    assert list(found.shares) == ["None 0.0"]
