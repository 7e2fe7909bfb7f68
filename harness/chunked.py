"""A weighted sum over chunks of positions, with its gradients: what `objective.py` is made of.

Each chunk makes its logits, its terms and its gradients before the next one begins, in the forward of one autograd function.
Of a plain chunk two tensors of the logits' size exist at a time: the logits, and what becomes their gradient.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from harness.errors import TrialError
from harness.head import Bend
from harness.hooks import wrong_term
from harness.strategy import Chunk, ChunkView


@dataclass(frozen=True)
class Weighting:
    """How positions count: by term (b, T-1) weights, and what each term's sum is divided by.

    `predicted` divides the terms that have no weights: the predicted tokens of the global step; `scale` multiplies what has a
    gradient, a power of two.
    """

    predicted: float
    weights: Mapping[str, Tensor]
    divisors: Mapping[str, float]
    scale: float = 1.0

    def divisor(self, term: str) -> float:
        """What the sum of a term is divided by; a term that no position of the step carries is zero over one."""
        return max(1.0, self.divisors.get(term, self.predicted))


def parts(total: int, size: int) -> Iterator[slice]:
    return (slice(start, min(total, start + size)) for start in range(0, total, size))


@dataclass
class Work:
    """What one call has to do: cut, make logits, weigh terms, add up; and whether gradients are wanted of it."""

    targets: Tensor
    beside: Mapping[str, Tensor]
    weights: Mapping[str, Tensor]
    weighting: Weighting
    terms: Callable[[Chunk], Mapping[str, Tensor]]
    size: int
    learning: bool
    bend: Bend
    sums: dict[str, Tensor] = field(default_factory=dict)

    def chunks(self) -> Iterator[slice]:
        return parts(len(self.targets), self.size)

    def total(self, part: slice, hidden: Tensor, logits: Tensor) -> Tensor:
        """The weighted sum of all terms over a chunk: hidden (n, D), logits (n, V) fp32."""
        targets = self.targets[part]
        losses: Any = _CrossEntropy.apply(logits, targets)  # (n,)
        beside = {name: values[part] for name, values in self.beside.items()}
        chunk = ChunkView(hidden, logits, targets, losses, beside)
        terms = self.terms(chunk)
        for name, values in terms.items():
            if wrong := wrong_term(name, values, chunk):
                raise TrialError(wrong)
        return sum(
            (
                self._count(name, values, part) / (self.weighting.divisor(name) / self.weighting.scale)
                for name, values in terms.items()
            ),
            start=logits.new_zeros(()),
        )

    def _count(self, name: str, values: Tensor, part: slice) -> Tensor:
        weights = self.weights.get(name)
        summed = (values if weights is None else values * weights[part]).sum()
        self.sums[name] = self.sums.get(name, summed.new_zeros(())) + summed.detach()
        return summed


class _CrossEntropy(torch.autograd.Function):
    """(n, V) logits and (n,) targets to (n,) nats: PyTorch's, but its gradient takes the place of what the forward kept."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, targets: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        log_p = logits.log_softmax(-1)
        ctx.save_for_backward(log_p, targets)
        return -log_p.gather(-1, targets.unsqueeze(-1)).squeeze(-1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        log_p, targets = ctx.saved_tensors
        slope = slope.unsqueeze(-1)
        return log_p.exp_().mul_(slope).scatter_add_(-1, targets.unsqueeze(-1), -slope), None


class Chunked(torch.autograd.Function):
    """Sum over chunks whose gradients are taken in the forward; the backward only scales them."""

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, work: Work, hidden: Tensor, logits: Tensor | None, weight: Tensor, bias: Tensor | None
    ) -> Tensor:
        given: Any = (hidden, logits, weight, bias)
        wanted = [t is not None and work.learning and ctx.needs_input_grad[i] for i, t in enumerate(given, 1)]
        kinds = (hidden.dtype, torch.float32, torch.float32, torch.float32)
        slopes = Slopes(*(torch.zeros_like(t, dtype=k) if w else None for t, k, w in zip(given, kinds, wanted, strict=True)))
        head = weight.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind := weight.device.type) else weight
        total = hidden.new_zeros((), dtype=torch.float32)
        for part in work.chunks():
            h = hidden[part].detach().requires_grad_(wanted[0])
            made = F.linear(h.detach().to(head.dtype), head, bias) if logits is None else logits[part].detach()
            total = total + slopes.add(work, part, h, work.bend.logits(made).requires_grad_(any(wanted)), head)
        ctx.grads = slopes
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, scale: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        grads, ctx.grads = ctx.grads, None
        if scale.device.type != "cpu" or scale.item() != 1:
            for g in grads:
                if g is not None:
                    g.mul_(scale)
        return (None, *grads)


class Slopes(NamedTuple):
    """Gradients as they are added up; None for what wants none."""

    hidden: Tensor | None
    logits: Tensor | None
    weight: Tensor | None
    bias: Tensor | None

    def add(self, work: Work, part: slice, h: Tensor, z: Tensor, head: Tensor) -> Tensor:
        """Add a chunk's, of hidden states h (n, D) and logits z (n, V); its total."""
        with torch.set_grad_enabled(z.requires_grad):
            value = work.total(part, h, z)
        if not value.requires_grad:
            return value
        value.backward()
        if self.hidden is not None and h.grad is not None:
            self.hidden[part].add_(h.grad)
        if z.grad is None:
            return value.detach()
        if self.logits is not None:
            self.logits[part].add_(z.grad)
            return value.detach()
        made = work.bend.slope(z.grad, z.detach())
        slope = made.to(head.dtype)
        if self.hidden is not None:
            self.hidden[part].add_(slope @ head)
        if self.weight is not None:
            _add_product(self.weight, slope.t(), h.detach().to(head.dtype))
        if self.bias is not None:
            self.bias.add_(made.sum(0))
        return value.detach()


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """total += left @ right, by the product itself where all are of one kind."""
    if total.dtype == left.dtype:
        total.addmm_(left, right)
    else:
        total.add_(left @ right)
