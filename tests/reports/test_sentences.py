"""Sentences that must be true of the run that they stand on."""

import json
from pathlib import Path
from typing import Any

import pytest

from harness import record
from harness.claims import claims
from harness.forgetting import LOST, LOST_REHEARSED, Study
from reports import arms, cautions, page, provenance, standing, tasks, tradeoff, verdict, words
from reports.section import Cell, Code


def made(folder: Path, fabricate: Any, **recipe: Any) -> Study:
    return Study(record.read(fabricate.run_folder(folder, fabricate.Recipe(**recipe))))


def test_arms_share_their_new_text_and_not_all_their_tokens(run: Path) -> None:
    assert "the same new text in the same order" in provenance.section(Study(record.read(run))).answer


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        ({"command": "b", "commands": ["a", "b"]}, ["a\nb"]),
        ({"command": "b"}, ["b"]),
        ({"command": ""}, []),
    ],
)
def test_every_command_that_made_the_run_is_shown(
    tmp_path: Path, fabricate: Any, plan: dict[str, Any], expected: list[str]
) -> None:
    study = made(tmp_path, fabricate, seeds=(0,), arms={"none": fabricate.ARMS["none"]}, plan=plan)
    blocks = provenance.section(study).blocks
    assert [block.text for block in blocks if isinstance(block, Code)] == expected


@pytest.mark.parametrize("better", [True, False])
def test_a_base_that_reads_better_without_bos_is_named(tmp_path: Path, fabricate: Any, better: bool) -> None:
    folder = fabricate.run_folder(tmp_path, fabricate.Recipe(seeds=(0,), arms={"none": fabricate.ARMS["none"]}))
    facts = record.read(folder).base.facts
    bits = {"with": 24.0, "without": 5.0, "low": 18.0, "high": 20.0, "better_without": better}
    fabricate.write_result(folder / "base", facts | {"bos": {"token": "<s>", "documents": 32, **bits}})
    said = [line for line in cautions.warnings(Study(record.read(folder))) if "in front of it" in line]
    sentence = "The base reads text better without <s> in front of it: perplexity 32.00 instead of 16,777,216.00, on 32 doc"
    assert [line.startswith(sentence) for line in said] == [True] * better


def test_a_base_that_knows_nothing_is_not_said_to_be_asked_nothing(tmp_path: Path, fabricate: Any) -> None:
    """Tasks that measure keeping are there, and the base is at chance in all of them: that is why nothing is claimed."""
    kept = {
        name: {**facts, "chance": 0.999, "options": 4}
        for name, facts in fabricate.TASKS.items()
        if facts["metric"] != "bits_per_byte" and (facts["measures"], facts["source"]) == ("keep", "other")
    }
    told = verdict.summary(made(tmp_path, fabricate, seeds=(0,), arms={"none": fabricate.ARMS["none"]}, tasks=kept), {})
    assert told == (
        f"On no unrehearsed task ({words.listing(list(kept))}) is the base known to do better than by guessing, "
        "so no forgetting can be claimed."
    )


def test_a_base_alone_is_shown_where_it_stands(tmp_path: Path, fabricate: Any) -> None:
    """`harness score --base BASE` tells which tasks can show forgetting before anything is trained."""
    study = made(tmp_path, fabricate, arms={}, seeds=(0,), plan={"models": [], "control": ""})
    section = tasks.section(study)
    assert section.answer == "The base alone has been scored: this is where it stands."
    assert {str(row[0]) for table in section.blocks for row in table.rows} == set(fabricate.TASKS)  # pyright: ignore
    assert not any("trained elsewhere" in line for line in cautions.warnings(study))
    assert page.write(tmp_path).is_file()


def test_nothing_is_said_to_be_worse_where_nothing_is(tmp_path: Path, fabricate: Any) -> None:
    better = fabricate.Effect(forgets=-0.3, learns=0.5, loses=-1.0)
    study = made(tmp_path, fabricate, seeds=(0,), arms={"none": better}, luck=0.0)
    assert tasks.answer(study) == "Of what was not rehearsed, nothing changed for the worse in the control."


def test_the_worst_change_is_named_with_its_interval(run: Path) -> None:
    study = Study(record.read(run))
    change = study.samples["grammar"].change("none", (0, 1, 2))
    assert words.interval(change, "accuracy", True) in tasks.answer(study)
    cells = [cell for block in (tasks.behind(study, "text"), tasks.table(study, "text")) for row in block.rows for cell in row]
    assert all(cell.under for cell in cells if isinstance(cell, Cell))


def test_an_unknown_chance_is_called_unknown(tmp_path: Path, fabricate: Any) -> None:
    task = fabricate.TASKS["facts"] | {"chance": None, "options": 4}
    study = made(tmp_path, fabricate, seeds=(0,), tasks=fabricate.TASKS | {"asked": task})
    for tables in (study.before, *study.rows.values()):
        tables["asked"]["answer"] = None
    shown = {row[0]: row[3] for row in tasks.table(study, "accuracy").rows}
    assert shown["asked"] == "unknown"
    assert shown["facts"] == "12.5"
    warned = " ".join(cautions.warnings(study))
    assert "Nobody said what guessing would score in asked" in warned
    assert "asked no better than by guessing" not in warned


def test_where_all_are_on_the_frontier_none_is_said_to_lie_inside(tmp_path: Path, fabricate: Any) -> None:
    pair = {"none": fabricate.ARMS["none"], "kl": fabricate.ARMS["kl"]}
    answer = tradeoff.answer(made(tmp_path, fabricate, seeds=(0,), arms=pair))
    assert "all arms are on the frontier" in answer
    assert "lie inside" not in answer


def test_who_lies_inside_the_frontier_is_named(run: Path) -> None:
    answer = tradeoff.answer(Study(record.read(run)))
    assert "On unrehearsed tasks and new tasks, ewc:weight=100 alone is the frontier" in answer
    assert "and none, kl, replay:share=0.25 and low_lr lie inside it" in answer


def test_a_sentence_says_text_and_tasks_kept_and_learned_each_with_its_interval(run: Path) -> None:
    study = Study(record.read(run))
    found = claims(study)
    sentence = verdict.finding(study, found["none"]).sentence
    for part in ("bits per byte of unrehearsed text (95 % interval", "points on unrehearsed tasks (",
                 "bits per byte of new text (", "points on new tasks ("):  # fmt: skip
        assert part in sentence
    assert sentence.count("(") == 4
    lost = study.figure(LOST, "none")
    assert lost is not None
    assert f"loses {words.amount(lost.value, 'accuracy')} points" in sentence


def test_what_was_rehearsed_stands_beside_in_text_and_tasks_with_intervals(run: Path) -> None:
    study = Study(record.read(run))
    found = claims(study)
    (line,) = verdict.beside(study, "replay:share=0.25")
    lost = study.figure(LOST_REHEARSED, "replay:share=0.25")
    assert lost is not None
    shown = lost if lost.value >= 0 else lost.times(-1)
    assert f"{words.amount(shown.value, 'accuracy')} points on tasks ({words.between(shown, 'accuracy')})" in line
    assert "bits per byte of text (" in line
    assert verdict.finding(study, found["kl"]).beside == ()
    assert "of the source that it read beside training" in verdict.beside(study, "ewc:weight=100")[0]


def test_a_note_that_several_suites_carry_is_said_once(tmp_path: Path, fabricate: Any) -> None:
    notes = dict.fromkeys(("world_general", "world_medical"), fabricate.NOTE)
    study = made(tmp_path, fabricate, seeds=(0,), arms={"none": fabricate.ARMS["none"]}, plan={"suite_notes": notes})
    assert cautions.warnings(study).count(fabricate.NOTE) == 1


def test_arms_are_placed_by_name(run: Path) -> None:
    answer = verdict.section(Study(record.read(run))).answer
    assert "kl" in answer
    assert "trade" in answer


@pytest.mark.parametrize("nested", [True, False])
def test_a_shared_training_is_marked_and_paid_once(tmp_path: Path, fabricate: Any, nested: bool) -> None:
    both = {"none": fabricate.ARMS["none"], "wise": fabricate.ARMS["low_lr"]}
    folder = fabricate.run_folder(tmp_path, fabricate.Recipe(arms=both, seeds=(0,)))
    path = folder / "wise" / "seed-0" / "result.json"
    shared = {"shared_with": "none"}
    facts = json.loads(path.read_text()) | ({"facts": shared} if nested else shared)
    facts["seconds"]["setup"] = 0.0
    path.write_text(json.dumps(facts))
    (path.parent / "training.jsonl").unlink()
    study = Study(record.read(folder))
    table = arms.prices(study)
    rows = {row[0]: dict(zip(table.head, row, strict=True)) for row in table.rows}
    own, marked = rows["none"]["training"], rows["wise"]["training"]
    assert isinstance(own, Cell)
    assert marked == Cell(f"{own.text} †", value=own.value)
    assert rows["wise"]["scoring"] == rows["none"]["scoring"]
    assert "†" not in str(rows["none"])
    assert "† wise is made from the training of none: that training was run once and is paid once." in table.caption
    assert sum(arms.spent(trial) for trial in study.done) == pytest.approx(4.2 + 71.5)
    assert "took 1 min 16 s together" in arms.answer(study)
    page.write(folder)


def test_no_dagger_where_every_arm_was_trained(run: Path) -> None:
    table = arms.prices(Study(record.read(run)))
    assert "†" not in table.caption + str(table.rows)


def trained(fabricate: Any, arm: str, **facts: Any) -> dict[str, Any]:
    """A plan's trainings in which one arm differs."""
    return {name: fabricate.training(name) | (facts if name == arm else {}) for name in fabricate.ARMS}


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"controls": ["none", "low_lr"]}, ""),
        ({"controls": ["none:lr=0.1"]},
         " Its control none:lr=0.1 was not trained, so what makes the difference stays open."),
        ({"controls": ["none:lr=0.1", "low_lr", "l2sp"]},
         " Its controls none:lr=0.1 and l2sp were not trained, so what makes the difference stays open."),
        ({"experimental": True}, " It is experimental: checked against its formula alone."),
    ],
)  # fmt: skip
def test_an_arms_sentence_names_the_controls_that_it_lacks(
    facts: dict[str, Any], expected: str, tmp_path: Path, fabricate: Any
) -> None:
    study = made(tmp_path, fabricate, seeds=(0, 1), plan={"trainings": trained(fabricate, "kl", **facts)})
    found = claims(study)
    said = verdict.finding(study, found["kl"]).sentence
    assert said.endswith(f"{standing.at_end(found['kl'])}{expected}")
    assert verdict.finding(study, found["none"]).sentence.count("control") == 0
    rows = provenance.arm_table(study.record.plan).rows
    assert ("kl (experimental)" in {row[0] for row in rows}) is bool(facts.get("experimental"))


def test_every_arm_stands_with_its_rate_and_its_updates(tmp_path: Path, fabricate: Any) -> None:
    trainings = trained(fabricate, "kl", lr=0.3, updates=400, controls=["none:steps=1.33"])
    study = made(tmp_path, fabricate, seeds=(0,), plan={"trainings": trainings})
    table = provenance.arm_table(study.record.plan)
    rows = {row[0]: dict(zip(table.head, row, strict=True)) for row in table.rows}
    assert (rows["kl"]["lr"], rows["kl"]["updates"], rows["kl"]["its controls"]) == ("0.3", "400", "none:steps=1.33")
    assert (rows["none"]["lr"], rows["none"]["updates"]) == ("1", "300")


@pytest.mark.parametrize(
    ("arm", "equal", "new", "expected"),
    [
        ("kl", "tokens", 307_200, "All arms read the same number of tokens"),
        ("kl", "new_tokens", 409_600, arms.SHARED["new_tokens"]),
        ("kl", "flops", 230_400, arms.SHARED["flops"]),
        (
            "kl:steps=2",
            "tokens",
            614_400,
            "All arms read the same number of tokens, but for kl:steps=2, with updates of its own",
        ),
    ],
)
def test_the_page_says_what_was_made_equal(
    arm: str, equal: str, new: int, expected: str, tmp_path: Path, fabricate: Any
) -> None:
    effects = {"none": fabricate.ARMS["none"], arm: fabricate.ARMS["kl"]}
    study = made(tmp_path, fabricate, seeds=(0,), arms=effects, plan={"equal": equal})
    trial = next(trial for trial in study.done if trial.name == arm)
    trial.facts["tokens"] = {"new": new, "drawn": 0}
    assert arms.answer(study).startswith(f"{expected}; the dearest, ")


def test_all_sources_count_as_tokens_read(tmp_path: Path, fabricate: Any) -> None:
    study = made(tmp_path, fabricate, seeds=(0,))
    trial = next(trial for trial in study.done if trial.name == "kl")
    trial.facts["tokens"] = {"new": 200_000, "drawn": 100_000}
    table = arms.prices(study)
    row = next(dict(zip(table.head, row, strict=True)) for row in table.rows if row[0] == "kl")
    shown = {"new tokens": Cell("200 k", value=2e5), "all tokens": Cell("300 k", value=3e5), "updates": Cell("300", value=300)}
    assert {name: row[name] for name in shown} == shown


@pytest.mark.parametrize(
    ("ratio", "said"), [(0.667, "0.67"), (1.0, "1"), (44.6, "45"), (99.7, "100"), (118.2, "118"), (2345.0, "2,345")]
)
def test_a_multiple_is_said_without_a_power_of_ten(ratio: float, said: str) -> None:
    assert words.times(ratio) == said


@pytest.mark.parametrize(
    ("value", "count", "quantity"),
    [(999.4e3, "999 k", "999 kFLOP"), (999.6e3, "1 M", "1 MFLOP"), (1.0e6, "1 M", "1 MFLOP"), (999.96e6, "1 B", "1 GFLOP")],
)
def test_an_amount_is_said_without_a_power_of_ten(value: float, count: str, quantity: str) -> None:
    assert words.quantity(value, "FLOP") == quantity
    assert words.count(value) == count


def test_how_the_arithmetic_was_done_stands_with_the_budget(tmp_path: Path, fabricate: Any) -> None:
    rows = {name: value for name, value, *_ in provenance.budget_table(made(tmp_path, fabricate).record.plan).rows}
    assert {name: rows[name] for name in ("precision", "optimizer", "document_mask", "compile", "batch")} == {
        "precision": "fp32", "optimizer": "adamw", "document_mask": "on", "compile": "off", "batch": "8",
    }  # fmt: skip
