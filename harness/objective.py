"""Token losses without the (B, T, V) logits.

The last hidden states are cut into chunks of positions. Each chunk makes its own logits, its cross-entropies and whatever terms
the strategy adds, and takes its gradients at once, inside the forward of one autograd function; so no tensor of positions x
vocabulary larger than a chunk ever exists, in forward or in backward, and any term a strategy can write inherits that. A graph
begins at the logits of its chunk: the head's gradient is added up by the matrix product itself, without a copy a chunk.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.chunked import Chunked, Weighting, Work, parts
from harness.head import Bend, bend_of
from harness.strategy import CROSS_ENTROPY, Chunk

Terms = Callable[[Chunk, Any], Mapping[str, Tensor]]
"""(chunk, memory) to (n,) nats by term name."""

CHUNK_ELEMENTS = 2**23
"""Logits held at once: positions x vocabulary. 2^23 fp32 values are 32 MiB."""


def chunk_size(vocabulary: int) -> int:
    """Positions of a chunk: a power of two between 64 and 1,024, chosen from the size of the vocabulary alone."""
    return max(64, min(1024, 1 << (max(1, CHUNK_ELEMENTS // vocabulary).bit_length() - 1)))


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
        self.bend = bend_of(model)
        """What makes logits of the head's output; None: the model makes them all at once."""
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
        work = Work(
            targets=tokens[:, 1:].flatten(),
            beside={name: values.flatten(0, 1) for name, values in (beside or {}).items()},
            weights={name: values.flatten() for name, values in weighting.weights.items()},
            weighting=weighting,
            terms=lambda chunk: self.terms(chunk, memory),
            size=self.size,
            learning=torch.is_grad_enabled(),
            bend=self.bend or Bend(),
        )
        head: Any = self.model.get_output_embeddings()  # pyright: ignore[reportCallIssue]
        total = Chunked.apply(work, along["hidden"], along.get("logits"), head.weight, getattr(head, "bias", None))
        return total, work.sums  # pyright: ignore[reportReturnType]

    def states(self, tokens: Tensor) -> tuple[Tensor, Tensor | None]:
        """(b, T-1, D) hidden states at the predicted positions; (b, T-1, V) logits where the head alone does not make them."""
        model: Any = self.model
        if self.bend:
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
        whole = logits.flatten(0, 1) if logits is not None else None
        found, bend = [], self.bend or Bend()
        for part in parts(len(targets), self.size):
            made = head(flat[part]) if whole is None else whole[part]
            found.append(F.cross_entropy(bend.logits(made), targets[part], reduction="none"))
        return torch.cat(found).view(tokens.shape[0], -1)

    @property
    def told(self) -> str:
        """How logits are made, as a record says it."""
        return self.bend.told if self.bend else "whole logits"
