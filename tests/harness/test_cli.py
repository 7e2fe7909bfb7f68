"""The command line answers quickly, in sentences; what cannot be used ends with code 2 and nothing written."""

import json
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import announce, cli
from harness.registry import installed

Type = Callable[..., tuple[int, str, str]]


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Type:
    """Type a command: its exit code, what it printed and what it complained of."""
    monkeypatch.chdir(tmp_path)

    def typed(*words: Any) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["harness", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        printed = capsys.readouterr()
        return int(end.value.code or 0), printed.out, printed.err

    return typed


@pytest.fixture
def refused(harness: Type, model_folder: Path, text_file: Path, tmp_path: Path) -> Callable[..., str]:
    """`harness run` with a small plan and these words: its one sentence, with code 2 and nothing written."""

    def typed(*words: Any) -> str:
        given = {"--model": model_folder, "--new": text_file, "--output": tmp_path / "out", "--strategies": "none"}
        given |= {"--length": 16, "--batch": 4, "--seeds": 1}
        for flag in words[::2]:
            given.pop(flag, None)
        before = sorted(tmp_path.rglob("*"))
        code, out, err = harness("run", *(word for pair in given.items() for word in pair), *words)
        assert (code, out) == (2, ""), err
        assert sorted(tmp_path.rglob("*")) == before
        assert err.startswith("harness: ")
        assert err.count("\n") == 1, err
        return err.removeprefix("harness: ").strip()

    return typed


@pytest.mark.parametrize(
    ("arms", "sentence"),
    [
        ("ewcc", "unknown strategy 'ewcc'; did you mean ewc?"),
        ("kl,curiculum:end=0.1", "unknown strategy 'curiculum'; did you mean curriculum?"),
        ("kl:wieght=1", "kl has no parameter 'wieght'; did you mean weight?"),
        ("kl:weight=-1", "kl: weight=-1 is out of range; it must be at least 0"),
        ("kl,kl", "the arm kl stands twice; give each arm once"),
        ("wsd+constant", "wsd and constant cannot be combined: each brings a learning-rate schedule; "
                         "leave one of them out"),
        ("kl,,ewc", "an arm is empty in 'kl,,ewc'; type names separated by single commas, as in kl,ewc,replay"),
    ],
)  # fmt: skip
def test_an_arm_that_cannot_be_meant(arms: str, sentence: str, refused: Callable[..., str]) -> None:
    assert refused("--strategies", arms) == sentence


@pytest.mark.parametrize(
    ("flag", "value", "sentence"),
    [
        ("--batch", "0", "the command line: batch=0: input should be greater than or equal to 1"),
        ("--length", "1", "the command line: length=1: input should be greater than or equal to 2"),
        ("--seeds", "0", "the command line: seeds=0: at least one seed is needed"),
        ("--learning-rate", "0", "the command line: learning_rate=0.0: input should be greater than 0"),
        ("--learning-rate", "-1", "the command line: learning_rate=-1.0: input should be greater than 0"),
        ("--tokens", "many", "the command line: tokens='many': input should be a valid integer"),
        ("--bacth", "4", "No such option: --bacth"),
        ("--new", "absent.jsonl", "there is no file or folder 'absent.jsonl'; "),
        ("--model", "absent", "there is no model 'absent': no such folder, and not one of the registered models (world)"),
        ("--prompts", "absent.txt", "the prompts absent.txt cannot be read: "),
        ("--plugin", "absent.py", "the plugin absent.py is no Python file; give the path of a .py file"),
        ("--tokens", "60", "60 tokens are too few for one step of 4 rows of 16 tokens; "),
        ("--batch", "100000", "are too few for one step of 100000 rows of 16 tokens; give more text or tokens, or a smaller "),
        ("--length", "60000", "rows of 60000 tokens are longer than the 64 that "),
    ],
)  # fmt: skip
def test_a_flag_that_cannot_be_meant(flag: str, value: str, sentence: str, refused: Callable[..., str]) -> None:
    found = refused(flag, value)
    assert sentence in found
    assert found.startswith(sentence) or value in ("100000", "60000")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.jsonl", b"", "empty.jsonl is empty"),
        ("bad.jsonl", b'{"text": "a"}\n{"text": \n', "bad.jsonl:2"),
        ("other.jsonl", b'{"text": "a"}\n{"body": "b"}\n', "other.jsonl:2"),
        ("number.jsonl", b'{"text": "a"}\n\n{"text": 3}\n', "number.jsonl:3"),
        ("bytes.jsonl", b'{"text": "a"}\n{"text": "\xff"}\n', "bytes.jsonl:2"),
        ("bad.parquet", b"PAR1 not", "bad.parquet"),
        ("text.docx", b"x", "text.docx is not of a kind that is read"),
    ],
)
def test_a_text_that_cannot_be_read(name: str, content: bytes, words: str, refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    assert words in refused("--new", name)
    assert words in refused("--old", name)


def test_a_text_too_small_for_one_step(refused: Callable[..., str], text_file: Path, tmp_path: Path) -> None:
    (tmp_path / "few.jsonl").write_text("".join(text_file.read_text().splitlines(keepends=True)[:20]))
    assert re.fullmatch(
        r"[\d,]+ tokens are too few for one step of 500 rows of 16 tokens; "
        r"give more text or tokens, or a smaller --batch or --length",
        refused("--new", "few.jsonl", "--batch", "500"),
    )


def test_a_text_of_one_document_has_nothing_to_score(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "one.jsonl").write_text(json.dumps({"text": "The river of Aldon is old. " * 100}) + "\n")
    assert "one.jsonl" in refused("--new", "one.jsonl")


def test_a_misspelt_suite_is_told_the_nearest_suite(refused: Callable[..., str]) -> None:
    assert "world_general" in refused("--suites", "world_genral")


def test_a_value_of_the_wrong_kind_names_its_flag(refused: Callable[..., str]) -> None:
    assert refused("--batch", "x").startswith("Invalid value for '--batch': ")


@pytest.mark.parametrize(
    ("lost", "words"),
    [
        ("*.safetensors", "holds no weights: no *.safetensors file is there (pickled weights are not read)"),
        ("config.json", "is no model folder: it holds no config.json; give a folder that save_pretrained wrote"),
        ("tokenizer*", "holds no tokenizer: no tokenizer.json is there"),
    ],
)
def test_a_model_folder_that_lacks_something(
    lost: str, words: str, refused: Callable[..., str], model_folder: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(model_folder, tmp_path / "model")
    for path in copy.glob(lost):
        path.unlink()
    assert refused("--model", copy) == f"{copy} {words}"


@pytest.mark.parametrize(
    ("name", "content"), [("config.json", b"{"), ("model.safetensors", b"x" * 40), ("tokenizer.json", b"{}")]
)
def test_a_model_folder_with_a_damaged_file(
    name: str, content: bytes, refused: Callable[..., str], model_folder: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(model_folder, tmp_path / "model")
    (copy / name).write_bytes(content)
    assert str(copy) in refused("--model", copy)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("stratgies: kl\n", "unknown key 'stratgies'; did you mean strategies or trackers or suites?"),
        ("batch: 4\nbatch: 8\n", "plan.yaml:2: the key 'batch' stands twice"),
        ("batch: [\n", "plan.yaml:2: "),
        (
            "floor: 2\n",
            "floor=2: input should be less than or equal to 1 (floor is: last learning rate as a share of the peak)",
        ),
    ],
)
def test_a_plan_file_that_cannot_be_read(text: str, sentence: str, refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text(text)
    assert sentence in refused("plan.yaml")


def test_a_plan_file_that_is_not_there(refused: Callable[..., str]) -> None:
    assert refused("absent.yaml") == "the plan absent.yaml cannot be read: No such file or directory"


def test_a_folder_that_is_no_run_is_left_alone(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    assert refused("--output", "mine") == "mine exists and is no run folder; give --output a new or an empty one"


def test_a_folder_of_another_plan_is_left_alone(refused: Callable[..., str], tmp_path: Path) -> None:
    from harness.record import write_plan

    budget = {"steps": 1, "batch": 2}
    whole = {"base": {}, "sources": {}, "budget": budget, "arms": [], "seeds": [], "options": {}, "notes": [], "micro_batch": 2}
    write_plan(tmp_path / "other", {"fingerprint": "x", **whole})
    assert re.match(
        r"other belongs to another plan: its base has .*; give --output another folder", refused("--output", "other")
    )


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(
    harness: Type, model_folder: Path, text_file: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(
        "from dataclasses import dataclass\nfrom harness.strategy import Strategy\n"
        "@dataclass(frozen=True)\nclass MyPull(Strategy):\n    weight: float = 0.5\n"
    )
    words = ["--model", model_folder, "--new", text_file, "--length", 16, "--batch", 4, "--seeds", 2, "--tokens", "1k"]
    code, out, err = harness("run", *words, "--strategies", "my_pull:weight=2,kl", "--plugin", "mine.py", "--dry-run")
    assert (code, err) == (0, "")
    assert "arms none, my_pull:weight=2, kl; seeds 1, 2" in out
    assert "960 tokens an arm: 15 steps of 4 x 16" in out
    assert "to do: 6 trainings (5,760 tokens, " in out
    assert "less than a minute of plain steps), 7 scorings" in out
    assert "before training, every item that is scored is looked for in the 0.0 MB of training text" in out
    assert [path.name for path in tmp_path.iterdir()] == ["mine.py"]


def test_a_plan_says_how_its_arithmetic_is_done(harness: Type, model_folder: Path, text_file: Path, tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text("document_mask: on\nweights: bf16\n")
    words = ["--model", model_folder, "--new", text_file, "--length", 16, "--batch", 4, "--seeds", 1, "--tokens", "1k"]
    words += ["--strategies", "kl", "--optimizer", "adafactor", "--attention", "eager", "--gradient-checkpointing"]
    code, out, err = harness("run", "plan.yaml", *words, "--no-compile", "--dry-run")
    assert (code, err) == (0, "")
    assert ", bf16, weights bf16, optimizer adafactor, attention eager, document mask, gradient checkpointing\n" in out


def test_a_report_of_no_run_is_refused(harness: Type, tmp_path: Path) -> None:
    code, _, err = harness("report", tmp_path)
    assert code == 2
    assert err == f"harness: {tmp_path} is no run folder: it holds no plan.yaml; give the folder that `harness run` wrote\n"


MEASURE = """
import resource, sys
from harness import cli
sys.argv = ["harness", *sys.argv[1:]]
try:
    cli.main()
except SystemExit as end:
    heavy = sorted({"torch", "transformers", "lm_eval", "pandas", "datasets", "accelerate"} & set(sys.modules))
    print(end.code or 0, *heavy, file=sys.stderr)
"""


def measured(*words: str) -> tuple[str, str, float]:
    """A command in a process of its own: output, its last complaint, and seconds of CPU, the best of three."""
    seconds, done = [], None
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([sys.executable, "-c", MEASURE, *words], capture_output=True, text=True, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert done is not None
    return done.stdout, done.stderr, min(seconds)


def test_help_is_there_at_once_and_loads_nothing_heavy() -> None:
    """0.4 s is promised; twice that is asserted, for machines that are busy."""
    out, err, seconds = measured("--help")
    assert err == "0\n"
    assert "pretrain" in out
    assert seconds < 0.8


def test_a_misspelt_strategy_is_answered_at_once() -> None:
    """Within a second, without torch; twice that is asserted."""
    out, err, seconds = measured("run", "--strategies", "kl,ewcc")
    assert (out, err) == ("", "harness: unknown strategy 'ewcc'; did you mean ewc?\n2\n")
    assert seconds < 2.0


@pytest.mark.parametrize("kind", ["strategies", "suites", "corpora", "models"])
def test_lists_have_a_line_for_every_name(kind: Any, harness: Type) -> None:
    code, out, err = harness("list", kind)
    assert (code, err) == (0, "")
    below = kind == "suites"  # a suite's line is followed by its tasks
    told = [line for line in out.splitlines() if line and not line.endswith(":") and not (below and line.startswith(" "))]
    assert sorted(line.split()[0].rstrip(":") for line in told) == sorted(installed(kind))
    assert all(len(line.split(maxsplit=1)) == 2 for line in told)


def test_every_name_can_be_shown(harness: Type) -> None:
    kinds: list[Any] = ["strategies", "suites", "corpora", "models"]
    for name in [name for kind in kinds for name in installed(kind)]:
        code, out, err = harness("show", name)
        assert (code, err) == (0, ""), name
        assert name in out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["list", "stratgies"], "there is no list of 'stratgies'; did you mean strategies or suites or recipes?"),
        (["show", "ewcc"], "nothing is registered as 'ewcc'; did you mean ewc?"),
        (["shw"], "No such command 'shw'. Did you mean 'show'?"),
        (["show"], "Missing argument 'name'."),
    ],
)
def test_a_word_that_is_not_known(words: list[str], sentence: str, harness: Type) -> None:
    assert harness(*words) == (2, "", f"harness: {sentence}\n")


def test_the_version_is_the_packages(harness: Type) -> None:
    from importlib.metadata import version

    assert harness("--version") == (0, f"{version('forgetting-harness')}\n", "")


@pytest.mark.parametrize(
    ("seconds", "said"), [(3.0, "less than a minute"), (58.0, "about 1.0 minutes"), (672.0, "about 11.2 minutes")]
)
def test_a_wait_is_said_in_minutes_and_never_as_none(seconds: float, said: str) -> None:
    assert announce.about(seconds) == said
    assert [announce.several(count, "training") for count in (0, 1, 2)] == ["0 trainings", "1 training", "2 trainings"]
