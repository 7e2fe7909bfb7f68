"""Whether the page tells how trainings went."""

import json
from pathlib import Path
from typing import Any

from harness import record
from harness.forgetting import UNITS, Study
from reports import cautions, training, words


def test_tokens_a_second_are_those_of_the_whole_training(run: Path) -> None:
    trial = next(trial for trial in Study(record.read(run)).done if trial.name == "none")
    assert trial.training["seconds"].is_monotonic_increasing  # the log counts from the start of the training
    row = dict(zip(training.HEALTH, training.health_row(trial), strict=True))
    assert row["tokens/s"] == words.count(round(1024 / 0.24, 1))


def test_there_is_one_table_of_units() -> None:
    assert {kind: unit for kind, unit in words.UNIT.items() if words.SCALE[kind] == 1} == {
        kind: unit for kind, unit in UNITS.items() if kind != "accuracy"
    }


def test_distance_and_facts_of_a_strategy_stand_in_their_columns(run: Path) -> None:
    trial = next(trial for trial in Study(record.read(run)).done if trial.name.startswith("ewc"))
    row = dict(zip(training.HEALTH, training.health_row(trial), strict=True))
    assert (row["distance"], row["facts"]) == ("0.11", "fisher split half 0.93")


def test_curves_that_end_alike_are_not_said_of_one_arm() -> None:
    assert training.ends([("none", [1.0], [0.5]), ("kl", [1.0], [0.5])]) == "All end at 0.5."
    assert training.ends([("none", [1.0], [0.5])]) == "none ends at 0.5."


def test_what_a_strategy_logs_stands_with_its_last_value(tmp_path: Path, fabricate: Any) -> None:
    folder = fabricate.run_folder(tmp_path, fabricate.Recipe(seeds=(0,)))
    path = folder / "kl" / "seed-0" / "training.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()[:20]]
    for i, line in enumerate(lines[:-1]):
        line["strategy.share_projected"] = i / 10
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    tables = training.logged(Study(record.read(folder)).done)
    assert [table.rows for table in tables] == [(("kl", "0", "share projected", "1.8"),)]
    assert training.logged([trial for trial in Study(record.read(folder)).done if trial.name == "none"]) == []


def test_a_loss_over_weighed_tokens_is_not_compared(run: Path) -> None:
    trials = Study(record.read(run)).done
    assert "compare" not in training.health(trials).caption
    one = training.health(trials, ["rho1"]).caption
    assert one.endswith("rho1 weighs tokens, so its loss does not compare with the others'")
    both = training.health(trials, ["flow", "rho1"]).caption
    assert both.endswith("flow and rho1 weigh tokens, so their losses do not compare with the others'")


def test_a_distance_that_is_not_there_is_no_number(run: Path) -> None:
    trial = Study(record.read(run)).done[0]
    trial.facts["facts"] = {"distance": None}
    row = dict(zip(training.HEALTH, training.health_row(trial), strict=True))
    assert row["distance"] == row["facts"] == words.NOTHING


def test_skipped_steps_are_warned_of_and_leave_the_figures_alone(tmp_path: Path, fabricate: Any) -> None:
    folder = fabricate.run_folder(tmp_path, fabricate.Recipe(seeds=(0,)))
    before = training.health_row(next(t for t in Study(record.read(folder)).done if t.name == "kl"))
    trial = folder / "kl" / "seed-0"
    lines = (trial / "training.jsonl").read_text().splitlines()
    row = json.loads(lines[99])
    kept = {key: row[key] for key in ("update", "tokens", "learning_rate", "new", "old", "seconds")}
    lines[99] = json.dumps(kept | {"skipped": "kl failed in loss: its term kl is nan", "rows": ["new 4"]})
    (trial / "training.jsonl").write_text("\n".join(lines))
    facts = json.loads((trial / "result.json").read_text())
    (trial / "result.json").write_text(json.dumps(facts | {"skipped_steps": 1}))
    study = Study(record.read(folder))
    after = training.health_row(next(t for t in study.done if t.name == "kl"))
    assert [*after[:3], *after[5:]] == [*before[:3], *before[5:]]
    assert "nan" not in after
    said = [line for line in cautions.warnings(study) if "skipped" in line]
    assert said == [
        "Steps were skipped, because their loss or gradient was not finite (kl, seed 0: 1 of 300); their text was not learned."
    ]
    assert "nan" not in training.answer(study.done)
    (trial / "training.jsonl").write_text(json.dumps(kept | {"skipped": "nan", "rows": []}))
    assert training.section(Study(record.read(folder))).answer.endswith(
        "4 trainings; at most 4 % of a training's steps were clipped."
    )


def test_micro_batches_that_were_halved_are_told_with_what_it_changes(tmp_path: Path, fabricate: Any) -> None:
    folder = fabricate.run_folder(tmp_path, fabricate.Recipe(seeds=(0,)))
    assert not [line for line in cautions.warnings(Study(record.read(folder))) if "Memory" in line]
    path = folder / "kl" / "seed-0" / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"halved": [[12, 4], [90, 1]]}))
    assert [line for line in cautions.warnings(Study(record.read(folder))) if "Memory" in line] == [
        "Memory ran out, and micro-batches were made smaller than the 8 rows of the plan "
        "(kl, seed 0: 1 row from update 90 on). "
        "Every step still learned from the same rows: these trainings differ from what was planned by rounding alone."
    ]


def test_arms_that_are_scored_at_their_best_checkpoint_are_told_with_where_it_was(tmp_path: Path, fabricate: Any) -> None:
    folder = fabricate.run_folder(tmp_path, fabricate.Recipe(seeds=(0,)))
    assert not [line for line in cautions.warnings(Study(record.read(folder))) if "best checkpoint" in line]
    plan = record.read_plan(folder)
    plan["options"] = (plan.get("options") or {}) | {"scored_at": "best of every 20 updates"}
    record.write_plan(folder, plan)
    for path in folder.glob("*/seed-0/result.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"scored_at": 300, "steps": 300}))
    (said,) = [line for line in cautions.warnings(Study(record.read(folder))) if "best checkpoint" in line]
    assert said.endswith("best checkpoint by loss on held-out new text; so far that was the final step in all of them.")
    path = folder / "kl" / "seed-0" / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"scored_at": 60}))
    (said,) = [line for line in cautions.warnings(Study(record.read(folder))) if "best checkpoint" in line]
    assert said == (
        "Every arm is scored at its best checkpoint by loss on held-out new text and not at its final step: "
        "before the last update in some (kl, seed 0: after 60 of 300 updates). "
        "Arms are stopped at different adaptation, so read what they keep beside what they learn."
    )
