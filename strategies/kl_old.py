"""Keep the base model's predictions where forgetting is measured: distillation on old text, the new text left free.

Source: Li & Hoiem 2016, Learning without Forgetting, arXiv:1606.09282, its penalty put on rehearsed text instead of on the new.
Cost: 1 + share/3 plain steps a step, and at equal tokens the old text displaces new text; with `topk` the base's pass over the
old rows is made once and kept, 8 bytes a token and k. Needs old text, best the base's own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, ClassVar

import torch
from torch import Tensor

from harness.strategy import CROSS_ENTROPY, OLD, Batch, Budget, Chunk, Course, Memory, Origin, Strategy, within
from strategies.kl import divergence

GROUP = 4
"""Rows of one pass of the base."""
POSITIONS = 256
"""Positions whose logits are held at once."""


@dataclass(frozen=True)
class KLOld(Strategy):
    """Mean cross-entropy of the new tokens + weight · mean KL(p_base || p_trained) of the old ones, in nats per token.

    To that, `cross_entropy` times the mean cross-entropy of the old tokens. With `topk` = k the KL is that over the base's k
    likeliest tokens and one bucket for the rest, Σ_k p·log(p/q) + p_rest·log(p_rest/q_rest): a lower bound of the whole.

    Parameters:
        share: share of old rows in every step, 0 to 1.
        weight: 0 or more.
        cross_entropy: 0 or more: weight of the old tokens' own cross-entropy.
        topk: tokens kept a position, 0 or more; 0: a pass of the base over the old rows each step.
    """

    share: float = 0.1
    weight: float = 1.0
    cross_entropy: float = 0.0
    topk: int = 0

    family: ClassVar[str] = "function space"
    neutral: ClassVar[Mapping[str, Any]] = {"share": 0.0}
    example: ClassVar[Mapping[str, Any]] = {"share": 0.25}
    needs: ClassVar[tuple[str, ...]] = (OLD,)
    sweep: ClassVar[Mapping[str, Sequence[Any]]] = {"share": (0.01, 0.05, 0.1, 0.25, 0.5), "weight": (0.3, 1.0, 3.0)}

    def __post_init__(self) -> None:
        within("share", self.share, 0, 1)
        within("weight", self.weight, 0)
        within("cross_entropy", self.cross_entropy, 0)
        within("topk", self.topk, 0)

    def controls(self) -> Sequence[str]:
        return (f"replay:share={self.share:g}",)

    def cost(self, budget: Budget) -> float:
        return 1.0 if self.topk else 1 + self.share / 3

    def mixture(self, update: int, course: Course) -> Mapping[str, float]:
        return {OLD: self.share}

    def setup(self, origin: Origin) -> Memory:
        if not (self.topk and self.share):
            return Memory(fixed={"base": origin.base})
        total = len(origin.source(OLD))
        wanted = min(total, ceil(origin.budget.steps * origin.budget.batch * self.share) + 1)
        rows = [place * total // wanted for place in range(wanted)]  # those that will be read, about once each; spread evenly
        what = {"what": "likeliest tokens", "topk": self.topk, "rows": wanted}
        kept = origin.remember(what, lambda: likeliest(origin, rows, self.topk))
        fixed = {name: tensor.cpu() for name, tensor in kept.items()}
        return Memory(fixed={**fixed, "rows": rows, "place": {row: place for place, row in enumerate(rows)}})

    def choose(self, source: str, memory: Memory) -> Sequence[int] | None:
        return memory.fixed.get("rows") if source == OLD else None

    def weigh(self, batch: Batch, memory: Memory) -> Mapping[str, Tensor]:
        if not self.share:
            return {}
        old = _old(batch).unsqueeze(1).expand(-1, batch.tokens.shape[1] - 1).float()  # (b, T-1)
        return {CROSS_ENTROPY: 1 - old, "kl_old": old, "cross_entropy_old": old}

    def observe(self, batch: Batch, memory: Memory) -> Mapping[str, Tensor]:
        old = _old(batch)
        if not old.any() or not self.weight:
            return {}
        found = self._kept(batch, memory) if self.topk else {"states": memory.fixed["base"].states(batch.tokens[old])}
        along = {name: _among(old, values.to(old.device)) for name, values in found.items()}  # (b, T-1, ...), 0 for new rows
        return along | {"old": old.unsqueeze(1).expand(-1, batch.tokens.shape[1] - 1)}

    def _kept(self, batch: Batch, memory: Memory) -> dict[str, Tensor]:
        """What was kept of the old rows of a micro-batch: (old rows, T-1, k or 1) each."""
        place = memory.fixed["place"]
        places = [place[row] for row, source in zip(batch.rows, batch.sources, strict=True) if source == OLD]
        return {name: memory.fixed[name][places] for name in KEPT}

    def loss(self, chunk: Chunk, memory: Memory) -> Mapping[str, Tensor]:
        terms = {"cross_entropy_old": self.cross_entropy * chunk.losses} if self.share and self.cross_entropy else {}
        if "old" not in chunk.beside:
            return terms
        here = chunk.beside["old"].nonzero().squeeze(-1)  # positions of old rows: new ones cost nothing
        after = chunk.logits[here].log_softmax(-1)  # (m, V)
        if self.topk:
            tokens, logs, rest = (chunk.beside[name][here] for name in KEPT)
            pair = torch.cat((logs, rest), -1), bucketed(after, tokens.long())  # (m, k + 1) each
        else:
            pair = memory.fixed["base"].logits(chunk.beside["states"][here]).log_softmax(-1), after
        nats = torch.zeros_like(chunk.losses).index_add(0, here, divergence(*pair))  # (n,)
        return {**terms, "kl_old": self.weight * nats}


KEPT = ("tokens", "logs", "rest")


def likeliest(origin: Origin, rows: Sequence[int], topk: int) -> dict[str, Tensor]:
    """By the base, at every predicted position of old rows: its likeliest tokens, their log-probabilities, and the rest's."""
    base, table = origin.base, origin.source(OLD)
    device = next(base.model.parameters()).device
    tokens, kept = [], []
    for first in range(0, len(rows), GROUP):
        states = base.states(table.tokens(rows[first : first + GROUP]).to(device))  # (g, T-1, D)
        for some in states.flatten(0, 1).split(POSITIONS):
            logs = base.logits(some).log_softmax(-1)  # (m, V)
            top = logs.topk(min(topk, logs.shape[-1] - 1)).indices  # (m, k)
            tokens.append(top.int().cpu())
            kept.append(bucketed(logs, top).cpu())
    whole = torch.cat(kept).unflatten(0, (len(rows), -1))  # (rows, T-1, k + 1)
    named = torch.cat(tokens).unflatten(0, (len(rows), -1))  # (rows, T-1, k)
    return {"tokens": named, "logs": whole[..., :-1], "rest": whole[..., -1:]}


def bucketed(logs: Tensor, tokens: Tensor) -> Tensor:
    """(m, V) log-probabilities to those of (m, k) tokens and, last, of all others together: (m, k + 1)."""
    others = logs.scatter(-1, tokens, -torch.inf).logsumexp(-1, keepdim=True)
    return torch.cat((logs.gather(-1, tokens), others), -1)


def _old(batch: Batch) -> Tensor:
    """(b,) whether a row is old text."""
    return torch.tensor([source == OLD for source in batch.sources], device=batch.tokens.device)


def _among(old: Tensor, values: Tensor) -> Tensor:
    """Values of the old rows put among all rows of a micro-batch."""
    found = values.new_zeros((len(old), *values.shape[1:]))
    found[old] = values
    return found
