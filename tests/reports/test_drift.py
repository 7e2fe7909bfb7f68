"""The section on drift finds what was planted, says it in a computed sentence, and says why where there is nothing."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness import forgetting as fg
from harness import record
from harness.tabled import DRIFT_COLUMNS
from reports import drift, page


def study(folder: Path, fabricate: Any, **recipe: Any) -> fg.Study:
    return fg.Study(record.read(fabricate.run_folder(folder, fabricate.Recipe(**recipe))))


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory, fabricate: Any) -> fg.Study:
    return study(tmp_path_factory.mktemp("runs") / "drift", fabricate)


@pytest.mark.parametrize("arm", ["none", "kl", "low_lr"])
def test_what_was_planted_is_found(planted: fg.Study, fabricate: Any, arm: str) -> None:
    effect = fabricate.ARMS[arm]
    for reading, column, value in [
        (drift.NEW, "forward", effect.learns / 2),
        (drift.NEW, "reverse", 1.2 * effect.learns / 2),
        (fg.FORGETTING, "forward", effect.forgets),
    ]:
        found = drift.divergence(planted, arm, reading, (column,))
        assert found is not None
        assert found.low - 0.02 * value < value < found.high + 0.02 * value
        assert (found.layers, found.seeds) == ("items and seeds", 3)
    rise = drift.divergence(planted, arm, fg.REHEARSED, ("after", "before"))
    assert rise is not None
    assert rise.value == pytest.approx(effect.forgets_same)
    assert drift.predicted(planted, arm) == pytest.approx(effect.forgets_same / 2)
    distance, changed, tensors = drift.moved(planted, arm)
    lengths = [effect.learns * (number + 1) / 100 for number in range(12)]
    assert distance == pytest.approx(sum(x**2 for x in lengths) ** 0.5 / (12 * 2.0**2) ** 0.5)
    assert changed == 1.0
    assert tensors.max() == pytest.approx(lengths[-1] / 2)


def test_the_sentence_is_computed(tmp_path: Path, fabricate: Any) -> None:
    far, near, odd = fabricate.Effect(0.4, 0.3, 1.0), fabricate.Effect(0.1, 0.1, 0.4), fabricate.Effect(0.5, 0.3, 0.2)
    two = study(tmp_path / "two", fabricate, arms={"none": far, "kl": near}, seeds=(0,))
    assert ", and forgot more than the other arm. The Fisher foretells a rise of 0.15 nats" in drift.section(two).answer
    assert "per token of old text in none; a rise of 0.3 was measured." in drift.section(two).answer
    three = study(tmp_path / "three", fabricate, arms={"none": far, "kl": near, "low_lr": odd}, seeds=(0,))
    assert drift.section(three).answer.startswith("On new text none drifted furthest from the base, by 0.")
    assert "; in 1 of 3 pairs of arms, the one that drifted further forgot more." in drift.section(three).answer
    turned = study(tmp_path / "turned", fabricate, arms={"none": far, "kl": odd}, seeds=(0,))
    assert ", and yet forgot no more than the other arm." in drift.section(turned).answer


def test_the_tensors_that_moved_furthest_come_first(planted: fg.Study) -> None:
    shown = drift.tensors(planted, planted.arms)
    assert [row[0] for row in shown.rows] == [f"model.layers.{n}.mlp.up_proj.weight" for n in range(11, 3, -1)]
    assert shown.rows[0][1] == "6.6 %"


def skip(folder: Path, why: str) -> None:
    for path in folder.rglob("drift.parquet"):
        pd.DataFrame([{"kind": "skipped", "item": why}], columns=list(DRIFT_COLUMNS)).astype(DRIFT_COLUMNS).to_parquet(path)


def test_where_nothing_was_measured_the_reason_is_said(tmp_path: Path, fabricate: Any) -> None:
    one = study(tmp_path, fabricate, seeds=(0,))
    skip(tmp_path, "memory ran out with the base beside the model")
    found = drift.section(fg.Study(record.read(tmp_path)))
    assert (found.answer, found.blocks) == ("Drift was not measured: memory ran out with the base beside the model.", ())
    for path in tmp_path.rglob("drift.parquet"):
        path.unlink()
    assert drift.section(fg.Study(record.read(one.record.folder))).answer == "No trial's drift has been measured yet."


def test_names_of_tensors_are_text(tmp_path: Path, fabricate: Any) -> None:
    study(tmp_path, fabricate, seeds=(0,))
    for path in tmp_path.rglob("drift.parquet"):
        rows = pd.read_parquet(path)
        rows.loc[rows["kind"] == "tensor", "item"] = "<img src=x onerror=alert(1)>"
        rows.drop_duplicates("item").to_parquet(path)
    text = page.write(tmp_path).read_text(encoding="utf-8")
    assert "<img src=x" not in text
    assert "&lt;img src=x onerror" in text
