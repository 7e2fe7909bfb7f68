"""Figures of a run against the effects that were planted in it."""

import importlib
import sys
from pathlib import Path

import pandas as pd
import pytest

from harness import forgetting as fg
from harness import record, results
from harness.errors import RecordError

sys.path.append(str(Path(__file__).parents[1] / "reports"))
fabricate = importlib.import_module("fabricate")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> fg.Study:
    recipe = fabricate.Recipe(failed=(("low_lr", 2),))
    return fg.Study(record.read(fabricate.run_folder(tmp_path_factory.mktemp("run"), recipe)))


@pytest.mark.parametrize("arm", fabricate.ARMS)
def test_planted_changes_in_bits_lie_in_their_intervals(study: fg.Study, arm: str) -> None:
    planted = fabricate.ARMS[arm]
    for reading, value in [(fg.FORGETTING, planted.forgets), (fg.ADAPTATION, planted.learns)]:
        found = study.figure(reading, arm)
        assert found is not None
        assert found.low - 0.02 <= value <= found.high + 0.02
        assert found.value == pytest.approx(value, abs=0.05)


def test_positive_forgetting_is_bad_and_positive_adaptation_good_in_both_units(study: fg.Study) -> None:
    for reading in (fg.FORGETTING, fg.LOST, fg.ADAPTATION, fg.LEARNED, fg.ANSWERS):
        found = study.figure(reading, "none")
        assert found is not None
        assert found.low > 0
    lost = study.figure(fg.LOST, "none")
    assert lost is not None
    assert lost.value == pytest.approx(0.45 * 0.885, abs=0.04)


def test_rehearsed_and_unrehearsed_are_never_one_number(study: fg.Study) -> None:
    arm = "replay:share=0.25"
    kept, lost = study.figure(fg.REHEARSED, arm), study.figure(fg.FORGETTING, arm)
    assert kept is not None
    assert lost is not None
    assert kept.value < 0.05 < 0.3 < lost.value
    assert not {s.task for s in study.tasks(fg.REHEARSED)} & {s.task for s in study.tasks(fg.FORGETTING)}
    same, other = study.retention(arm, fg.LOST_REHEARSED), study.retention(arm, fg.LOST)
    assert same is not None
    assert other is not None
    assert same.value > 0.9 > 0.7 > other.value


def test_tasks_that_should_change_and_probes_are_no_part_of_forgetting(study: fg.Study) -> None:
    used = {s.task for r in (fg.LOST, fg.LOST_REHEARSED, fg.LEARNED) for s in study.tasks(r)}
    assert used == {"facts", "grammar", "facts_rehearsed", "drugs", "diseases"}


def test_intervals_name_their_layers(study: fg.Study) -> None:
    one, all_seeds = study.figure(fg.FORGETTING, "kl", 0), study.figure(fg.FORGETTING, "kl")
    assert one is not None
    assert all_seeds is not None
    assert (one.layers, one.seeds) == ("items", 1)
    assert (all_seeds.layers, all_seeds.seeds) == ("items and seeds", 3)
    assert study.seeds("low_lr", fg.FORGETTING) == (0, 1)


def test_the_difference_from_the_control_is_paired(study: fg.Study) -> None:
    found = study.against_control(fg.FORGETTING, "kl")
    kl, control = study.figure(fg.FORGETTING, "kl"), study.figure(fg.FORGETTING, "none")
    assert found is not None
    assert kl is not None
    assert control is not None
    assert found.value == pytest.approx(kl.value - control.value)
    assert study.against_control(fg.FORGETTING, "none") is None


def test_recovered_share(study: fg.Study) -> None:
    found = study.recovered("kl")
    assert found is not None
    assert found.value == pytest.approx(1 - 0.05 / 0.42, abs=0.04)
    assert found.low < found.value < found.high
    assert study.recovered("none") is None


def test_what_the_base_does_not_know_it_cannot_forget(tmp_path: Path) -> None:
    tasks = fabricate.TASKS | {"guessed": fabricate.TASKS["drugs"] | {"measures": "keep", "source": "other"}}
    fabricate.KNOWN["guessed"] = 0.125
    one = fg.Study(record.read(fabricate.run_folder(tmp_path, fabricate.Recipe(tasks=tasks, seeds=(0,)))))
    assert "guessed" in one.samples
    assert "guessed" not in {s.task for s in one.tasks(fg.LOST)}


def test_results_hold_one_row_an_arm_seed_and_task_and_say_what_failed(study: fg.Study) -> None:
    rows = results.results(study.record)
    done = rows[rows["status"] == "done"]
    assert len(done) == 14 * len(fabricate.TASKS)
    assert not done.duplicated(["arm", "seed", "task"]).any()
    failed = rows[rows["status"] == "failed"]
    assert failed[["arm", "seed"]].to_numpy().tolist() == [["low_lr", 2]]
    assert "not finite" in failed["error"].iloc[0]
    facts = done[(done["arm"] == "none") & (done["task"] == "facts")].iloc[0]
    assert facts["change"] < 0
    assert facts["value"] == pytest.approx(facts["base"] + facts["change"])
    assert facts["low"] < facts["change"] < facts["high"]
    assert (facts["unit"], facts["n"], facts["clusters"], facts["chance"]) == ("share", 240, 24, 0.125)
    text = done[(done["arm"] == "none") & (done["task"] == "text_stories")].iloc[0]
    assert text["change"] > 0
    assert (text["unit"], text["n"]) == ("bits per byte", 60)


@pytest.mark.parametrize(("column", "value"), [("document_hash", "another"), ("prompt_hash", "another"), ("item", "unknown")])
def test_rows_that_do_not_belong_together_are_refused(tmp_path: Path, column: str, value: str) -> None:
    folder = fabricate.run_folder(tmp_path, fabricate.Recipe(seeds=(0,)))
    path = folder / "kl" / "seed-0" / "scores" / "world_general.parquet"
    rows = pd.read_parquet(path)
    rows.loc[3, column] = value
    rows.to_parquet(path)
    with pytest.raises(RecordError, match=r"kl, seed 0, .*'facts'"):
        _ = fg.Study(record.read(folder)).samples


def test_margins_come_from_the_plan(tmp_path: Path) -> None:
    recipe = fabricate.Recipe(seeds=(0,), plan={"options": {"margin": {"text": 0.5}}})
    one = fg.Study(record.read(fabricate.run_folder(tmp_path, recipe)))
    assert (one.margin("text"), one.margin("accuracy")) == (0.5, 0.01)


def test_answer_bits_follow_the_option_that_counted_for_the_base(tmp_path: Path) -> None:
    folder = fabricate.run_folder(tmp_path, fabricate.Recipe(seeds=(0,)))
    path = folder / "kl" / "seed-0" / "scores" / "world_medical.parquet"
    rows = pd.read_parquet(path)
    before = fg.Study(record.read(folder)).answers["drugs"].after["kl", 0]
    rows.loc[rows["task"] == "drugs", "answer"] = 0  # as where several options are right and another one was chosen
    rows.to_parquet(path)
    after = fg.Study(record.read(folder)).answers["drugs"].after["kl", 0]
    assert (before == after).all()


def unknown_chance(folder: Path, metric: str, **more: object) -> fg.Study:
    """A run whose plan names no chance for a task with four options."""
    task = fabricate.TASKS["facts"] | {"chance": None, "options": 4, "metric": metric}
    recipe = fabricate.Recipe(seeds=(0,), tasks=fabricate.TASKS | {"asked": task})
    study = fg.Study(record.read(fabricate.run_folder(folder, recipe)))
    base = study.before["asked"]
    for table in (base, *(tables["asked"] for tables in study.rows.values())):
        for name, value in more.items():
            table[name] = [value] * len(table)
    return study


def test_unknown_chance_of_a_choice_is_that_of_its_options(tmp_path: Path) -> None:
    study = unknown_chance(tmp_path, "acc")
    study.before["asked"].at["asked-0", "loglikelihoods"] = [-1.0, -2.0]
    assert study.chance("asked") == pytest.approx((239 / 4 + 1 / 2) / 240)
    assert study.chance("text_stories") is None
    rows = results.results(study.record)
    assert rows[rows["task"] == "asked"]["chance"].iloc[0] == pytest.approx(0.25)


def test_chance_is_zero_for_exact_matches_only(tmp_path: Path) -> None:
    study = unknown_chance(tmp_path, "exact_match", answer=None, loglikelihoods=[])
    assert study.chance("asked") == 0.0
    assert study.known(study.samples["asked"])


def test_where_chance_is_unknown_nothing_is_known_and_nothing_kept(tmp_path: Path) -> None:
    study = unknown_chance(tmp_path, "acc", answer=None, loglikelihoods=[-1.0])
    assert study.chance("asked") is None
    assert not study.known(study.samples["asked"])
    assert "asked" not in {s.task for s in study.tasks(fg.LOST)}
    assert study.retention("none", fg.LOST) is not None


def test_no_share_is_taken_of_a_seed_in_which_the_control_forgot_nothing(tmp_path: Path) -> None:
    arms, seeds = {name: fabricate.ARMS[name] for name in ("none", "kl")}, tuple(range(12))
    given = {"arms": arms, "seeds": seeds, "documents": 10, "items": 10, "luck": 0.4, "milestones": ()}
    control = fg.Study(record.read(fabricate.run_folder(tmp_path / "control", fabricate.Recipe(**given))))
    by_seed = {seed: figure.value for seed in seeds if (figure := control.figure(fg.FORGETTING, "none", seed))}
    least = min(by_seed, key=lambda seed: by_seed[seed])
    assert by_seed[least] < 0
    failed = tuple(("kl", seed) for seed in seeds if seed != least)
    study = fg.Study(record.read(fabricate.run_folder(tmp_path / "one", fabricate.Recipe(**given, failed=failed))))
    whole = study.figure(fg.FORGETTING, "none")
    assert whole
    assert whole.low > 0
    assert study.recovered("kl") is None
