"""What the hooks of a strategy are given: a memory, micro-batches and chunks of them, frozen models, and the trial's origin."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from harness.plan import Budget

if TYPE_CHECKING:
    from torch import Tensor, nn

NEW, OLD, TASK = "new", "old", "task"


@dataclass
class Memory:
    """What a strategy remembers.

    fixed    computed by `setup`, never changed afterwards, in no checkpoint (the base, a Fisher, scores)
    moving   tensors and numbers that hooks update; in every checkpoint, in place of those after `setup`
    facts    what the page says about the set-up (split-half correlation, tokens read, ...)
    sources  rows that `setup` made, by a name of its own; mixtures may name them
    log      numbers of the update under way, logged with it (a penalty in nats, a projection rate), or tensors of one element
    """

    fixed: Any = None
    moving: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    sources: "dict[str, Table]" = field(default_factory=dict)
    log: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Course:
    """What the mixture of an update may depend on.

    rate    the arm's schedule: update u = 1..T to a multiple of the peak
    """

    budget: Budget
    seed: int
    rate: Callable[[int], float]


class Batch(Protocol):
    """A micro-batch as hooks see it."""

    @property
    def tokens(self) -> "Tensor":
        """(b, T) int64 token ids."""
        ...

    @property
    def sources(self) -> Sequence[str]:
        """b names: where each row came from."""
        ...

    @property
    def rows(self) -> Sequence[int]:
        """b row numbers within their source's table."""
        ...

    def losses(self) -> "Tensor":
        """(b, T-1) cross-entropies of the model being trained, in nats, without gradient."""
        ...


class Chunk(Protocol):
    """n predicted positions; what a loss term may be made of."""

    @property
    def hidden(self) -> "Tensor":
        """(n, D) last hidden states of the model being trained."""
        ...

    @property
    def logits(self) -> "Tensor":
        """(n, V) its logits, fp32."""
        ...

    @property
    def targets(self) -> "Tensor":
        """(n,) int64 next tokens."""
        ...

    @property
    def losses(self) -> "Tensor":
        """(n,) cross-entropies in nats."""
        ...

    @property
    def beside(self) -> Mapping[str, "Tensor"]:
        """What `observe` returned, cut to these positions: (n, ...) each."""
        ...


class Frozen(Protocol):
    """A model that is not trained: frozen, in eval mode, loaded on first use."""

    def states(self, tokens: "Tensor") -> "Tensor":
        """(b, T) token ids to (b, T-1, D) hidden states at the predicted positions."""
        ...

    def logits(self, states: "Tensor") -> "Tensor":
        """(n, D) hidden states to (n, V) logits, fp32."""
        ...

    def losses(self, tokens: "Tensor") -> "Tensor":
        """(b, T) token ids to (b, T-1) cross-entropies, in nats."""
        ...

    @property
    def model(self) -> "nn.Module":
        """The model itself; never to be changed."""
        ...

    def parameter(self, name: str) -> "Tensor":
        """The tensor of that name (a tied tensor has one name), fp32, never to be changed."""
        ...

    def waiting(self, name: str) -> "Tensor":
        """The same in the memory that it waits in: the host's under --offload-reference, for who moves it in blocks."""
        ...


class Table(Protocol):
    """A finite table of packed rows."""

    def __len__(self) -> int: ...

    def tokens(self, rows: Sequence[int]) -> "Tensor":
        """Rows by number: (len(rows), T) int64."""
        ...


class Control(Protocol):
    """The finished control of the same seed."""

    def parameter(self, name: str) -> "Tensor":
        """Its tensor of that name, fp32."""
        ...

    @property
    def gain(self) -> float:
        """What it learned: fall of the loss on held-out new text, base minus control, in nats per predicted token."""
        ...


class Origin(Protocol):
    """What a strategy may know of its trial."""

    @property
    def budget(self) -> Budget:
        """What this arm may spend."""
        ...

    @property
    def seed(self) -> int:
        """The trial's seed."""
        ...

    @property
    def base(self) -> Frozen:
        """The model as it was before training."""
        ...

    @property
    def control(self) -> Control:
        """The finished control of the same seed; TrialError where it is not there."""
        ...

    @property
    def earlier(self) -> "Memory | None":
        """The memory of the same strategy after the stage before; None in the first stage."""
        ...

    @property
    def rate(self) -> float:
        """The learning rate of the update under way."""
        ...

    def model(self, name: str) -> Frozen:
        """Another model that the plan names (`reference`, `instruct`, ...), with the base's vocabulary."""
        ...

    def source(self, name: str) -> Table:
        """The packed rows of a source (`new`, `old`, `task`); InputError where the plan has none of that name."""
        ...

    def read(self, source: str, start: int, count: int) -> "Tensor":
        """(count, T) tokens at positions of a source's endless seeded order that no training reads by; counted as read."""
        ...

    def sample(self, rows: int, draw: int, temperature: float = 1.0) -> "Tensor":
        """(rows, T) tokens drawn from the base, each row led by the token that documents start after; counted as read."""
        ...

    def waiting(self, tensors: Mapping[str, "Tensor"]) -> Mapping[str, "Tensor"]:
        """Tensors in the memory that references wait in: the host's under --offload-reference, else where they are."""
        ...

    def momentum(self, name: str) -> "Tensor":
        """The optimizer's first moment of a trained tensor, after its step; zeros before the first."""
        ...

    def gradient(
        self,
        model: "nn.Module",
        tokens: "Tensor",
        loss: "Callable[[Chunk], Tensor] | None" = None,
        beside: "Mapping[str, Tensor] | None" = None,
    ) -> "dict[str, Tensor]":
        """Gradient by parameter name, fp32, of the mean of `loss` (n,) over the predicted positions of `tokens` (b, T).

        `loss` is the cross-entropy unless given; `beside` lies along the predicted positions, (b, T-1, ...) each. Leaves
        `.grad`, training mode and random state as they were; the tokens are counted as read.
        """
        ...

    def remember(
        self, what: Mapping[str, Any], make: "Callable[[], dict[str, Tensor]]", sources: Sequence[str] = (OLD,)
    ) -> "dict[str, Tensor]":
        """Tensors made once and kept by content: by `what`, the base and the sources they are made from; in every run."""
        ...
