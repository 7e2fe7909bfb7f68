"""The statistics against numbers worked out elsewhere, and against simulation."""

import math

import numpy as np
import pytest

from harness import statistics as st
from harness.layers import uneven

NLL, TOKENS, BYTES = [310, 95.5, 1200.25], [101, 40, 399], [420, 130, 1710]


def paired_differences() -> np.ndarray:
    """520 right and right, 90 lost, 60 gained, 330 wrong and wrong."""
    return np.array([0.0] * 520 + [-1.0] * 90 + [1.0] * 60 + [0.0] * 330)


def test_corpus_loss_is_a_ratio_of_sums_with_documents_as_clusters() -> None:
    loss = st.ratio(NLL, TOKENS)
    assert loss.value == pytest.approx(2.97361, abs=1e-4)
    assert math.exp(loss.value) == pytest.approx(19.5624, abs=1e-3)
    assert loss.error == pytest.approx(0.06546, abs=1e-4)
    assert st.ratio(np.array(NLL) / math.log(2), BYTES).value == pytest.approx(1.02505, abs=1e-4)


def test_corpus_loss_is_neither_wrong_mean() -> None:
    by_document = np.array(NLL) / np.array(TOKENS)
    value = st.ratio(NLL, TOKENS).value
    assert by_document.mean() == pytest.approx(2.8217, abs=1e-4)
    assert value != pytest.approx(2.8217, abs=1e-2)
    assert math.exp(value) != pytest.approx(17.554, abs=1e-1)


def test_a_paired_change_in_accuracy() -> None:
    change = st.mean(paired_differences())
    assert change.value == pytest.approx(-0.03)
    assert change.error == pytest.approx(0.01221, abs=1e-4)
    assert change.interval() == pytest.approx((-0.0539, -0.0061), abs=1e-4)
    assert st.mcnemar(60, 90) == pytest.approx(0.0176, abs=1e-4)


def test_how_many_questions_an_accuracy_takes() -> None:
    """At 60 % right, 9220 questions give one point either way, and 500 a standard error of 2.2 points."""
    many, few = (st.mean([1.0] * round(0.6 * n) + [0.0] * round(0.4 * n)) for n in (9220, 500))
    assert (many.high - many.low) / 2 == pytest.approx(0.01, abs=1e-5)
    assert few.error == pytest.approx(0.0219, abs=1e-4)


def test_pairing_is_tighter_than_two_independent_samples() -> None:
    unpaired = math.sqrt(0.61 * 0.39 / 1000 + 0.58 * 0.42 / 1000)
    assert unpaired == pytest.approx(0.02194, abs=1e-4)
    assert st.mean(paired_differences()).error < unpaired


def test_clusters_widen_the_error() -> None:
    groups = [[1, 1, 0], [1, 1], [0, 0, 0, 0], [1]]
    values = [float(v) for group in groups for v in group]
    codes = [i for i, group in enumerate(groups) for _ in group]
    assert st.mean(values).error == pytest.approx(0.1667, abs=1e-4)
    clustered = st.mean(values, codes)
    assert clustered.error == pytest.approx(0.2708, abs=1e-4)
    assert clustered.error / math.sqrt(4 / 3) == pytest.approx(0.2345, abs=1e-4)
    assert (clustered.n, clustered.clusters) == (10, 4)


def test_clusters_of_one_size_have_one_degree_of_freedom_less_than_they_are() -> None:
    codes = np.repeat(np.arange(8), 3)
    assert st.mean(np.random.default_rng(1).normal(size=24), codes).freedom == pytest.approx(7)


def test_uneven_clusters_have_the_freedom_of_their_quadratic_form() -> None:
    """tr(K)^2 / tr(K^2), written out as matrices."""
    sizes = np.array([5.0, 1.0, 2.0, 9.0, 1.0])
    shares = sizes / sizes.sum()
    centred = np.eye(5) - np.outer(np.ones(5), shares)
    form = centred.T @ np.diag(shares**2) @ centred
    expected = np.trace(form) ** 2 / np.trace(form @ form)
    assert uneven(sizes) == pytest.approx(expected)
    assert expected < 4


@pytest.mark.parametrize(
    "changes",
    [[1, 1], [1, 1, 1], [-1, -1], [1, 0, 1, 0]],
    ids=["both lost", "all lost", "all gained", "clusters alike by luck"],
)
@pytest.mark.parametrize("seeds", [1, 3])
def test_items_that_all_changed_alike_are_not_taken_for_certain(changes: list[int], seeds: int) -> None:
    n = len(changes)
    clusters = np.array([0, 0, 1, 1]) if n == 4 else np.arange(n)
    found = st.macro([st.Cells(np.tile(changes, (seeds, 1)).astype(float), np.ones(n), clusters, st.smallest_error(n))])
    assert found.error >= st.smallest_error(n)
    assert st.answer(found, 0.01) == "not enough evidence"
    assert found.p > 0.05


@pytest.mark.parametrize("sizes", [[1, 0], [1, 1e-9], [1e12, 1], [1, 1e-6, 1e-6], [1, 1e-9, 1e-9, 1e-9]])
def test_one_cluster_with_all_of_the_weight_leaves_a_freedom_that_an_interval_can_have(sizes: list[float]) -> None:
    assert 1 <= uneven(sizes) <= len(sizes) - 1


def test_a_single_cluster_gives_no_interval() -> None:
    found = st.mean([0.0, 1.0, 1.0], ["a", "a", "a"])
    assert found.interval() == (-math.inf, math.inf)
    assert st.answer(found, 0.01) == "not enough evidence"


def test_multiplicity() -> None:
    p = [0.001, 0.013, 0.02, 0.04]
    assert st.holm(p) == pytest.approx([0.004, 0.039, 0.04, 0.04], abs=1e-4)
    assert st.benjamini_hochberg(p) == pytest.approx([0.004, 0.026, 0.0267, 0.04], abs=1e-4)
    assert st.holm(p[::-1]) == pytest.approx([0.04, 0.04, 0.039, 0.004], abs=1e-4)
    assert st.benjamini_hochberg([]) == st.holm([]) == []


@pytest.mark.parametrize(("margin", "expected"), [(0.010, "not enough evidence"), (0.020, "not forgotten")])
def test_no_forgetting_must_be_shown_against_the_margin(margin: float, expected: str) -> None:
    found = st.Estimate(0.004, 0.003, freedom=4, n=100, clusters=100)
    assert found.interval(0.9)[1] == pytest.approx(0.0104, abs=1e-4)
    assert st.answer(found, margin) == expected


def test_forgotten_needs_an_interval_above_zero() -> None:
    assert st.answer(st.Estimate(0.05, 0.01, 50, 51, 51), 0.01) == "forgotten"
    assert st.answer(st.Estimate(0.05, 0.04, 50, 51, 51), 0.01) == "not enough evidence"
    assert st.answer(st.Estimate(-0.05, 0.01, 50, 51, 51), 0.01) == "not forgotten"


@pytest.mark.parametrize(("seeds", "half"), [(3, 2.48), (4, 1.59), (5, 1.24), (6, 1.05), (8, 0.84), (10, 0.72)])
def test_half_width_over_seeds_in_units_of_their_deviation(seeds: int, half: float) -> None:
    values = np.random.default_rng(seeds).normal(size=seeds)
    found = st.over_seeds(values)
    assert (found.high - found.low) / 2 / values.std(ddof=1) == pytest.approx(half, abs=6e-3)
    assert found.layers == "seeds"


def test_one_seed_is_the_item_layer_and_more_seeds_are_both() -> None:
    items = st.mean(np.random.default_rng(0).normal(size=100))
    assert st.two_layers([items.value], items) == items
    both = st.two_layers([0.1, 0.2, 0.3], items)
    assert both.layers == "items and seeds"
    assert both.error == pytest.approx(math.hypot(0.1 / math.sqrt(3), items.error))
    assert both.seeds == 3


def cells(values: np.ndarray, weights: np.ndarray | None = None) -> st.Cells:
    items = values.shape[1]
    return st.Cells(values, np.ones(items) if weights is None else weights, np.arange(items))


def test_macro_gives_every_corpus_the_same_weight() -> None:
    small, large = cells(np.full((1, 10), 0.5)), cells(np.zeros((1, 90)))
    assert st.macro([small, large]).value == pytest.approx(0.25)


def test_share_is_a_ratio_of_sums_and_agrees_with_a_bootstrap() -> None:
    generator = np.random.default_rng(3)
    before = (generator.random((1, 400)) < 0.61).astype(float)
    after = before * (generator.random((1, 400)) < 0.9)
    found = st.share([cells(after - 0.25)], [cells(before - 0.25)])
    assert found.value == pytest.approx((after.mean() - 0.25) / (before.mean() - 0.25))
    picks = generator.integers(0, 400, (2000, 400))
    draws = (after[0][picks].mean(1) - 0.25) / (before[0][picks].mean(1) - 0.25)
    assert found.error == pytest.approx(draws.std(), rel=0.1)


def test_retention_of_the_transition_table() -> None:
    before = np.array([1.0] * 610 + [0.0] * 390)[None]
    after = np.array([1.0] * 520 + [0.0] * 90 + [1.0] * 60 + [0.0] * 330)[None]
    assert st.share([cells(after - 0.25)], [cells(before - 0.25)]).value == pytest.approx(0.9167, abs=1e-4)


def test_items_that_never_flip_are_not_proof_by_themselves() -> None:
    def verdict(n: int) -> str:
        still = st.Cells(np.zeros((1, n)), np.ones(n), np.arange(n), st.smallest_error(n))
        return st.answer(st.macro([still]), 0.01)

    assert verdict(50) == "not enough evidence"
    assert verdict(1000) == "not forgotten"


@pytest.mark.parametrize(("seeds", "groups"), [(1, 30), (3, 30), (5, 300)])
def test_intervals_cover(seeds: int, groups: int) -> None:
    """The true change of 0.1 lies in 93 to 97.5 % of intervals, with clusters and seed variance."""
    generator, hits, draws, each = np.random.default_rng(seeds), 0, 2000, 4
    codes = np.repeat(np.arange(groups), each)
    for _ in range(draws):
        shared = np.repeat(generator.normal(0, 0.2, groups), each)
        luck = generator.normal(0, 0.02 * (seeds > 1), (seeds, 1))
        values = 0.1 + shared + luck + generator.normal(0, 0.3, (seeds, groups * each))
        found = st.macro([st.Cells(values, np.ones(groups * each), codes)])
        hits += found.low <= 0.1 <= found.high
    assert 0.93 <= hits / draws <= 0.975
