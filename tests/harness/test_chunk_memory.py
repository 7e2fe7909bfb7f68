"""No tensor of positions x vocabulary is made: forward, backward and reference together stay at a chunk."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from harness.frozen import FrozenBase
from harness.objective import Objective, Weighting
from harness.strategy import Memory, Strategy
from strategies.kl import KL

VOCABULARY, LENGTH, CHUNK = 2048, 14, 20
SIZES = {"vocab_size": VOCABULARY, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "head_dim": 8}
HEADS = {"num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 32, "pad_token_id": 0}


class Made(TorchDispatchMode):
    """The largest tensor that was made, and the most bytes of tensors as wide as the vocabulary that lived at once.

    The head's weight, (V, D) and turned (D, V), is left out.
    """

    def __init__(self) -> None:
        super().__init__()
        self.largest = self.most = 0
        self._living: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in _tensors(out):
            self.largest = max(self.largest, tensor.numel())
            if tensor.ndim >= 2 and tensor.shape[-1] == VOCABULARY and tensor.shape[0] != SIZES["hidden_size"]:
                storage = tensor.untyped_storage()
                reference = StorageWeakRef(storage)
                self._living[reference.cdata] = reference, storage.nbytes()
        self._living = {key: (ref, size) for key, (ref, size) in self._living.items() if not ref.expired()}
        self.most = max(self.most, sum(size for _, size in self._living.values()))
        return out


def _tensors(out: Any) -> Iterator[Tensor]:
    for one in out if isinstance(out, tuple | list) else (out,):
        if isinstance(one, Tensor):
            yield one


def build(kind: str = "llama") -> Any:
    settings: dict[str, Any] = SIZES | HEADS | ({"final_logit_softcapping": 5.0} if kind == "gemma2" else {})
    return AutoModelForCausalLM.from_config(CONFIG_MAPPING[kind](**settings), dtype=torch.float32).eval()


def made(strategy: Strategy, rows: int, kind: str = "llama") -> Made:
    """What a step's forward and backward make, the reference's forward included, over so many rows of tokens."""
    model, memory = build(kind), Memory(fixed=FrozenBase(lambda: build(kind)))
    objective = Objective(model, lambda chunk, m: {"cross_entropy": chunk.losses, **strategy.loss(chunk, m)})
    tokens = torch.randint(VOCABULARY, (rows, LENGTH), generator=torch.Generator().manual_seed(4))  # (rows, T)
    weighting = Weighting(rows * (LENGTH - 1), {}, {})
    with Made() as watched:
        batch: Any = SimpleNamespace(tokens=tokens)
        objective(tokens, weighting, strategy.observe(batch, memory), memory)[0].backward()
        objective.losses(tokens)
        memory.fixed.losses(tokens)
    assert all(p.grad is not None for p in model.parameters())
    assert memory.fixed.tokens_seen == (2 if isinstance(strategy, KL) else 1) * tokens.numel()
    return watched


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.objective.chunk_size", lambda vocabulary: CHUNK)


STRATEGIES = [Strategy(), KL(1.0), KL(1.0, direction="reverse", temperature=2.0)]


@pytest.mark.parametrize("kind", ["llama", "gemma2"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_largest_tensor_is_a_chunk_or_a_weight(strategy: Strategy, kind: str) -> None:
    rows = 48
    assert rows * (LENGTH - 1) * VOCABULARY > 30 * CHUNK * VOCABULARY
    assert made(strategy, rows, kind).largest <= CHUNK * VOCABULARY


@pytest.mark.parametrize("kind", ["llama", "gemma2"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_is_as_wide_as_the_vocabulary_does_not_grow_with_positions(strategy: Strategy, kind: str) -> None:
    few, many = made(strategy, 6, kind).most, made(strategy, 48, kind).most
    assert 0 < many <= few  # 78 positions, and 624
