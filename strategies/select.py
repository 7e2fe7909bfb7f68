"""Train on a part of the new text, chosen by a score: like the task, new to the base, varied, or at random.

Source: Xie et al. 2023, arXiv:2311.08545 (similarity: ETS-DACP; perplexity, entropy: ETA-DACP). With `epochs` the chosen part
is read several times: Guo et al. 2024, arXiv:2406.14833.
Cost: one forward pass over all new rows before the first step, kept for all seeds (entropy, random: none); 1 plain step a step.
Departures: the base's own mean-pooled hidden states stand for an embedding model, entropy is that of token types and not of
parts of speech, and Guo et al. choose by a KenLM model of domain text where `familiarity` asks the base.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from harness.strategy import NEW, TASK, Memory, Origin, Strategy, among, within
from strategies.scores import entropies, row_losses, similarities

SCORES = ("similarity", "perplexity", "familiarity", "entropy", "combined", "random")
LIKE_THE_TASK = ("similarity", "combined")
TRIMMED = ("perplexity", "combined")
"""Scores that prefer high perplexity, and so noise."""


@dataclass(frozen=True)
class Select(Strategy):
    """Keep the rows of new text with the highest score s (hard), or draw them with probability ∝ s without replacement (soft).

    similarity (1 + cos(e, mean e of the task text))/2, perplexity exp(mean loss of the base), familiarity its inverse, entropy
    -Σ q·ln q over the shares q of token types, combined the mean of the normalised ranks of similarity, perplexity and entropy,
    random uniform. A row is a packed window. Random numbers are drawn by the trial's seed, so that each seed has its own part.

    Parameters:
        score: similarity, perplexity, familiarity, entropy, combined or random; similarity and combined need the task's text.
        how: hard or soft.
        share: share of the new rows that is kept, above 0 and at most 1; 1 keeps all.
        epochs: above 0, instead of share: as few rows as the budget then reads so many times, if it reads new text alone.
        trim: share of rows with the highest perplexity that perplexity and combined leave out as noise, 0 to 1.
    """

    score: str = "perplexity"
    how: str = "hard"
    share: float = 0.1
    epochs: float = 0.0
    trim: float = 0.01

    family: ClassVar[str] = "data"
    neutral: ClassVar[Mapping[str, Any]] = {"share": 1.0}
    example: ClassVar[Mapping[str, Any]] = {"score": "combined", "share": 0.3, "trim": 0.1}
    sweep: ClassVar[Mapping[str, Sequence[Any]]] = {
        "share": (0.01, 0.05, 0.1, 0.25, 0.5),
        "score": SCORES,
        "how": ("hard", "soft"),
    }

    def __post_init__(self) -> None:
        among("score", self.score, SCORES)
        among("how", self.how, ("hard", "soft"))
        within("share", self.share, 0, 1, above=True)
        within("epochs", self.epochs, 0)
        within("trim", self.trim, 0, 1)

    def needed(self) -> Sequence[str]:
        return (TASK,) if self.score in LIKE_THE_TASK else ()

    def controls(self) -> Sequence[str]:
        size = f"epochs={self.epochs:g}" if self.epochs else f"share={self.share:g}"
        return () if self.score == "random" else (f"select:score=random:{size}",)

    def setup(self, origin: Origin) -> Memory:
        if self.share == 1 and not self.epochs:
            return Memory()
        total, reads = len(origin.source(NEW)), origin.budget.steps * origin.budget.batch
        count = max(1, round(reads / self.epochs if self.epochs else self.share * total))
        if count > total:
            raise ValueError(
                f"the budget reads the {total} rows of new text {reads / total:.3g} times; epochs must not be fewer"
            )
        bits = torch.Generator().manual_seed(origin.seed)
        trimmed = min(int(self.trim * total), total - count) if self.score in TRIMMED else 0
        pool = torch.arange(total)
        if trimmed:
            pool = row_losses(origin, NEW).cpu().argsort(stable=True)[: total - trimmed].sort().values
        rows = best(self._scores(origin, total, bits)[pool], count, bits if self.how == "soft" else None)
        facts = {"kept_rows": count, "kept_share": count / total, "kept_reads": reads / count, "trimmed_rows": trimmed}
        return Memory(fixed=pool[rows].sort().values.tolist(), facts=facts)

    def choose(self, source: str, memory: Memory) -> Sequence[int] | None:
        return memory.fixed if source == NEW else None

    def _scores(self, origin: Origin, total: int, bits: torch.Generator) -> Tensor:
        """(n,) scores of all new rows, none negative."""
        if self.score == "random":
            return torch.rand(total, generator=bits, dtype=torch.float64)
        if self.score == "combined":
            each = (similarities(origin), row_losses(origin, NEW), entropies(origin))
            return torch.stack([ranks(scores) for scores in each]).mean(0)
        if self.score == "similarity":
            return (1 + similarities(origin).double().cpu()) / 2
        if self.score == "entropy":
            return entropies(origin)
        losses = row_losses(origin, NEW).double().cpu()
        return (losses if self.score == "perplexity" else -losses).exp()


def ranks(scores: Tensor) -> Tensor:
    """(n,) share of scores that are no higher than each: 1 for the highest."""
    scores = scores.double().cpu()
    return torch.searchsorted(scores.sort().values, scores, right=True) / len(scores)


def best(scores: Tensor, count: int, bits: torch.Generator | None) -> Tensor:
    """(count,) places of the highest scores; or, with random bits, of draws ∝ score without replacement.

    The rows with the highest ln(u)/s, u uniform, are such draws (Efraimidis & Spirakis 2006).
    """
    if bits is not None:
        scores = torch.rand(len(scores), generator=bits, dtype=torch.float64).log() / scores
    return scores.argsort(descending=True, stable=True)[:count]
