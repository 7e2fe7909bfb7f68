"""How many rows go through the model at once: decided once for all arms, before the first trial.

On a GPU real steps of the most demanding kind are tried, from the largest size downwards. On a CPU nothing can be tried,
because a process that takes too much is killed and never told: there it follows from the model's size and the free memory.
"""

import contextlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.plan import Engine
from harness.record import read_plan
from harness.settings import Settings
from harness.strategy import Batch, Chunk, Memory, Origin, Strategy, overrides

if TYPE_CHECKING:
    from torch import Tensor

    from harness.reader import Setting

CPU_TOKENS, GPU_TOKENS = 4096, 32768
"""Tokens that go through the model at once, at most."""
SHARE = 0.85
"""How much of the free memory a step may take: the rest is for what differs between arms."""
TOLD = "micro-batches of "
"""How a note begins that says what was decided."""
_BESIDE = ("weigh", "observe", "loss", "gradients", "weights")


def choose(
    asked: Settings, setting: "Setting", strategies: Collection[Strategy], config: Any, parameters: int, folder: Path
) -> tuple[int, list[str]]:
    """Rows of a micro-batch, and the reason: as asked, as the run folder began with, else what memory has room for."""
    import torch

    batch = setting.budget.batch
    if asked.micro_batch:
        return min(asked.micro_batch, batch), []
    if (folder / "plan.yaml").is_file():
        before = read_plan(folder)
        return min(before["micro_batch"], batch), [note for note in before["notes"] if note.startswith(TOLD)]
    if torch.cuda.is_available():
        rows, why = _tried(setting, strategies)
    else:
        rows, why = _reckoned(setting, strategies, config, parameters)
    return rows, [f"{TOLD}{rows} row{'s' if rows > 1 else ''} of {setting.budget.length} tokens: {why}"]


def sizes(batch: int, length: int, tokens: int) -> list[int]:
    """Sizes that divide a batch, largest first: those of at most so many tokens, and one row."""
    return [rows for rows in range(min(batch, max(1, tokens // length)), 0, -1) if batch % rows == 0]


# On a CPU


def _reckoned(setting: "Setting", strategies: Collection[Strategy], config: Any, parameters: int) -> tuple[int, str]:
    budget, free = setting.budget, SHARE * free_memory()
    found = sizes(budget.batch, budget.length, CPU_TOKENS)
    fixed = standing(parameters, strategies)
    row = budget.length * per_token(config.get_text_config(), budget.engine, budget.length)
    rows = next((size for size in found if fixed + size * row <= free), 1)
    if rows == found[0]:
        return rows, f"up to {CPU_TOKENS:,} tokens at once on a CPU, and memory has room for them"
    wanted, there = (f"{amount / 2**30:.1f} GiB" for amount in (fixed + rows * row, free))
    return rows, f"they need about {wanted} of memory, and of what is free {there} are used at most"


def standing(parameters: int, strategies: Collection[Strategy]) -> float:
    """Bytes that stand whatever the size: weights, gradients and moments; other models and what is remembered; the logits."""
    from harness.objective import CHUNK_ELEMENTS

    beside = any(overrides(strategy, hook) for strategy in strategies for hook in _BESIDE)
    named = len({need for strategy in strategies for need in strategy.needed() if need in ("reference", "instruct")})
    copies = 4 + (2 if beside else 0) + named  # the base, and a Fisher or an average of the size of the weights
    return 4.0 * (copies * parameters + 4 * CHUNK_ELEMENTS)


def per_token(config: Any, engine: Engine, length: int) -> float:
    """Bytes that a token of a row keeps for the backward, in fp32: what every block takes and makes."""
    wide = 16 * config.hidden_size + 4 * (getattr(config, "intermediate_size", None) or 4 * config.hidden_size)
    if engine.attention == "eager":
        wide += 2 * config.num_attention_heads * length  # logits and probabilities of every pair
    if engine.gradient_checkpointing:
        return 4.0 * (config.num_hidden_layers * config.hidden_size + wide)
    return 4.0 * config.num_hidden_layers * wide


def free_memory() -> int:
    """Bytes that this process can still have, of the machine and of the container that it may be in."""
    import psutil

    found = psutil.virtual_memory().available
    for group, limit, used, cache in _GROUPS:
        with contextlib.suppress(OSError, ValueError, KeyError):  # no such container, or one without a limit
            stat = dict(line.split() for line in (Path(group) / "memory.stat").read_text().splitlines())
            taken = int((Path(group) / used).read_text()) - int(stat[cache])
            found = min(found, int((Path(group) / limit).read_text()) - taken)
    return max(0, found)


_GROUPS = (
    ("/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
"""Where Linux keeps a container's limit, what is used of it, and the part of that which it takes back when it must."""


# On a GPU


@dataclass(frozen=True)
class Beside(Strategy):
    """As much as an arm holds at once: other models beside the trained one, and the base's states along every token."""

    others: tuple[str, ...] = ()

    def setup(self, origin: Origin) -> Memory:
        return Memory(fixed=(origin.base, *(origin.model(name) for name in self.others)))

    def observe(self, batch: Batch, memory: Memory) -> "Mapping[str, Tensor]":
        return {"base": memory.fixed[0].states(batch.tokens)}

    def loss(self, chunk: Chunk, memory: Memory) -> "Mapping[str, Tensor]":
        base = memory.fixed[0].logits(chunk.beside["base"]).log_softmax(-1)  # (n, V)
        return {"kl": (base.exp() * (base - chunk.logits.log_softmax(-1))).sum(-1)}


def demanding(strategies: Collection[Strategy]) -> Strategy:
    """A strategy that needs what the most demanding of these does."""
    if not any(overrides(strategy, hook) for strategy in strategies for hook in _BESIDE):
        return Strategy()
    needs = {need for strategy in strategies for need in strategy.needed()}
    return Beside(tuple(sorted(needs & {"reference", "instruct"})))


def _tried(setting: "Setting", strategies: Collection[Strategy]) -> tuple[int, str]:
    import torch

    from harness.mishaps import free

    free()
    room = SHARE * (torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved())
    for rows in sizes(setting.budget.batch, setting.budget.length, GPU_TOKENS):
        torch.cuda.reset_peak_memory_stats()
        fitted = two_steps(setting, demanding(strategies), rows)
        peak = torch.cuda.max_memory_reserved()
        free()
        if fitted and peak <= room:
            return (
                rows,
                f"steps of this size were tried and took {peak / 2**30:.1f} GiB of the {room / 2**30:.1f} GiB to be used",
            )
    return 1, f"steps of one row were tried and are too large for the {room / 2**30:.1f} GiB to be used"


def two_steps(setting: "Setting", strategy: Strategy, rows: int) -> bool:
    """Whether two steps of two micro-batches can be taken: the second has gradients, moments and activations at once."""
    from harness import optimizer, train_gradient
    from harness.errors import out_of_memory
    from harness.train import Training

    budget = replace(setting.budget, batch=min(2 * rows, setting.budget.batch), steps=2)
    try:
        training = Training(strategy, replace(setting, budget=budget, micro_batch=rows), seed=0)
        for _ in range(2):
            train_gradient.forward_backward(training, training.reader.read())
            optimizer.step(training.optimizer, budget.peak, training.chance)
            training.optimizer.zero_grad()
    except Exception as error:
        if not out_of_memory(error):
            raise
        return False
    return True
