"""What lm-eval's --log_samples wrote becomes the rows that scoring makes; items that were asked otherwise are refused."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from harness import record
from harness.errors import HarnessError, InputError
from harness.imported import take
from harness.score import score
from harness.score_samples import Saved
from harness.score_state import quiet
from harness.score_tasks import SEED, build
from harness.suite import Suite, Task

ASKED = [("The river of Aldon is", ["old", "wide"]), ("The tower of Brisk is", ["quiet", "known to all", "wide"])] * 4


def questions() -> Iterator[dict[str, Any]]:
    for number, (question, options) in enumerate(ASKED):
        yield {"question": f"{number}. {question}", "options": options, "answer": number % 2, "pair": number % 2}


def texts() -> Iterator[dict[str, Any]]:
    for number, (question, options) in enumerate(ASKED):
        yield {"text": f"{number}. {question} {options[0]}."}


CHOICE = {
    "output_type": "multiple_choice", "doc_to_text": "question", "doc_to_choice": "options", "doc_to_target": "answer",
    "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
}  # fmt: skip
PAIRS = CHOICE | {
    "doc_to_text": "{{pair}}", "doc_to_choice": "{{['The ' + options[0], 'A ' + options[1]]}}", "doc_to_target": "question",
    "metric_list": [{"metric": "acc"}],
}  # fmt: skip
ROLLING = {
    "output_type": "loglikelihood_rolling", "doc_to_text": "", "doc_to_target": "text",
    "metric_list": [{"metric": "bits_per_byte"}],
}  # fmt: skip
SPOKEN = {
    "output_type": "generate_until", "doc_to_text": "question", "doc_to_target": "answer",
    "generation_kwargs": {"until": ["\n"], "max_gen_toks": 4}, "metric_list": [{"metric": "exact_match"}],
}  # fmt: skip
TASKS = (
    Task("quiz", metric="acc_norm", config=CHOICE, documents=questions),
    Task("pairs", config=PAIRS, documents=questions),
    Task("prose", metric="bits_per_byte", config=ROLLING, documents=texts),
    Task("spoken", metric="exact_match", config=SPOKEN, documents=questions),
)
SUITE = Suite("lm_eval", "", TASKS, key="toy")


def logged(model: Any, tokenizer: Any, name: str, folder: Path) -> None:
    """Score by lm-eval alone, and let it write its samples."""
    from lm_eval.evaluator import evaluate
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.models.huggingface import HFLM

    tracker = EvaluationTracker(output_path=str(folder))
    tracker.general_config_tracker.model_name_sanitized = name
    with quiet():
        built = {leaf: found for task in TASKS for leaf, found in build(task).items()}
        for leaf in built.values():
            leaf.set_fewshot_seed(SEED)
        lm: Any = HFLM
        found: Any = evaluate(
            lm(pretrained=model, tokenizer=tokenizer, batch_size=1, logits_cache=False), built, bootstrap_iters=0
        )
    samples = found.pop("samples")
    tracker.save_results_aggregated(results=found, samples=samples)
    for task, rows in samples.items():
        tracker.save_results_samples(task_name=task, samples=rows)


@pytest.fixture(scope="module")
def models(model_folder: Path) -> tuple[Any, Any, Any]:
    """Base, another one, and their tokenizer."""
    base, tuned = (AutoModelForCausalLM.from_pretrained(model_folder).eval() for _ in range(2))
    with torch.no_grad():
        for p in tuned.parameters():
            p.add_(torch.randn(p.shape, generator=torch.Generator().manual_seed(2)))
    return base, tuned, AutoTokenizer.from_pretrained(model_folder)


@pytest.fixture(scope="module")
def written(models: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `lm_eval --log_samples --output_path` leaves it."""
    folder = tmp_path_factory.mktemp("lm_eval")
    base, tuned, tokenizer = models
    logged(base, tokenizer, "org__small", folder)
    logged(tuned, tokenizer, "__home__somebody__tuned", folder)
    return folder


@pytest.fixture
def samples(written: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return shutil.copytree(written, tmp_path / "samples")


@pytest.fixture
def facts(tmp_path: Path) -> str:
    """What the user knows of the tasks."""
    path = tmp_path / "facts.yaml"
    tasks = "\n".join(f"  - {{task: {task.name}, metric: {task.metric}}}" for task in TASKS)
    path.write_text(f"name: lm_eval\ntasks:\n{tasks}\n")
    return str(path)


def taken(folder: Path, tmp_path: Path, base: str | None = "small", facts: str | None = None) -> record.Record:
    return record.read(take([folder], base, facts, tmp_path / "run", "harness score"))


def test_rows_are_those_that_scoring_makes(models: Any, samples: Path, facts: str, tmp_path: Path) -> None:
    found = taken(samples, tmp_path, facts=facts)
    assert [trial.name for trial in found.trials] == ["tuned"]
    for model, result in ((models[0], found.base), (models[1], found.trials[0])):
        own: Any = score(model, models[2], SUITE).sort_values(["task", "item"]).reset_index(drop=True)
        rows: Any = result.scores.sort_values(["task", "item"]).reset_index(drop=True)
        same = ["task", "item", "cluster", "document_hash", "prompt_hash", "target_hash", "choice", "answer", "pool"]
        pd.testing.assert_frame_equal(rows[same], own[same])
        texts_apart = own["task"] != "pairs"  # of options that differ in their contexts the words are not written
        assert rows["options"][texts_apart].map(list).tolist() == own["options"][texts_apart].map(list).tolist()
        assert rows["option_bytes"][texts_apart].map(list).tolist() == own["option_bytes"][texts_apart].map(list).tolist()
        for one, other in zip(rows["loglikelihoods"], own["loglikelihoods"], strict=True):
            assert list(one) == pytest.approx(list(other), abs=1e-4)
        assert rows["value"].tolist() == pytest.approx(own["value"].tolist(), abs=1e-5)


@pytest.mark.parametrize(
    ("target", "nats", "right", "answer"),
    [
        ("1", [-1, -2, -3, -4], 0.0, 1),
        ("1", [-4, -1, -2, -3], 1.0, 1),
        ("1", [-4, -2, -1, -3], 1.0, 2),
        ("3", [-1, -2, -3, -4], 0.0, 3),
    ],
    ids=["a place, answered wrongly", "a place, answered rightly", "a word, as the answer tells", "a place that is a word too"],
)
def test_a_target_of_digits_is_a_place_where_options_are_digits_too(
    target: str, nats: list[float], right: float, answer: int
) -> None:
    """lm-eval writes the place of the right option as it writes its words."""
    asked = [("How many?", f" {option}") for option in ("2", "3", "1", "0")]
    sample = {"arguments": asked, "target": target, "resps": [[(each, False)] for each in nats], "acc": right}
    assert Saved(sample, "acc").doc_to_target(None) == [answer]


def test_the_page_stands_on_them(samples: Path, tmp_path: Path) -> None:
    from reports.page import write

    folder = take([samples], "small", None, tmp_path / "run", "harness score")
    page = write(folder).read_text(encoding="utf-8")
    assert "rows were imported from samples that lm-eval wrote" in page
    assert "Complete: 1 model scored." in page
    assert {"quiz", "pairs", "prose", "spoken"} == set(pd.read_csv(folder / "results.csv")["task"])


@pytest.mark.parametrize("column", ["doc_hash", "prompt_hash", "target_hash"])
def test_what_was_asked_otherwise_is_refused_with_count_and_first_item(column: str, samples: Path, tmp_path: Path) -> None:
    def other(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [row | ({column: "0" * 64} if row["doc_id"] in (3, 5) else {}) for row in rows]

    spoil(samples, "tuned", "quiz", other)
    with pytest.raises(InputError) as error:
        taken(samples, tmp_path)
    assert str(error.value) == (
        "tuned and small were not asked the same: 2 of 8 items of quiz differ in document, prompt or target, "
        "the first is item 3; score both with the same settings"
    )
    assert not (tmp_path / "run").exists()


def spoil(folder: Path, model: str, task: str, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> Path:
    """Rewrite the samples of a model and task."""
    (path,) = next(each for each in folder.iterdir() if each.name.endswith(model)).glob(f"samples_{task}_*.jsonl")
    rows = change([json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()])
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_items_of_one_side_alone_are_refused(samples: Path, tmp_path: Path) -> None:
    spoil(samples, "tuned", "prose", lambda rows: rows[1:])
    with pytest.raises(InputError, match=r"1 of 8 items of prose differ .* the first is item 0"):
        taken(samples, tmp_path)


def test_samples_that_were_appended_twice_are_refused(samples: Path, tmp_path: Path) -> None:
    spoil(samples, "tuned", "prose", lambda rows: rows + rows[:1])
    with pytest.raises(HarnessError, match="task prose: an item stands twice"):
        taken(samples, tmp_path)


def test_broken_lines_are_named(samples: Path, tmp_path: Path) -> None:
    path = spoil(samples, "small", "quiz", lambda rows: [{k: v for k, v in row.items() if k != "doc_hash"} for row in rows])
    with pytest.raises(InputError) as error:
        taken(samples, tmp_path)
    assert str(error.value) == f"{path}:1 is no sample of lm-eval's --log_samples: it has no doc_hash"
    path.write_text('{"doc_id": 0, ')
    with pytest.raises(InputError, match=r"\.jsonl:1 is no JSON"):
        taken(samples, tmp_path)


def test_a_model_that_gave_no_number_is_named(samples: Path, tmp_path: Path) -> None:
    spoil(samples, "tuned", "prose", lambda rows: [row | {"bits_per_byte": [float("nan"), 30]} for row in rows])
    with pytest.raises(HarnessError, match="task prose, item 0: the model gave nan"):
        taken(samples, tmp_path)


@pytest.mark.parametrize(
    ("base", "says"),
    [
        (None, "say with --base which of tuned, small is the base: every difference is taken against it"),
        ("other", "--base other is none of the models whose samples were given; they are tuned, small"),
    ],
)
def test_which_is_the_base_must_be_said(base: str | None, says: str, samples: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        taken(samples, tmp_path, base)
    assert str(error.value) == says


def test_folders_of_models_are_given_too_and_an_empty_one_is_refused(samples: Path, tmp_path: Path) -> None:
    small, tuned = samples / "org__small", samples / "__home__somebody__tuned"
    assert [t.name for t in record.read(take([tuned], str(small), None, tmp_path / "run", "")).trials] == ["tuned"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty holds no samples_<task>_<date>\.jsonl"):
        take([tmp_path / "empty"], "small", None, tmp_path / "other", "")


def test_what_lm_eval_was_told_is_in_no_record(samples: Path, tmp_path: Path) -> None:
    """Model arguments, which may hold a token, stand in the results that lm-eval wrote."""
    for path in samples.rglob("results_*.json"):
        content = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps(content | {"config": {"model_args": "pretrained=x,token=hf_sentinelsentinel"}}))
    taken(samples, tmp_path)
    for path in (tmp_path / "run").rglob("*"):
        assert not path.is_file() or b"hf_sentinel" not in path.read_bytes()


def test_another_version_of_a_task_is_refused(samples: Path, tmp_path: Path) -> None:
    for path in samples.glob("*tuned/results_*.json"):
        content = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps(content | {"versions": content["versions"] | {"quiz": 7}}))
    with pytest.raises(InputError) as error:
        taken(samples, tmp_path)
    assert str(error.value).startswith("small was asked version ")
    assert str(error.value).endswith(" of quiz, tuned version 7; score both with one lm-eval")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"acc": None}, "item 0 cannot be read (TypeError"),
        ({"resps": []}, ":1 cannot be read (ValueError: 2 requests, 0 answers)"),
        ({"prompt_hash": None}, ":1: prompt_hash is None; items are paired by it"),
        ({"doc_hash": ""}, ":1: doc_hash is ''; items are paired by it"),
        ({"doc": "half \ud800"}, ":1 is no JSON ('utf-8' codec can't encode"),
        ({"metrics": 5}, ":1 cannot be read (TypeError"),
    ],
)
def test_samples_of_odd_kinds_are_named(change: dict[str, Any], says: str, samples: Path, tmp_path: Path) -> None:
    path = spoil(samples, "tuned", "quiz", lambda rows: [row | {"metrics": ["acc"]} | change for row in rows])
    with pytest.raises(InputError) as error:
        taken(samples, tmp_path)
    assert str(error.value).startswith(str(path))
    assert says in str(error.value)


def test_a_folder_whose_name_has_no_plain_letter_is_a_model_all_the_same(samples: Path, tmp_path: Path) -> None:
    (samples / "__home__somebody__tuned").rename(samples / "模型")
    assert [trial.name for trial in taken(samples, tmp_path).trials] == ["model"]


def test_an_item_of_fewer_options_is_another_item(samples: Path, tmp_path: Path) -> None:
    def fewer(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        first = {"arguments": {"gen_args_0": rows[0]["arguments"]["gen_args_0"]}, "resps": rows[0]["resps"][:1]}
        return [rows[0] | first, *rows[1:]]

    spoil(samples, "tuned", "quiz", fewer)
    with pytest.raises(InputError, match="1 of 8 items of quiz differ"):
        taken(samples, tmp_path)
