"""How the arithmetic of a run is done, decided when the plan is made; what this machine cannot do is refused in a sentence."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import fields
from importlib.util import find_spec

from harness.errors import InputError
from harness.plan import Engine
from harness.settings import BUILT_IN, Settings


def decide(asked: Settings) -> Engine:
    """What was asked for, else the default; the precision by the machine, or by weights that are in half of it."""
    given = {f.name: getattr(asked, f.name) for f in fields(Engine)}
    usual = {f.name: BUILT_IN[f.name][0] for f in fields(Engine)}
    usual["precision"] = "bf16" if asked.weights == "bf16" else precision()
    engine = Engine(**{name: usual[name] if value is None else value for name, value in given.items()})
    for wrong in _refusals(engine):
        raise InputError(wrong)
    return engine


def precision() -> str:
    """What a machine trains in unless asked otherwise."""
    import torch

    if not torch.cuda.is_available():
        return "fp32"
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"


def _refusals(engine: Engine) -> Iterator[str]:
    """What cannot be meant, or not here."""
    import torch

    gpu = torch.cuda.is_available()
    if engine.precision == "bf16" and gpu and precision() != "bf16":
        yield "this GPU has no bf16; leave --precision out, or type --precision fp16"
    if engine.weights == "bf16" and engine.precision != "bf16":
        yield f"weights in bf16 are multiplied in bf16, not {engine.precision}; leave --precision out, or type --weights fp32"
    if engine.weights == "bf16" and not hasattr(torch.Tensor, "grad_dtype"):
        yield f"--weights bf16 keeps gradients in fp32, which torch {torch.__version__} cannot; install torch 2.10 or newer"
    if engine.attention == "flash_attention_2" and not (gpu and find_spec("flash_attn")):
        lacking = "the package flash-attn is not installed" if gpu else "there is none here"
        yield f"--attention flash_attention_2 needs a GPU, and {lacking}; type --attention sdpa"
    if engine.attention == "flash_attention_2" and engine.precision == "fp32":
        yield "--attention flash_attention_2 computes in half precision; type --precision bf16, or --attention sdpa"
    if engine.liger and not (gpu and find_spec("liger_kernel")):
        lacking = "type pip install 'forgetting-harness[liger]'" if gpu else "there is none here; leave --liger out"
        yield f"Liger's kernels need a GPU and the package liger-kernel; {lacking}"
    quantised = {"--optimizer adamw_8bit": engine.optimizer == "adamw_8bit"}
    quantised["--reference-weights int8"] = engine.reference_weights == "int8"
    for flag, wanted in quantised.items():
        if wanted and not find_spec("torchao"):
            yield f"{flag} needs torchao, which is not installed; type pip install 'forgetting-harness[quantized]'"
    for flag, wanted in (("--compile", engine.compile), ("--optimizer adamw_8bit", engine.optimizer == "adamw_8bit")):
        if wanted and not gpu and not shutil.which(os.environ.get("CXX", "g++")):
            yield f"{flag} compiles what it computes, and there is no C++ compiler (g++, or the one that CXX names)"
