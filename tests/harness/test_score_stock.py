"""lm-eval's definitions by name, metrics that nobody gave, and folders of task files, which are code."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.errors import InputError
from harness.lookup import named
from harness.score import completed, folder_suite, score
from harness.score_rows import Scored
from harness.score_state import quiet
from harness.score_stock import leaves
from harness.score_tasks import build
from harness.settings import settings
from harness.suite import Suite, Task
from suites.file import named as by_name

OWN = """
task: sums
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: !function prompts.question
doc_to_choice: [small, large]
doc_to_target: large
metric_list:
  - {{metric: f1, aggregation: !function prompts.best}}
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
"""
CODE = "RUN = []\n\n\ndef question(doc):\n    return f'{doc[\"a\"]} is'\n\n\ndef best(items):\n    return max(items)\n"


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one task with code beside it, in the current folder."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "mine"
    folder.mkdir()
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"a": n, "large": n % 2}) + "\n" for n in range(4)))
    (folder / "sums.yaml").write_text(OWN.format(data=tmp_path / "rows.jsonl"))
    (folder / "twice.yaml").write_text("include: sums.yaml\ntask: sums_again\n")
    (folder / "all.yaml").write_text("group: all\ntask: [sums, sums_again]\n")
    (folder / "prompts.py").write_text(CODE)
    return folder


@pytest.mark.parametrize(
    ("name", "metric", "higher", "chance"),
    [
        ("logiqa", "acc", True, None),  # options are a field
        ("commonsense_qa", "acc", True, 0.2),  # five letters
        ("lambada_standard", "acc", True, None),  # perplexity stands first, and is no mean over items
        ("pile_10k", "bits_per_byte", False, None),
        ("triviaqa", "exact_match", True, None),
        ("xnli", "acc", True, None),  # a group: what its members say
        ("kobest_wic", "acc", True, 0.5),  # f1 is no mean over items
        ("truthfulqa_gen", "bleu_max", True, None),
    ],
)
def test_a_metric_that_nobody_gave_is_the_first_mean(name: str, metric: str, higher: bool, chance: float | None) -> None:
    (found,) = completed(Suite("x", "x", (Task(name, metric=""),), "x")).tasks
    assert (found.metric, found.higher_is_better, found.chance) == (metric, higher, chance)


def test_a_metric_that_was_given_stays() -> None:
    given = by_name("hellaswag,boolq")
    assert completed(given) is given


@pytest.mark.parametrize("metric", ["", "pct_stereotype"])
def test_what_is_better_low_is_not_counted_as_if_it_were_better_high(metric: str) -> None:
    """A model that loses its stereotypes has forgotten nothing."""
    with pytest.raises(InputError, match=r"crows_pairs_english has \w+, which is better the lower it is.*measures: probe"):
        completed(Suite("x", "x", (Task("crows_pairs_english", metric=metric),), "x"))
    (found,) = completed(Suite("x", "x", (Task("crows_pairs_english", "probe", metric),), "x")).tasks
    assert not found.higher_is_better


@pytest.mark.parametrize(
    ("name", "says"), [("helaswag", "did you mean hellaswag"), ("nothing_like_it_at_all", "lm-eval has no task")]
)
def test_unknown_names_are_said(name: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        completed(by_name(name))


def test_members_in_other_folders_are_found() -> None:
    """lm-eval has groups of what stands elsewhere; every member has a definition."""
    found = leaves(Task("openllm"))[1]
    assert {leaf.name for leaf in found} >= {"arc_challenge", "hellaswag", "gsm8k", "truthfulqa_mc1", "mmlu_anatomy"}
    assert all(leaf.config for leaf in found)
    shots = {leaf.name: leaf.config.get("num_fewshot") for leaf in found}
    given = (shots["arc_challenge"], shots["hellaswag"], shots["mmlu_anatomy"], shots["truthfulqa_mc1"])
    assert given == (25, 10, 5, 0), "what a group sets holds for its members"


@pytest.mark.parametrize(
    ("tag", "some", "count"),
    [
        ("truthfulqa", "truthfulqa_mc2", 3),
        ("ai2_arc", "arc_easy", 2),
        ("math_word_problems", "gsm8k", 8),
        ("multiple_choice", "hellaswag", 2),
    ],
)
def test_a_tag_stands_for_all_that_bear_it(tag: str, some: str, count: int) -> None:
    found = [leaf.name for leaf in leaves(Task(tag))[1]]
    assert some in found
    assert len(set(found)) == len(found) >= count


def test_what_lm_eval_loads_by_itself_is_what_is_named() -> None:
    from lm_eval.tasks import TaskManager

    from harness.score_stock import find

    folder = find("blimp").parent
    index = TaskManager(include_path=str(folder), include_defaults=False).task_index
    assert [leaf.name for leaf in leaves(Task("blimp"))[1]] == index["blimp"].cfg["task"]


def test_a_folder_of_task_files(mine: Path, model_folder: Path) -> None:
    asked = completed(folder_suite("./mine"))
    assert {(task.name, task.metric, task.chance) for task in asked.tasks} == {("sums_again", "acc", 0.5), ("sums", "acc", 0.5)}
    with quiet():
        (built,) = build(next(task for task in asked.tasks if task.name == "sums")).values()
    assert built.doc_to_text(built.eval_docs[0]) == "0 is"
    from transformers import AutoModelForCausalLM, AutoTokenizer

    table = score(AutoModelForCausalLM.from_pretrained(model_folder), AutoTokenizer.from_pretrained(model_folder), asked)
    assert table.task.value_counts().to_dict() == {"sums": 4, "sums_again": 4}


def test_every_byte_of_a_folder_is_in_its_key(mine: Path) -> None:
    keys = {folder_suite("./mine").key, folder_suite(str(mine)).key}
    assert len(keys) == 1
    (mine / "prompts.py").write_text(CODE + "# changed\n")
    keys.add(folder_suite("./mine").key)
    (mine / "words.txt").write_text("read by the code, perhaps")
    keys.add(folder_suite("./mine").key)
    assert len(keys) == 3


def words(*suites: str) -> Any:
    return settings({"suites": list(suites)}, "the command line")


def test_code_is_read_from_a_path_that_was_spelt_alone(mine: Path) -> None:
    """The name of a folder in the current folder is the name of a task; nothing there is imported."""
    assert [suite.name for suite in named(words("./mine"))] == ["mine"]
    with pytest.raises(InputError, match="lm-eval has no task 'mine'"):
        named(words("mine"))
    Path("suite.yaml").write_text("name: a\ntasks: [{task: sums}]\n")
    with pytest.raises(InputError, match="lm-eval has no task 'sums'"):
        named(words("suite.yaml"))
    Path("suite.yaml").write_text("name: a\nabout: !function prompts.question\ntasks: [{task: boolq}]\n")
    with pytest.raises(InputError, match="could not determine a constructor"):
        named(words("suite.yaml"))


def test_a_folder_without_tasks_is_refused(mine: Path) -> None:
    with pytest.raises(InputError, match=r"\./nowhere is no folder; give a folder of lm-eval task files, a suite file, or"):
        named(words("./nowhere"))
    (mine.parent / "empty").mkdir()
    with pytest.raises(InputError, match=r"\./empty holds no task of lm-eval's: no YAML file in it has a line `task: <name>`"):
        named(words("./empty"))


@pytest.mark.parametrize(("filtered", "value"), [(None, 0.0), ("strict", 0.0), ("loose", 1.0)])
def test_the_filter_that_counts_is_the_task_s(filtered: str | None, value: float) -> None:
    """lm-eval gives a sample a filter; the first counts where the task names none."""
    built = SimpleNamespace(OUTPUT_TYPE="generate_until", eval_docs=[{}])
    task = Task("t", metric="exact_match", filter=filtered)
    hashes = dict.fromkeys(("doc_hash", "prompt_hash", "target_hash"), "x")
    common = {"doc_id": 0, "doc": {}, "arguments": [("question", {})], "resps": [["answer"]], **hashes}
    samples = [{**common, "filter": name, "exact_match": right} for name, right in (("strict", 0.0), ("loose", 1.0))]
    (row,) = Scored(Suite("s", "s", (task,), "s"), task, "t", built, {}).rows(samples)
    assert row["value"] == value
    assert (row["prompt"], row["options"]) == ("question", ["answer"])
    (row,) = Scored(Suite("s", "s", (task,), "s"), replace(task, sensitive=True), "t", built, {}).rows(samples)
    assert row["prompt"].startswith("[withheld: 8 characters, ")
    assert row["options"] == [], "of what is sensitive no words are kept"
