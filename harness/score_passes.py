"""Passes of a model over rows, and the log-probabilities of what they score: the head runs only where a score is read."""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from harness.chunked import parts
from harness.head import Bend, bend_of
from harness.objective import chunk_size
from harness.packing import Request, Row

BUDGET = {"cpu": 512, "cuda": 2048}
"""Tokens of a row, and of a pass over rows of equal length."""
LOGITS = {"cpu": 2**26, "cuda": 2**28}
"""Logits of a pass where only the model itself can make them: 256 MiB and 1 GiB in fp32."""

Scores = tuple[Tensor, Tensor]
"""(scored,) log-probability of each scored token in nats, float64, and whether it was the likeliest; on the CPU."""


class Products(TorchFunctionMode):
    """Inside, linear layers in fp32 on a CPU are oneDNN's products: on AMD they take 0.6 to 0.8 of the time of MKL's."""

    def __init__(self) -> None:
        super().__init__()
        self.product = None if torch.is_autocast_enabled("cpu") else _product()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is functional.linear and self.product and not kwargs:
            given, weight = args[:2]
            bias = args[2] if len(args) > 2 else None
            plain = given.device.type == "cpu" and type(weight) in (Tensor, nn.Parameter)  # a quantised weight is neither
            if plain and given.dtype == weight.dtype == torch.float32 and given.numel():
                return self.product(given, weight, bias, "none", [], "")
        return func(*args, **(kwargs or {}))


def _product() -> Callable[..., Tensor] | None:
    """oneDNN's own product, which torch keeps to itself; None where it has none, or another one than was measured."""
    try:
        product = torch.ops.mkldnn._linear_pointwise
        one = torch.ones(1, 1)
        return product if float(product(one, one, one[0], "none", [], "")) == 2 else None
    except (AttributeError, RuntimeError, TypeError):
        return None


class Passes:
    """One model: what it is fed, where its logits come from, and how many of them are held at once."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.bend = bend_of(model)
        """How logits are made of the head's output; None: the model makes them all at once."""
        self.head: Any = model.get_output_embeddings()
        self.vocabulary = int(model.config.get_text_config().vocab_size)
        self.size = chunk_size(self.vocabulary)
        weight = next(model.parameters())
        self.device, self.dtype = weight.device, weight.dtype
        self.kind = "cuda" if self.device.type == "cuda" else "cpu"

    @property
    def budget(self) -> int:
        """Tokens of a row."""
        return BUDGET[self.kind]

    def batches(self, rows: Sequence[Row]) -> list[list[Row]]:
        """Rows with a mask one by one, others with those of equal length: nothing is padded."""
        found = [[row] for row in rows if row.branches]
        plain = sorted((row for row in rows if not row.branches), key=lambda row: -row.longest)
        for length, same in groupby(plain, key=lambda row: row.longest):
            most = self.budget if self.bend else min(self.budget, LOGITS[self.kind] // self.vocabulary)
            equal = list(same)
            found += [equal[part] for part in parts(len(equal), max(1, most // length))]
        return found

    @torch.no_grad()
    def score(self, batches: Iterable[Sequence[Row]], requests: Sequence[Request]) -> list[Scores]:
        """What every request scores, in their order; positions of several passes go through the head together."""
        found: list[Scores] = [(torch.empty(0), torch.empty(0))] * len(requests)
        pile = Pile(self)
        with Products():
            for batch in batches:
                for row, states in zip(batch, self._states(batch), strict=True):
                    pile.add(row, states)
                if pile.held >= self.size:
                    pile.empty(requests, found)
            pile.empty(requests, found)
        return found

    def _states(self, batch: Sequence[Row]) -> Tensor:
        """(B, T, D) last hidden states, or (B, T, V) logits where only the model makes them."""
        given = {"input_ids": torch.tensor([row.tokens for row in batch], device=self.device)}  # (B, T)
        if batch[0].branches:
            given["position_ids"] = torch.tensor([row.positions for row in batch], device=self.device)  # (1, T)
            given["attention_mask"] = batch[0].mask(self.dtype, self.device)
        if self.bend:
            return self.model.base_model(**given, use_cache=False).last_hidden_state
        return self.model(**given, use_cache=False).logits

    def read(self, states: Tensor, at: Tensor, targets: Tensor) -> Scores:
        """Log-probability of targets (n,) at rows `at` (n,), ascending, of states (m, D or V), in chunks of rows."""
        nats, hits = [], []
        for part in parts(len(states), self.size):
            first, last = np.searchsorted(at.numpy(), [part.start, part.stop])
            where, wanted = ((t[first:last].to(self.device)) for t in (at - part.start, targets))
            made = (self.bend or Bend()).logits(self.head(states[part]) if self.bend else states[part])
            logs = made.log_softmax(-1)  # (chunk, V)
            picked = logs[where, wanted]
            nats.append(picked.cpu().double())
            hits.append((picked >= logs.amax(-1)[where]).cpu())
        return torch.cat(nats), torch.cat(hits)


class Pile:
    """States at the places that are read, of several rows, and which request reads which of them."""

    def __init__(self, passes: Passes) -> None:
        self.passes = passes
        self._clear()

    def _clear(self) -> None:
        self.held = 0
        self.states: list[Tensor] = []
        self.reads: list[tuple[int, Any]] = []

    def add(self, row: Row, states: Tensor) -> None:
        """Take what is read of a row's states (T, D); a place that several requests score is taken once."""
        places = np.unique(np.concatenate([read.places for read in row.reads]))
        self.reads += [(read.number, self.held + np.searchsorted(places, read.places)) for read in row.reads]
        self.states.append(states[torch.from_numpy(places).to(states.device)])
        self.held += len(places)

    def empty(self, requests: Sequence[Request], found: list[Scores]) -> None:
        """Score what is held, and put it where the requests stand."""
        if not self.held:
            return
        at = torch.from_numpy(np.concatenate([places for _, places in self.reads]))
        targets = torch.tensor([token for number, _ in self.reads for token in requests[number].scored])
        order = at.argsort(stable=True)
        back = order.argsort()
        nats, hits = self.passes.read(torch.cat(self.states), at[order], targets[order])
        lengths = [len(places) for _, places in self.reads]
        parted = zip(nats[back].split(lengths), hits[back].split(lengths), strict=True)
        for (number, _), scores in zip(self.reads, parted, strict=True):
            found[number] = scores
        self._clear()
