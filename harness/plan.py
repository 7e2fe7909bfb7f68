"""What will be run, as frozen data with a fingerprint: Arm, Budget, Trial, Plan."""

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

WARMUP, FLOOR = 0.03, 0.1


def digest(value: Any) -> str:
    """sha256 of a value's canonical JSON; what two equal plans share."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def file_digest(path: Path) -> str:
    """sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cosine(steps: int, warmup: float = WARMUP, floor: float = FLOOR) -> Callable[[int], float]:
    """Linear warm-up over a share of the updates, then cosine to a floor: multiples of the peak for u = 1..T.

    Update u uses the value printed for t = u: eta(W) is the peak, eta(T) the floor (Ibrahim et al. 2024, equations 1 and 2).
    """
    first = round(warmup * steps)

    def rate(update: int) -> float:
        if update <= first:
            return update / first
        return floor + (1 - floor) / 2 * (1 + math.cos(math.pi * (update - first) / (steps - first)))

    return rate


@dataclass(frozen=True)
class Engine:
    """How the arithmetic of a training is done, the same for every arm.

    precision               of forward and backward: fp32, or bf16 or fp16 by autocast
    weights                 what models are kept in while training: fp32, or bf16, trained with stochastic rounding
    optimizer               adamw, adamw_8bit or adafactor
    attention               the implementation in transformers: sdpa, eager or flash_attention_2
    document_mask           whether a token is kept from seeing the documents before its own in the row
    gradient_checkpointing  whether blocks are computed again in the backward instead of kept
    reference_weights       what frozen models beside the trained one are kept in: fp32 or int8
    offload_reference       whether they, and importances, wait in host memory and are moved a block at a time
    compile                 whether blocks go through torch.compile
    liger                   whether blocks use Liger's kernels
    """

    precision: str = "fp32"
    weights: str = "fp32"
    optimizer: str = "adamw"
    attention: str = "sdpa"
    document_mask: bool = False
    gradient_checkpointing: bool = False
    reference_weights: str = "fp32"
    offload_reference: bool = False
    compile: bool = False
    liger: bool = False

    @property
    def forward(self) -> dict[str, Any]:
        """What changes the bits of a forward pass through a frozen model, and so whatever is made from one."""
        kept = ("precision", "weights", "attention", "document_mask", "reference_weights", "compile", "liger")
        return {name: getattr(self, name) for name in kept}

    @property
    def told(self) -> str:
        """The precision, and in words whatever else is not the default."""
        words = [self.precision]
        for f in fields(self)[1:]:
            if (value := getattr(self, f.name)) != f.default:
                words.append(f.name.replace("_", " ") + ("" if value is True else f" {value}"))
        return ", ".join(words)


@dataclass(frozen=True)
class Budget:
    """What every arm may spend and must share.

    steps           optimizer updates T
    batch           rows of an optimizer step
    length          tokens of a row
    peak            learning rate that `lr=1` means
    warmup, floor   of the control's schedule, as shares of T and of the peak
    weight_decay    decoupled, on matrices, towards zero
    clip            largest global gradient norm
    engine          how the arithmetic is done
    """

    steps: int
    batch: int
    length: int
    peak: float
    warmup: float = WARMUP
    floor: float = FLOOR
    weight_decay: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.95
    clip: float = 1.0
    engine: Engine = field(default_factory=Engine)

    @property
    def tokens(self) -> int:
        """Tokens of a training: rows x length as read."""
        return self.steps * self.batch * self.length

    @property
    def schedule(self) -> Callable[[int], float]:
        """The control's learning rate: multiples of the peak for u = 1..T."""
        return cosine(self.steps, self.warmup, self.floor)


@dataclass(frozen=True)
class Part:
    """One strategy as typed: its name and the parameters given."""

    name: str
    given: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class Arm:
    """A strategy as typed: parts joined by `+`, with what belongs to the arm as a whole.

    lr      multiple of the plan's peak learning rate; None: what its strategies say
    steps   multiple of the plan's updates
    """

    parts: tuple[Part, ...]
    lr: float | None = None
    steps: float = 1.0

    @property
    def name(self) -> str:
        """The arm as it is typed: `replay:share=0.05+kl:weight=0.1:lr=0.3`."""
        words = ["".join([part.name, *(f":{key}={spell(value)}" for key, value in part.given)]) for part in self.parts]
        own = [
            f":lr={spell(self.lr)}" if self.lr is not None else "",
            f":steps={spell(self.steps)}" if self.steps != 1.0 else "",
        ]
        return "+".join(words) + "".join(own)

    @property
    def folder(self) -> str:
        """The arm's folder in a run."""
        return re.sub(r"[:=+]", "-", self.name)


def spell(value: Any) -> str:
    """A parameter's value as it is typed: exact, and without a `+`, which would begin another part."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, float):
        return str(value)
    short = f"{value:g}"
    return re.sub(r"e\+0*", "e", short if float(short) == value else repr(value))


@dataclass(frozen=True)
class Trial:
    """One arm under one seed: the unit that is trained, scored, stored, resumed."""

    arm: Arm
    seed: int

    @property
    def folder(self) -> str:
        """Its folder below the run's."""
        return f"{self.arm.folder}/seed-{self.seed}"


@dataclass(frozen=True)
class Plan:
    """All trials and suites of a run, with everything resolved.

    base        name, folder, digest and known facts of the base model
    sources     new and old text: name, content key, rows, tokens
    arms        the control first
    strategies  arm name -> every parameter of every part, defaults included
    rates       arm name -> multiple of the plan's peak learning rate
    steps       arm name -> updates
    equal       what arms share: tokens, new_tokens or flops
    controls    arm as typed -> names of the arms that isolate what it does, whether the plan has them or not
    families    arm as typed -> names of its settings; empty where every arm is one setting
    kept        arms that are trained under every seed, the others under the first alone; None: all
    chosen_by   sweep or match -> how one setting an arm is chosen
    suites      suite name -> key
    micro_batch rows of a forward and backward; equal for all arms, no part of the result beyond rounding
    notes       what was decided for the reader and why (a shrunk batch, a default rate)
    versions    of this program and the libraries that results depend on
    """

    base: Mapping[str, Any]
    sources: Mapping[str, Mapping[str, Any]]
    budget: Budget
    arms: tuple[Arm, ...]
    strategies: Mapping[str, Any]
    rates: Mapping[str, float]
    steps: Mapping[str, int]
    seeds: tuple[int, ...]
    suites: Mapping[str, str]
    micro_batch: int
    equal: str = "tokens"
    controls: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    families: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    kept: tuple[str, ...] | None = None
    chosen_by: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    prompts: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def trials(self) -> tuple[Trial, ...]:
        """Every arm under every seed, seed by seed, the control first; what a search only tries under the first alone."""
        return tuple(Trial(arm, seed) for seed in self.seeds for arm in self.arms if seed == self.seeds[0] or self.keeps(arm))

    def keeps(self, arm: Arm) -> bool:
        """Whether an arm is trained under every seed."""
        return self.kept is None or arm.name in self.kept

    @property
    def alike(self) -> bool:
        """Whether every arm is trained for as many updates as the control."""
        return set(self.steps.values()) == {self.budget.steps}

    def fingerprint(self) -> str:
        """What a run folder must share with this plan to be continued; arms, seeds, suites and prompts may be added."""
        base = [self.base["digest"], self.base.get("tokenizer")]
        scored = self.options.get("scored_at") or "final step"
        return digest({"base": base, "sources": self.sources, "budget": asdict(self.budget), "scored_at": scored})

    def trial_fingerprint(self, trial: Trial) -> str:
        """What makes two trials the same training and the same result."""
        name = trial.arm.name
        own = [self.strategies[name], self.rates[name], self.steps[name]]
        return digest([self.fingerprint(), own, trial.seed, self.micro_batch])
