"""The laws, and the equation: no training ends outside the ball."""

from tether import Tether

from harness.bench import Bench, distance, norm, tiny_model
from harness.testing import check_strategy


def test_it_keeps_every_law() -> None:
    assert set(check_strategy(Tether)) == {"no_pull_at_the_base", "frozen_weights_stay"}  # it is no penalty and freezes nothing


def test_it_ends_on_the_ball() -> None:
    base = {name: p.detach() for name, p in tiny_model().named_parameters()}
    moved = distance(Bench(Tether).end(Tether(radius=0.001)).weights, base)
    assert abs(moved / norm(base) - 0.001) < 1e-6
