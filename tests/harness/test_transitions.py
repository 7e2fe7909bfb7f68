"""What flipped, raw and beneath the guesses, against worked numbers, simulated knowledge and a fabricated run."""

import importlib
import itertools
import sys
from pathlib import Path

import numpy as np
import pytest

from harness import forgetting as fg
from harness import record
from harness import transitions as tr

sys.path.append(str(Path(__file__).parents[1] / "reports"))
fabricate = importlib.import_module("fabricate")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> fg.Study:
    return fg.Study(record.read(fabricate.run_folder(tmp_path_factory.mktemp("run"))))


def counted(*rows: tuple[float, ...], options: tuple[int, ...] = (4,)) -> tr.Transitions:
    return tr.Transitions(options, np.array([list(itertools.chain(*rows))], dtype=np.float64), None)


WORKED = counted((520, 90, 60, 0.7 * 330, 0.3 * 330))
"""A thousand items of four options; seven of ten that were wrong twice have the same wrong option."""


def test_raw_counts_and_rates() -> None:
    assert (WORKED.kept, WORKED.lost, WORKED.gained, WORKED.never, WORKED.n) == (520, 90, 60, 330, 1000)
    assert WORKED.rates == pytest.approx((0.09, 0.06))
    assert WORKED.p == pytest.approx(0.0176, abs=1e-4)


def test_adjustment_for_guesses_that_are_drawn_anew() -> None:
    assert WORKED.adjusted == pytest.approx((0.0354, 0.0054), abs=1e-4)
    assert WORKED.most == pytest.approx(0.48)


def test_adjusted_rates_are_clipped_at_nothing() -> None:
    assert counted((500, 1, 0, 499, 0)).adjusted == (0, 0)


def test_persistence_aware_shares() -> None:
    found = WORKED.persistent
    assert found is not None
    assert found.repeats == pytest.approx(0.4783, abs=1e-4)
    shares = (found.unknown, found.lost, found.gained, found.known)
    assert shares == pytest.approx((0.506, 0.054, 0.014, 0.426), abs=5e-4)


def test_without_persistence_the_shares_are_inadmissible() -> None:
    """s = 1/3: a wrong guess among three is the same by chance alone, so rho is 0."""
    found = counted((520, 90, 60, 110, 220)).persistent
    assert found is not None
    assert found.repeats == pytest.approx(0, abs=1e-9)
    assert (found.lost, found.gained) == pytest.approx((-0.0267, -0.0667), abs=1e-4)


def test_rates_that_no_guessing_gives_are_clipped() -> None:
    rarely, always = counted((520, 90, 60, 0, 330)).persistent, counted((520, 90, 60, 330, 0)).persistent
    assert rarely is not None
    assert always is not None
    assert rarely.repeats == pytest.approx(0, abs=1e-9)
    assert always.repeats == pytest.approx(1)


def test_two_options_tell_nothing_of_persistence() -> None:
    assert counted((520, 90, 60, 330, 0), options=(2,)).persistent is None


def test_no_option_no_adjustment() -> None:
    found = counted((520, 90, 60, 0, 330), options=(0,))
    assert (found.adjusted, found.most) == (None, None)
    assert found.persistent is None


def simulated(generator: np.random.Generator, k: int, n: int, rho: float) -> tuple[float, ...]:
    """Counts of n items, of which 45 % are known twice, 10 % lost, 5 % gained and 40 % never known."""
    state = generator.choice(4, size=n, p=[0.45, 0.10, 0.05, 0.40])
    before, anew = generator.integers(0, k, n), generator.integers(0, k, n)
    after = np.where(generator.random(n) < rho, before, anew)
    before, after = np.where((state == 0) | (state == 1), 0, before), np.where((state == 0) | (state == 2), 0, after)
    after = np.where(state == 1, generator.integers(0, k, n), after)
    right, still = before == 0, after == 0
    kinds = [right & still, right & ~still, ~right & still, ~right & ~still & (before == after)]
    return tuple(float(kind.sum()) for kind in (*kinds, ~right & ~still & (before != after)))


@pytest.mark.parametrize("options", [(4,), (3, 5), (2, 4)])
@pytest.mark.parametrize("rho", [0.0, 0.9])
def test_planted_knowledge_comes_out(options: tuple[int, ...], rho: float) -> None:
    """With items of several numbers of options too: what is known does not depend on how many there are."""
    generator = np.random.default_rng(1)
    found = counted(*(simulated(generator, k, 200_000, rho) for k in options), options=options).persistent
    assert found is not None
    assert found.repeats == pytest.approx(rho, abs=0.02)
    assert (found.lost, found.gained, found.unknown) == pytest.approx((0.10, 0.05, 0.40), abs=0.01)


def test_adjustment_adds_up_over_numbers_of_options() -> None:
    three, five = (30.0, 20.0, 10.0, 20.0, 20.0), (60.0, 15.0, 5.0, 10.0, 10.0)
    guessed = 50 * 60 / 100 / 2 + 25 * 35 / 100 / 4  # wrong before times wrong after
    assert counted(three, five, options=(3, 5)).adjusted == pytest.approx(((35 - guessed) / 200, 0.0))


def test_the_interval_covers_the_planted_share() -> None:
    generator, hits = np.random.default_rng(2), 0
    for _ in range(60):
        counts = np.array(simulated(generator, 4, 600, 0.9))
        items = np.repeat(np.eye(5), counts.astype(int), axis=0)
        found = tr.Transitions((4,), items, None).persistent
        assert found is not None
        hits += found.lost_between[0] <= 0.1 <= found.lost_between[1]
    assert hits >= 52


def test_counts_of_a_run_add_up(study: fg.Study) -> None:
    sample = study.samples["facts"]
    found = tr.transitions(study, sample, "none", 0)
    assert found.n == 240
    assert found.rates[1] - found.rates[0] == pytest.approx(sample.change("none", (0,)).value)
    assert found.p < 1e-6
    assert found.options == (8,)
    assert found.clusters.shape == (24, 5)


def test_the_same_wrong_option_is_told_from_another(study: fg.Study) -> None:
    """A fabricated model that is wrong always takes the option after the right one."""
    found = tr.transitions(study, study.samples["facts"], "none", 0)
    assert found.table[0, 3] == found.never > 0
    assert found.persistent is not None
    assert found.persistent.repeats == pytest.approx(1)


def test_a_margin_is_above_zero_where_the_answer_is_right(study: fg.Study) -> None:
    sample = study.samples["facts"]
    assert ((tr.margins(study, "facts") > 0) == (sample.before > 0.5)).all()
    change = tr.margin_change(study, sample, "none")
    assert change is not None
    assert change.high < 0
    assert change.layers == "items and seeds"
    assert tr.margin_change(study, study.samples["text_stories"], "none") is None


def test_the_confidently_known_are_half_of_the_items(study: fg.Study) -> None:
    found = tr.transitions(study, study.samples["facts"], "none", 0)
    assert found.confident is not None
    items, lost = found.confident
    assert items == 120
    assert 0 < lost <= found.lost


def test_churn_is_what_two_seeds_of_an_arm_show_against_each_other(study: fg.Study) -> None:
    sample = study.samples["facts"]
    right = [sample.after["none", seed] > 0.5 for seed in (0, 1, 2)]
    pairs = itertools.combinations(right, 2)
    expected = np.mean([((one & ~two).mean() + (two & ~one).mean()) / 2 for one, two in pairs])
    assert tr.churn(sample, "none") == pytest.approx(expected)


def test_one_training_has_no_churn(tmp_path: Path) -> None:
    alone = fg.Study(record.read(fabricate.run_folder(tmp_path, fabricate.Recipe(seeds=(0,)))))
    assert tr.churn(alone.samples["facts"], "none") is None
