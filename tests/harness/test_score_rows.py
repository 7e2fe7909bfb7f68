"""Rows hold all that their figures are made of, know the task they were drawn from, and which of them may be chosen by."""

import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness.errors import HarnessError
from harness.model import load_model, load_tokenizer
from harness.score import score
from harness.score_model import Scorer
from harness.score_rows import VALIDATION, Scored, chosen_on
from harness.score_state import quiet
from harness.score_tasks import build
from harness.suite import Suite, Task

CHOICE = {
    "output_type": "multiple_choice",
    "doc_to_text": "question",
    "doc_to_choice": "options",
    "doc_to_target": "answer",
    "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}, {"metric": "acc_bytes"}],
}
TEXT = {
    "output_type": "loglikelihood_rolling",
    "doc_to_text": "",
    "doc_to_target": "text",
    "metric_list": [{"metric": "bits_per_byte"}],
}
WORDS = ("the", "river", "of", "Aldon", "is", "wide", "über", "naïve", "日本", "old")


def said(chance: random.Random, most: int) -> str:
    return " ".join(chance.choice(WORDS) for _ in range(chance.randint(1, most)))


def questions() -> Iterator[dict[str, Any]]:
    """Options of unequal length in words, characters and bytes, so that each rule chooses another."""
    chance = random.Random(1)
    for number in range(60):
        options = [said(chance, 5) for _ in range(4)]
        yield {
            "id": f"q{number}",
            "passage": number // 3,
            "question": said(chance, 4),
            "options": options,
            "answer": number % 4,
        }


def texts() -> Iterator[dict[str, Any]]:
    chance = random.Random(2)
    for number in range(8):
        yield {"id": f"t{number}", "text": said(chance, 40)}


def asked(metric: str = "acc_norm") -> Task:
    return Task("quiz", metric=metric, chance=0.25, config=CHOICE, documents=questions, identity="id", cluster="passage")


def told() -> Task:
    return Task("told", metric="bits_per_byte", config=TEXT, documents=texts, identity="id")


def suite(*tasks: Task) -> Suite:
    return Suite("toy", "a toy", tasks, key="toy")


@pytest.fixture(scope="module")
def loaded(model_folder: Path) -> tuple[Any, Any]:
    return load_model(model_folder), load_tokenizer(model_folder)


def by_lm_eval(loaded: tuple[Any, Any], task: Task) -> dict[str, Any]:
    """lm-eval's own results of a task, by its own `evaluate`."""
    from lm_eval.evaluator import evaluate

    built = build(task)
    for leaf in built.values():
        leaf.set_fewshot_seed(1234)
    with quiet():
        found: Any = evaluate(Scorer(*loaded, length=None, bos=None), {"tasks": built}, bootstrap_iters=0)
    return found["results"][task.name]


@pytest.mark.parametrize("metric", ["acc", "acc_norm"])
def test_every_aggregate_of_choices_comes_from_rows_alone(loaded: tuple[Any, Any], metric: str, tmp_path: Path) -> None:
    """acc, acc_norm and acc_bytes as lm-eval prints them, and margins as they are defined, whichever of them counts."""
    score(*loaded, suite(asked(metric))).to_parquet(tmp_path / "rows.parquet")
    rows = pd.read_parquet(tmp_path / "rows.parquet")
    nats = np.stack(rows["loglikelihoods"].tolist())  # (n, 4)
    answer = rows["answer"].to_numpy(int)
    lengths = {
        "acc": np.ones_like(nats),
        "acc_norm": np.stack(rows["option_characters"].tolist()),
        "acc_bytes": np.stack(rows["option_bytes"].tolist()),
    }
    expected = by_lm_eval(loaded, asked(metric))
    picked = {name: (nats / size).argmax(1) for name, size in lengths.items()}
    found = {name: float((pick == answer).mean()) for name, pick in picked.items()}
    assert found == {name: expected[f"{name},none"] for name in lengths}
    assert len({tuple(pick) for pick in picked.values()}) == 3, "the three rules choose differently here"
    assert rows["value"].mean() == expected[f"{metric},none"]
    assert rows["choice"].tolist() == picked[metric].tolist()
    assert ((rows["choice"] == rows["answer"]) == (rows["value"] == 1.0)).all()
    margin = nats[range(60), answer] - np.where(np.eye(4, dtype=bool)[answer], -np.inf, nats).max(1)
    assert ((margin > 0) == (picked["acc"] == answer)).all()
    assert (np.stack(rows["option_tokens"].tolist()) > 0).all()


def test_bits_per_byte_come_from_rows_alone(loaded: tuple[Any, Any]) -> None:
    rows = score(*loaded, suite(told()))
    nats, size = rows["loglikelihoods"].str[0].sum(), rows["option_bytes"].str[0].sum()
    assert -nats / size / math.log(2) == pytest.approx(by_lm_eval(loaded, told())["bits_per_byte,none"], rel=1e-9)
    documents = list(texts())
    assert rows["option_bytes"].str[0].tolist() == [len(document["text"].encode()) for document in documents]
    assert rows["option_characters"].str[0].tolist() == [len(document["text"]) for document in documents]
    assert rows["option_tokens"].str[0].tolist() == [
        len(loaded[1](document["text"], add_special_tokens=False).input_ids) for document in documents
    ]
    assert (rows[["document_hash", "prompt_hash", "target_hash"]].map(len) == 64).all(axis=None)


def test_rows_know_their_pool_and_a_limit_draws_the_same_for_every_model(loaded: tuple[Any, Any]) -> None:
    whole, some = score(*loaded, suite(asked())), score(*loaded, suite(asked()), limit=20)
    assert set(whole["pool"]) == set(some["pool"]) == {60}
    assert (len(whole), len(some)) == (60, 20)
    same = whole.set_index("item").loc[some["item"]]
    assert same["split"].tolist() == some["split"].tolist(), "an item's split is its own, whatever else was drawn"


def test_a_cluster_is_chosen_by_or_reported_and_never_both(loaded: tuple[Any, Any]) -> None:
    rows = score(*loaded, suite(asked(), told()))
    quiz = rows[rows["task"] == "quiz"]
    assert (quiz.groupby("cluster")["split"].nunique() == 1).all()
    assert set(quiz["split"]) == {"validation", "test"}
    assert rows["split"].isin(["validation", "test"]).all()


def test_a_fifth_of_the_clusters_may_be_chosen_by() -> None:
    names = [f"passage {i}" for i in range(5000)]
    found = chosen_on(names)
    assert len(found) / 5000 == pytest.approx(VALIDATION, abs=0.02)
    assert chosen_on(reversed(names)) == found
    assert chosen_on(names[:100]) == found & set(names[:100]), "whatever other clusters there are"
    assert chosen_on([next(iter(found))]) == set(), "a task of one cluster is reported"


class Leaf:
    """What `place` asks of lm-eval's task objects."""

    def __init__(self, validation: bool, test: bool, kind: str = "multiple_choice") -> None:
        self.eval_docs, self.OUTPUT_TYPE = range(100), kind
        self.has_validation_docs, self.has_test_docs = lambda: validation, lambda: test


@pytest.mark.parametrize(("validation", "test", "split"), [(True, True, {"test"}), (True, False, {"test", "validation"})])
def test_a_task_with_a_validation_set_of_its_own_is_not_split(validation: bool, test: bool, split: set[str]) -> None:
    from harness.score_rows import place

    rows: list[dict[str, Any]] = [{"cluster": str(i)} for i in range(100)]
    place(rows, [Leaf(validation, test)])
    assert {row["split"] for row in rows} == split
    assert {row["pool"] for row in rows} == {100}


def test_a_text_is_split_even_where_it_has_a_validation_set_which_nobody_scores() -> None:
    from harness.score_rows import place

    rows: list[dict[str, Any]] = [{"cluster": str(i)} for i in range(100)]
    place(rows, [Leaf(True, True, "loglikelihood_rolling")])
    assert {row["split"] for row in rows} == {"test", "validation"}


@pytest.mark.parametrize("value", [37.5, -0.2])
def test_a_metric_of_another_scale_than_shares_is_not_counted_as_kept(value: float) -> None:
    def row(measures: Any, metric: str) -> None:
        Scored(Suite("s", "", (), key="s"), Task("told", measures, metric), "told", None, {})._refuse_scale(value, "7")

    sentence = rf"task told, item 7: bleu_max is {value:g}, and what is kept or gained counts in shares from 0 to 1; give it"
    with pytest.raises(HarnessError, match=sentence):
        row("keep", "bleu_max")
    row("probe", "bleu_max")
    row("keep", "bits_per_byte")
