"""lm-eval's own tasks by name and from local files; the plan's texts as a suite; keys."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.corpus import Corpus, Document, Split
from harness.errors import HarnessError, InputError
from harness.model import load_model, load_tokenizer
from harness.score import documents_suite, prepare, score, score_key, suite_key
from harness.score_data import read_rows
from harness.score_state import quiet
from harness.score_stock import find
from harness.score_tasks import build, subset
from harness.score_texts import CHARACTERS, cut
from harness.suite import Suite, Task, Text

BLIMP = {"sentence_good": "the cat sees it", "sentence_bad": "the cat see it"}
SHARED = Path(os.environ.get("HARNESS_SHARED", Path(__file__).resolve().parents[3] / "shared"))


def suite(*tasks: Task) -> Suite:
    return Suite("toy", "a toy", tasks, key="toy")


def rows_file(folder: Path, rows: list[Any]) -> str:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def blimp(folder: Path, **files: str) -> Task:
    files = files or {"train": rows_file(folder, [{**BLIMP, "UID": str(i)} for i in range(30)])}
    return Task("blimp_wh_island", files=files)


def test_a_stock_task_keeps_its_prompts_with_local_files(tmp_path: Path) -> None:
    with quiet():
        (built,) = build(blimp(tmp_path)).values()
    assert built.doc_to_choice(built.eval_docs[0]) == [BLIMP["sentence_good"], BLIMP["sentence_bad"]]
    assert "acc" in built.aggregation()
    assert len(built.eval_docs) == 30


def test_a_task_is_built_once_while_it_lives(tmp_path: Path) -> None:
    task = blimp(tmp_path)
    with quiet():
        assert build(task) is build(task)
        assert build(task) is not build(blimp(tmp_path))


def test_subsets_are_seeded(tmp_path: Path) -> None:
    with quiet():
        built = build(blimp(tmp_path))
    assert subset(built, None) is None
    (first,) = (subset(built, 5) or {}).values()
    assert first == sorted(set(first)) == (subset(built, 5) or {})["blimp_wh_island"]
    assert len(first) == 5
    assert first != [0, 1, 2, 3, 4]
    assert subset(built, 99) == {"blimp_wh_island": list(range(30))}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "rows.jsonl holds no documents"),
        ('{"a": 1}\n{"a": \n', "rows.jsonl:2 is no JSON"),
        ("[1]\n", "rows.jsonl:1 is no JSON object; every line is one document"),
    ],
)
def test_bad_rows_are_named_by_line(tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(content)
    with pytest.raises(InputError) as error:
        read_rows(path)
    assert says in str(error.value)


def test_wrong_splits_and_files(tmp_path: Path) -> None:
    rows = rows_file(tmp_path, [BLIMP])
    with quiet():
        with pytest.raises(InputError, match="task blimp_wh_island has no split test; known: train"):
            build(blimp(tmp_path, test=rows))
        with pytest.raises(InputError, match="task hellaswag scores its split validation; give a file for it"):
            build(Task("hellaswag", files={"train": rows}))
        with pytest.raises(InputError, match="blimp is a group of tasks; give files for each of its tasks"):
            build(Task("blimp", files={"train": rows}))
        with pytest.raises(InputError, match=r"nowhere\.jsonl is no file"):
            build(blimp(tmp_path, train="nowhere.jsonl"))
        mixed = rows_file(tmp_path, [BLIMP, {**BLIMP, "sentence_bad": 3}])
        with pytest.raises(InputError, match="documents differ in the type of a field"):
            build(blimp(tmp_path, train=mixed))


def test_unknown_tasks_are_guessed() -> None:
    with pytest.raises(InputError, match=r"lm-eval has no task 'helaswag'; did you mean hellaswag"):
        find("helaswag")


def test_a_missing_data_set_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def offline(*_: Any, **__: Any) -> None:
        raise ConnectionError("Couldn't reach 'allenai/ai2_arc' on the Hub")

    monkeypatch.setattr(datasets, "load_dataset", offline)
    with pytest.raises(HarnessError) as error:
        prepare(suite(Task("arc_easy")))
    text = str(error.value)
    assert "the data set allenai/ai2_arc ARC-Easy [test for arc_easy] (ConnectionError: Couldn't reach" in text
    assert (
        "say in mirrors.yaml where it lies, as in `datasets: {allenai/ai2_arc/ARC-Easy: {test: file.jsonl}}`, or leave it out"
        in text
    )
    assert "\n" not in text


def corpus(name: str, count: int = 300) -> Corpus:
    def read(split: Split) -> Iterator[Document]:
        assert split == "test", "only test documents are read by the report"
        yield from (Document(f"{name}{i}", "word " * (3000 if i % 2 else 3)) for i in range(count))
        yield Document("blank", " \n")

    return Corpus(name, "toy", read, key=name)


def test_held_out_texts() -> None:
    found = documents_suite("texts", corpus("new"), corpus("old", 3))
    new, old = found.tasks
    assert (new.name, new.measures, new.source, new.metric) == ("new_text", "gain", None, "bits_per_byte")
    assert (old.name, old.measures, old.source) == ("old_text", "keep", "same")
    assert new.documents is not None
    assert old.documents is not None
    documents = list(new.documents())
    assert len(documents) == 200 == len({document["id"] for document in documents})
    assert documents == list(new.documents())
    assert max(len(document["text"]) for document in documents) <= CHARACTERS
    assert len(list(old.documents())) == 3
    assert found.key != documents_suite("texts", corpus("new"), None).key


def test_cuts_at_white_space() -> None:
    assert cut("one two three", 9) == "one two"
    assert cut("one two three", 7) == "one two"
    assert cut("onetwothree", 4) == "onet"
    assert cut("short", 99) == "short"


def test_keys_follow_what_rows_depend_on(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    def tokenizer(**vocabulary: int) -> Any:
        pieces = Tokenizer(models.WordLevel({"<s>": 0, "a": 1, **vocabulary}, unk_token="<s>"))
        return PreTrainedTokenizerFast(tokenizer_object=pieces, bos_token="<s>")

    def key(weights: str = "w", task: Task | None = None, limit: int = 3, **vocabulary: int) -> str:
        toy = suite(task or blimp(tmp_path))
        return score_key(weights, tokenizer(**vocabulary), toy, {"limit": limit}, {"lm_eval": "1"})

    used = tokenizer()
    used(["a", "a a"], padding=False)
    used.save_pretrained(tmp_path / "tokenizer")
    again = PreTrainedTokenizerFast.from_pretrained(tmp_path / "tokenizer")
    assert key() == score_key("w", again, suite(blimp(tmp_path)), {"limit": 3}, {"lm_eval": "1"})
    other = rows_file(tmp_path / "tokenizer", [BLIMP])
    keys = [key(), key(weights="v"), key(limit=4), key(b=2), key(task=blimp(tmp_path, train=other))]
    assert len(set(keys)) == 5
    config = {"output_type": "loglikelihood_rolling", "doc_to_text": "", "doc_to_target": "text", "process_results": rows_file}
    config["metric_list"] = [{"metric": "bits_per_byte"}]
    one, two = (
        Task("t", metric="bits_per_byte", config=dict(config), documents=lambda: iter([{"text": "a"}])) for _ in range(2)
    )
    assert suite_key(suite(one)) == suite_key(suite(two))


def shortened(path: Path, folder: Path) -> str:
    """A copy of a data file whose long texts are cut, so that a test takes seconds."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for row in rows:
        row |= {"page": row["page"][:1500]} if "page" in row else {}
        row |= {"CONTEXTS": [text[:300] for text in row["CONTEXTS"][:1]]} if "CONTEXTS" in row else {}
    copy = folder / path.name
    copy.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(copy)


def test_real_files_with_a_real_model(tmp_path: Path) -> None:
    """lm-eval's own HellaSwag, BLiMP, PubMedQA and WikiText, pointed at local files."""
    data, folder = SHARED / "data" / "eval", SHARED / "models" / "general6m"
    if not (data.is_dir() and folder.is_dir()):
        pytest.skip(f"no evaluation files and model below {SHARED}")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    files = {
        "hellaswag": ("acc_norm", "validation", "hellaswag_validation.jsonl"),
        "blimp_wh_island": ("acc", "train", "blimp/wh_island.jsonl"),
        "pubmedqa": ("acc", "test", "pubmedqa_test.jsonl"),
        "wikitext": ("bits_per_byte", "test", "wikitext2_test.jsonl"),
    }
    tasks: list[Task] = []
    for name, (metric, split, file) in files.items():
        measured: Any = metric
        tasks.append(Task(name, metric=measured, files={split: shortened(data / file, tmp_path)}))
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    table = score(model, AutoTokenizer.from_pretrained(folder), suite(*tasks), limit=20)
    assert table.task.value_counts().to_dict() == dict.fromkeys(files, 20)
    means = table.groupby("task").value.mean()
    assert means["blimp_wh_island"] >= 0.5, "the README of the model: BLiMP .637 over six paradigms"
    assert 2.0 < means["wikitext"] < 3.5, "the README of the model: 5.85 nats a token"
    assert set(table[table.task == "pubmedqa"].choice) <= {0, 1, 2}


@pytest.mark.parametrize(
    ("row", "said"),
    [({"sentence_good": None}, "TypeError"), ({"sentence_good": ""}, "IndexError"), ({"sentence_good": 5}, "TypeError")],
)
def test_documents_that_cannot_be_asked_are_no_missing_data(row: dict[str, Any], said: str, tmp_path: Path) -> None:
    path = rows_file(tmp_path, [{**BLIMP, "UID": "1"} | row])
    with pytest.raises(InputError) as error:
        prepare(suite(blimp(tmp_path, train=path)))
    assert str(error.value).startswith(f"task blimp_wh_island: its documents cannot be asked as lm-eval asks them ({said}: ")
    assert str(error.value).endswith("they need the fields of nyu-mll/blimp wh_island")


@pytest.mark.parametrize(("last", "fewshot"), [({"sentence_good": None}, None), ({}, 100)])
def test_a_later_document_and_too_few_examples_are_sentences(
    last: dict[str, Any], fewshot: int | None, model_folder: Path, tmp_path: Path
) -> None:
    model, tokenizer = load_model(model_folder), load_tokenizer(model_folder)
    path = rows_file(tmp_path, [{**BLIMP, "UID": "1"}, {**BLIMP, "UID": "2"} | last])
    with pytest.raises(
        HarnessError, match=r"task blimp_wh_island cannot be asked: \w+Error: .*; look at its documents and examples"
    ):
        score(model, tokenizer, suite(replace(blimp(tmp_path, train=path), fewshot=fewshot)))


def test_text_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = rows_file(tmp_path, [{"body": "one"}, {"body": ["two", "words"]}])
    with pytest.raises(InputError) as error:
        prepare(suite(Task("notes", metric="bits_per_byte", text=Text(column="body"), files={"test": path})))
    assert "differ in the type of a field" in str(error.value)
    path = rows_file(tmp_path, [{"body": ["two", "words"]}])
    with pytest.raises(InputError) as error:
        prepare(suite(Task("notes", metric="bits_per_byte", text=Text(column="body"), files={"test": path})))
    assert str(error.value) == "task notes: document 0 holds no text in its field body, but a value of another kind (list)"
