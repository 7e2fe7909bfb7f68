"""Keys under which scores are kept: a hit on the wrong model would look like "no forgetting".

In a run folder a table is kept under `score_key`. In the cache across runs it is kept under `shared_key`, which also holds the
tensors in memory, byte by byte, and all that decides how they are multiplied: a hit gives the bits that scoring would give.
"""

import hashlib
import json
import weakref
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import InputError
from harness.plan import digest, file_digest
from harness.score_state import quiet
from harness.score_tasks import build, find
from harness.suite import Suite, Task
from harness.text import tokenizer_digest

if TYPE_CHECKING:
    from torch import nn

UNSEEN = {"_name_or_path", "transformers_version", "dtype", "torch_dtype"}
"""Of a model's configuration: where it lay and who wrote it."""
PIECE = 2**24
"""Elements of a tensor that are read at once."""
_documents: "weakref.WeakKeyDictionary[Any, str]" = weakref.WeakKeyDictionary()


def suite_key(suite: Suite) -> str:
    """sha256 of what rows depend on in a suite: its key, every task's definition, code and documents, bytes of local files."""
    with quiet():
        return digest([suite.name, suite.key, suite.sensitive, [_definition(task) for task in suite.tasks]])


def _definition(task: Task) -> list[Any]:
    config = _spelled(task.config) if task.config is not None else None
    files = {split: _file(task, path) for split, path in task.files.items()}
    leaves = {name: [_spelled(_config(leaf)), _read(leaf)] for name, leaf in build(task).items()}
    code = _code_beside(find(task.name)) if task.config is None else ""
    return [task.name, task.metric, task.identity, task.cluster, config, files, leaves, code]


def _spelled(config: Mapping[str, Any]) -> str:
    return json.dumps(dict(config), sort_keys=True, default=_name)


def _config(leaf: Any) -> dict[str, Any]:
    """lm-eval's resolved configuration of a task, with what it includes; its code and data have digests of their own."""
    return {key: value for key, value in vars(leaf.config).items() if key != "custom_dataset"}


def _file(task: Task, path: str) -> str:
    if not Path(path).is_file():
        raise InputError(f"task {task.name}: {path} is no file; give JSON Lines, one document a line")
    return file_digest(Path(path))


def _name(value: Any) -> str:
    """A function in a configuration goes by its name; its address would differ from run to run."""
    return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value).__name__)}"


def _read(leaf: Any) -> str:
    """sha256 of the documents that a task asks of, and of those that its examples are drawn from, as they were loaded."""
    if leaf not in _documents:
        found = hashlib.sha256()
        for documents in (leaf.eval_docs, leaf.fewshot_docs() if leaf.config.num_fewshot else ()):
            for document in documents or ():
                found.update(json.dumps(document, sort_keys=True, default=str).encode() + b"\n")
            found.update(b"\0")
        _documents[leaf] = found.hexdigest()
    return _documents[leaf]


@lru_cache(maxsize=512)
def _code_beside(path: Path) -> str:
    """Of everything that defines a task of lm-eval's, and of lm-eval itself: either may change under the same version."""
    import lm_eval

    package = Path(str(lm_eval.__file__)).parent
    tasks = package / "tasks"
    shipped = path.is_relative_to(tasks)
    folder = tasks / path.relative_to(tasks).parts[0] if shipped else path.parent
    return digest([_files(folder, "*.py", "*.yaml", "*.json"), _evaluator(package)])


@lru_cache(maxsize=1)
def _evaluator(package: Path) -> str:
    """Of lm-eval's own code, its tasks left out."""
    return _files(package, "*.py", without="tasks")


def _files(folder: Path, *patterns: str, without: str = "") -> str:
    paths = sorted(path for pattern in patterns for path in folder.rglob(pattern))
    kept = [
        path for path in paths if not (without and path.is_relative_to(folder / without) and path.parent != folder / without)
    ]
    return digest([[str(path.relative_to(folder)), file_digest(path)] for path in kept])


def score_key(weights: str, tokenizer: Any, suite: Suite, settings: Mapping[str, Any], versions: Mapping[str, str]) -> str:
    """Key of one model's scores: digest of weights, tokenizer, definitions and data, settings, library versions."""
    return digest([weights, _tokens(tokenizer), suite_key(suite), dict(settings), dict(versions)])


def _tokens(tokenizer: Any) -> list[Any]:
    """What decides a text's tokens; a tokenizer without a backend that spells its rules goes by what it was made with."""
    made = {} if getattr(tokenizer, "backend_tokenizer", None) is not None else dict(getattr(tokenizer, "init_kwargs", {}))
    adds = [getattr(tokenizer, name, None) for name in ("add_bos_token", "add_eos_token")]
    return [tokenizer_digest(tokenizer), type(tokenizer).__name__, adds, made]


def shared_key(key: str, model: "nn.Module") -> str:
    """Key of scores in the cache across runs: that in the folder, the tensors themselves, and how this machine computes."""
    import torch

    device = next(model.parameters()).device
    machine = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    settings: Any = model.config
    config = {name: value for name, value in settings.to_dict().items() if name not in UNSEEN}
    attention = getattr(settings, "_attn_implementation", None)
    how = [type(model).__name__, attention, machine, torch.get_num_threads(), torch.get_float32_matmul_precision()]
    return digest([key, config, tensors_digest(model), how, _own_code()])


def tensors_digest(model: "nn.Module") -> str:
    """sha256 of a model's parameters and buffers: names, kinds, shapes and every byte."""
    found = hashlib.sha256()
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        for piece in _bytes(tensor.detach()):
            found.update(piece)
    return found.hexdigest()


def _bytes(tensor: Any) -> Iterator[Any]:
    import torch

    flat = tensor.contiguous().reshape(-1).view(torch.uint8)
    for at in range(0, len(flat), PIECE):
        yield memoryview(flat[at : at + PIECE].cpu().numpy())


@lru_cache(maxsize=1)
def _own_code() -> str:
    """Of the code that makes rows, where the version does not tell: of an editable installation."""
    here = Path(__file__).parent
    return digest([[path.name, file_digest(path)] for path in sorted([*here.glob("score*.py"), *here.glob("packing.py")])])
