"""The control's curve, read at an arm's own adaptation, against sums by hand and a bootstrap that knows no formula."""

import importlib
import math
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness import record
from harness.crossing import SHARES, Axis, Crossing, Own, compare, first
from harness.forgetting import Study
from harness.pairing import Sample
from harness.statistics import Floats

sys.path.append(str(Path(__file__).parents[1] / "reports"))
fabricate = importlib.import_module("fabricate")

LEVELS = np.array([0.0, 0.1, 0.3, 0.2, 0.4])


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (0.05, Crossing(0, 0.5)),
        (0.1, Crossing(0, 1.0)),
        (0.25, Crossing(1, 0.75)),  # again between the last two, but first here
        (0.35, Crossing(3, 0.75)),
        (0.0, "learned nothing"),
        (-0.1, "learned nothing"),
        (0.41, "learned more than the curve reaches"),
    ],
)
def test_a_curve_is_read_where_it_first_reaches_a_level(level: float, expected: Crossing | str) -> None:
    found = first(LEVELS, level)
    if isinstance(expected, Crossing):
        assert isinstance(found, Crossing)
        assert (found.below, found.share) == (expected.below, pytest.approx(expected.share))
    else:
        assert found == expected


def axis(sign: int, weights: Floats, tasks: list[dict[tuple[str, int], Floats]], curve: dict[int, list[Floats]]) -> Axis:
    """Tasks of the same items' weights, 0 before, with the arm's numerators and those of the curve beyond the base."""
    zero, groups = np.zeros(len(weights)), np.arange(len(weights))
    samples = [Sample(f"t{i}", "text", (), zero, weights, groups, after) for i, after in enumerate(tasks)]
    return Axis(sign, samples, {seed: [np.vstack([zero, each]) for each in found] for seed, found in curve.items()})


def test_two_items_an_axis_by_hand() -> None:
    """A: 0, .3, .6, arm .45: w = .5; F: 0, .2, .6, there .4, arm .3; slope 4/3.

    Kept: items .3 - .25 and .3 - .55, mean -.1, variance of the mean .0225.
    Learned: .5 - .4 and .4 - .5, times -4/3: variance of the mean 16/9 x .01.
    """
    ones = np.ones(2)
    keep = axis(1, ones, [{("arm", 1): np.array([0.3, 0.3])}], {1: [np.array([[0.1, 0.3], [0.4, 0.8]])]})
    gain = axis(-1, ones, [{("arm", 1): np.array([-0.5, -0.4])}], {1: [np.array([[-0.2, -0.4], [-0.6, -0.6]])]})
    found = compare(keep, gain, "arm", [1])
    assert found.keeps is not None
    assert found.curve == pytest.approx(0.4)
    assert found.keeps.value == pytest.approx(0.1)
    variances = [0.0225, 16 / 9 * 0.01]
    assert found.keeps.error == pytest.approx(math.sqrt(sum(variances)))
    assert found.keeps.freedom == pytest.approx(sum(variances) ** 2 / sum(v**2 for v in variances))
    assert (found.keeps.layers, found.keeps.seeds) == ("items", 1)


def documents(seed: int, n: int, learned: bool) -> tuple[Floats, Callable[[float], Floats]]:
    """Weights of documents, and what a model that is `height` along loses or learns in each: shared, and its own."""
    drawn = np.random.default_rng(seed)
    weights, common = drawn.integers(200, 2000, n).astype(float), drawn.normal(1, 0.5, n)
    sign = -1 if learned else 1
    return weights, lambda height: sign * weights * (height * common + drawn.normal(0, 0.1, n))


def many(seeds: int = 1) -> tuple[Axis, Axis]:
    """Two tasks an axis, an arm and a curve of eleven points under each seed."""
    axes = []
    for learned, n in ((False, 150), (True, 60)):
        tasks: list[dict[tuple[str, int], Floats]] = [{}, {}]
        curve: dict[int, list[Floats]] = {seed: [] for seed in range(seeds)}
        weights = np.ones(n)
        for number, after in enumerate(tasks):
            weights, model = documents(10 * number + learned, n, learned)
            for seed in range(seeds):
                heights = [1.2 * a + 0.1 * seed for a in np.linspace(0.1, 1, 10)] if learned else np.linspace(0.1, 1, 10) ** 2
                curve[seed].append(np.stack([model(height) for height in heights]))
                after["arm", seed] = model(0.75 if learned else 0.3 + 0.05 * seed)
        axes.append(axis(-1 if learned else 1, weights, tasks, curve))
    return axes[0], axes[1]


def difference(keep: Axis, gain: Axis, seed: int, counts: tuple[Floats, Floats] | None = None) -> float:
    """F_arm - F_curve(A_arm), the curve read by numpy, with documents as often as counted."""
    figures: dict[bool, tuple[float, Floats]] = {}
    for learned, each in ((False, keep), (True, gain)):
        often = np.ones(len(each.samples[0].weights)) if counts is None else counts[learned]
        whole = [float(s.weights @ often) for s in each.samples]
        arm = [each.sign * float(s.after["arm", seed] @ often) / w for s, w in zip(each.samples, whole, strict=True)]
        curve = [each.sign * (at @ often) / w for at, w in zip(each.curve[seed], whole, strict=True)]
        figures[learned] = float(np.mean(arm)), np.mean(curve, axis=0)
    (forgets, kept), (learns, gained) = figures[False], figures[True]
    assert (np.diff(gained) > 0).all()
    return forgets - float(np.interp(learns, gained, kept))


def test_its_error_is_that_of_a_bootstrap_of_documents() -> None:
    """Documents drawn anew, the same for arm and curve, which is read anew: slope and weight are part of the error."""
    keep, gain = many()
    found = compare(keep, gain, "arm", [0]).keeps
    assert found is not None
    assert found.value == pytest.approx(-difference(keep, gain, 0))
    drawn = np.random.default_rng(0)
    sizes = [len(each.samples[0].weights) for each in (keep, gain)]
    boot = [
        difference(keep, gain, 0, tuple(drawn.multinomial(n, np.full(n, 1 / n)).astype(float) for n in sizes))  # pyright: ignore
        for _ in range(1500)
    ]
    assert found.error == pytest.approx(float(np.std(boot)), rel=0.1)


def test_every_seed_is_compared_with_its_own_curve() -> None:
    keep, gain = many(seeds=3)
    found = compare(keep, gain, "arm", [0, 1, 2]).keeps
    each = [-difference(keep, gain, seed) for seed in range(3)]
    assert found is not None
    assert found.value == pytest.approx(np.mean(each))
    assert found.layers == "items and seeds"
    assert found.parts is not None
    assert found.parts.seed == pytest.approx(np.var(each, ddof=1) / 3)


def test_a_seed_that_the_curve_does_not_reach_leaves_nothing_to_say() -> None:
    keep, gain = many(seeds=2)
    for sample in gain.samples:
        after = dict(sample.after)
        after["arm", 1] *= 9
        object.__setattr__(sample, "after", after)
    assert compare(keep, gain, "arm", [0, 1]) == Own(reason="learned more than the curve reaches")
    assert compare(keep, gain, "arm", [0]).reason is None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fabricate.run_folder(tmp_path_factory.mktemp("run") / "run", fabricate.Recipe(curve=True))


def test_a_study_reads_the_curve_of_a_run_folder(folder: Path) -> None:
    study = Study(record.read(folder))
    points = study.curve(1)
    assert [share for share, *_ in points] == [0.0, *SHARES, 1.0]
    _, learns, forgets = points[-1]
    for share, gained, lost in points:
        assert gained == pytest.approx((1 - (1 - share) ** 2) * learns)
        assert lost == pytest.approx(share**2 * forgets)
    own = study.at_own("kl")
    assert own.keeps is not None
    assert own.curve is not None
    share = 1 - math.sqrt(1 - 0.78 / 1.10)  # where a control that learns 1.10 has learned what the arm has
    assert own.curve == pytest.approx(share**2 * 0.42, abs=0.02)
    assert own.keeps.value == pytest.approx(own.curve - 0.05, abs=0.01)
    assert study.at_own("none").reason == "it is the control"


def test_a_curve_that_lacks_a_point_is_none(folder: Path, tmp_path: Path) -> None:
    whole = Path(shutil.copytree(folder, tmp_path / "copy"))
    for seed in (0, 1):
        shutil.rmtree(whole / "none" / f"seed-{seed}" / "curve" / "0.4")
    study = Study(record.read(whole))
    assert study.curve(0) == ()
    found = study.at_own("kl").keeps
    assert found is not None
    assert found.seeds == 1
    shutil.rmtree(whole / "none" / "seed-2" / "curve")
    assert Study(record.read(whole)).at_own("kl") == Own(reason="no curve")
