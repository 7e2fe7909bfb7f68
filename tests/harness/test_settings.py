"""A plan file's words and types: what is unknown, doubled or out of range is one sentence that names it."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from harness.errors import InputError
from harness.keys import read_keys
from harness.settings import BUILT_IN, Settings, settings


def plan(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "plan.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("strategies: kl, ewc:weight=10", {"strategies": ("kl", "ewc:weight=10")}),
        ("strategies: [kl, ewc]\nsuites: general", {"strategies": ("kl", "ewc"), "suites": ("general",)}),
        ("tokens: 256k\nbatch: 8", {"tokens": 256_000, "batch": 8}),
        ("tokens: 1e6", {"tokens": 1_000_000}),
        ("tokens: 1.5M", {"tokens": 1_500_000}),
        ("seeds: 3", {"seeds": (1, 2, 3)}),
        ("checkpoint_every: 1k", {"checkpoint_every": 1000}),
        ("checkpoint_every: 0", {"checkpoint_every": 0}),
        ("checkpoint_every: 90s", {"checkpoint_every": timedelta(seconds=90)}),
        ("checkpoint_every: 1.5h", {"checkpoint_every": timedelta(minutes=90)}),
        ("seeds: [3, 7]", {"seeds": (3, 7)}),
        ("learning_rate: 1e-5", {"learning_rate": 1e-5}),
        ("model:", {"model": None}),
        ("margin: {accuracy: 0.02}", {"margin": {"accuracy": 0.02}}),
    ],
)
def test_every_flag_can_stand_in_the_file(text: str, values: dict[str, Any], tmp_path: Path) -> None:
    found = settings(read_keys(plan(tmp_path, text), "plan"), "plan.yaml")
    assert {key: getattr(found, key) for key in values} == values


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"stratgies": "kl"}, "here: unknown key 'stratgies'; did you mean strategies or trackers or suites?"),
        ({"qqq": 1}, "here: unknown key 'qqq'; known: allow_code_execution, attention, batch, "),
        ({"batch": 0}, "here: batch=0: input should be greater than or equal to 1 (batch is: rows of an optimizer step)"),
        ({"batch": 2.5}, "here: batch=2.5: input should be a valid integer (batch is: rows of an optimizer step)"),
        ({"batch": True}, "here: batch=True: input should be a valid integer (batch is: rows of an optimizer step)"),
        *[({"micro_batch": odd}, f"here: micro_batch={odd!r}: give a whole number of rows, 1 or more, or auto (micro_batch is")
          for odd in ("lots", 0, 2.5, True, "Auto", "")],
        ({"tokens": "many"}, "here: tokens='many': input should be a valid integer"),
        ({"length": 1}, "here: length=1: input should be greater than or equal to 2 (length is: tokens of a row)"),
        ({"learning_rate": 0}, "here: learning_rate=0: input should be greater than 0 (learning_rate is: peak learning rate)"),
        ({"learning_rate": float("inf")}, "here: learning_rate=inf: input should be a finite number"),
        ({"warmup": 1.5}, "here: warmup=1.5: input should be less than or equal to 1"),
        ({"precision": "fp8"}, "here: precision='fp8': input should be 'fp32', 'bf16' or 'fp16'"),
        ({"weight_decay": -1}, "here: weight_decay=-1: input should be greater than or equal to 0"),
        *[({"checkpoint_every": odd}, f"here: checkpoint_every={odd!r}: give a number of updates, as in 200, or a time, as in "
           "90s, 10m or 2h (checkpoint_every is: updates (200) or time (10m, 2h) between checkpoints of a trial; 0: none)")
          for odd in (-1, "2 days", "0m", 2.5, True, "99999999999999h")],
        ({"keep_checkpoints": 0}, "here: keep_checkpoints=0: input should be greater than or equal to 1"),
        ({"seeds": [-1]}, "here: seeds=-1: input should be greater than or equal to 0"),
        ({"margin": {"accuracy": 0}}, "here: margin=0: input should be greater than 0"),
        ({"batch": 0, "clip": -1}, "here: batch=0: input should be greater than or equal to 1 (batch is: rows of an optimizer "
                                   "step); clip=-1: input should be greater than 0 (clip is: largest global gradient norm)"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_a_sentence(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError) as found:
        settings(values, "here")
    assert str(found.value).startswith(sentence)


@pytest.mark.parametrize(
    ("seeds", "words"),
    [
        (10**12, "seeds=1000000000000: at most 1,000 seeds are trained; give fewer"),
        (0, "seeds=0: at least one seed is needed"),
        (-2, "seeds=-2: at least one seed is needed"),
        ([], "seeds=[]: at least one seed is needed"),
        ([3, 2, 3], "seeds=[3, 2, 3]: a seed stands twice; a second training under one seed is the first again"),
    ],
)
def test_seeds_are_one_or_more_and_different(seeds: Any, words: str) -> None:
    with pytest.raises(InputError) as found:
        settings({"seeds": seeds}, "here")
    assert str(found.value) == f"here: {words} (seeds is: how many seeds; in YAML also a list of seeds)"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("batch: 4\nbatch: 8\n", [":2: the key 'batch' stands twice"]),
        ("model: a\nmargin:\n  accuracy: 1\n  accuracy: 2\n", [":4: the key 'accuracy' stands twice"]),
        ("batch: 4\nnew: [a\n", [":3: "]),
        ("a: b: c", [":1: "]),
        (b"\xff\xfe", []),
        ("", []),
        ("- kl", []),
        ("just words", []),
        ("1: 2", [":1: the key 1 is no word"]),
    ],
)
def test_a_file_that_is_no_plan_is_one_sentence_with_its_line(text: str | bytes, words: list[str], tmp_path: Path) -> None:
    path = plan(tmp_path, text)
    with pytest.raises(InputError) as found:
        read_keys(path, "plan")
    assert str(path) in str(found.value)
    assert "\n" not in str(found.value)
    assert all(word in str(found.value) for word in words), str(found.value)


@pytest.mark.parametrize("name", ["absent.yaml", "."])
def test_a_file_that_is_not_there_is_a_sentence(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the plan .* cannot be read"):
        read_keys(tmp_path / name, "plan")


def test_every_default_is_a_setting_with_a_reason() -> None:
    assert set(BUILT_IN) <= set(Settings.model_fields)
    assert all(why for _, why in BUILT_IN.values())
    assert all(field.description for field in Settings.model_fields.values())
    settings({key: value for key, (value, _) in BUILT_IN.items()}, "the defaults")
