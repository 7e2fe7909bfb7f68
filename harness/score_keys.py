"""Keys under which scores are kept: a hit on the wrong model would look like "no forgetting".

In a run folder a table is kept under `score_key`. In the cache across runs it is kept under `shared_key`, which also holds the
tensors in memory, byte by byte, and all that decides how they are multiplied: a hit gives the bits that scoring would give.
"""

import hashlib
import json
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import InputError
from harness.plan import digest, file_digest
from harness.score_state import quiet
from harness.score_stock import home
from harness.score_tasks import build
from harness.suite import Suite, Task
from harness.text import tokenizer_digest

if TYPE_CHECKING:
    from torch import nn

BESIDE = {"about", "chance", "measures", "source", "documents", "folder", "items", "reference", "allowed"}
"""Of a task: what a reader is told of its rows, and what is keyed by its contents."""
UNSEEN = {"_name_or_path", "transformers_version", "dtype", "torch_dtype"}
"""Of a model's configuration: where it lay and who wrote it."""
MAKERS = ("withheld.py", "borders.py", "packing.py", "head.py", "objective.py", "chunked.py", "sandbox.py", "jail.py")
"""What makes rows beside the files named score*: a change of one is another score."""
PIECE = 2**24
"""Elements of a tensor that are read at once."""
_defined: dict[int, str] = {}


def suite_key(suite: Suite) -> str:
    """sha256 of what rows depend on in a suite: its key, every task's definition, code and documents, bytes of local files."""
    with quiet():
        return digest([suite.name, suite.key, suite.sensitive, suite.shown, [_definition(task) for task in suite.tasks]])


def _definition(task: Task) -> str:
    """Of a task as it was built, which is once while the Task lives: what is on the disk may have changed since."""
    if id(task) not in _defined:
        facts = {f.name: getattr(task, f.name) for f in fields(task) if f.name not in BESIDE}
        files = {split: _file(task, path) for split, path in task.files.items()}
        config = _spelled(task.config) if task.config is not None else None
        leaves = {name: [_spelled(vars(leaf.config)), _read(leaf)] for name, leaf in build(task).items()}
        stock = task.config is None and task.text is None
        _defined[id(task)] = digest([{**facts, "files": files, "config": config}, leaves, _code(task) if stock else ""])
        weakref.finalize(task, _defined.pop, id(task), None)
    return _defined[id(task)]


def _spelled(config: Mapping[str, Any]) -> str:
    return json.dumps(dict(config), sort_keys=True, default=_name)


def _file(task: Task, path: str) -> str:
    if not Path(path).is_file():
        raise InputError(f"task {task.name}: {path} is no file; give JSON Lines, one document a line")
    return file_digest(Path(path))


def _name(value: Any) -> str:
    """A function in a configuration goes by its name; its address would differ from run to run."""
    return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value).__name__)}"


def _read(leaf: Any) -> str:
    """sha256 of the documents that a task asks of, and of those that its examples are drawn from, as they were loaded."""
    found = hashlib.sha256()
    for documents in (leaf.eval_docs, leaf.fewshot_docs() if leaf.config.num_fewshot else ()):
        for document in documents or ():
            found.update(json.dumps(document, sort_keys=True, default=str).encode() + b"\n")
        found.update(b"\0")
    return found.hexdigest()


def _code(task: Task) -> str:
    """Of everything that defines a task of lm-eval's, and of lm-eval itself: either may change under the same version."""
    import lm_eval

    package = Path(str(lm_eval.__file__)).parent
    tasks = package / "tasks"
    folder = Path(task.folder) if task.folder else tasks / home(task).relative_to(tasks).parts[0]
    return digest([_files(folder, "*.py", "*.yaml", "*.json"), _evaluator(package)])


@lru_cache(maxsize=1)
def _evaluator(package: Path) -> str:
    """Of lm-eval's own code, its tasks left out."""
    return _files(package, "*.py", without="tasks")


def _files(folder: Path, *patterns: str, without: str = "") -> str:
    """Of the files of a folder and below, those of a folder in it left out."""
    paths = sorted(path.relative_to(folder) for pattern in patterns for path in folder.rglob(pattern))
    return digest([[str(path), file_digest(folder / path)] for path in paths if not (without and path.parts[0] == without)])


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
    machine = torch.cuda.get_device_name(device) if device.type == "cuda" else torch.backends.cpu.get_cpu_capability()
    settings: Any = model.config
    config = {name: value for name, value in settings.to_dict().items() if name not in UNSEEN}
    attention = getattr(settings, "_attn_implementation", None)
    how = [type(model).__name__, attention, machine, torch.get_num_threads(), torch.get_float32_matmul_precision()]
    said: Any = getattr(model, "generation_config", None)
    generated = {name: value for name, value in said.to_dict().items() if name not in UNSEEN} if said else {}
    return digest([key, config, generated, tensors_digest(model), how, _own_code()])


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
    return digest(
        [[path.name, file_digest(path)] for path in sorted([*here.glob("score*.py"), *(here / name for name in MAKERS)])]
    )
