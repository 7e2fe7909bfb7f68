"""What is chosen on validation items and read on others: planted settings, whose figures are known exactly."""

import importlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import record
from harness.choosing import Choice, choose, searching
from harness.claims import claims
from harness.forgetting import FORGETTING, Study
from harness.frontiers import LEVELS, differences
from harness.statistics import holm

sys.path.append(str(Path(__file__).parents[1] / "reports"))
fabricate = importlib.import_module("fabricate")
Effect: Any = fabricate.Effect
Make = Callable[..., Study]


def effect(learns: float, forgets: float, held: tuple[float, float] | None = None) -> Any:
    """An arm that learns and forgets so many bits per byte; other figures on validation items where these are given."""
    return Effect(forgets, learns=learns, held=effect(*held) if held else None)


NONE = {"none:lr=0.3": effect(0.4, 0.1), "none": effect(0.8, 0.3), "none:lr=3": effect(1.2, 0.6)}
KL = {"kl:weight=3": effect(0.3, 0.02), "kl": effect(0.7, 0.08), "kl:lr=3": effect(1.0, 0.2)}
TEXTS = {name: facts for name, facts in fabricate.TASKS.items() if facts["metric"] == "bits_per_byte"}


@pytest.fixture
def swept(tmp_path: Path) -> Make:
    """A run that swept these families, without any luck unless asked for."""

    def made(families: Mapping[str, Mapping[str, Any]], **more: Any) -> Study:
        recipe = fabricate.sweep(families, **{"luck": 0.0, "spread": 0.0, "documents": 20, "tasks": TEXTS} | more)
        return Study(record.read(fabricate.run_folder(tmp_path / "run", recipe)))

    return made


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The control and kl over three settings each, without any luck."""
    recipe = fabricate.sweep({"none": NONE, "kl": KL}, luck=0.0, spread=0.0, documents=20, tasks=TEXTS)
    return Study(record.read(fabricate.run_folder(tmp_path_factory.mktemp("swept") / "run", recipe)))


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ({"a": (0.9, 0.5), "b": (0.76, 0.1), "c": (0.7, 0.0)}, Choice("b", 0.76, 0.76, True)),  # c learns too little
        ({"a": (0.75, 0.5)}, Choice("a", 0.75, 0.75, True)),
        ({"a": (0.5, 0.0), "b": (0.7, 0.4)}, Choice("b", 0.7, 0.7, False)),  # none learns enough
        ({"a": (1.5, -0.1), "b": (1.0, 0.0)}, Choice("a", 1.5, 1.5, True)),
        ({}, None),
    ],
)
def test_the_choice_is_the_least_forgetting_of_those_that_learn_enough(points: Any, expected: Choice | None) -> None:
    assert choose(points, 0.75, 1.0) == expected


def test_nothing_is_enough_where_the_control_learned_nothing() -> None:
    assert choose({"a": (-0.1, 0.0), "b": (-0.2, -0.5)}, 0.75, -0.1) == Choice("a", -0.1, None, False)


def test_one_setting_an_arm_is_shown(plain: Study) -> None:
    study = plain
    assert study.arms == ("none:lr=3", "kl:lr=3")  # of the control's 1.2 three quarters are 0.9
    assert study.control == "none:lr=3"
    assert study.competitors == ("kl:lr=3",)
    assert study.families == {"none": tuple(NONE), "kl": tuple(KL)}


def test_what_is_good_on_test_items_alone_is_not_chosen(swept: Make) -> None:
    lucky = effect(1.1, -0.5, held=(0.95, 0.5))
    study = swept({"none": NONE, "kl": {**KL, "kl:weight=3": lucky}})
    assert study.picks["kl"].setting == "kl:lr=3"
    assert study.swept
    assert study.swept.arms[1].best == ("kl", "kl:lr=3")
    assert study.swept.arms[1].points["kl:weight=3"] == pytest.approx((1.1, -0.5))  # shown, and read for nothing
    assert study.swept.arms[1].levels[0].forgetting is None  # 0.6 lies below 0.7
    assert study.swept.arms[1].levels[2].forgetting is None  # 1.08 lies above 1.0: the lucky one is not on the frontier


def test_levels_are_read_between_two_settings_and_never_beyond(plain: Study) -> None:
    found = plain.swept
    assert found
    assert (found.top, found.seeds) == ("none:lr=3", (0, 1, 2))
    assert found.reach == pytest.approx(1.2)
    control, kl = found.arms
    assert [level.forgetting.value for level in control.levels if level.forgetting] == pytest.approx([0.2, 0.375, 0.51])
    assert [level.forgetting and level.forgetting.value for level in kl.levels] == [
        pytest.approx(0.065),
        pytest.approx(0.16),
        None,  # 1.08 is more than it ever learned
    ]
    assert [level.difference and level.difference.value for level in kl.levels] == [
        pytest.approx(-0.135),
        pytest.approx(-0.215),
        None,
    ]
    assert kl.levels[2].missed == (0, 1, 2)
    assert [level.wide for level in kl.levels] == [True, True, False]  # settings 0.4 apart, and a fifth of 1.2 is 0.24


def test_a_level_missed_under_one_seed_is_missed(swept: Make) -> None:
    study = swept({"none": NONE, "kl": KL}, failed=(("kl:lr=3", 1),))
    assert study.swept
    kl = study.swept.arms[1]
    assert (kl.levels[1].forgetting, kl.levels[1].missed) == (None, (1,))
    assert (kl.planned, kl.failed, set(kl.points)) == (3, 1, {"kl:weight=3", "kl"})
    assert kl.volumes == (None, None)  # an unequal number of points
    assert study.picks["kl"].setting == "kl"  # what failed under a seed is not chosen


def test_hypervolumes_are_shares_of_what_the_control_spans(plain: Study) -> None:
    found = plain.swept
    assert found
    # (1.0 x (0.6 - 0.2) + 0.7 x (0.2 - 0.08) + 0.3 x (0.08 - 0.02)) / (1.2 x 0.6), and from half of 1.2 on
    assert found.arms[1].volumes == pytest.approx((0.502 / 0.72, (0.4 * 0.4 + 0.1 * 0.12) / 0.72))
    assert found.best == ("none:lr=3", "kl:weight=3", "kl", "kl:lr=3")


def test_differences_join_the_family_of_claims(swept: Make) -> None:
    study = swept({"none": NONE, "kl": KL}, luck=0.008, spread=0.2)
    found = differences(study)
    assert set(found["kl:lr=3"]) == {"50%", "75%"}
    claim, end = claims(study)["kl:lr=3"], study.against_control(FORGETTING, "kl:lr=3")
    assert end
    assert claim.at["75%"] == "more"
    family = [end.p, *(each.p for each in found["kl:lr=3"].values())]
    assert list(claim.p.values()) == pytest.approx(holm(family))  # with the control's end three comparisons


def test_errors_of_a_level_are_those_of_both_axes(swept: Make) -> None:
    """Against a bootstrap of documents that interpolates anew in every draw: one seed, so that items are the only layer."""
    study = swept({"none": NONE, "kl": KL}, spread=0.6, documents=60, seeds=(0,))
    assert study.swept
    level = study.swept.arms[1].levels[1]
    assert level.forgetting
    plane, draws, rng = study.swept, [], np.random.default_rng(0)
    keep, gain = study.tasks(plane.keep), study.tasks(plane.gain)

    def figure(tasks: Any, name: str, drawn: Any, sign: int) -> float:
        each = zip(tasks, drawn, strict=True)
        return float(np.mean([sign * (s.after[name, 0] - s.before)[i].sum() / s.weights[i].sum() for s, i in each]))

    for _ in range(2000):
        picks = [[rng.integers(0, len(s.items), len(s.items)) for s in tasks] for tasks in (keep, gain)]
        points = [(figure(gain, n, picks[1], -1), figure(keep, n, picks[0], 1)) for n in ("kl", "kl:lr=3")]
        (x0, y0), (x1, y1) = points
        draws.append(y0 + (y1 - y0) * (LEVELS[1] * plane.reach - x0) / (x1 - x0))
    assert level.forgetting.error == pytest.approx(np.std(draws), rel=0.12)


def test_a_plain_run_has_no_frontiers_and_its_arms_as_typed(tmp_path: Path) -> None:
    study = Study(record.read(fabricate.run_folder(tmp_path / "run", fabricate.Recipe(documents=8, items=24))))
    assert study.swept is None
    assert study.arms == tuple(fabricate.ARMS)


def test_a_search_shows_the_setting_nearest_to_its_target_on_validation_items(swept: Make, tmp_path: Path) -> None:
    kl = {
        "kl:weight=3": effect(0.3, 0.0),
        "kl:weight=1": effect(0.9, 0.1, held=(0.62, 0.1)),
        "kl": effect(0.6, 0.1, held=(1, 1)),
    }
    recipe = fabricate.sweep({"none": {"none": effect(0.8, 0.3)}, "kl": kl}, luck=0.0, spread=0.0, tasks=TEXTS)
    facts = {"target": 0.75, "tolerance": 0.03, "trainings": 6, "seed": 0, "rule": "as planned"}
    plan = {key: value for key, value in recipe.plan.items() if key != "sweep"} | {"match": facts}
    tried = ["kl:weight=3", "kl"]
    gone = tuple((name, seed) for name in tried for seed in (1, 2))
    folder = fabricate.run_folder(tmp_path / "match", replace(recipe, plan={**plan, "tried": tried}, missing=gone))
    study = Study(record.read(folder))
    assert study.picks["kl"].setting == "kl:weight=1"  # 0.62 of 0.8, where test items would say 0.9
    assert study.picks["kl"].share == pytest.approx(0.775)
    assert not study.picks["kl"].reached
    assert study.arms == ("none", "kl:weight=1")
    assert all(trial.status == "done" for trial in study.record.trials)  # what was only tried is not missed
    assert not searching(study.record.plan)
    assert searching(study.record.plan | {"tried": ["none", *tried]})  # until the end all is tried under one seed
    assert study.swept is None


def test_without_the_items_that_levels_are_read_on_there_is_no_frontier(plain: Study) -> None:
    """As where all unrehearsed text is flagged: what was chosen stays, and nothing is read of it."""
    lost = {sample.task: sample.items for sample in plain.tasks(FORGETTING)}
    left = replace(plain, without=frozenset((task, item) for task, items in lost.items() for item in items))
    assert {arm: pick.setting for arm, pick in left.picks.items()} == {arm: pick.setting for arm, pick in plain.picks.items()}
    assert left.swept is None
