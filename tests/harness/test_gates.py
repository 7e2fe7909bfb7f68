"""Gates: parsed by their grammar, tested on bounds, and passed by nothing that was not measured."""

import importlib
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

import harness
from harness.errors import InputError
from harness.forgetting import ADAPTATION, FORGETTING, LOST
from harness.frames import Frames
from harness.gates import Verdict, check, parse

sys.path.append(str(Path(__file__).parents[1] / "reports"))
fabricate = importlib.import_module("fabricate")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Frames:
    """Three seeds; an arm failed under one of them, another was never trained."""
    missing = tuple(("ewc:weight=100", seed) for seed in (0, 1, 2))
    recipe = fabricate.Recipe(failed=(("low_lr", 2),), missing=missing, milestones=())
    return harness.load(fabricate.run_folder(tmp_path_factory.mktemp("gates") / "run", recipe))


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Frames:
    """One seed of the control and two arms."""
    arms = {name: fabricate.ARMS[name] for name in ("none", "kl", "low_lr")}
    recipe = fabricate.Recipe(arms=arms, seeds=(3,), milestones=())
    return harness.load(fabricate.run_folder(tmp_path_factory.mktemp("gates") / "single", recipe))


def judged(text: str, run: Frames, unless: bool = False) -> Verdict:
    found = check(parse(text, unless), run)
    assert len(found) == 1
    return found[0]


EXAMPLE = "as in 'forgetting(general.bpb) > 0.02'"
BPB_OR_POINTS = "type forgetting(general.bpb) for bits per byte or forgetting(general.points) for points"
REFUSED = [
    ("forgetting(general) > 0.02", f"'general' in 'forgetting(general) > 0.02' names no unit; {BPB_OR_POINTS}"),
    (
        "adaptation(drugs) > 1",
        "'drugs' in 'adaptation(drugs) > 1' names no unit; type adaptation(drugs.bpb) for bits per byte or "
        "adaptation(drugs.points) for points or adaptation(drugs.bits) for bits an answer",
    ),
    ("forgeting(general.bpb) > 1", "unknown measure 'forgeting' in 'forgeting(general.bpb) > 1'; did you mean forgetting?"),
    ("forgetting(general.bbp) > 1", f"forgetting is not told in 'bbp' ('forgetting(general.bbp) > 1'); {BPB_OR_POINTS}"),
    (
        "retention(general.points) > 90",
        "retention is not told in 'points' ('retention(general.points) > 90'); type retention(general.percent) for %",
    ),
    (
        "forgetting(domain.bpb) > 0",
        "forgetting is not of what is called domain ('forgetting(domain.bpb) > 0'); type general, a suite or a task",
    ),
    ("forgetting(general.bpb) >= 1", "unknown operator '>=' in 'forgetting(general.bpb) >= 1'; allowed are > and <"),
    ("forgetting(general.bpb) == 0", "unknown operator '==' in 'forgetting(general.bpb) == 0'; allowed are > and <"),
    ("forgetting(general.bpb)", "unknown operator '' in 'forgetting(general.bpb)'; allowed are > and <"),
    ("forgetting(general.bpb) > 0,02", f"'0,02' in 'forgetting(general.bpb) > 0,02' is no number; {EXAMPLE}"),
    ("forgetting(general.bpb) > nan", f"'nan' in 'forgetting(general.bpb) > nan' bounds nothing; {EXAMPLE}"),
    (
        "forgetting(general.bpb, kl, low_lr) > 0",
        "'forgetting(general.bpb, kl, low_lr) > 0' is no gate; between the brackets stand a name with its unit and, behind a "
        "comma, an arm",
    ),
    ("forgetting > 0.02", f"'forgetting > 0.02' is no gate; type a measure of something and a bound, {EXAMPLE}"),
]


@pytest.mark.parametrize(("text", "sentence"), REFUSED, ids=[text for text, _ in REFUSED])
def test_what_is_no_gate_is_refused_in_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(text, unless=False)
    assert str(caught.value) == sentence


def test_code_is_no_gate_and_is_not_run(tmp_path: Path) -> None:
    target = tmp_path / "made"
    with pytest.raises(InputError, match="is no gate"):
        parse(f"open({str(target)!r}, 'w').close() > 0", unless=False)
    assert not target.exists()


UNKNOWN = [
    (
        "forgetting(fact.points) > 1",
        "the run scores no suite or task 'fact' ('forgetting(fact.points) > 1'); did you mean facts",
    ),
    ("forgetting(general.bpb, kll) > 1", "the run has no arm 'kll' ('forgetting(general.bpb, kll) > 1'); did you mean kl"),
    ("forgetting(drugs.points) > 1", "forgetting is of what measures keep, and drugs measures gain"),
    ("forgetting(facts.bpb) > 1", "facts is not told in bpb ('forgetting(facts.bpb) > 1'), but in points"),
    (
        "forgetting(text_stories.points) > 1",
        "text_stories is not told in points ('forgetting(text_stories.points) > 1'), but in bpb",
    ),
    (
        "retention(text_stories.percent) > 1",
        "text_stories is not told in percent ('retention(text_stories.percent) > 1'), but in bpb",
    ),
]


@pytest.mark.parametrize(("text", "sentence"), UNKNOWN, ids=[text for text, _ in UNKNOWN])
def test_names_that_the_run_does_not_have_are_refused(run: Frames, text: str, sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        check(parse(text, unless=False), run)
    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize(
    ("measured", "reading", "factor"),
    [
        ("forgetting(general.bpb, kl)", FORGETTING, 1),
        ("forgetting(general.points, kl)", LOST, 100),
        ("adaptation(domain.bpb, kl)", ADAPTATION, 1),
        ("forgetting(text_stories.bpb, kl)", replace(FORGETTING, task="text_stories"), 1),
        ("forgetting(world_general.bpb, kl)", replace(FORGETTING, suite="world_general"), 1),
    ],
)
@pytest.mark.parametrize("unless", [False, True])
@pytest.mark.parametrize("sign", [">", "<"])
def test_the_bound_that_decides_is_exact(
    run: Frames, measured: str, reading: Any, factor: float, unless: bool, sign: str
) -> None:
    """if: the two-sided 95 % interval; unless: the one-sided 95 % bound; the side is the operator's."""
    found = run.study.figure(reading, "kl")
    assert found is not None
    quantile = stats.t.ppf(0.95 if unless else 0.975, found.freedom)
    bound = factor * (found.value + (-1 if sign == ">" else 1) * quantile * found.error)
    step = 1e-6 * factor
    for nudge, shown in ((-step, sign == ">"), (step, sign == "<")):
        verdict = judged(f"{measured} {sign} {float(bound + nudge)!r}", run, unless)
        assert verdict.passed == (shown == unless), verdict.line


def test_spaces_between_words_say_nothing() -> None:
    plain, spaced = (
        parse(text, unless=False) for text in ("forgetting(general.bpb,kl)>.02", " forgetting ( general . bpb , kl ) > .02 ")
    )
    assert (spaced.scope, spaced.unit, spaced.arm, spaced.bound) == (plain.scope, plain.unit, plain.arm, plain.bound)


def test_a_value_beyond_the_bound_alone_proves_nothing(run: Frames) -> None:
    """The value lies above, its lower bound does not: not shown to be above, nor to be below."""
    found = run.study.figure(FORGETTING, "kl")
    assert found is not None
    bound = (found.low + found.value) / 2
    assert judged(f"forgetting(general.bpb, kl) > {bound}", run).passed
    assert not judged(f"forgetting(general.bpb, kl) < {bound}", run, unless=True).passed


def test_by_default_every_arm_that_competes_is_tested_and_the_control_is_not(single: Frames) -> None:
    verdicts = check(parse("forgetting(general.bpb) > 0.1", unless=False), single)
    assert [(verdict.arm, verdict.passed) for verdict in verdicts] == [("kl", True), ("low_lr", False)]


def test_the_line_says_arm_value_interval_layers_and_why(single: Frames, run: Frames) -> None:
    line = judged("forgetting(general.bpb, kl) < 0.09", single, unless=True).line
    assert line.startswith("pass  --fail-unless 'forgetting(general.bpb, kl) < 0.09'  kl: 0.0")
    assert "bits per byte (this checkpoint, interval over items), 95 % interval 0.0" in line
    assert "; the one-sided 95 % upper bound, 0.0" in line
    assert line.endswith(", lies below 0.09")
    line = judged("forgetting(general.points, kl) > 50", run).line
    assert "points (3 seeds, interval over items and seeds)" in line
    assert "; the lower end of the 95 % interval, " in line
    assert line.endswith(", does not lie above 50")


def test_what_was_rehearsed_is_told_and_never_stands_for_general(run: Frames) -> None:
    arm = "replay:share=0.25"
    assert "rehearsed" in judged(f"forgetting(text_rehearsed.bpb, {arm}) > 1", run).why
    assert judged(f"forgetting(text_rehearsed.bpb, {arm}) > 0.1", run).passed
    assert not judged(f"forgetting(general.bpb, {arm}) > 0.1", run).passed
    assert not judged(f"forgetting(world_general.bpb, {arm}) > 0.1", run).passed


@pytest.mark.parametrize("unless", [False, True])
@pytest.mark.parametrize(
    ("arm", "why"), [("low_lr", "not finished (seed 2 failed)"), ("ewc:weight=100", "not finished (seed 0 is missing, seed 1")]
)
def test_an_arm_that_is_not_finished_passes_nothing(run: Frames, unless: bool, arm: str, why: str) -> None:
    for sign in "<>":
        verdict = judged(f"forgetting(general.bpb, {arm}) {sign} 0.5", run, unless)
        assert not verdict.passed
        assert verdict.why.startswith(why)


@pytest.mark.parametrize("unless", [False, True])
@pytest.mark.parametrize("scored", [{"metric": "acc"}, {"source": "same"}], ids=["no text", "rehearsed text alone"])
def test_what_nothing_measures_passes_nothing(tmp_path: Path, unless: bool, scored: dict[str, str]) -> None:
    arms = {name: fabricate.ARMS[name] for name in ("none", "kl")}
    tasks = {name: facts for name, facts in fabricate.TASKS.items() if scored.items() <= facts.items()}
    found = harness.load(fabricate.run_folder(tmp_path, fabricate.Recipe(arms=arms, tasks=tasks, seeds=(0,), milestones=())))
    verdict = judged("forgetting(general.bpb) > 0.5", found, unless)
    assert (verdict.passed, verdict.why[:19]) == (False, "nothing measures it")


def test_a_single_cluster_gives_no_interval_and_passes_nothing(tmp_path: Path) -> None:
    arms = {name: fabricate.ARMS[name] for name in ("none", "kl")}
    recipe = fabricate.Recipe(arms=arms, seeds=(0,), documents=1, milestones=())
    verdict = judged("forgetting(text_stories.bpb) > 0.5", harness.load(fabricate.run_folder(tmp_path, recipe)))
    assert not verdict.passed
    assert verdict.why.endswith("a single cluster gives no interval")


def test_where_only_the_control_was_trained_a_gate_says_what_to_name(tmp_path: Path) -> None:
    recipe = fabricate.Recipe(arms={"none": fabricate.ARMS["none"]}, seeds=(0,), milestones=())
    found = harness.load(fabricate.run_folder(tmp_path, recipe))
    verdict = judged("forgetting(general.bpb) > 0.5", found)
    assert not verdict.passed
    assert verdict.why == "none competes with the control; name one, as in 'forgetting(general.bpb, none) > 0.5'"
    assert judged("forgetting(general.bpb, none) > 0.5", found).passed


def test_of_an_arm_with_several_settings_the_chosen_one_is_tested(tmp_path: Path) -> None:
    effect = fabricate.Effect
    families = {
        "none": {"none": effect(0.4, 0.4, 1.0), "none:lr=0.3": effect(0.2, 0.2, 0.5)},
        "kl": {"kl:weight=0.5": effect(0.05, 0.05, 0.9), "kl:weight=2": effect(0.02, 0.02, 0.3)},
    }
    tasks = {name: facts for name, facts in fabricate.TASKS.items() if name.startswith("text_")}
    found = harness.load(fabricate.run_folder(tmp_path, fabricate.sweep(families, tasks=tasks, seeds=(0, 1), documents=40)))
    assert dict(zip(found.prices["arm"], found.prices["role"], strict=True)) == {
        "none": "control", "none:lr=0.3": "control", "kl:weight=0.5": "arm", "kl:weight=2": "arm"
    }  # fmt: skip
    for named in ("", ", kl", ", kl:weight=0.5"):
        verdict = judged(f"forgetting(general.bpb{named}) > 0.01", found)
        assert (verdict.arm, verdict.passed) == ("kl:weight=0.5", False)
    with pytest.raises(InputError, match="kl:weight=2 is not the setting that was chosen"):
        judged("forgetting(general.bpb, kl:weight=2) > 0.03", found)


@pytest.mark.parametrize("text", ["(" * 100_000, "f(x)" + "<" * 100_000 + " a b"], ids=["brackets", "operators"])
def test_a_gate_of_a_book_is_refused_at_once_and_not_told_in_full(text: str) -> None:
    with pytest.raises(InputError, match="a gate of 100,0") as refused:
        parse(text, False)
    assert len(str(refused.value)) < 300
