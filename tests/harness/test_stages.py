"""The matrix of stages against worked numbers."""

import numpy as np
import pytest

from harness.stages import Stages

BASE = [0.25, 0.18, 0.22]
TRAINED = [[0.60, 0.20, 0.25], [0.55, 0.70, 0.30], [0.50, 0.66, 0.80]]
WORKED = Stages(np.array([BASE, *TRAINED]))


def test_a_worked_matrix() -> None:
    assert WORKED.average == pytest.approx(0.6533, abs=1e-4)
    assert WORKED.backward == pytest.approx(-0.07)
    assert WORKED.forward == pytest.approx(0.05)
    assert WORKED.forgotten() == pytest.approx(0.07)


def test_the_three_means_of_a_matrix() -> None:
    assert (WORKED.own, WORKED.older, WORKED.later) == pytest.approx((0.70, 0.57, 0.25))


def test_forgetting_after_an_earlier_stage() -> None:
    assert WORKED.forgotten(2) == pytest.approx(0.05)
    assert WORKED.forgotten(1) is None


def test_what_the_base_knew_is_forgotten_from_row_0_on() -> None:
    """It falls in the first stage and never comes back: without the base's row nothing would show."""
    general = np.array([[0.9], [0.6], [0.6], [0.6]])
    found = Stages(np.array([BASE, *TRAINED]), general)
    assert found.general_forgotten() == pytest.approx(0.3)
    assert found.general_forgotten(1) == pytest.approx(0.3)
    assert WORKED.general_forgotten() is None


def test_the_base_counts_among_the_best_before_a_stage() -> None:
    known = np.array([[0.8, 0.1], [0.7, 0.1], [0.6, 0.5]])
    assert Stages(known).forgotten() == pytest.approx(0.2)


def test_intransigence_is_what_a_joint_model_has_over_the_stage() -> None:
    found = Stages(np.array([BASE, *TRAINED]), joint=(float("nan"), 0.75, 0.85))
    assert found.intransigence() == pytest.approx(0.05)
    assert found.intransigence(2) == pytest.approx(0.05)
    assert found.intransigence(1) is None
    assert WORKED.intransigence() is None


def test_one_stage_has_neither_transfer_nor_forgetting() -> None:
    one = Stages(np.array([[0.2], [0.6]]))
    assert (one.average, one.backward, one.forward, one.forgotten()) == (0.6, None, None, None)
    assert (one.own, one.older, one.later) == (0.6, None, None)


def test_regrets_are_differences_to_one_model_trained_on_all_stages() -> None:
    """Minus the losses 1.2, 2.5, 1.4 and 2.1, against 1.0 and 2.0."""
    found = Stages(-np.array([[3.0, 3.0], [1.2, 2.5], [1.4, 2.1]]) + np.array([1.0, 2.0]))
    assert (found.own, found.older, found.later) == pytest.approx((-0.15, -0.4, -0.5))
