"""What is said of arms beside the control: at its end, at what an arm itself learned, and of the control of old text."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import record
from harness.claims import END, OWN, Claim, claims
from harness.crossing import Own
from harness.forgetting import FORGETTING, Study
from harness.statistics import Estimate
from reports import cautions, old_text, standing, verdict, words

SMALL = {"items": 60, "milestones": ()}
WINS = {"ema": (0.05, 0.05, 1.30, 0.08, 0.08, 0.95)}
OLD = {"replay": (0.36, 0.01, 1.05, 0.44, 0.02, 0.60), "old_only": (0.2, 0.0, -0.1, 0.05, 0.0, 0.0)}


def made(folder: Path, fabricate: Any, arms: dict[str, tuple[float, ...]], **recipe: Any) -> Study:
    """A run of the usual control and these arms' effects."""
    effects = {"none": fabricate.ARMS["none"]} | {arm: fabricate.Effect(*effect) for arm, effect in arms.items()}
    return Study(record.read(fabricate.run_folder(folder, fabricate.Recipe(arms=effects, **SMALL | recipe))))


@pytest.fixture(scope="module")
def usual(run: Path) -> Study:
    """No arm of it keeps more and learns no less."""
    return Study(record.read(run))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, fabricate: Any) -> Study:
    """One arm of it does, and old text alone was trained on."""
    return made(tmp_path_factory.mktemp("run"), fabricate, WINS | OLD, curve=True)


def sentence(study: Study, arm: str) -> str:
    return verdict.finding(study, claims(study)[arm]).sentence


def test_an_arm_is_said_to_stand_beside_the_control_at_what_it_learned(usual: Study) -> None:
    own, claim = usual.at_own("kl"), claims(usual)["kl"]
    assert own.keeps is not None
    assert own.curve is not None
    assert claim.at == {OWN: "more"}
    numbers = [words.amount(each, "text") for each in (own.curve, own.keeps.value, own.keeps.low, own.keeps.high)]
    assert (
        "At what it learned, the control interpolated with the base forgets {} bits per byte: it keeps {} more "
        "(95 % interval {} to {}, items and seeds)."
    ).format(*numbers) in sentence(usual, "kl")
    assert claim.relation == "trades"
    assert "it keeps more but learns less: a trade, which is not ranked" in sentence(usual, "kl")
    said = verdict.section(usual).answer
    assert "No arm is shown to keep more than it and learn no less." in said
    assert " learned, kl" in said
    assert said.endswith(" more than the control interpolated with the base.")


def test_what_is_shown_to_keep_more_at_no_less_learning_is_named(study: Study) -> None:
    said = verdict.section(study).answer
    assert "ema is shown to keep more than it and learn no less. Of the others, replay trades one for the other" in said
    assert study.at_own("ema").reason == "learned more than the curve reaches"
    assert "It learned more than the control in at least one seed" in sentence(study, "ema")


def test_an_interval_says_what_it_contains(usual: Study, tmp_path: Path, fabricate: Any) -> None:
    one = made(tmp_path, fabricate, {"kl": (0.05, 0.05, 0.78, 0.08, 0.08, 0.42)}, seeds=(0,), curve=True)
    for found, begins, layers in ((one, "This checkpoint", "items"), (usual, "This strategy", "items and seeds")):
        said = sentence(found, "kl")
        assert said.startswith(begins)
        assert said.count("95 % interval") == said.count(f", {layers})") == 2


@pytest.mark.parametrize(
    ("at", "value", "expected"),
    [
        ("more", 0.04, "it keeps 0.040 more (95 % interval 0.038 to 0.042, items)."),
        ("less", -0.04, "it keeps 0.040 less (95 % interval 0.038 to 0.042, items)."),
        ("as much", 0.001, "it keeps as much, 0.001 more (95 % interval −0.001 to 0.003, items)."),
        ("unclear", -0.04, "it keeps 0.040 less, which is not settled (95 % interval 0.038 to 0.042, items)."),
    ],
)
def test_four_things_may_be_said(usual: Study, monkeypatch: pytest.MonkeyPatch, at: Any, value: float, expected: str) -> None:
    keeps = Estimate(value, 0.001, 1e9, 50, 50)
    monkeypatch.setattr(Study, "at_own", lambda *_: Own(keeps, 0.1))
    claim = Claim("kl", "forgotten", keeps, None, "more", "less", {OWN: at})
    found = standing.at_own(usual, claim)
    assert found == f"At what it learned, the control interpolated with the base forgets 0.100 bits per byte: {expected}"


def test_without_a_curve_that_is_said(tmp_path: Path, fabricate: Any) -> None:
    found = made(tmp_path, fabricate, {"kl": (0.05, 0.05, 0.78, 0.08, 0.08, 0.42)}, seeds=(0,))
    assert verdict.rule(found).endswith(
        "Without the control interpolated with the base (--curve scores it) no arm is compared at what it learned."
    )
    assert "At what it learned" not in sentence(found, "kl")


@pytest.mark.parametrize(
    ("forgets", "luck", "begins"),
    [
        (0.20, 0.001, ["The old text is itself a shift: trained on alone, it makes 4"]),
        (0.09, 0.02, ["The old text may itself be a shift: trained on alone, it makes 2"]),
        (0.02, 0.001, []),
        (-0.1, 0.001, []),
    ],
)
def test_old_text_that_is_itself_a_shift_is_warned_of(
    tmp_path: Path, fabricate: Any, forgets: float, luck: float, begins: list[str]
) -> None:
    study = made(tmp_path, fabricate, {"old_only": (forgets, 0.0, -0.1, 0.05, 0.0, 0.0)}, luck=luck)
    found = [warning for warning in cautions.warnings(study) if warning.startswith("The old text")]
    assert len(found) == len(begins)
    assert all(one.startswith(begin) for one, begin in zip(found, begins, strict=True))


def test_the_share_of_old_text_is_its_forgetting_over_the_controls(study: Study) -> None:
    share, alone, whole = (
        old_text.of_control(study, FORGETTING), study.figure(FORGETTING, "old_only"), study.figure(FORGETTING, "none")
    )  # fmt: skip
    assert share is not None
    assert alone is not None
    assert whole is not None
    assert share.value == pytest.approx(alone.value / whole.value)
    assert share.low < share.value < share.high
    said = sentence(study, "old_only")
    assert said.startswith(f"Training on old text alone changes unrehearsed text by +{alone.value:.3f} bits per byte (95 % ")
    assert said.endswith("items and seeds): the cost of re-warming and of the proxy.")


def test_old_text_alone_competes_with_none(study: Study) -> None:
    assert study.competitors == ("ema", "replay")
    found = claims(study)
    assert set(found["replay"].p) == {END, OWN}
    assert found["old_only"].p == {}
    assert "old_only" not in verdict.section(study).answer
    assert verdict.finding(study, found["old_only"]).standing == "the control of old text"


def test_old_text_without_an_answer_says_what_would_be_enough(study: Study) -> None:
    unsure = replace(claims(study)["old_only"], answer="not enough evidence", forgetting=Estimate(0.005, 0.01, 99, 100, 100))
    assert verdict.finding(study, unsure).sentence.endswith("more documents would be enough.")


@pytest.mark.parametrize(
    ("error", "seeds", "says"),
    [
        (0.01, 1, "more documents would be enough"),
        (1e9, 1, "not even 1000 times the items would be enough"),
    ],
)
def test_what_would_be_enough_is_said(usual: Study, error: float, seeds: int, says: str) -> None:
    found = Estimate(0.005, error, 99, 100, 100, seeds=seeds)
    claim = Claim("none", "not enough evidence", found, None, "unclear", "unclear")
    assert says in verdict.finding(usual, claim).sentence


def test_seeds_that_would_be_enough_stand_beside_documents(tmp_path: Path, fabricate: Any) -> None:
    texts = {name: facts for name, facts in fabricate.TASKS.items() if facts["metric"] == "bits_per_byte"}
    study = made(tmp_path, fabricate, {"kl": (0.012, 0.0, 0.8, 0.1, 0.1, 0.4)}, documents=2000, luck=0.012, tasks=texts)
    claim = claims(study)["kl"]
    assert claim.answer == "not enough evidence"
    assert " seeds would be enough" in sentence(study, "kl")
