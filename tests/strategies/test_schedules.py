"""Learning rates as they are printed in the papers, as others compute them, and as an arm multiplies them."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import get_scheduler

from harness.bench import tiny_setting
from harness.errors import InputError
from harness.plan import Budget, cosine
from harness.registry import arm
from harness.strategy import Strategy
from harness.train import Training, train
from harness.typed import parse_arms
from strategies.constant import Constant
from strategies.cosine import Cosine
from strategies.infinite import Infinite
from strategies.low_lr import LowRate
from strategies.none import Plain
from strategies.reuse import Reuse
from strategies.rsqrt import InverseSquareRoot
from strategies.wsd import WarmupStableDecay

PEAK, STEPS = 3e-4, 1000
BUDGET = Budget(steps=STEPS, batch=1, length=2, peak=PEAK, warmup=0.01, floor=0.1)


@pytest.mark.parametrize(
    ("update", "rate"), [(5, 1.5e-4), (10, 3e-4), (257, 2.606e-4), (505, 1.65e-4), (752, 6.97e-5), (1000, 3e-5)]
)
def test_cosine_has_the_printed_values(update: int, rate: float) -> None:
    """Ibrahim et al. 2024, equations 1 and 2: peak 3e-4, floor 3e-5, 10 of 1,000 steps of warm-up."""
    assert PEAK * Plain().schedule(BUDGET)(update) == pytest.approx(rate, rel=5e-4)
    other = replace(BUDGET, warmup=0.3, floor=0.5)
    assert PEAK * Cosine(warmup=0.01, floor=0.1).schedule(other)(update) == pytest.approx(rate, rel=5e-4)


@pytest.mark.parametrize(("update", "rate"), [(1, 4.5e-5), (250, 3.8476e-5), (500, 2.2725e-5), (1000, 4.5e-7)])
def test_reuse_goes_from_the_floor_of_pre_training_to_a_hundredth(update: int, rate: float) -> None:
    """Parmar et al. 2024: from 4.5e-5 to 4.5e-7 without warm-up, whatever the control's."""
    assert 4.5e-5 * Reuse().schedule(BUDGET)(update) == pytest.approx(rate, rel=1e-4)


INFINITE = [(5, 1.5e-4), (10, 3e-4), (310, 2.325e-4), (610, 1.65e-4), (799, 1.65e-4), (800, 1.65e-4), (900, 7.0356e-5),
            (1000, 3e-5)]  # fmt: skip


@pytest.mark.parametrize(("update", "rate"), INFINITE)
def test_infinite_has_four_phases(update: int, rate: float) -> None:
    """Ibrahim et al. 2024: 3e-4, then 1.65e-4, then 3e-5, with 60 % cooldown; continuous at N_d and exact at the end."""
    assert PEAK * Infinite().schedule(BUDGET)(update) == pytest.approx(rate, rel=1e-5)


RSQRT = [(25, 5e-4), (50, 1e-3), (200, 5.5e-4), (450, 4e-4), (1487, 2.65033e-4), (1687, 1.825166e-4), (1887, 1e-4)]


@pytest.mark.parametrize(("update", "rate"), RSQRT)
def test_rsqrt_has_the_values_of_its_equation(update: int, rate: float) -> None:
    """TiC-LM: peak 1e-3, 50 of 1,887 updates of warm-up, 400 of cooldown; here with a floor of 1e-4."""
    month = replace(BUDGET, steps=1887, warmup=50 / 1887)
    assert 1e-3 * InverseSquareRoot(decay=400 / 1887, floor=0.1).schedule(month)(update) == pytest.approx(rate, rel=1e-5)


@pytest.mark.parametrize(("update", "rate"), [(5, 1.5e-4), (10, 3e-4), (800, 3e-4), (850, 1.5e-4), (900, 8.79e-5), (1000, 0)])
def test_wsd_has_the_printed_values(update: int, rate: float) -> None:
    """1 - sqrt over the last 200 of 1,000 steps (Haegele et al. 2024)."""
    assert PEAK * WarmupStableDecay(decay=0.2).schedule(BUDGET)(update) == pytest.approx(rate, rel=5e-4)


@pytest.mark.parametrize(("shape", "at_half"), [("linear", 0.5), ("sqrt", 1 - math.sqrt(0.5)), ("exponential", 0.5**5)])
@pytest.mark.parametrize("floor", [0.0, 0.2])
def test_wsd_shapes_fall_to_the_floor(shape: str, at_half: float, floor: float) -> None:
    rate = WarmupStableDecay(decay=0.2, shape=shape, floor=floor).schedule(BUDGET)
    assert [rate(10), rate(500), rate(800)] == [1, 1, 1]
    assert rate(900) == pytest.approx(floor + (1 - floor) * at_half)
    assert rate(1000) == pytest.approx(floor, abs=1e-3)
    falling = [rate(update) for update in range(800, 1001)]
    assert falling == sorted(falling, reverse=True)


def test_wsd_halves_every_half_life() -> None:
    """0.5^((t - (T - D))/h) with D = 200 and h = 50 updates."""
    rate = WarmupStableDecay(decay=0.2, shape="exponential", half_life=0.25).schedule(BUDGET)
    assert [rate(u) for u in (800, 850, 900, 1000)] == pytest.approx([1, 1 / 2, 1 / 4, 1 / 16])


def test_constant_warms_up_and_stays() -> None:
    rate = Constant(share=0.1).schedule(BUDGET)
    assert [rate(u) for u in (5, 10, 11, 500, 1000)] == pytest.approx([0.05, 0.1, 0.1, 0.1, 0.1])


@pytest.mark.parametrize(
    ("strategy", "area"), [(Plain(), 0.1648), (WarmupStableDecay(decay=0.2), 0.2585), (Constant(share=0.1), 0.0300)]
)
def test_forward_areas_are_those_printed(strategy: Strategy, area: float) -> None:
    """Sum of learning rates: runs of equal tokens with other sums are not matched."""
    warmup = 0.0 if isinstance(strategy, Constant) else 0.01
    rate = strategy.schedule(replace(BUDGET, warmup=warmup))
    assert sum(PEAK * rate(u) for u in range(1, STEPS + 1)) == pytest.approx(area, abs=2e-4)


def theirs(name: str, **settings: Any) -> list[float]:
    """transformers' schedule as multiples of the peak, for updates 1..T in our count."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    warmup = settings.pop("num_warmup_steps", 10)
    schedule: Any = get_scheduler(name, optimizer, warmup, STEPS, scheduler_specific_kwargs=settings)
    return [schedule.lr_lambdas[0](update) for update in range(1, STEPS + 1)]


COSINE = "cosine_with_min_lr"


@pytest.mark.parametrize(
    ("strategy", "other"),
    [
        (Plain(), (COSINE, {"min_lr_rate": 0.1})),
        (Cosine(warmup=0.01, floor=0.2), (COSINE, {"min_lr_rate": 0.2})),
        (Cosine(warmup=0.0, floor=0.01), (COSINE, {"min_lr_rate": 0.01, "num_warmup_steps": 0})),
        (Reuse(), (COSINE, {"min_lr_rate": 0.01, "num_warmup_steps": 0})),
        (InverseSquareRoot(decay=0.0, floor=0.0), ("inverse_sqrt", {"timescale": 10})),
        (Constant(share=1.0), ("constant_with_warmup", {})),
        (
            WarmupStableDecay(decay=0.2, shape="linear"),
            ("warmup_stable_decay", {"num_decay_steps": 200, "decay_type": "linear"}),
        ),
        (WarmupStableDecay(decay=0.2), ("warmup_stable_decay", {"num_decay_steps": 200, "decay_type": "1-sqrt"})),
    ],
)
def test_transformers_agrees(strategy: Strategy, other: tuple[str, dict[str, Any]]) -> None:
    rate = strategy.schedule(BUDGET)
    assert [rate(u) for u in range(1, STEPS + 1)] == pytest.approx(theirs(other[0], **other[1]), abs=1e-9)


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 33, 34])
@pytest.mark.parametrize(
    "strategy",
    [
        Plain(),
        Constant(),
        Cosine(),
        Reuse(),
        LowRate(),
        WarmupStableDecay(),
        WarmupStableDecay(decay=1.0),
        Infinite(),
        Infinite(cooldown=0.0, decay=1.0),
        InverseSquareRoot(),
        InverseSquareRoot(decay=1.0, floor=0.0),
    ],
)
def test_short_runs_have_rates_between_nothing_and_the_peak(strategy: Strategy, steps: int) -> None:
    for warmup in (0.0, 0.03, 0.5, 1.0):
        rate = strategy.schedule(replace(BUDGET, steps=steps, warmup=warmup))
        assert all(0 <= rate(u) <= 1 for u in range(1, steps + 1))


def test_cosine_without_steps_left_is_all_warm_up() -> None:
    assert [cosine(4, 1.0)(u) for u in range(1, 5)] == [0.25, 0.5, 0.75, 1.0]


def rates(word: str, folder: Path) -> list[float]:
    """The learning rates that an arm trains with."""
    typed = parse_arms(word)[0]
    training = Training(arm(typed), tiny_setting(folder / "cache"), 1, typed.lr or 1.0)
    logged: list[float] = []
    train(training, folder / word, lambda done, total, row: logged.append(row["learning_rate"]))
    assert training.rate_area == pytest.approx(sum(logged))
    assert training.optimizer.param_groups[0]["lr"] == logged[-1]
    return logged


def test_an_infinite_schedule_that_is_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match=r"warm-up 0\.5, cooldown 0\.6 and decay 0\.2 are more than all updates"):
        Infinite().fits(None, replace(BUDGET, warmup=0.5))
    Infinite().fits(None, BUDGET)


@pytest.mark.parametrize(
    "word", ["infinite:level=0.05", "infinite:floor=0", "wsd:half_life=0", "cosine:warmup=2", "reuse:floor=2"]
)
def test_rates_that_cannot_be_meant_are_refused(word: str) -> None:
    with pytest.raises(InputError, match="is out of range"):
        arm(parse_arms(word)[0])


WORDS = ["none", "constant", "cosine", "reuse", "wsd:decay=0.5", "infinite", "rsqrt", "low_lr", "kl:weight=0.1+wsd"]


@pytest.mark.parametrize("word", WORDS)
def test_lr_multiplies_any_schedule(word: str, tmp_path: Path) -> None:
    plain = rates(word, tmp_path)
    assert rates(f"{word}:lr=0.3", tmp_path) == pytest.approx([0.3 * rate for rate in plain], rel=1e-12)


def test_low_lr_is_the_control_at_a_share_of_its_rate(tmp_path: Path) -> None:
    """So `low_lr:share=0.2` and `none:lr=0.2` are one training."""
    assert rates("low_lr:share=0.2", tmp_path) == pytest.approx(rates("none:lr=0.2", tmp_path), rel=1e-12)


@pytest.mark.parametrize("word", ["constant", "cosine", "reuse", "wsd", "infinite", "rsqrt"])
def test_low_lr_multiplies_any_schedule(word: str, tmp_path: Path) -> None:
    expected = pytest.approx([0.2 * rate for rate in rates(word, tmp_path)], rel=1e-12)
    assert rates(f"{word}+low_lr:share=0.2", tmp_path) == expected
    assert rates(f"low_lr:share=0.2+{word}", tmp_path) == expected


def test_two_schedules_have_no_sum() -> None:
    with pytest.raises(InputError, match="constant and cosine cannot be combined: each brings a learning-rate schedule"):
        arm(parse_arms("constant+cosine")[0])
