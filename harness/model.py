"""Base models: found, checked, identified and loaded. Weights are data: safetensors only, and no code that comes with them."""

import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import mirrors
from harness.errors import InputError
from harness.hiding import hidden
from harness.plan import digest, file_digest
from harness.registry import find, installed

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Base:
    """A base model on this machine.

    name     as typed
    folder   configuration, tokenizer and weights
    digest   sha256 over weights, configuration and tokenizer files
    facts    what is known of its pre-training (peak and floor rate, ...); unknown is absent
    plan     a plan file that belongs to it, whose values are this base's defaults
    """

    name: str
    folder: Path
    digest: str
    facts: dict[str, Any] = field(default_factory=dict)
    plan: Path | None = None


HUB = re.compile(r"[\w-][\w.-]*/[\w.-]+(@[\w./-]+)?")
"""A hub name: owner/name, or owner/name@revision."""
PINNED = re.compile(r"[0-9a-f]{40}")


def locate(word: str) -> Base:
    """The base that a word names: a registered name, a folder, or a hub name, of a revision where `@` says which."""
    if word in installed("models"):
        shipped: Any = find("models", word).load()()
        return _described(Base(word, shipped.folder, identity(shipped.folder), _recipe_facts(shipped.recipe), shipped.plan))
    if (folder := Path(mirrors.model(word))).exists():
        return _described(Base(word, folder, identity(folder)))
    if HUB.fullmatch(word):
        folder = download(word)
        return _described(Base(word, folder, identity(folder)))
    names = ", ".join(installed("models"))
    raise InputError(f"there is no model {word!r}: no such folder, and not one of the registered models ({names})")


def _recipe_facts(recipe: Any) -> dict[str, Any]:
    return {"peak": recipe["peak"], "floor": recipe["peak"] * recipe["floor"], "bos": True}  # text begins after <|endoftext|>


def _described(base: Base) -> Base:
    """With what is known of its pre-training, where it is one of the known bases."""
    lookup: Callable[[str], Any] = find("readers", "base").load()
    config = _configuration(base.folder / "config.json")
    for name in (base.name, config.get("_name_or_path") or ""):
        if not base.facts and (facts := lookup(name)):
            known = {key: value for key, value in facts.model_dump(exclude={"name", "family"}).items() if value is not None}
            return Base(base.name, base.folder, base.digest, known, base.plan)
    return base


def _configuration(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error}); give a folder that save_pretrained wrote") from error
    if not isinstance(config, dict):
        raise InputError(f"{path} is damaged (it holds no object); give a folder that save_pretrained wrote")
    return config


def identity(folder: Path, tokenizer: bool = True, code: bool = False) -> str:
    """sha256 over everything that decides what the model computes; with the rules of its own tokenizer, which must be there.

    code    whether Python files beside it are run
    """
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder} is no model folder: it holds no config.json; give a folder that save_pretrained wrote")
    if not (weights := sorted(folder.glob("*.safetensors"))):
        raise InputError(f"{folder} holds no weights: no *.safetensors file is there{_pickled(folder)}")
    if (folder / "adapter_config.json").is_file():
        raise InputError(
            f"{folder} holds an adapter beside its weights (adapter_config.json), which would be loaded with them; "
            "give a folder of the model alone"
        )
    beside = [*_indexes(folder), folder / "generation_config.json", *(sorted(folder.glob("*.py")) if code else ())]
    rules = sorted(folder.glob("tokenizer*"))
    if tokenizer and not rules:
        raise InputError(f"{folder} holds no tokenizer: no tokenizer.json is there")
    rules += [folder / name for name in ("vocab.json", "merges.txt", "special_tokens_map.json", "added_tokens.json")]
    files = [folder / "config.json", *weights, *beside, *(rules if tokenizer else ())]
    return digest({path.name: file_digest(path) for path in files if path.is_file()})


def _indexes(folder: Path) -> list[Path]:
    """The lists of a model's files; what they name must lie beside them, where it is a part of the identity."""
    found = sorted(folder.glob("*.safetensors.index.json"))
    named = [(folder / "config.json", _configuration(folder / "config.json").get("transformers_weights"))]
    for path in found:
        parts = _configuration(path).get("weight_map")
        named += [(path, name) for name in (parts.values() if isinstance(parts, dict) else ())]
    for path, name in named:
        if name is not None and (Path(str(name)).name != name or not (folder / str(name)).is_file()):
            raise InputError(
                f"{path} names the weights {str(name)!r}, which do not lie beside it; put all of them into one folder"
            )
    return found


def _pickled(folder: Path) -> str:
    """What is said of weights that are there as pickles, which can hold code."""
    if not (found := sorted([*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.pth")])):
        return " (pickled weights are not read)"
    convert = (
        f"from transformers import AutoModelForCausalLM as M; M.from_pretrained({str(folder)!r}).save_pretrained('CONVERTED')"
    )
    return f", and {found[0].name} is pickled, which is not read; where you trust it: python -c {json.dumps(convert)}"


def count_parameters(folder: Path) -> int:
    """Weights of a model; a tied tensor is stored, and counted, once."""
    return sum(math.prod(shape) for shape in shapes(folder).values())


def shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Tensor name to shape, from the headers of a model's files."""
    from safetensors import safe_open

    found: dict[str, tuple[int, ...]] = {}
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, "np") as file:
                found |= {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        except Exception as error:  # safetensors' own error has no public name
            raise InputError(f"the weights {path} are damaged: {_first_line(error)}") from error
    return found


def tensors(folder: Path) -> Iterator[tuple[str, "Tensor"]]:
    """Names and tensors of a model's files, one at a time."""
    from safetensors import safe_open

    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118
                yield name, file.get_tensor(name)


def download(name: str, code: bool = False) -> Path:
    """The folder of a hub name; `owner/name@revision` is that revision. Python files only where `code` is to be run."""
    from huggingface_hub import snapshot_download

    repository, _, revision = name.partition("@")
    patterns = ["*.json", "*.safetensors", "*.model", "*.txt", *(["*.py"] if code else [])]
    try:
        return Path(snapshot_download(repository, revision=revision or None, allow_patterns=patterns))
    except Exception as error:  # offline, unknown, gated: the hub's client raises a dozen kinds
        raise InputError(
            f"the model {name} is neither a folder here nor to be had from the hub ({type(error).__name__}); "
            f"give --model a folder that holds it"
        ) from error


def load_model(folder: Path, code: bool = False) -> "nn.Module":
    """The model in fp32, dropout off, training mode off; `code`: whether Python files that came with it are run."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=code)
        for key, value in config.to_dict().items():
            if isinstance(value, float) and ("dropout" in key or key.endswith("pdrop")):
                setattr(config, key, 0.0)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=code,
            output_loading_info=True,
        )
    except Exception as error:  # what a folder holds is not ours; transformers raises many kinds
        raise InputError(f"the model in {folder} cannot be loaded: {_first_line(error)}") from error
    model, found = loaded
    if absent := sorted([*found["missing_keys"], *(str(key) for key in found["mismatched_keys"])]):
        raise InputError(f"the weights in {folder} lack {absent[0]} (and {len(absent) - 1} more); it would be drawn at random")
    return model.eval()


def load_tokenizer(folder: Path, code: bool = False) -> Any:
    """The base's tokenizer; `code` as above."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=code)
    except Exception as error:  # as above
        raise InputError(f"the tokenizer in {folder} cannot be loaded: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return hidden(f"{type(error).__name__}: {(str(error).strip() or 'no reason given').splitlines()[0]}")
