"""How sure the choice is, as the page says it: what was planted is what is said."""

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import record
from harness.forgetting import Study
from reports import arms, figure, frontiers, page, sweeps

SETTINGS = {"none": ((0.4, 0.1), (0.8, 0.3), (1.2, 0.6)), "kl": ((0.3, 0.02), (0.7, 0.08), (1.0, 0.2))}


@pytest.fixture(scope="module")
def fabricated() -> Any:
    return importlib.import_module("fabricate")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, fabricated: Any) -> Study:
    """Two arms of three settings each, under three seeds, one of which failed for one setting."""
    families = {
        arm: {
            name: fabricated.Effect(forgets, learns=learns)
            for name, (learns, forgets) in zip((f"{arm}:lr=0.3", arm, f"{arm}:lr=3"), spots, strict=True)
        }
        for arm, spots in SETTINGS.items()
    }
    texts = {name: facts for name, facts in fabricated.TASKS.items() if facts["metric"] == "bits_per_byte"}
    recipe = fabricated.sweep(families, tasks=texts, documents=40, failed=(("kl:lr=0.3", 1),))
    return Study(record.read(fabricated.run_folder(tmp_path_factory.mktemp("swept") / "run", recipe)))


def cells(table: Any, first: str) -> list[str]:
    row = next(row for row in table.rows if row[0] == first)
    return [value if isinstance(value, str) else value.text for value in row]


def test_the_answer_names_levels_what_was_missed_and_how_seeds_lie(study: Study) -> None:
    answer = sweeps.section(study).answer
    assert "that the control's best setting, none:lr=3, learns: kl:lr=3 keeps more than the control at 75%." in answer
    assert "Not every level was attained by kl." in answer
    assert "Between seeds forgetting differs most for" in answer
    assert "kl:lr=3 keeps most in 100% of 2,000 draws of items and seeds." in answer


def test_what_was_not_attained_is_a_cell_that_says_so(study: Study) -> None:
    assert study.swept
    row = cells(frontiers.levels(study, study.swept), "kl")
    assert row[1] == "not attained"  # under the seed for which the lowest setting failed
    assert row[5:] == ["not attained", "–"]
    assert float(row[3]) == pytest.approx(0.16, abs=0.03)
    under = [value.under for value in frontiers.levels(study, study.swept).rows[1] if not isinstance(value, str)]
    assert (under[0], "p " in under[3]) == ("under seed 1", True)


def test_unequal_grids_have_no_volume_and_failures_are_counted(study: Study) -> None:
    assert study.swept
    table = frontiers.volumes(study.swept)
    assert cells(table, "kl")[1:] == ["grid not whole", "grid not whole", "2", "1", "3"]
    assert cells(table, "none")[3:] == ["3", "0", "3"]


def test_trainings_of_all_settings_are_spent_by_the_arm(study: Study) -> None:
    assert cells(sweeps.spent(study), "kl:lr=3") == ["kl:lr=3", "3", "8", "1", "0"]
    assert cells(arms.prices(study), "kl:lr=3")[1] == "8 of 9"


def test_the_settings_of_an_arm_look_alike(study: Study) -> None:
    looks = figure.marks(study)
    assert len({looks[name] for name in ("kl", "kl:lr=0.3", "kl:lr=3")}) == 1
    assert looks["none:lr=3"].symbol == "square"
    assert looks["kl"] != looks["none"]


def test_a_run_without_a_sweep_tells_its_seeds(tmp_path: Path, fabricated: Any) -> None:
    recipe = fabricated.Recipe(documents=20, items=24, seeds=(1,), milestones=())
    found = Study(record.read(fabricated.run_folder(tmp_path / "run", recipe)))
    answer = sweeps.section(found).answer
    assert answer.startswith("Every arm was trained under one seed: what is said holds for these checkpoints.")
    assert "draws of items." in answer
    searching = replace(found.record, plan=found.record.plan | {"tried": ["none"]})
    assert page.status(Study(searching))[1].endswith("; the search is not over.")
