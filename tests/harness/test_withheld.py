"""What stands for sensitive text: the same for the same text of the same documents, and nothing that could be guessed from."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import hiding
from harness.corpus import Corpus, Document, Split
from harness.errors import said
from harness.model import load_model, load_tokenizer
from harness.score import score
from harness.suite import Suite, Task
from harness.withheld import guarded, keyed, reciting, secret, withheld

CHOICE = {
    "output_type": "multiple_choice", "test_split": "test", "doc_to_text": "question", "doc_to_choice": "options",
    "doc_to_target": "answer", "metric_list": [{"metric": "acc"}], "metadata": {"version": 1.0},
}  # fmt: skip
DOCUMENTS = [
    {"id": str(i), "ward": f"ward {i % 2}", "question": f"The river of {place} is", "options": ["old", "wide"], "answer": i % 2}
    for i, place in enumerate(("Aldon", "Brisk", "Corm", "Aldon"))
]  # fmt: skip


def quiz(documents: list[dict[str, Any]] = DOCUMENTS, **known: Any) -> Suite:
    def read() -> Iterator[Mapping[str, Any]]:
        return iter(documents)

    task = Task(
        "quiz", config={"task": "quiz", **CHOICE}, documents=read, identity="id", cluster="ward", sensitive=True, **known
    )
    return Suite("clinic", "", (task,), "key")


@pytest.fixture(scope="module")
def scored(model_folder: Path) -> Any:
    model, tokenizer = load_model(model_folder), load_tokenizer(model_folder)
    return lambda suite: score(model, tokenizer, suite)


@pytest.fixture(autouse=True)
def _quoting() -> Iterator[None]:
    yield
    hiding.quote(True)


HASHES = ["document_hash", "prompt_hash", "target_hash"]


def test_rows_pair_across_runs_and_hold_no_words(scored: Any) -> None:
    one, other = scored(quiz()), scored(quiz())
    assert one.equals(other)
    assert one["prompt"].str.startswith("[withheld: ").all()
    assert not one.astype(str).apply(lambda column: column.str.contains("river|Aldon|ward")).to_numpy().any()


def test_digests_of_short_answers_cannot_be_tried(scored: Any) -> None:
    """No plain digest of an answer stands in a row, and equal answers of two items do not show that they are equal."""
    rows = scored(quiz())
    plain = {hashlib.sha256(word.encode()).hexdigest() for word in ("0", "1", "old", "wide", " old", " wide")}
    assert not plain & set(rows[HASHES].to_numpy().ravel())
    for column in HASHES:
        assert rows[column].is_unique
    other = [*DOCUMENTS[:3], DOCUMENTS[3] | {"question": "another"}]
    assert not set(scored(quiz(other))["target_hash"]) & set(rows["target_hash"]), "keyed by all documents of the task"


def test_clusters_stay_what_belongs_together(scored: Any) -> None:
    rows = scored(quiz())
    assert rows["cluster"].nunique() == 2
    assert (rows["cluster"].iloc[0], rows["cluster"].iloc[1]) == (rows["cluster"].iloc[2], rows["cluster"].iloc[3])


def test_what_was_asked_for_is_kept_under_the_same_digests(scored: Any) -> None:
    shown, kept = scored(replace(quiz(), shown=True)), scored(quiz())
    assert shown["prompt"].iloc[0] == "The river of Aldon is"
    assert list(shown["options"].iloc[0]) == ["old", "wide"]
    assert shown[HASHES].equals(kept[HASHES])


def test_a_digest_depends_on_text_and_key_alone() -> None:
    assert keyed("yes", "a") == keyed("yes", "a") != keyed("yes", "b")
    assert withheld("", "a") == ""
    assert withheld("x" * 1234, "a") == f"[withheld: 1,234 characters, {keyed('x' * 1234, 'a')[:12]}]"
    assert secret([{"b": 1, "a": 2}]) == secret([{"a": 2, "b": 1}]) != secret([{"a": 2}, {"b": 1}])
    keyed("half of a character: \ud800", "a")


def corpus(sensitive: bool) -> Corpus:
    def read(split: Split) -> Iterator[Document]:
        yield Document("1", f"text of {split}")

    return Corpus("notes", "", read, "key", sensitive=sensitive)


def test_models_recite_what_is_sensitive_alone() -> None:
    assert reciting([corpus(False)]) == ""
    assert reciting([corpus(False), corpus(True)]) == reciting([corpus(True)]) != ""


@pytest.mark.parametrize(
    ("suite", "text", "shown", "quoted"),
    [(False, False, False, True), (True, False, False, False), (False, True, False, False), (True, True, True, True)],
)
def test_other_peoples_errors_are_not_repeated_where_they_may_quote(suite: bool, text: bool, shown: bool, quoted: bool) -> None:
    (made,) = guarded([Suite("s", "", (Task("t", sensitive=suite),), "k")], [corpus(text)], shown)
    assert made.shown == shown
    words = said(ValueError("could not parse 'Mrs Corm has a fever'"))
    assert ("fever" in words) == quoted
    assert words.startswith("ValueError")
    assert quoted or "--show-text" in words
