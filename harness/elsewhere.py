"""Checkpoints that were trained elsewhere: folders, hub names with a revision, adapters; each an arm under its own name.

All are scored with the base's tokenizer, so that every model is asked the same tokens. A checkpoint's own tokenizer may add
tokens or begin texts otherwise, which is said; one that cuts text otherwise is refused.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from harness import mirrors
from harness.errors import HarnessError, InputError, said
from harness.hiding import hidden
from harness.model import HUB, PINNED, Base, download, identity, load_model, shapes
from harness.other_tokens import other_size, other_tokens
from harness.plan import digest, file_digest
from harness.registry import installed

if TYPE_CHECKING:
    from torch import nn

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:=+@-]{0,99}")
ADAPTER = "adapter_config.json"
RESERVED = "base"


@dataclass(frozen=True)
class Checkpoint:
    """One model to be scored.

    word    as typed: a folder, or owner/name@revision
    arm     the name under which it stands
    step    the update at which it was saved, where that was told; tokens, lr: read until then, multiple of a peak rate
    """

    word: str
    arm: str
    seed: int = 1
    step: int | None = None
    tokens: int | None = None
    lr: float | None = None

    @property
    def told(self) -> dict[str, Any]:
        """What is known of its training."""
        facts = {"step": self.step, "tokens": self.tokens, "lr": self.lr}
        return {name: value for name, value in facts.items() if value is not None}


@dataclass(frozen=True)
class Found:
    """A checkpoint on this machine.

    digest   of what decides what it computes; with that of the base where it is an adapter
    notes    what a reader must know of it
    """

    folder: Path
    digest: str
    adapter: bool = False
    code: bool = False
    notes: tuple[str, ...] = field(default=())


def checkpoints(words: Sequence[str]) -> tuple[Checkpoint, ...]:
    """NAME=PATH, or a path or hub name whose end is its name: as much of it as tells it from the others."""
    pairs = [_split(word) for word in words]
    bare = [path for name, path in pairs if name is None]
    named = dict(zip(bare, _tails(bare, {name for name, _ in pairs if name}), strict=True))
    return unique([Checkpoint(path, name or named[path]) for name, path in pairs])


def _split(word: str) -> tuple[str | None, str]:
    name, equals, path = word.partition("=")
    return (name, path) if equals and "/" not in name and path and not Path(word).exists() else (None, word)


def _tails(paths: Sequence[str], taken: set[str]) -> list[str]:
    """The last parts of every path, as few for all as tell them apart."""
    if not paths:
        return []
    parts = [PurePosixPath(Path(path).resolve() if Path(path).exists() else path).parts for path in paths]
    for count in range(1, max(map(len, parts)) + 1):
        found = [_clean("-".join(each[-count:])) for each in parts]
        if len(set(found)) == len(found) and not {RESERVED, *taken} & set(found):
            return found
    raise InputError(f"the same model stands twice in {', '.join(paths)}; name each once, as NAME=PATH")


def _clean(name: str) -> str:
    name = re.sub(r"(@[0-9a-f]{8})[0-9a-f]{32}$", r"\1", name)
    return re.sub(r"[^A-Za-z0-9._@-]+", "-", name).lstrip(".-_@")[:100] or "model"


def unique(found: Sequence[Checkpoint]) -> tuple[Checkpoint, ...]:
    """Refuse names that cannot stand, and two that would be one folder."""
    for checkpoint in found:
        if not NAME.fullmatch(checkpoint.arm) or checkpoint.arm == RESERVED:
            raise InputError(
                f"{checkpoint.arm!r} can be no name of a model; "
                f"give letters, digits and ._:=+@- (and not {RESERVED!r}): NAME=PATH"
            )
        if hidden(checkpoint.arm) != checkpoint.arm:
            raise InputError(
                f"{hidden(checkpoint.arm)} looks like an access token, and is written nowhere; give another: NAME=PATH"
            )
    steps = Counter((one_folder(c.arm), c.seed, c.step) for c in found)
    arms = {one_folder(c.arm): c.arm for c in found}
    if doubled := next((c.arm for c in found if steps[one_folder(c.arm), c.seed, c.step] > 1), None):
        raise InputError(f"two models are called {doubled}; give each a name of its own: NAME=PATH")
    if other := next((c.arm for c in found if arms[one_folder(c.arm)] != c.arm), None):
        raise InputError(f"{other} and {arms[one_folder(other)]} would be kept in one folder; give one of them another name")
    return tuple(found)


def one_folder(arm: str) -> str:
    """What is equal for names that would be kept in one folder, on any file system."""
    return re.sub(r"[:=+]", "-", arm).lower()


def find(checkpoint: Checkpoint, base: Base, tokenizer: Any, code: bool = False) -> Found:
    """The checkpoint on this machine, checked: weights by safetensors, an adapter of this base, tokens as the base's."""
    folder = place(checkpoint.word, code)
    if (folder / ADAPTER).is_file():
        return _adapter(folder, base)
    code = code and carries_code(folder)
    found = Found(folder, identity(folder, tokenizer=False, code=code), code=code)
    notes = [
        *other_size(checkpoint.arm, folder, base.folder),
        *other_tokens(checkpoint.arm, checkpoint.word, folder, tokenizer, code),
    ]
    return replace(found, notes=tuple(notes))


def place(word: str, code: bool) -> Path:
    """The folder of a model; where its code is to be run, a commit must pin it."""
    if word in installed("models"):
        from harness.model import locate

        return locate(word).folder
    if (folder := Path(mirrors.model(word))).is_dir():
        if code and carries_code(folder):
            raise InputError(f"{word} carries Python files, which no commit pins; {PIN}")
        return folder
    if not HUB.fullmatch(word):
        raise InputError(f"there is no model {word!r}: no such folder, and no hub name (owner/name, or owner/name@revision)")
    if code:
        refuse_unpinned(word)
    return download(word, code)


def refuse_unpinned(word: str) -> None:
    """Refuse to run code that comes from the hub where no commit pins it."""
    here = word in installed("models") or Path(mirrors.model(word)).is_dir()
    if not here and HUB.fullmatch(word) and not PINNED.fullmatch(word.partition("@")[2]):
        raise InputError(f"--trust-remote-code runs Python files of {word}, which no commit pins; {PIN}")


PIN = "name it as owner/name@ and the 40 digits of a commit, or leave --trust-remote-code out"


def carries_code(folder: Path) -> bool:
    """Whether a model's or tokenizer's configuration names Python code to be run; that of another place is never run."""
    maps = [_json(folder / name).get("auto_map") or {} for name in ("config.json", "tokenizer_config.json")]
    if any("--" in str(value) for each in maps for value in (each.values() if isinstance(each, Mapping) else [each])):
        raise InputError(f"{folder} names Python code of another repository, which no commit pins; it is not run")
    return any(maps)


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is damaged ({error})") from error
    return found if isinstance(found, dict) else {}


def _adapter(folder: Path, base: Base) -> Found:
    """An adapter, whose base must be the given one: by its name, the digest of the folder that it names, or its shapes."""
    weights = folder / "adapter_model.safetensors"
    if not weights.is_file():
        pickled = "adapter_model.bin is pickled, which is not read; " if (folder / "adapter_model.bin").is_file() else ""
        raise InputError(f"the adapter {folder} holds no adapter_model.safetensors; {pickled}save it anew with a current peft")
    named = str(_json(folder / ADAPTER).get("base_model_name_or_path") or "")
    own = _json(base.folder / "config.json").get("_name_or_path")
    notes: tuple[str, ...] = ()
    if named not in (base.name, str(base.folder), own):
        if (Path(named) / "config.json").is_file():
            if identity(Path(named), tokenizer=False) != identity(base.folder, tokenizer=False):
                raise InputError(f"the adapter {folder} was made on {named}, which is not {base.name}; give --base {named}")
        elif HUB.fullmatch(named) and HUB.fullmatch(base.name) and named != base.name.partition("@")[0]:
            raise InputError(f"the adapter {folder} was made on {named}, and not on {base.name}; give --base {named}")
        elif named != base.name.partition("@")[0]:
            notes = (f"the adapter {folder.name} names {named or 'no model'} as its base; it fits the shapes of {base.name}",)
    if odd := _misfit(weights, shapes(base.folder)):
        raise InputError(f"the adapter {folder} was not made on {base.name}: {odd}; give its own base with --base")
    return Found(folder, _merged_digest(folder, base), adapter=True, notes=notes)


def _merged_digest(folder: Path, base: Base) -> str:
    return digest([base.digest, file_digest(folder / ADAPTER), file_digest(folder / "adapter_model.safetensors")])


def refuse_changed(found: Found, base: Base | None = None, tokenizer: bool = False) -> None:
    """Refuse files that are no longer those that were found: of a training that still writes to them, say."""
    folder = found.folder
    now = _merged_digest(folder, base) if found.adapter and base else identity(folder, tokenizer, found.code)
    if now != found.digest:
        raise HarnessError(f"the files of {folder} changed while they were read; wait until whatever writes them has ended")


def _misfit(weights: Path, known: Mapping[str, tuple[int, ...]]) -> str | None:
    """What of a low-rank adapter the base has no place for."""
    found = shapes(weights.parent)
    for name, down in sorted(found.items()):
        module, lora, _ = name.removeprefix("base_model.model.").partition(".lora_A")
        up = found.get(name.replace(".lora_A", ".lora_B"))
        if not lora or up is None:
            continue
        place = known.get(f"{module}.weight")
        if place is None:
            return f"it changes {module}, which is not there"
        if len(place) == 2 and sorted(place) != sorted((down[1], up[0])):
            return f"it changes {module} as {up[0]} x {down[1]}, which is {place[0]} x {place[1]} there"
    return None


def load(found: Found, base: Base, largest: int, code: bool = False) -> "nn.Module":
    """The model in fp32; an adapter is merged into its base in memory.

    largest  the largest token that it is asked
    code     whether Python files that came with the base are run
    """
    model: Any = load_model(base.folder, code) if found.adapter else load_model(found.folder, found.code)
    if found.adapter:
        model = _merged(model, found.folder)
    if (rows := model.get_input_embeddings().weight.shape[0]) <= largest:
        raise HarnessError(f"the model in {found.folder} has {rows} embeddings, and the base's tokenizer makes token {largest}")
    return model.eval()


def _merged(model: Any, folder: Path) -> Any:
    try:
        from peft import PeftModel
    except ImportError as error:
        raise InputError(f"{folder} is an adapter, which needs peft: pip install 'forgetting-harness[lora]'") from error
    try:
        merged = PeftModel.from_pretrained(model, str(folder), is_trainable=False).merge_and_unload(safe_merge=True)
    except Exception as error:  # what a folder holds is not ours
        raise InputError(f"the adapter in {folder} cannot be merged into its base: {said(error)}") from error
    return merged.requires_grad_(False)
