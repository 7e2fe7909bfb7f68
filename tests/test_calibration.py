"""The page's statistics keep their promises on simulated runs, and faults in them are seen: docs/calibration.md in small."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import power, statistics
from harness.layers import Parts

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
import calibrate
import simulated
from simulated import Case


@pytest.mark.parametrize("case", [Case("accuracy", 30, 1), Case("text", 8, 3, 1.0)], ids=["one seed", "three seeds"])
def test_promises_are_kept(case: Case) -> None:
    rates = calibrate.simulate(case, 150, (1,))
    assert {"covers", "forgotten", "not forgotten", "more of 10", "more at own of 3", "not enough evidence"} <= set(rates)
    assert calibrate.broken(rates, errors=3) == []


def unclustered(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = statistics.ratio
    monkeypatch.setattr(statistics, "ratio", lambda u, w, _=None: whole(u, w))


def uncorrected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "holm", list)


def items_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "two_layers", lambda _, items, *__: items)


def sure(monkeypatch: pytest.MonkeyPatch) -> None:
    """A normal interval, whatever the number of clusters."""
    whole = statistics.ratio

    def normal(u: Any, w: Any, c: Any = None) -> statistics.Estimate:
        return replace(whole(u, w, c), freedom=1e6)

    monkeypatch.setattr(statistics, "ratio", normal)


@pytest.mark.parametrize(
    ("fault", "case", "name"),
    [
        (unclustered, Case("text", 30, 1), "covers"),
        (uncorrected, Case("text", 30, 1), "more of 10"),
        (items_alone, Case("text", 30, 3, 3.0), "covers"),
        (sure, Case("text", 8, 1), "covers"),
    ],
)
def test_a_fault_is_seen(
    fault: Callable[[pytest.MonkeyPatch], None], case: Case, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault(monkeypatch)
    assert name in calibrate.broken(calibrate.simulate(case, 250, (2,), [simulated.nothing_forgotten]))


def test_a_number_of_items_that_forgets_the_seeds_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(parts: Parts, items: float, _: float, __: int) -> Parts:
        return replace(parts, item=parts.item / items / 4, seed=0.0, crossed=0.0)

    monkeypatch.setattr(power, "_grown", forgetful)
    rates = calibrate.simulate(Case("text", 30, 3, 3.0), 100, (3,), [simulated.at_twice_the_margin])
    assert "not enough evidence" in calibrate.broken(rates)


def test_a_rate_is_within_a_promise_by_its_own_error() -> None:
    assert calibrate.Rate(60, 1000).within(0, 0.05, errors=2)
    assert not calibrate.Rate(70, 1000).within(0, 0.05, errors=2)
    assert not calibrate.Rate(0, 1000).within(0.93, 0.97, errors=2)


def test_what_is_broken_stands_out_in_the_table() -> None:
    rates = {name: calibrate.Rate(20, 1000) for names in calibrate.COLUMNS.values() for name in names}
    rates |= {"covers": calibrate.Rate(950, 1000), "covers the difference": calibrate.Rate(950, 1000)}
    case = Case("text", 8, 3, 1.0)
    assert calibrate.row(case, rates).endswith("| yes |")
    said = calibrate.row(case, rates | {"forgotten": calibrate.Rate(120, 1000)})
    assert "**12.0 ± 1.0**" in said
    assert said.endswith("| no |")
