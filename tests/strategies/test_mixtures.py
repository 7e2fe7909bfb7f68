"""Shares of old text are realised exactly, in order, and never by rounding down."""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import mean, stdev
from typing import Any, ClassVar

import pytest

from harness.bench import Bench, tiny_setting
from harness.errors import InputError, TrialError
from harness.plan import Budget
from harness.reader import Reader
from harness.registry import arm
from harness.strategy import Combined, Course, Memory, Strategy, parts
from harness.testing import LAWS, check_law
from harness.train import Training, train
from harness.typed import parse_arms
from strategies.curriculum import Curriculum
from strategies.replay import Replay
from strategies.replay_step import ReplayStep


def counts(strategy: Strategy, steps: int, batch: int) -> list[int]:
    """Old rows of each update, as the engine reads them."""
    setting = tiny_setting(Path(), budget=Budget(steps=steps, batch=batch, length=12, peak=1.0))
    reader = Reader(strategy, Memory(), setting, seed=1)
    picked = [[source for source, _ in reader.read()] for _ in range(steps)]
    assert all(len(rows) == batch for rows in picked)
    return [rows.count("old") for rows in picked]


def course(steps: int, batch: int = 8, seed: int = 1, rate: Callable[[int], float] | None = None) -> Course:
    budget = Budget(steps=steps, batch=batch, length=12, peak=1.0)
    return Course(budget, seed, rate or budget.schedule)


def new_shares(strategy: Strategy, steps: int, rate: Callable[[int], float] | None = None) -> list[float]:
    """Share of new text of each update."""
    known = course(steps, rate=rate)
    return [1 - strategy.mixture(update, known)["old"] for update in range(1, steps + 1)]


def test_replay_has_the_printed_counts() -> None:
    assert counts(Replay(share=0.3), 10, 8) == [2, 2, 3, 2, 3, 2, 2, 3, 2, 3]


@pytest.mark.parametrize(
    ("share", "batch"), [(0.05, 8), (0.1, 32), (0.3, 8), (0.01, 4), (1 / 3, 16), (0.7, 10), (0, 8), (1, 8)]
)
def test_replay_is_within_one_row_of_its_share_after_every_update(share: float, batch: int) -> None:
    """`int(batch * share)` gives 0 of 8 at 5 % for ever, and 9.4 % of 32 at 10 %."""
    found = counts(Replay(share=share), 200, batch)
    for update in range(1, 201):
        assert abs(sum(found[:update]) - share * batch * update) < 1
    assert max(found) - min(found) <= 1


def test_curriculum_has_the_printed_shares() -> None:
    """0.5 to 0.9 of new text in 10 steps: .5, .5444, ..., .9, mean .7."""
    new = new_shares(Curriculum(0.5, 0.9), 10)
    assert (new[0], new[1], new[-1]) == pytest.approx((0.5, 0.5444, 0.9), abs=5e-5)
    assert sum(new) / 10 == pytest.approx(0.7)
    assert all(after - before == pytest.approx(0.4 / 9) for before, after in pairwise(new))


@pytest.mark.parametrize(("start", "end"), [(0.5, 0.9), (0.9, 0.5), (0.3, 1.0)])
def test_curriculum_realises_its_line_to_within_a_row(start: float, end: float) -> None:
    found, owed = counts(Curriculum(start, end), 50, 8), 0.0
    for update in range(50):
        owed += 8 * (1 - start - (end - start) * update / 49)
        assert abs(sum(found[: update + 1]) - owed) < 1
    assert abs(sum(found) - 400 * (1 - (start + end) / 2)) < 1


def test_a_flat_curriculum_is_replay() -> None:
    assert counts(Curriculum(0.7, 0.7), 60, 8) == counts(Replay(share=0.3), 60, 8)


def test_a_curriculum_of_one_update_is_its_start() -> None:
    assert new_shares(Curriculum(0.5, 0.9), 1) == [0.5]


def test_steps_of_old_text_are_whole_and_a_function_of_seed_and_update() -> None:
    found = counts(ReplayStep(0.3), 200, 8)
    assert set(found) == {0, 8}
    known = course(200)
    again = [ReplayStep(0.3).mixture(update, known)["old"] for update in reversed(range(1, 201))]
    assert [8 * share for share in reversed(again)] == found
    other = [ReplayStep(0.3).mixture(update, course(200, seed=2))["old"] for update in range(1, 201)]
    assert other != again[::-1]


@pytest.mark.parametrize("share", [0.05, 0.3])
def test_the_realised_share_of_whole_steps_has_the_binomial_deviation(share: float) -> None:
    """Mean share and s.d. sqrt(share (1 - share) / T) over 400 seeds, each to within 4 standard errors."""
    seeds, steps = 400, 50
    found = [
        sum(ReplayStep(share).mixture(u, course(steps, seed=seed))["old"] for u in range(1, steps + 1)) / steps
        for seed in range(seeds)
    ]
    wanted = math.sqrt(share * (1 - share) / steps)
    assert mean(found) == pytest.approx(share, abs=4 * wanted / math.sqrt(seeds))
    assert stdev(found) == pytest.approx(wanted, rel=4 / math.sqrt(2 * seeds))


@pytest.mark.parametrize(("at", "first"), [(0.8, 40), (0.0, 0), (1.0, 50), (0.25, 12)])
def test_two_blends_switch_at_a_share_of_the_steps(at: float, first: int) -> None:
    found = new_shares(Curriculum(0.5, 0.9, "switch", "steps", at), 50)
    assert found == pytest.approx([0.5] * first + [0.9] * (50 - first))


def test_two_blends_switch_where_the_rate_has_fallen_to_a_fifth() -> None:
    """Not while it warms up; the control's cosine in closed form: 0.1 + 0.9 (1 + cos(pi x)) / 2 = 0.2 at x = 0.7837."""
    steps = 1000
    found = new_shares(Curriculum(0.5, 0.9, "switch", "rate", 0.2), steps)
    first = found.index(pytest.approx(0.9))
    assert found == pytest.approx([0.5] * first + [0.9] * (steps - first))
    x = math.acos(2 * 0.1 / 0.9 - 1) / math.pi
    assert first == pytest.approx(30 + x * 970, abs=1.5)
    falling = [0.4, 1.2, 2.0, 1.6, 1.0, 0.9, 0.2]  # the arm's own schedule, not the control's; its highest is 2
    assert new_shares(Curriculum(0.5, 0.9, "switch", "rate", 0.5), 7, lambda u: falling[u - 1]) == pytest.approx(
        [0.5] * 4 + [0.9] * 3
    )


def test_a_rate_that_never_falls_so_far_is_refused() -> None:
    with pytest.raises(TrialError, match=r"never falls to at=0\.2 of its highest \(it ends at 1\), so that .* by=steps"):
        Curriculum(shape="switch").mixture(1, course(20, rate=lambda u: 3.0))


@pytest.mark.parametrize(
    "typed", ["curriculum", "curriculum:start=0.3:end=1", "curriculum:shape=switch", "curriculum:shape=switch:by=steps:at=0.75"]
)
def test_the_controls_of_a_curriculum_are_its_mean_and_its_reverse(typed: str) -> None:
    strategy, steps = arm(parse_arms(typed)[0]), 2000
    constant, backwards = [arm(parse_arms(word)[0]) for word in strategy.controls()]
    shares = new_shares(strategy, steps)
    assert new_shares(constant, steps) == pytest.approx([mean(shares)] * steps, abs=1e-3)
    apart = [abs(x - y) > 1e-6 for x, y in zip(new_shares(backwards, steps), reversed(shares), strict=True)]
    assert sum(apart) <= 2  # the place of a switch is rounded to a step


def test_the_control_of_whole_steps_is_replay_within_them() -> None:
    assert ReplayStep(0.07).controls() == ("replay:share=0.07",)
    assert Curriculum(0.7, 0.7).controls() == ()


@pytest.mark.parametrize(
    ("strategy", "given"),
    [(ReplayStep, {"share": 1.1}), (Curriculum, {"at": -0.1}), (Curriculum, {"shape": "cubic"}), (Curriculum, {"by": "loss"})],
)
def test_what_is_out_of_range_is_refused(strategy: type[Strategy], given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"it must be"):
        strategy(**given)


@pytest.mark.parametrize(("word", "old"), [("replay:share=0.3", 6), ("curriculum", 6), ("replay:share=1", 20), ("none", 0)])
def test_realised_tokens_are_recorded(word: str, old: int, tmp_path: Path) -> None:
    rows = []
    training = Training(arm(parse_arms(word)[0]), tiny_setting(tmp_path), 1)
    train(training, tmp_path, lambda done, total, row: rows.append(dict(row)))
    assert rows[-1]["old"] == old * 12
    assert rows[-1]["new"] == (20 - old) * 12
    assert rows[-1]["tokens"] == 20 * 12 == training.setting.budget.tokens


def test_new_text_advances_more_slowly_and_is_not_reshuffled() -> None:
    """Arms read the same new rows in the same order under one seed."""
    setting = tiny_setting(Path())
    long = replace(setting, budget=replace(setting.budget, steps=30))

    def new(strategy: Strategy) -> list[int]:
        reader = Reader(strategy, Memory(), long, seed=3)
        return [row for _ in range(30) for source, row in reader.read() if source == "new"]

    plain, mixed = new(Strategy()), new(Replay(share=0.3))
    assert len(mixed) == 84
    assert mixed == plain[:84]
    assert sorted(plain[:23]) == list(range(23))  # an epoch is a permutation
    assert plain[:23] != plain[23:46]


class TaskReplay(Replay):
    example: ClassVar = {"share": 0.25, "source": "task"}


class TaskCurriculum(Curriculum):
    example: ClassVar = {"start": 0.5, "end": 0.9, "source": "task"}


@pytest.mark.parametrize("cls", [TaskReplay, TaskCurriculum])
def test_the_laws_hold_of_task_text_too(cls: type[Strategy]) -> None:
    bench = Bench(cls)
    for law in LAWS.keys() - {"says_where_it_comes_from"}:  # which their own classes do
        check_law(cls, law, bench)


def read_by_source(word: str, steps: int) -> list[Counter[str]]:
    """Rows of every source in each update of eight."""
    strategy = arm(parse_arms(word)[0])
    memory = Memory(tuple(Memory() for _ in parts(strategy))) if isinstance(strategy, Combined) else Memory()
    setting = tiny_setting(Path(), budget=Budget(steps=steps, batch=8, length=12, peak=1.0))
    reader = Reader(strategy, memory, setting, seed=1)
    return [Counter(source for source, _ in reader.read()) for _ in range(steps)]


def test_task_text_is_trained_on_alone_after_the_domain_or_beside_it() -> None:
    """TAPT, DAPT and then TAPT, and both at once, with old text too; all of them spend the same rows."""
    tapt = read_by_source("replay:source=task:share=1", 20)
    assert tapt == [{"task": 8}] * 20
    both = read_by_source("curriculum:source=task:start=1:end=0:shape=switch:by=steps:at=0.75", 20)
    assert both == [{"new": 8}] * 15 + [{"task": 8}] * 5
    mixed = read_by_source("replay:source=task:share=0.25", 20)
    assert mixed == [{"task": 2, "new": 6}] * 20
    three = read_by_source("replay:share=0.25+replay:source=task:share=0.125", 20)
    assert three == [{"old": 2, "task": 1, "new": 5}] * 20


def test_an_arm_that_reads_task_text_needs_it() -> None:
    assert arm(parse_arms("replay:source=task")[0]).needed() == ("task",)
    assert arm(parse_arms("replay+curriculum:source=task")[0]).needed() == ("old", "task")
    assert Curriculum(source="task").controls() == (
        "replay:share=0.3:source=task",
        "curriculum:start=0.9:end=0.5:source=task",
    )
    for word in Curriculum(shape="switch", source="task").controls():
        assert arm(parse_arms(word)[0]).needed() == ("task",)


@pytest.mark.parametrize(
    "word",
    ["replay+curriculum", "replay:source=task+curriculum:source=task", "replay+replay_self", "kl_old+replay_surprise"],
)
def test_two_mixtures_of_the_same_text_have_no_sum(word: str) -> None:
    with pytest.raises(InputError, match=r"cannot be combined: each brings a mixture of sources"):
        arm(parse_arms(word)[0])


def test_shares_of_several_texts_sum_to_one_at_most() -> None:
    with pytest.raises(InputError, match=r"the shares of old, task sum to 1.2; they may sum to 1 at most"):
        read_by_source("replay:share=0.7+replay:source=task:share=0.5", 1)
