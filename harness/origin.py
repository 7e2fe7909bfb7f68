"""What a strategy may know of its trial: the base, the sources, gradients, and a memory that outlives the run."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from harness import __version__
from harness.code import code
from harness.errors import HarnessError, InputError, TrialError
from harness.files import read_json, write_json, writing
from harness.frozen import FinishedControl, FrozenBase
from harness.mixture import rows_of
from harness.objective import Objective, Weighting
from harness.plan import Budget, digest, file_digest
from harness.sample import sample
from harness.strategy import OLD, Chunk, Memory, Table


@dataclass
class TrialOrigin:
    """One trial's view of where it comes from.

    tables      packed training rows by source name, on the CPU
    keys        source name (and `base`) to a digest of its content; part of the key of everything remembered
    cache       folder of what is remembered across runs
    load        the base, newly loaded
    start       the token that a document starts after
    others      other models that the plan names, newly loaded
    held        rows of new text that no arm trains on
    finished    the finished control of the same seed, newly loaded
    rate        learning rate of the update under way
    moments     the optimizer's first moments by parameter name
    files       what was remembered, and whether it was there before
    seconds_before  what it took to make that which was there before
    quantise    what makes a model lighter for the forward passes of a reference
    offloading  whether what a penalty compares with waits in host memory
    """

    budget: Budget
    seed: int
    tables: Mapping[str, Table]
    keys: Mapping[str, str]
    cache: Path
    load: Callable[[], nn.Module]
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    autocast: Callable[[], Any] = contextlib.nullcontext
    start: int = 0
    others: Mapping[str, Callable[[], nn.Module]] = field(default_factory=dict)
    held: Callable[[], Table] | None = None
    finished: Callable[[], nn.Module] | None = None
    earlier: Memory | None = None
    tokens_read: int = 0
    tokens_drawn: int = 0
    reference_before: int = 0
    seconds_before: float = 0.0
    rate: float = 0.0
    moments: Callable[[str], Tensor] | None = None
    files: dict[Path, bool] = field(default_factory=dict)
    quantise: Callable[[nn.Module], nn.Module] | None = None
    offloading: bool = False
    loaded: FrozenBase | None = None
    loaded_control: FinishedControl | None = None
    loaded_others: dict[str, FrozenBase] = field(default_factory=dict)

    @property
    def base(self) -> FrozenBase:
        """The model as it was before training, frozen; loaded on first use."""
        if self.loaded is None:
            self.loaded = self._frozen(self.load)
        return self.loaded

    def _frozen(self, load: Callable[[], nn.Module]) -> FrozenBase:
        quantise = self.quantise
        light = (lambda: quantise(load()).to(self.device)) if quantise else None
        return FrozenBase(lambda: load().to(self.device), self.autocast, light)

    @property
    def control(self) -> FinishedControl:
        """The finished control of the same seed."""
        if self.finished is None or self.held is None:
            raise TrialError("there is no finished control of the same seed to measure against; train it first")
        if self.loaded_control is None:
            self.loaded_control = FinishedControl(self._frozen(self.finished), self.base, self.held)
        return self.loaded_control

    def model(self, name: str) -> FrozenBase:
        """Another model that the plan names."""
        if name not in self.others:
            raise InputError(f"this plan names no {name} model; give it with --{name}, or leave out what compares with it")
        if name not in self.loaded_others:
            self.loaded_others[name] = self._frozen(self.others[name])
        return self.loaded_others[name]

    @property
    def reference_tokens(self) -> int:
        """Tokens of forward passes through the base and other frozen models."""
        models = (self.loaded, *self.loaded_others.values(), self.loaded_control and self.loaded_control.model)
        return self.reference_before + sum(frozen.tokens_seen for frozen in models if frozen)

    def free_control(self) -> None:
        """Let go of the finished control, a whole model; what it read stays counted."""
        if self.loaded_control:
            self.reference_before += self.loaded_control.model.tokens_seen
            self.loaded_control = None

    def offload(self) -> None:
        """Let frozen models wait in host memory, where the plan says so."""
        for frozen in (self.loaded, *self.loaded_others.values()) if self.offloading else ():
            if frozen:
                frozen.offload()

    def waiting(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Tensors in the memory that references wait in."""
        return {name: tensor.cpu() for name, tensor in tensors.items()} if self.offloading else tensors

    def source(self, name: str) -> Table:
        """The packed rows of a source."""
        if name not in self.tables:
            raise InputError(f"this plan has no {name} text; give it with --{name}, or leave out the strategies that read it")
        return self.tables[name]

    def read(self, source: str, start: int, count: int) -> Tensor:
        """(count, T) tokens at positions of a source's endless order, one that no training reads by."""
        table = self.source(source)
        tokens = table.tokens(rows_of(table, self.seed, f"{source} beside training", range(start, start + count)))
        return tokens.to(self.device)

    def sample(self, rows: int, draw: int, temperature: float = 1.0) -> Tensor:
        """(rows, T) tokens drawn from the base, the start token first."""
        self.tokens_drawn += rows * self.budget.length
        with self.autocast():
            return sample(self.base.model, self.start, rows, self.budget.length, draw, temperature)

    def momentum(self, name: str) -> Tensor:
        """The optimizer's first moment of a trained tensor."""
        assert self.moments is not None, "there is an optimizer only while training"
        return self.moments(name)

    def gradient(
        self,
        model: nn.Module,
        tokens: Tensor,
        loss: Callable[[Chunk], Tensor] | None = None,
        beside: Mapping[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Gradient by name, fp32, of the mean of `loss` (n,) over the predicted positions of `tokens` (b, T)."""
        self.tokens_read += tokens.numel()
        terms = (lambda chunk, memory: {"loss": loss(chunk)}) if loss else (lambda chunk, memory: {"loss": chunk.losses})
        device = next(model.parameters()).device
        along = {name: values.to(device) for name, values in (beside or {}).items()}
        weighting = Weighting(tokens.shape[0] * (tokens.shape[1] - 1), {}, {})
        with torch.enable_grad(), untouched(model), _wanting_gradients(model) as named:
            total, _ = Objective(model, terms)(tokens.to(device), weighting, along)
            found = torch.autograd.grad(total, list(named.values()), allow_unused=True)
        return {name: g.float() for name, g in zip(named, found, strict=True) if g is not None}

    def remember(
        self, what: Mapping[str, Any], make: Callable[[], dict[str, Tensor]], sources: Sequence[str] = (OLD,)
    ) -> dict[str, Tensor]:
        """Tensors made once and kept by content: by `what`, whose code, base and sources they are made from; in every run."""
        path = self.remembered({**what, "code": code(make.__module__)}, sources)
        seal = path.with_suffix(".json")
        whole, first = _whole(path, seal), path not in self.files
        self.files.setdefault(path, whole)
        if not whole:
            before, drawn, seen = self.tokens_read, self.tokens_drawn, self.reference_tokens
            began = time.perf_counter()
            tensors = {name: tensor.contiguous().cpu() for name, tensor in make().items()}
            with writing(path) as beside:
                save_file(tensors, beside)
            spent = {"tokens": self.tokens_read - before, "drawn": self.tokens_drawn - drawn}
            spent |= {"reference": self.reference_tokens - seen, "seconds": round(time.perf_counter() - began, 2)}
            write_json(seal, {"sha256": file_digest(path), **spent})
        elif first:  # what a method needs does not depend on a warm cache, nor on how often it asks
            spent = read_json(seal)
            self.tokens_read += spent["tokens"]
            self.tokens_drawn += spent.get("drawn", 0)
            self.reference_before += spent["reference"]
            self.seconds_before += spent.get("seconds", 0.0)
        return {name: tensor.to(self.device) for name, tensor in load_file(path).items()}

    def remembered(self, what: Mapping[str, Any], sources: Sequence[str] = (OLD,)) -> Path:
        """The file of what is remembered."""
        versions = [__version__, torch.__version__, version("transformers")]
        made_by = [*versions, str(self.device), torch.get_num_threads(), self.budget.engine.forward, self.start]
        keys = [self.keys.get(name) for name in ("base", *sources)]
        return self.cache / f"{digest([what, keys, self.budget.length, made_by])}.safetensors"


def _whole(path: Path, seal: Path) -> bool:
    """Whether a remembered file is there with the bytes that were written."""
    try:
        return path.is_file() and read_json(seal)["sha256"] == file_digest(path)
    except (OSError, HarnessError, KeyError, TypeError):
        return False


@contextlib.contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Training mode and random states are the same afterwards."""
    modes = {module: module.training for module in model.modules()}
    try:
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode


@contextlib.contextmanager
def _wanting_gradients(model: nn.Module) -> Iterator[dict[str, nn.Parameter]]:
    """The parameters to differentiate: those being trained, or all of a frozen model, frozen again afterwards."""
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    frozen = not named
    named = named or dict(model.named_parameters())
    for p in named.values():
        p.requires_grad_(True)
    try:
        yield named
    finally:
        for p in named.values():
            p.requires_grad_(not frozen)
