"""Models that stand beside the trained one: frozen, in eval mode, read and never changed."""

import contextlib
from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from harness.errors import TrialError
from harness.objective import Objective
from harness.strategy import Table

HELD_ROWS = 256
"""Rows of held-out text that a gain is measured on, at most."""


class FrozenBase:
    """The base model: frozen, in eval mode; its forward passes through a lighter copy, where there is one."""

    def __init__(
        self,
        load: Callable[[], nn.Module],
        autocast: Callable[[], Any] = contextlib.nullcontext,
        light: Callable[[], nn.Module] | None = None,
    ) -> None:
        self._load, self.autocast = load, autocast
        self._model: nn.Module | None = None
        self._offloaded, self._light = False, light is not None
        self._reading = Objective(light().eval().requires_grad_(False) if light else self.model)
        self.tokens_seen = 0
        """Tokens of its forward passes: what a reference costs."""
        self.device = next(self._reading.parameters()).device

    @property
    def model(self) -> nn.Module:
        """The model itself; beside a lighter copy it is loaded where weights or gradients are asked for."""
        if self._model is None:
            with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
                self._model = self._load().eval().requires_grad_(False)
            self._named = dict(self._model.named_parameters())
            self._writes = {name: p._version for name, p in self._named.items()}
        if self._offloaded:
            self._model.to(self.device)
            self._offloaded = False
        return self._model

    @property
    def _objective(self) -> Objective:
        """What forward passes go through, on the device."""
        if not self._light:
            _ = self.model
        return self._reading

    def offload(self) -> None:
        """Let the weights wait in host memory, until a forward pass or a gradient wants the model."""
        self.model.to("cpu")
        self._offloaded = True

    def changed(self) -> str | None:
        """The first tensor that somebody wrote to since it was loaded (not through `.data`, which leaves no trace)."""
        if self._model is None:
            return None
        return next((name for name, p in self._named.items() if p._version != self._writes[name]), None)

    @torch.no_grad()
    def states(self, tokens: Tensor) -> Tensor:
        """(b, T) token ids to (b, T-1, D) hidden states at the predicted positions (where the head is not all: logits)."""
        self.tokens_seen += tokens.numel()
        with self.autocast():
            hidden, logits = self._objective.states(tokens.to(self.device))
        return hidden if logits is None else logits

    @torch.no_grad()
    def logits(self, states: Tensor) -> Tensor:
        """(n, D) hidden states to (n, V) logits, fp32."""
        if self._objective.bend is None:
            return states.float()
        model: Any = self._objective.model
        with self.autocast():
            return self._objective.bend.logits(model.get_output_embeddings()(states))

    def losses(self, tokens: Tensor) -> Tensor:
        """(b, T) token ids to (b, T-1) cross-entropies of the base, in nats."""
        self.tokens_seen += tokens.numel()
        with self.autocast():
            return self._objective.losses(tokens.to(self.device))

    def parameter(self, name: str) -> Tensor:
        """The base's tensor of that name, fp32, never to be changed."""
        return self.waiting(name).to(self.device)

    def waiting(self, name: str) -> Tensor:
        """The same, in the memory that it waits in."""
        if self._model is None:
            _ = self.model
        return self._named[name].float()


class FinishedControl:
    """The finished control of the same seed: its weights, and what it learned."""

    def __init__(self, model: FrozenBase, base: FrozenBase, held: Callable[[], Table]) -> None:
        self.model, self._base, self._held = model, base, held

    def parameter(self, name: str) -> Tensor:
        """Its tensor of that name, fp32."""
        return self.model.parameter(name)

    @property
    def gain(self) -> float:
        """Fall of the loss on held-out new text, base minus control, in nats per predicted token."""
        return self._gain

    @cached_property
    def _gain(self) -> float:
        table = self._held()
        if not len(table):
            raise TrialError("the new text has no held-out row to measure the control's gain on; give more text")
        falls = []
        for row in range(min(len(table), HELD_ROWS)):
            tokens = table.tokens([row]).to(next(self._base.model.parameters()).device)
            falls.append(float((self._base.losses(tokens) - self.model.losses(tokens)).mean()))
        return sum(falls) / len(falls)
