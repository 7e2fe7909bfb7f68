"""Scores are found again across runs, and never those of something else: every test tries to get a wrong hit."""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from harness import score_keys
from harness.model import identity, load_model
from harness.score import score, shared_key
from harness.suite import Suite, Task
from harness.tables import Scoring, fill

CONFIG = {
    "output_type": "multiple_choice", "doc_to_text": "question", "doc_to_choice": "options", "doc_to_target": "answer",
    "metric_list": [{"metric": "acc"}],
}  # fmt: skip
WORDS = ["old", "wide", "quiet"]


def documents(last: str = "known") -> Iterator[dict[str, Any]]:
    for number in range(6):
        yield {"question": f"{number}. The river is", "options": [*WORDS, last], "answer": number % 3}


def toy(last: str = "known", config: dict[str, Any] | None = None, **facts: Any) -> tuple[Suite, ...]:
    """A suite whose key claims that nothing ever changes."""
    task = Task("quiz", config=config or CONFIG, documents=lambda: documents(last), **facts)
    return (Suite("toy", "a toy", (task,), key="always the same"),)


Find = Callable[..., bool]


@pytest.fixture
def base(model_folder: Path, tmp_path: Path) -> Path:
    """A copy of the model to change."""
    return shutil.copytree(model_folder, tmp_path / "base")


@pytest.fixture
def found(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Find:
    """Whether a scoring in a folder of its own finds what others made; otherwise it scores."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    scored: list[str] = []
    monkeypatch.setattr("harness.score.score", lambda *given, **named: scored.append("") or score(*given, **named))
    count = iter(range(99))

    def asked(folder: Path = base, tokenizer: Any = None, model: Any = None, digest: str | None = None, **changes: Any) -> bool:
        own = tmp_path / f"run-{next(count)}"
        read = tokenizer or AutoTokenizer.from_pretrained(folder)
        how = replace(Scoring(own, read, toy(), (), 4, None, {"lm-eval": "1", "transformers": "5"}), **changes)
        before = len(scored)
        fill(how, model or load_model(folder), digest or identity(folder), own / "base", lambda *_: None)
        return len(scored) == before

    return asked


def test_the_same_is_found_again_with_the_same_rows_and_the_seconds_that_it_took(found: Find, tmp_path: Path) -> None:
    assert not found()
    assert found()
    first, second = (pd.read_parquet(tmp_path / f"run-{i}" / "base" / "scores" / "toy.parquet") for i in (0, 1))
    pd.testing.assert_frame_equal(first, second)
    notes = [json.loads((tmp_path / f"run-{i}" / "base" / "scores" / "toy.json").read_text()) for i in (0, 1)]
    assert notes[0] == notes[1]


def test_other_weights_under_the_same_path_size_and_time_are_not_found(found: Find, base: Path) -> None:
    assert not found()
    path = base / "model.safetensors"
    before, content = path.stat(), bytearray(path.read_bytes())
    content[-2] ^= 1  # one bit of the last weight
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert not found()


def test_weights_in_memory_count_and_not_the_digest_that_they_are_said_to_have(found: Find, base: Path) -> None:
    """An adapter, an average, a run that lies: whatever the digest says, other tensors are other scores."""
    assert not found(digest="the same")
    model: Any = load_model(base)
    with torch.no_grad():
        model.model.layers[1].mlp.down_proj.weight[0, 0] += 1e-6
    assert not found(model=model, digest="the same")
    assert found(digest="the same")


def test_an_adapter_on_the_same_base_is_not_its_base(found: Find, base: Path) -> None:
    peft = pytest.importorskip("peft")
    assert not found(digest="the same")
    adapted = peft.get_peft_model(load_model(base), peft.LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False))
    assert not found(model=adapted.merge_and_unload(), digest="the same")


def test_the_same_weights_in_another_kind_are_not_found(found: Find, base: Path) -> None:
    assert not found()
    assert not found(model=load_model(base).to(torch.bfloat16))


def test_the_same_weights_under_another_configuration_are_not_found(found: Find, base: Path) -> None:
    assert not found(digest="the same")
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 1e-3}))
    assert not found(digest="the same")


@pytest.mark.parametrize(
    "change",
    [
        {"limit": 3}, {"limit": None}, {"bos": True}, {"bos": False}, {"versions": {"lm-eval": "2", "transformers": "5"}},
        {"versions": {"lm-eval": "1", "transformers": "6"}}, {"suites": toy("new")},
        {"suites": toy(config=CONFIG | {"target_delimiter": ""})},
        {"suites": toy(config=CONFIG | {"doc_to_text": "{{question}} "})},
        {"suites": toy(metric="acc_norm", config=CONFIG | {"metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}]})},
        {"suites": toy(cluster="answer")}, {"suites": tuple(replace(suite, sensitive=True) for suite in toy())},
    ],
    ids=["limit", "no limit", "bos", "no bos", "lm-eval", "transformers", "documents", "delimiter", "prompt", "metric",
         "cluster", "sensitive"],
)  # fmt: skip
def test_other_settings_versions_data_and_definitions_are_not_found(change: dict[str, Any], found: Find) -> None:
    assert not found()
    assert not found(**change)
    assert found()


def resaved(base: Path, folder: Path, change: Callable[[dict[str, Any]], None]) -> Any:
    """The tokenizer, written and read again with a change of its rules."""
    AutoTokenizer.from_pretrained(base).save_pretrained(folder)
    rules = json.loads((folder / "tokenizer.json").read_text())
    change(rules)
    (folder / "tokenizer.json").write_text(json.dumps(rules))
    return AutoTokenizer.from_pretrained(folder)


def test_a_tokenizer_that_was_only_saved_again_is_found(found: Find, base: Path, tmp_path: Path) -> None:
    assert not found()
    assert found(tokenizer=resaved(base, tmp_path / "tokenizer", lambda _: None))


def drop_merge(rules: dict[str, Any]) -> None:
    rules["model"]["merges"].pop()


def swap_merges(rules: dict[str, Any]) -> None:
    merges = rules["model"]["merges"]
    merges[0], merges[1] = merges[1], merges[0]


def begin_with_bos(rules: dict[str, Any]) -> None:
    token = rules["added_tokens"][0]
    rules["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": token["content"], "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [],
        "special_tokens": {token["content"]: {"id": token["content"], "ids": [token["id"]], "tokens": [token["content"]]}},
    }


def add_token(rules: dict[str, Any]) -> None:
    word, number = next(pair for pair in rules["model"]["vocab"].items() if len(pair[0]) > 1 and pair[0].isalpha())
    rules["added_tokens"].append(rules["added_tokens"][0] | {"id": number, "content": word, "special": False})


@pytest.mark.parametrize("change", [drop_merge, swap_merges, begin_with_bos, add_token])
def test_a_changed_tokenizer_is_not_found(change: Any, found: Find, base: Path, tmp_path: Path) -> None:
    assert not found()
    assert not found(tokenizer=resaved(base, tmp_path / "tokenizer", change))


def test_another_token_for_the_beginning_is_not_found(found: Find, base: Path) -> None:
    assert not found()
    tokenizer: PreTrainedTokenizerFast = AutoTokenizer.from_pretrained(base)
    tokenizer.bos_token = tokenizer.convert_ids_to_tokens(7)
    assert not found(tokenizer=tokenizer)


def test_another_number_of_threads_and_another_attention_are_not_found(found: Find, base: Path) -> None:
    """A hit gives the bits that scoring here would give; sums in another order are other bits."""
    assert not found()
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        assert not found()
    finally:
        torch.set_num_threads(threads)
    model: Any = load_model(base)
    model.set_attn_implementation("eager")
    assert not found(model=model)
    assert found()


def test_other_code_of_the_harness_or_of_lm_eval_is_not_found(found: Find, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not found()
    with monkeypatch.context() as patched:
        patched.setattr(score_keys, "_own_code", lambda: "edited")
        assert not found()
    assert found()


def test_all_code_that_makes_numbers_counts() -> None:
    """Whatever the passes of a model import of ours, but what is only data or a sentence."""
    here = Path(score_keys.__file__).parent
    named = {path.stem for path in here.glob("score*.py")} | {Path(name).stem for name in score_keys.MAKERS}
    passes = [here / f"{name}.py" for name in ("score_passes", "score_paths", "score_model", "score_generate", "packing")]
    imported = {name for path in passes for name in re.findall(r"^from harness\.(\w+)", path.read_text(), re.MULTILINE)}
    assert imported >= {"head", "objective", "packing"}
    assert imported - named <= {"errors", "suite"}


@pytest.fixture
def folder_of_tasks(tmp_path: Path) -> Path:
    """A task file with code beside it and data of its own, as lm-eval's are."""
    folder = tmp_path / "tasks"
    folder.mkdir()
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in documents()))
    (folder / "utils.py").write_text("def asked(doc):\n    return doc['question']\n")
    definition = {
        "task": "own_quiz", "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(folder / "rows.jsonl")}},
        "test_split": "test", "output_type": "multiple_choice", "doc_to_choice": "options", "doc_to_target": "answer",
        "metric_list": [{"metric": "acc"}],
    }  # fmt: skip
    lines = [f"{key}: {json.dumps(value)}" for key, value in definition.items()]
    (folder / "quiz.yaml").write_text("\n".join([*lines, "doc_to_text: !function utils.asked"]) + "\n")
    return folder


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("utils.py", "doc['question']", "doc['question'] + '!'"),
        ("quiz.yaml", '"acc"', '"acc_norm"'),
        ("rows.jsonl", "known", "seen"),
    ],
    ids=["code", "definition", "data"],
)  # fmt: skip
def test_a_task_file_is_not_found_once_its_code_definition_or_data_changed(
    name: str, old: str, new: str, found: Find, folder_of_tasks: Path
) -> None:
    """The key of the suite and the name of the task stay what they were; another copy of the same is found."""

    def suites() -> tuple[Suite, ...]:
        metric = "acc_norm" if "acc_norm" in (folder_of_tasks / "quiz.yaml").read_text() else "acc"
        own = Task("own_quiz", metric=metric, folder=str(folder_of_tasks))
        return (Suite("own", "", (own,), key="always the same"),)

    assert not found(suites=suites())
    assert found(suites=suites())
    path = folder_of_tasks / name
    path.write_text(path.read_text().replace(old, new))
    assert not found(suites=suites())


def test_what_is_damaged_or_half_written_is_scored_again(found: Find, tmp_path: Path) -> None:
    assert not found()
    kept = tmp_path / "cache" / "scores"
    (rows,) = kept.glob("*.parquet")
    rows.write_bytes(rows.read_bytes()[:-9])
    assert not found(), "half of the rows"
    (seal,) = kept.glob("*.json")
    seal.unlink()
    assert not found(), "rows whose seal was not yet written"
    seal.write_text("{")
    assert not found(), "half of the seal"
    assert found()


def test_a_full_disk_under_the_cache_stops_nothing(found: Find, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("harness.score_cache.write_json", full)
    assert not found()
    assert not found()
    assert (tmp_path / "run-1" / "base" / "scores" / "toy.parquet").is_file()


def test_every_tensor_counts_with_name_kind_and_shape(base: Path) -> None:
    model: Any = load_model(base)
    keys = {shared_key("k", model)}
    with torch.no_grad():
        for p in model.parameters():
            p.view(-1)[-1] += 1
            keys.add(shared_key("k", model))
    model.register_buffer("more", torch.zeros(3))
    keys |= {shared_key("k", model), shared_key("other", model)}
    assert len(keys) == len(list(model.parameters())) + 3
