"""Token losses without the (B, T, V) logits.

The last hidden states are cut into chunks of positions. Each chunk makes its own logits, its cross-entropies and whatever terms
the strategy adds, and takes its gradients at once, inside the forward of one autograd function; so no tensor of positions x
vocabulary larger than a chunk ever exists, in forward or in backward, and any term a strategy can write inherits that. A graph
begins at the logits of its chunk: the head's gradient is added up by the matrix product itself, without a copy a chunk.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from harness.errors import TrialError
from harness.hooks import wrong_term
from harness.strategy import CROSS_ENTROPY, Chunk, ChunkView

Terms = Callable[[Chunk, Any], Mapping[str, Tensor]]
"""(chunk, memory) to (n,) nats by term name."""

CHUNK_ELEMENTS = 2**23
"""Logits held at once: positions x vocabulary. 2^23 fp32 values are 32 MiB."""


def chunk_size(vocabulary: int) -> int:
    """Positions of a chunk: a power of two between 64 and 1,024, chosen from the size of the vocabulary alone."""
    return max(64, min(1024, 1 << (max(1, CHUNK_ELEMENTS // vocabulary).bit_length() - 1)))


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


def cross_entropy(chunk: Chunk, memory: Any = None) -> Mapping[str, Tensor]:
    """The next-token loss alone."""
    return {CROSS_ENTROPY: chunk.losses}


def multiplied(model: nn.Module) -> int:
    """Weights that every token is multiplied by: all but the embeddings that are only looked up."""
    built: Any = model
    looked_up = {module.weight for module in built.modules() if isinstance(module, nn.Embedding)}
    looked_up.discard(built.get_output_embeddings().weight)  # a tied one is the head too
    return sum(weight.numel() for weight in built.parameters() if weight not in looked_up)


class Objective(nn.Module):
    """A causal language model and the terms it is trained on; the module that is prepared for devices and processes."""

    def __init__(self, model: nn.Module, terms: Terms = cross_entropy) -> None:
        super().__init__()
        self.model = model
        self.terms = terms
        head: Any = model.get_output_embeddings()  # pyright: ignore[reportCallIssue]
        self.size = chunk_size(head.weight.shape[0])
        self.separable = _separable(model)
        self.tokens_seen = 0
        """Tokens of forward passes that nothing is learned from."""

    def forward(
        self,
        tokens: Tensor,
        weighting: Weighting,
        beside: Mapping[str, Tensor] | None = None,
        memory: Any = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """(b, T) tokens to the weighted sum of all terms, with a gradient, and each term's own sum in nats, without."""
        hidden, logits = self.states(tokens)
        along = {"hidden": hidden.flatten(0, 1)} | ({} if logits is None else {"logits": logits.flatten(0, 1)})
        work = _Work(
            targets=tokens[:, 1:].flatten(),
            beside={name: values.flatten(0, 1) for name, values in (beside or {}).items()},
            weights={name: values.flatten() for name, values in weighting.weights.items()},
            weighting=weighting,
            terms=lambda chunk: self.terms(chunk, memory),
            size=self.size,
            learning=torch.is_grad_enabled(),
        )
        head: Any = self.model.get_output_embeddings()  # pyright: ignore[reportCallIssue]
        total = _Chunked.apply(work, along["hidden"], along.get("logits"), head.weight, getattr(head, "bias", None))
        return total, work.sums  # pyright: ignore[reportReturnType]

    def states(self, tokens: Tensor) -> tuple[Tensor, Tensor | None]:
        """(b, T-1, D) hidden states at the predicted positions; (b, T-1, V) logits where the head alone does not make them."""
        model: Any = self.model
        if self.separable:
            return model.base_model(input_ids=tokens, use_cache=False).last_hidden_state[:, :-1], None
        out = model(input_ids=tokens, use_cache=False, output_hidden_states=True)
        return out.hidden_states[-1][:, :-1], out.logits[:, :-1]

    @torch.no_grad()
    def losses(self, tokens: Tensor) -> Tensor:
        """(b, T) tokens to (b, T-1) cross-entropies in nats, without gradient."""
        self.tokens_seen += tokens.numel()
        hidden, logits = self.states(tokens)
        head: Any = self.model.get_output_embeddings()  # pyright: ignore[reportCallIssue]
        flat, targets = hidden.flatten(0, 1), tokens[:, 1:].flatten()
        made = logits.flatten(0, 1) if logits is not None else None
        found = [
            F.cross_entropy((head(flat[part]) if made is None else made[part]).float(), targets[part], reduction="none")
            for part in _parts(len(targets), self.size)
        ]
        return torch.cat(found).view(tokens.shape[0], -1)


def _parts(total: int, size: int) -> Iterator[slice]:
    return (slice(start, min(total, start + size)) for start in range(0, total, size))


LOUD = 1e4
"""How much the head's output is amplified to see what a model does to it: a soft cap hardly bends small logits."""


@torch.no_grad()
def _separable(model: nn.Module) -> bool:
    """Whether the output embedding alone turns the last hidden states into the model's own logits.

    One short row is compared, the head's output amplified: soft caps, logit scales and adapters on the head show.
    """
    built: Any = model
    head = built.get_output_embeddings()
    if type(head) is not nn.Linear:
        return False
    modes = {module: module.training for module in built.modules()}
    built.eval()
    tokens = (torch.arange(8, device=head.weight.device) % head.weight.shape[0]).unsqueeze(0)
    hook = head.register_forward_hook(lambda module, given, made: made * LOUD)  # pyright: ignore
    try:
        own = built(input_ids=tokens, use_cache=False).logits.float()
        made = head(built.base_model(input_ids=tokens, use_cache=False).last_hidden_state).float()
    finally:
        hook.remove()
        for module, mode in modes.items():
            module.training = mode
    return bool(torch.allclose(own, made, rtol=1e-4, atol=1e-4 * LOUD))


@dataclass
class _Work:
    """What one call has to do: cut, make logits, weigh terms, add up; and whether gradients are wanted of it."""

    targets: Tensor
    beside: Mapping[str, Tensor]
    weights: Mapping[str, Tensor]
    weighting: Weighting
    terms: Callable[[Chunk], Mapping[str, Tensor]]
    size: int
    learning: bool
    sums: dict[str, Tensor] = field(default_factory=dict)

    def chunks(self) -> Iterator[slice]:
        return _parts(len(self.targets), self.size)

    def total(self, part: slice, hidden: Tensor, logits: Tensor) -> Tensor:
        """The weighted sum of all terms over a chunk: hidden (n, D), logits (n, V) fp32."""
        targets = self.targets[part]
        losses = F.cross_entropy(logits, targets, reduction="none")  # (n,)
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


class _Chunked(torch.autograd.Function):
    """Sum over chunks whose gradients are taken in the forward; the backward only scales them."""

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, work: _Work, hidden: Tensor, logits: Tensor | None, weight: Tensor, bias: Tensor | None
    ) -> Tensor:
        given: Any = (hidden, logits, weight, bias)
        wanted = [t is not None and work.learning and ctx.needs_input_grad[i] for i, t in enumerate(given, 1)]
        kinds = (hidden.dtype, torch.float32, torch.float32, torch.float32)
        slopes = _Slopes(*(torch.zeros_like(t, dtype=k) if w else None for t, k, w in zip(given, kinds, wanted, strict=True)))
        head = weight.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind := weight.device.type) else weight
        total = hidden.new_zeros((), dtype=torch.float32)
        for part in work.chunks():
            h = hidden[part].detach().requires_grad_(wanted[0])
            made = F.linear(h.detach().to(head.dtype), head, bias) if logits is None else logits[part]
            total = total + slopes.add(work, part, h, made.detach().float().requires_grad_(any(wanted)), head)
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


class _Slopes(NamedTuple):
    """Gradients as they are added up; None for what wants none."""

    hidden: Tensor | None
    logits: Tensor | None
    weight: Tensor | None
    bias: Tensor | None

    def add(self, work: _Work, part: slice, h: Tensor, z: Tensor, head: Tensor) -> Tensor:
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
        slope = z.grad.to(head.dtype)
        if self.hidden is not None:
            self.hidden[part].add_(slope @ head)
        if self.weight is not None:
            _add_product(self.weight, slope.t(), h.detach().to(head.dtype))
        if self.bias is not None:
            self.bias.add_(z.grad.sum(0))
        return value.detach()


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """total += left @ right, by the product itself where all are of one kind."""
    if total.dtype == left.dtype:
        total.addmm_(left, right)
    else:
        total.add_(left @ right)
