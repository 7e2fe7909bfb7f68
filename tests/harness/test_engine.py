"""How the arithmetic is done is decided once for all arms; what cannot be meant, or not on this machine, is one sentence."""

import shutil
from dataclasses import asdict, fields
from typing import Any

import pytest

from harness import cli, engine
from harness.errors import InputError
from harness.plan import Engine
from harness.settings import BUILT_IN, Settings, settings

HERE = {"gpu": False, "bf16": False, "packages": ("torchao", "flash_attn", "liger_kernel"), "compiler": True}


def decide(monkeypatch: pytest.MonkeyPatch, values: dict[str, Any], machine: dict[str, Any]) -> Engine:
    """What a machine decides."""
    import torch

    has = HERE | machine
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has["gpu"])
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: has["bf16"] or including_emulation)
    monkeypatch.setattr(engine, "find_spec", lambda name: name in has["packages"] or None)
    monkeypatch.setattr(shutil, "which", lambda name: name if has["compiler"] else None)
    return engine.decide(settings(values, "here"))


def test_every_part_of_it_is_a_setting_with_a_default_and_a_flag() -> None:
    names = [f.name for f in fields(Engine)]
    assert {name: BUILT_IN[name][0] for name in names} == asdict(Engine())
    assert set(names) <= set(Settings.model_fields)
    assert set(names) <= set(cli.FLAGS.split())


def test_every_flag_is_a_setting() -> None:
    assert set(cli.FLAGS.split()) <= set(Settings.model_fields)
    assert {name for names in cli.KINDS.values() for name in names.split()} <= set(cli.FLAGS.split())


@pytest.mark.parametrize(
    ("values", "machine", "told"),
    [
        ({}, {}, "fp32"),
        ({}, {"gpu": True, "bf16": True}, "bf16"),
        ({}, {"gpu": True}, "fp16"),
        ({"weights": "bf16"}, {}, "bf16, weights bf16"),
        ({"precision": "fp16"}, {}, "fp16"),
        ({"optimizer": "adamw_8bit", "reference_weights": "int8"}, {}, "fp32, optimizer adamw_8bit, reference weights int8"),
        ({"document_mask": "on", "attention": "eager"}, {}, "fp32, attention eager, document mask"),
        ({"gradient_checkpointing": True, "compile": True}, {}, "fp32, gradient checkpointing, compile"),
        ({"offload_reference": True}, {}, "fp32, offload reference"),
        ({"liger": True, "attention": "flash_attention_2"}, {"gpu": True, "bf16": True},
         "bf16, attention flash_attention_2, liger"),
    ],
)  # fmt: skip
def test_what_is_asked_for_else_what_the_machine_has(
    values: dict[str, Any], machine: dict[str, Any], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert decide(monkeypatch, values, machine).told == told


@pytest.mark.parametrize(
    ("values", "machine", "sentence"),
    [
        ({"precision": "bf16"}, {"gpu": True}, "this GPU has no bf16; leave --precision out, or type --precision fp16"),
        ({"weights": "bf16", "precision": "fp32"}, {},
         "weights in bf16 are multiplied in bf16, not fp32; leave --precision out, or type --weights fp32"),
        ({"attention": "flash_attention_2"}, {},
         "--attention flash_attention_2 needs a GPU, and there is none here; type --attention sdpa"),
        ({"attention": "flash_attention_2"}, {"gpu": True, "bf16": True, "packages": ()},
         "--attention flash_attention_2 needs a GPU, and the package flash-attn is not installed; type --attention sdpa"),
        ({"attention": "flash_attention_2", "precision": "fp32"}, {"gpu": True, "bf16": True},
         "--attention flash_attention_2 computes in half precision; type --precision bf16, or --attention sdpa"),
        ({"liger": True}, {}, "Liger's kernels need a GPU and the package liger-kernel; there is none here; leave --liger out"),
        ({"liger": True}, {"gpu": True, "packages": ()},
         "Liger's kernels need a GPU and the package liger-kernel; type pip install 'forgetting-harness[liger]'"),
        ({"optimizer": "adamw_8bit"}, {"packages": ()},
         "--optimizer adamw_8bit needs torchao, which is not installed; type pip install 'forgetting-harness[quantized]'"),
        ({"reference_weights": "int8"}, {"packages": ()},
         "--reference-weights int8 needs torchao, which is not installed; type pip install 'forgetting-harness[quantized]'"),
        ({"compile": True}, {"compiler": False},
         "--compile compiles what it computes, and there is no C++ compiler (g++, or the one that CXX names)"),
        ({"optimizer": "adamw_8bit"}, {"compiler": False},
         "--optimizer adamw_8bit compiles what it computes, and there is no C++ compiler (g++, or the one that CXX names)"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_a_sentence(
    values: dict[str, Any], machine: dict[str, Any], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError) as found:
        decide(monkeypatch, values, machine)
    assert str(found.value) == sentence


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {"attention": "owner/kernel"},
            "here: attention='owner/kernel': input should be 'sdpa', 'eager' or 'flash_attention_2'",
        ),
        ({"optimizer": "sgd"}, "here: optimizer='sgd': input should be 'adamw', 'adamw_8bit' or 'adafactor'"),
        ({"weights": "fp16"}, "here: weights='fp16': input should be 'fp32' or 'bf16'"),
    ],
)
def test_what_is_not_on_the_list_is_refused(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError) as found:
        settings(values, "here")
    assert str(found.value).startswith(sentence)
