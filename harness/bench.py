"""Where a strategy is put to the laws: a model of two layers, random text, and trainings of five steps."""

import tempfile
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harness.plan import Budget, Engine
from harness.reader import Setting
from harness.strategy import NEW, OLD, TASK, Strategy
from harness.text import Facts, Rows
from harness.train import Training, train

VOCABULARY, LENGTH, BATCH, STEPS = 48, 12, 4, 5
HELD = "held out"


class Control(Strategy):
    """Plain training."""


def tiny_model(seed: int = 7) -> nn.Module:
    """Two layers, tied embeddings, always the same weights for a seed."""
    return deepcopy(_built(seed))


@lru_cache(maxsize=4)
def _built(seed: int) -> nn.Module:
    from transformers import LlamaConfig, LlamaForCausalLM

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=64,
            initializer_range=0.2,
            tie_word_embeddings=True,
        )
        return LlamaForCausalLM(config).eval()


@lru_cache(maxsize=1)
def tiny_tables() -> dict[str, Rows]:
    """Random rows: 23 of new text, 17 of old, 9 of task text, 5 of new text that is held out."""
    bits = np.random.default_rng(5)
    return {
        name: Rows(
            bits.integers(0, VOCABULARY, (rows, LENGTH)).astype(np.uint16), Facts(rows, rows * LENGTH, rows, rows, 0, True)
        )
        for name, rows in ((NEW, 23), (OLD, 17), (TASK, 9), (HELD, 5))
    }


def tiny_setting(cache: Path, engine: Engine | None = None, **changes: Any) -> Setting:
    """Five steps of four rows."""
    budget = Budget(steps=STEPS, batch=BATCH, length=LENGTH, peak=0.02, warmup=0.2, weight_decay=0.1, engine=engine or Engine())
    others = {"reference": partial(tiny_model, 8), "instruct": partial(tiny_model, 9)}
    tables = tiny_tables()
    made = Setting(
        budget,
        tiny_model,
        {name: tables[name] for name in (NEW, OLD, TASK)},
        BATCH,
        {name: f"tiny {name}" for name in ("base", *tables)},
        cache,
        models=others,
        held=lambda: tables[HELD],
        control=tiny_control,
    )
    return replace(made, **changes)


def tiny_control(seed: int) -> nn.Module:
    """A finished control under a seed."""
    return deepcopy(_controlled(seed))


@lru_cache(maxsize=4)
def _controlled(seed: int) -> nn.Module:
    with tempfile.TemporaryDirectory(prefix="harness-laws-") as scratch, torch.random.fork_rng():
        training = Training(Control(), tiny_setting(Path(scratch)), seed)
        train(training, Path(scratch))
    return training.model.eval()


@dataclass(frozen=True)
class End:
    """What a whole training ends with: its weights, and the rows it read of all sources together."""

    weights: dict[str, Tensor]
    rows: int


class Bench:
    """Where a strategy is put to the laws; the trainings that several laws compare with are done once."""

    def __init__(self, strategy: type[Strategy], engine: Engine | None = None) -> None:
        self.cls, self.engine = strategy, engine
        self._scratch = tempfile.TemporaryDirectory(prefix="harness-laws-")
        self.folder = Path(self._scratch.name)
        self.example = strategy(**strategy.example)
        self.control = Control()

    @cached_property
    def whole(self) -> End:
        """The end of the example's training."""
        return self.end(self.example)

    @cached_property
    def plain(self) -> End:
        """The end of the control's training."""
        return self.end(self.control)

    @cached_property
    def usual(self) -> tuple[dict[str, Tensor], dict[str, float]]:
        """The example's second step in one micro-batch and one chunk."""
        return self.slope(self.example)

    def training(self, strategy: Strategy, seed: int = 1, **changes: Any) -> Training:
        """A training that has not begun."""
        return Training(strategy, tiny_setting(self.folder / "cache", self.engine, **changes), seed)

    def end(self, strategy: Strategy, seed: int = 1) -> End:
        """Train a strategy from the base to the budget's end."""
        training = self.training(strategy, seed)
        train(training, self.empty())
        return End(trained_weights(training), sum(training.reader.positions.values()))

    def empty(self) -> Path:
        """An empty folder."""
        return Path(tempfile.mkdtemp(dir=self.folder))

    def slope(self, strategy: Strategy, size: int | None = None, **changes: Any) -> tuple[dict[str, Tensor], dict[str, float]]:
        """Gradient and terms of a second step, taken from the same weights a little off the base's."""
        training = self.training(strategy, **changes)
        if size:
            training.objective.size = size
        with torch.no_grad():
            for i, p in enumerate(training.model.parameters()):
                if p.requires_grad:
                    p.add_(0.05 * torch.randn(p.shape, generator=torch.Generator().manual_seed(i)))
        training.reader.skip(1)
        terms = training.slope(training.reader.read())
        return {n: p.grad.clone() for n, p in training.model.named_parameters() if p.grad is not None}, terms


def trained_weights(training: Training) -> dict[str, Tensor]:
    """The weights as they are now."""
    return {name: p.detach().clone() for name, p in training.model.named_parameters()}


def distance(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    """Norm of the difference; infinite where the names differ."""
    if a.keys() != b.keys():
        return float("inf")
    return float(sum((a[name].double() - b[name].double()).square().sum() for name in a) ** 0.5)


def norm(a: dict[str, Tensor]) -> float:
    """Euclidean norm over all tensors."""
    return float(sum(value.double().square().sum() for value in a.values()) ** 0.5)


def same_bits(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    """Whether two sets of tensors are equal bit for bit."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
