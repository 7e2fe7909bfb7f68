"""How many items or trainings would be enough, against what a power calculation by hand gives."""

import math

import numpy as np
import pytest
from scipy import stats

from harness import power
from harness import statistics as st
from harness.layers import Parts

MANY = 10**6


def one_seed(error: float, freedom: float = math.inf) -> st.Estimate:
    return st.Estimate(0.0, error, freedom, 100, 100)


def both(item: float, seed: float, crossed: float = 0.0, seeds: int = 3) -> st.Estimate:
    parts = Parts(item**2, seed**2, crossed**2, (MANY, seeds - 1))
    error, freedom = parts.joint()
    return st.Estimate(0.0, error, freedom, 100, 100, "items and seeds", seeds, parts)


def test_items_follow_the_textbook() -> None:
    """n' = n (z_.975 + z_.8)^2 SE^2 / (2 margin)^2 where the pilot's variance is known."""
    found = power.needed(one_seed(0.1), 0.01)
    assert found is not None
    assert found.items == math.ceil(100 * (1.95996 + 0.84162) ** 2 * 0.1**2 / 0.02**2)
    assert (found.seeds, found.together) == (None, None)


def test_a_paired_comparison_of_the_literature() -> None:
    """A change of 0.03 with a variance of 1/9 between items: 969 items (Miller 2024)."""
    found = power.needed(st.Estimate(0.0, math.sqrt(1 / 9 / 10), math.inf, 10, 10), 0.015)
    assert found is not None
    assert found.items == 969


def test_a_small_pilot_asks_for_more() -> None:
    """Eight clusters tell little of the variance: its upper limit at 80 % is 7/3.82 of it."""
    known, unsure = power.needed(one_seed(0.03), 0.01), power.needed(one_seed(0.03, 7), 0.01)
    assert known is not None
    assert unsure is not None
    assert known.items
    assert unsure.items
    assert unsure.items > known.items * 7 / stats.chi2.ppf(0.2, 7)


def test_no_run_is_told_that_what_it_had_would_be_enough() -> None:
    """An error small enough for twice the margin, and a value between 0 and the margin: only a larger run tells."""
    found = power.needed(st.Estimate(0.006, 0.004, math.inf, 100, 100), 0.01)
    assert found is not None
    assert found.items == math.ceil(100 * (1.95996 + 0.84162) ** 2 * 0.004**2 / 0.01**2)


def test_where_there_is_an_answer_nothing_is_needed() -> None:
    assert power.needed(st.Estimate(0.05, 0.01, 50, 51, 51), 0.01) is None
    assert power.needed(st.Estimate(0.0, 0.001, 50, 51, 51), 0.01) is None


def test_items_do_not_shrink_what_differs_between_trainings() -> None:
    found = power.needed(both(item=0.0001, seed=0.01), 0.01)
    assert found is not None
    assert found.items is None
    assert found.seeds


def test_trainings_do_not_shrink_what_differs_between_items() -> None:
    found = power.needed(both(item=0.02, seed=0.0001), 0.01)
    assert found is not None
    assert found.seeds is None
    assert found.items


def test_where_neither_is_enough_alone_both_are_named() -> None:
    found = power.needed(both(item=0.02, seed=0.01), 0.01)
    assert found is not None
    assert (found.items, found.seeds) == (None, None)
    assert found.together is not None
    items, seeds = found.together
    assert items > 100
    assert seeds > 3
    assert not found.reason


def test_what_is_in_both_layers_shrinks_with_either() -> None:
    found = power.needed(both(item=0.009, seed=0.009, crossed=0.0089, seeds=40), 0.01)
    assert found is not None
    assert found.items
    assert found.seeds


@pytest.mark.parametrize(
    ("estimate", "said"),
    [
        (st.Estimate(0.0, math.inf, 1, 8, 1), "all items belong together"),
        (one_seed(10.0), "not even 1000 times the items"),
        (both(item=10.0, seed=10.0), "not even 1000 times the items and 100 trainings"),
    ],
)
def test_where_no_number_would_do_it_says_why(estimate: st.Estimate, said: str) -> None:
    found = power.needed(estimate, 0.01)
    assert found is not None
    assert (found.items, found.seeds, found.together) == (None, None, None)
    assert said in found.reason


def test_the_recommended_number_of_items_is_enough_in_four_runs_of_five() -> None:
    generator, margin, open_ends, told = np.random.default_rng(5), 0.01, 0, 0
    for _ in range(400):
        pilot = st.mean(generator.normal(2 * margin, 0.1, 30))
        found = power.needed(pilot, margin)
        if found is None or not found.items:
            continue
        told += 1
        grown = st.mean(generator.normal(2 * margin, 0.1, found.items))
        open_ends += st.answer(grown, margin) == "not enough evidence"
    assert told > 200
    assert open_ends / told <= 0.2 + 2 * math.sqrt(0.16 / told)
