"""What the page may say, and what it may not."""

from pathlib import Path
from typing import Any

import pytest

from harness import record
from harness.claims import claims
from harness.forgetting import Study
from reports import arms, cautions, verdict


def study(folder: Path) -> Study:
    return Study(record.read(folder))


def sentences(folder: Path) -> dict[str, str]:
    found = study(folder)
    return {arm: verdict.finding(found, claim).sentence for arm, claim in claims(found).items()}


def test_planted_forgetting_is_found_and_said_with_its_interval(run: Path) -> None:
    found = claims(study(run))
    assert found["none"].answer == "forgotten"
    assert sentences(run)["none"].startswith("This strategy forgets 0.4")
    assert "95 % interval 0." in sentences(run)["none"]


def test_an_arm_that_keeps_more_and_learns_less_trades_and_is_not_ranked(run: Path) -> None:
    claim = claims(study(run))["kl"]
    assert (claim.keeps, claim.learns, claim.relation) == ("more", "less", "trades")
    assert "a trade, which is not ranked" in sentences(run)["kl"]


def test_rehearsed_text_stands_beside_and_never_in_the_verdict(run: Path) -> None:
    found = study(run)
    finding = verdict.finding(found, claims(found)["replay:share=0.25"])
    assert "forgets 0.3" in finding.sentence
    assert any("of what it rehearsed, it " in line for line in finding.beside)
    table = arms.outcomes(found)
    assert {"retention, unrehearsed tasks", "retention, rehearsed tasks"} <= set(table.head)


def test_with_one_seed_every_sentence_says_this_checkpoint(tmp_path: Path, fabricate: Any) -> None:
    folder = fabricate.run_folder(tmp_path, fabricate.Recipe(seeds=(3,)))
    found = sentences(folder)
    assert all(text.startswith("This checkpoint") for text in found.values())
    assert not any("strategy" in text for text in found.values())
    assert any("under one seed" in warning for warning in cautions.warnings(study(folder)))


@pytest.mark.parametrize(
    ("forgets", "documents", "expected"), [(0.002, 200, "not forgotten"), (0.012, 4, "not enough evidence")]
)
def test_three_answers(tmp_path: Path, fabricate: Any, forgets: float, documents: int, expected: str) -> None:
    effects = {"none": fabricate.Effect(forgets=forgets, learns=0.5)}
    recipe = fabricate.Recipe(arms=effects, seeds=(0,), documents=documents, luck=0.0, spread=1.0)
    claim = claims(study(fabricate.run_folder(tmp_path, recipe)))["none"]
    assert claim.answer == expected


def test_failed_and_missing_trials_are_named_with_what_they_would_take(tmp_path: Path, fabricate: Any) -> None:
    recipe = fabricate.Recipe(seeds=(0, 1), failed=(("kl", 1),), missing=(("low_lr", 0), ("low_lr", 1)))
    warnings = cautions.warnings(study(fabricate.run_folder(tmp_path, recipe)))
    assert "kl, seed 1 failed: the loss was not finite at update 17; try a lower rate, as in kl:lr=0.3" in warnings
    assert "Not yet run: low_lr (seed 0) and low_lr (seed 1)." in warnings
    assert any("The same command again does only what is missing (3 trials, about 4 min" in line for line in warnings)


def test_notes_of_suites_stand_in_the_verdict(run: Path, fabricate: Any) -> None:
    assert fabricate.NOTE in cautions.warnings(study(run))


def test_nothing_is_claimed_on_rehearsed_text_alone(tmp_path: Path, fabricate: Any) -> None:
    tasks = {name: facts for name, facts in fabricate.TASKS.items() if facts["source"] != "other"}
    found = study(fabricate.run_folder(tmp_path, fabricate.Recipe(tasks=tasks, seeds=(0,))))
    assert claims(found) == {}
    assert "no forgetting is claimed" in verdict.section(found).answer


def test_a_control_of_one_seed_makes_no_claim_of_strategies(tmp_path: Path, fabricate: Any) -> None:
    folder = fabricate.run_folder(tmp_path, fabricate.Recipe(failed=(("none", 1), ("none", 2))))
    assert (
        "It shares seed 0 alone with the control, so that what follows is of one checkpoint. Against the control"
        in sentences(folder)["kl"]
    )
    told = [
        line for line in cautions.warnings(study(folder)) if line.startswith("Not all arms were scored under the same seeds")
    ]
    assert len(told) == 1
    assert "none: 0; kl: 0, 1, 2" in told[0] or "kl: 0, 1, 2" in told[0]
    assert "That is one for kl, " in told[0]


def test_arms_of_the_same_seeds_are_not_said_to_differ_in_them(run: Path) -> None:
    assert not any("alone with the control" in sentence for sentence in sentences(run).values())
    assert not any("the same seeds" in line for line in cautions.warnings(study(run)))
