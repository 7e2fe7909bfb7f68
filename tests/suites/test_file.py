"""A user's suite is data; what is wrong in it is named by file and key."""

import json
from pathlib import Path

import pytest

from harness.errors import InputError
from harness.suite import Text
from suites.file import from_file, named

GOOD = """
name: clinic
about: ours
prompts: ["The patient"]
tasks:
  - {task: pubmedqa, measures: gain, files: {test: rows.jsonl}}
  - {task: hellaswag, chance: 0.5, metric: acc}
  - {task: some_other, metric: exact_match, chance: 0, filter: strict-match, fewshot: 2}
  - {task: letters, measures: gain, text: {column: QUESTION}, files: {test: rows.jsonl}, sensitive: true}
  - {task: web, text: {dataset: owner/name, split: train, config: en, documents: 9, revision: abc}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rows.jsonl").write_text(json.dumps({"QUESTION": "?"}) + "\n")
    return tmp_path


def write(folder: Path, text: str) -> Path:
    path = folder / "suite.yaml"
    path.write_text(text)
    return path


def test_a_suite_from_a_file(folder: Path) -> None:
    suite = from_file(write(folder, GOOD))
    pubmedqa, hellaswag, other, letters, web = suite.tasks
    assert (suite.name, suite.prompts) == ("clinic", ("The patient",))
    assert pubmedqa.files == {"test": str(folder / "rows.jsonl")}
    assert (pubmedqa.measures, pubmedqa.metric, pubmedqa.chance, pubmedqa.source) == ("gain", "acc", 1 / 3, None)
    assert (hellaswag.metric, hellaswag.chance, hellaswag.source) == ("acc", 0.5, "other")
    assert hellaswag.cluster == "activity_label"
    assert (other.metric, other.chance, other.filter, other.fewshot) == ("exact_match", 0, "strict-match", 2)
    assert (letters.metric, letters.sensitive, letters.files) == ("bits_per_byte", True, pubmedqa.files)
    assert letters.text == Text(column="QUESTION")
    assert (web.source, web.text) == ("other", Text("owner/name", "train", config="en", revision="abc", documents=9))


def test_the_key_follows_file_and_data(folder: Path) -> None:
    keys = {from_file(write(folder, GOOD)).key, from_file(write(folder, GOOD)).key}
    assert len(keys) == 1
    keys.add(from_file(write(folder, GOOD.replace("0.5", "0.4"))).key)
    (folder / "rows.jsonl").write_text("{}\n")
    keys.add(from_file(write(folder, GOOD)).key)
    assert len(keys) == 3


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name: a\nname: b\ntasks: []", "suite.yaml:2: the key 'name' stands twice"),
        ("name: a\ntasks: [{task: x, mesures: gain}]", "tasks.0.mesures: Extra inputs are not permitted; allowed: task,"),
        ("name: a\ntask: []", "tasks: Field required"),
        ("name: a\ntasks: []", "tasks: Tuple should have at least 1 item"),
        ("name: A b\ntasks: [{task: x}]", "name: String should match pattern"),
        ("name: a\ntasks: [{task: x, chance: 1.5}]", "tasks.0.chance: Input should be less than 1"),
        ("name: a\ntasks: [{task: x, metric: [acc]}]", "tasks.0.metric: Input should be a valid string"),
        ("name: a\ntasks: [{task: x}, {task: x}]", "task x stands twice; give it once"),
        ("name: a\ntasks: [{task: ../x}]", "tasks.0.task: String should match pattern"),
        ("name: a\ntasks: [{task: x, text: {}}]", "text needs a dataset of the hub, or files with its split test"),
        (
            "name: a\ntasks: [{task: x, text: {dataset: o/n, colum: x}}]",
            "tasks.0.text.colum: Extra inputs are not permitted; allowed: dataset, split",
        ),
        ("name: a\ntasks: [{task: x, metric: acc, text: {dataset: o/n}}]", "text is scored in bits_per_byte; leave metric out"),
        ("name: a\ntasks: [{task: x, files: {test: no.jsonl}}]", "task x: files.test: "),
        ("name: a\ntasks: [{task: x, measures: gain, source: same}]", "source is about what to keep"),
        ("name: [", "suite.yaml:1: "),
        ("- a", "holds no `key: value` lines"),
        ("name: !!python/object:os.system a", "could not determine a constructor"),
    ],
)
def test_errors_name_file_and_key(folder: Path, text: str, says: str) -> None:
    with pytest.raises(InputError) as error:
        from_file(write(folder, text))
    assert says in str(error.value)
    assert "suite.yaml" in str(error.value)


def test_a_missing_file() -> None:
    with pytest.raises(InputError, match=r"the suite nowhere\.yaml cannot be read: No such file"):
        from_file("nowhere.yaml")


def test_tasks_by_name() -> None:
    suite = named("hellaswag, pubmedqa,something_else")
    assert [(task.name, task.metric, task.chance, task.measures, task.source) for task in suite.tasks] == [
        ("hellaswag", "acc_norm", 0.25, "keep", "other"),
        ("pubmedqa", "acc", 1 / 3, "keep", "other"),
        ("something_else", "", None, "keep", "other"),  # what lm-eval's definition says is asked later
    ]
    assert suite.key != named("hellaswag").key
    with pytest.raises(InputError, match="a task is empty in 'a,,b'"):
        named("a,,b")
    with pytest.raises(InputError, match="task a stands twice"):
        named("a,a")
