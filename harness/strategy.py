"""The contract for strategies, and `+`.

A strategy is a frozen dataclass of its parameters, plus hooks. A hook is named for what it changes, gets only what it needs and
returns what it makes; `gradients`, `weights` and `finish` change in place. What hooks are
given is described in `given.py`. This is the whole loop:

    memory = strategy.setup(origin)                    once: Fisher, importances, scores of the text, generated text
    model  = strategy.adapt(model)                     once: freeze, expand, add adapters
    peak   = lr * strategy.peak()                      multiple of the plan's peak learning rate; lr is the arm's
    rate   = strategy.schedule(budget)                 learning rate as a function of the update 1..T, times the peak
    rows   = strategy.choose(source, memory)           once: the rows of a source that may be read; all unless selected
    for each update:
        shares = strategy.mixture(update, course)      share of each source in this global step
        for each micro-batch:
            weights = strategy.weigh(batch, memory)    per term and position; none: every predicted token counts 1
            beside  = strategy.observe(batch, memory)  tensors that lie along the tokens: reference states, cached log-probs
            terms   = cross-entropy, and strategy.loss(chunk, memory) by name, chunk by chunk
            backward of the sum, each term divided by its own count over the whole global step
        strategy.gradients(model, memory, origin)      once a step: after accumulation and reduction, before clipping
        clip; optimizer; schedule
        strategy.weights(model, memory, origin)        once a step: averages, interpolation, masked updates
    strategy.finish(model, memory, origin)             once: merge, interpolate
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

from harness.given import NEW, OLD, TASK, Batch, Chunk, Control, Course, Frozen, Memory, Origin, Table
from harness.hooks import ASKED, watched
from harness.plan import Budget

if TYPE_CHECKING:
    from torch import Tensor, nn

_BEFORE = ("setup", "adapt", "peak", "schedule", "choose")
HOOKS = (*_BEFORE, "mixture", "weigh", "observe", "loss", "gradients", "weights", "finish")
FAMILIES = (
    "control",
    "learning rate",
    "data",
    "weight space",
    "function space",
    "fewer weights",
    "averages",
    "importance",
    "loss",
    "other",
)
CROSS_ENTROPY = "cross_entropy"


@dataclass(frozen=True)
class Strategy:
    """A way to train on new text. Subclasses are frozen dataclasses that override the hooks they need.

    neutral       parameters at which the strategy is the control; None where there are none, and then `reason` says why
    example       a small setting for tests, at which it is not the control
    needs         what the plan must have: sources ("old", "task"), models ("reference", "instruct"), the base's "peak"
    anchor        whether it penalises leaving the base, so that it must not pull at the base weights themselves
    sweep         parameter -> values worth trying; the first parameter is the strength that a sweep or a search changes
    family        which of FAMILIES it belongs to: lists are ordered by it
    experimental  laws and formula tests only: listed apart
    lr            multiple of the plan's peak learning rate that an arm takes where none is given
    extra         the library that it imports and that not every installation has ("peft")
    renames       whether weights have other names than the base's: "" never, "while training" (adapters), "for good"
    by_name       whether it pairs trained weights with the base's, or with a table of its own, by name
    """

    neutral: ClassVar[Mapping[str, Any] | None] = None
    example: ClassVar[Mapping[str, Any]] = {}
    needs: ClassVar[tuple[str, ...]] = ()
    sweep: ClassVar[Mapping[str, Sequence[Any]]] = {}
    reason: ClassVar[str] = ""
    anchor: ClassVar[bool] = False
    family: ClassVar[str] = "other"
    experimental: ClassVar[bool] = False
    lr: ClassVar[float] = 1.0
    extra: ClassVar[str] = ""
    renames: ClassVar[str] = ""
    by_name: ClassVar[bool] = False

    def __init_subclass__(cls, **given: Any) -> None:
        """Hooks of a subclass say who they are when they go wrong; those of the harness itself have parts that do."""
        super().__init_subclass__(**given)
        for hook in (*HOOKS, *ASKED):
            if hook in vars(cls) and callable(vars(cls)[hook]) and not cls.__module__.startswith("harness."):
                setattr(cls, hook, watched(hook, vars(cls)[hook]))

    def controls(self) -> Sequence[str]:
        """Arms, as typed, without which nothing can be said about this one beyond the control's.

        Each takes this strategy's place in the arm, at the arm's rate and updates times its own; its rate is taken as it
        stands where `lr` is not 1.
        """
        return ()

    def cost(self, budget: Budget) -> float:
        """FLOPs of a step as a multiple of a plain step's (forward 1/3, backward 2/3), one-off passes left out."""
        return 1.0

    def fits(self, config: Any, budget: Budget) -> None:
        """Refuse, by a ValueError that says what is lacking, a base (its transformers configuration) or a budget."""

    def needed(self) -> Sequence[str]:
        """What the plan must have at these parameters: `needs`, unless they say otherwise."""
        return self.needs

    def setup(self, origin: Origin) -> Memory:
        """Once, before the first step: whatever has to be known. Leaves base, gradients, mode and random state alone."""
        return Memory()

    def adapt(self, model: "nn.Module") -> "nn.Module":
        """Once: freeze, expand or add parameters. What does not require a gradient is kept out of the optimizer."""
        return model

    def peak(self) -> float:
        """Factor of the arm's peak learning rate; the factors of an arm's parts multiply."""
        return 1.0

    def schedule(self, budget: Budget) -> Callable[[int], float]:
        """Learning rate of update u = 1..T as a multiple of the arm's peak."""
        return budget.schedule

    def choose(self, source: str, memory: Memory) -> Sequence[int] | None:
        """Row numbers of a source that may be read, each epoch in the order of all rows; None: all of them."""
        return None

    def mixture(self, update: int, course: Course) -> Mapping[str, float]:
        """Share of each source in the rows of update u = 1..T; what is left is new text."""
        return {}

    def weigh(self, batch: Batch, memory: Memory) -> "Mapping[str, Tensor]":
        """By term, (b, T-1) weights; a weighted term is divided by its non-zero positions in the global step."""
        return {}

    def observe(self, batch: Batch, memory: Memory) -> "Mapping[str, Tensor]":
        """By name, (b, T-1, ...) tensors that lie along the predicted positions; handed to `loss` in chunks."""
        return {}

    def loss(self, chunk: Chunk, memory: Memory) -> "Mapping[str, Tensor]":
        """By term, (n,) nats that are added to the cross-entropy."""
        return {}

    def gradients(self, model: "nn.Module", memory: Memory, origin: Origin) -> None:
        """Change `.grad` in place, once a step, after accumulation and reduction and before clipping."""

    def weights(self, model: "nn.Module", memory: Memory, origin: Origin) -> None:
        """Change the weights in place, once a step, after the optimizer."""

    def finish(self, model: "nn.Module", memory: Memory, origin: Origin) -> None:
        """Change the weights in place, once, after the last step."""

    def fisher(self, origin: Origin) -> "Mapping[str, Tensor] | None":
        """The base's diagonal Fisher by parameter name, where it knows one: half of d'Fd is a rise of the old loss a token."""
        return None

    def __add__(self, other: "Strategy") -> "Strategy":
        return Combined(parts(self) + parts(other))


def within(name: str, value: float, low: float, high: float = math.inf, above: bool = False) -> None:
    """Refuse a parameter outside low..high (above: low itself is refused too)."""
    if not (low < value if above else low <= value) or not value <= high or not math.isfinite(value):
        limits = f"{'above' if above else 'at least'} {low:g}" + ("" if high == math.inf else f" and at most {high:g}")
        raise ValueError(f"{name}={value:g} is out of range; it must be {limits}")


def among(name: str, value: str, known: Iterable[str]) -> None:
    """Refuse a parameter that is none of the known words."""
    if value not in (names := list(known)):
        raise ValueError(f"{name}={value} is unknown; it must be one of {', '.join(names)}")


def owners(strategy: Strategy, hook: str) -> list[Strategy]:
    """The parts of an arm that have a hook of their own."""
    return [part for part in parts(strategy) if getattr(type(part), hook) is not getattr(Strategy, hook)]


def overrides(strategy: Strategy, hook: str) -> bool:
    """Whether a strategy has a hook of its own."""
    return bool(owners(strategy, hook))


def after_training(strategy: Strategy) -> bool:
    """Whether a strategy's only hooks are `setup` and `finish`: then it is no part of a training's key."""
    return overrides(strategy, "finish") and not any(
        overrides(strategy, hook) for hook in HOOKS if hook not in ("setup", "finish")
    )


def blocks(model: "nn.Module") -> "nn.ModuleList":
    """The transformer blocks of a decoder, lowest first: the one list of modules as long as its configuration says."""
    from torch import nn

    count = model.config.get_text_config().num_hidden_layers  # pyright: ignore
    found = [module for module in model.modules() if isinstance(module, nn.ModuleList) and len(module) == count]
    if len(found) != 1:
        raise ValueError(f"{type(model).__name__} has {len(found)} lists of {count} blocks; one is expected")
    return found[0]


def parameters(strategy: Strategy) -> dict[str, Any]:
    """Parameter names and values."""
    return {f.name: getattr(strategy, f.name) for f in fields(strategy)}


# Below the contract, because an arm of several strategies is one itself; they are imported from here.
from harness.combined import Broken, ChunkView, Combined, parts  # noqa: E402

__all__ = [
    "ASKED",
    "CROSS_ENTROPY",
    "FAMILIES",
    "HOOKS",
    "NEW",
    "OLD",
    "TASK",
    "Batch",
    "Broken",
    "Budget",
    "Chunk",
    "ChunkView",
    "Combined",
    "Control",
    "Course",
    "Frozen",
    "Memory",
    "Origin",
    "Strategy",
    "Table",
    "after_training",
    "among",
    "blocks",
    "overrides",
    "owners",
    "parameters",
    "parts",
    "within",
]
