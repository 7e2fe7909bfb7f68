"""One size of micro-batch for all arms: it divides the batch, has room in memory, and stays what a run folder began with."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from harness import fitting, train_gradient
from harness.bench import BATCH, LENGTH, same_bits, tiny_model, tiny_setting
from harness.plan import Engine
from harness.record import write_plan
from harness.settings import settings
from harness.strategy import Strategy
from harness.train import Training
from strategies.kl import KL
from strategies.replay import Replay

GIB = 2**30
ROWS = ("rows", "row")
CONFIG = SimpleNamespace(hidden_size=1000, intermediate_size=4000, num_hidden_layers=10, num_attention_heads=8)
CONFIG.get_text_config = lambda: CONFIG
ROW = 4 * 10 * (16 * 1000 + 4 * 4000) * 512  # bytes of a row of 512 tokens: 0.61 GiB


@pytest.mark.parametrize(
    ("batch", "length", "tokens", "found"),
    [
        (8, 128, 4096, [8, 4, 2, 1]),
        (12, 1000, 4096, [4, 3, 2, 1]),
        (256, 2048, 4096, [2, 1]),
        (7, 100, 650, [1]),
        (4, 9999, 4096, [1]),
    ],
)
def test_sizes_divide_the_batch_largest_first(batch: int, length: int, tokens: int, found: list[int]) -> None:
    assert fitting.sizes(batch, length, tokens) == found


def chosen(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free: float, strategies: tuple[Strategy, ...] = (), **asked: Any
) -> tuple[int, list[str]]:
    """What is chosen for 16 rows of 512 tokens and 100 M weights on a CPU with so much free memory."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(fitting, "free_memory", lambda: int(free))
    setting = tiny_setting(tmp_path)
    setting = replace(setting, budget=replace(setting.budget, batch=16, length=512))
    return fitting.choose(settings(asked, "here"), setting, strategies, CONFIG, 100_000_000, tmp_path / "run")


LOGITS = 16 * 2**23
PLAIN, BESIDE = 16e8 + LOGITS, 24e8 + LOGITS


@pytest.mark.parametrize(
    ("strategies", "room", "rows"),
    [
        ((), PLAIN + 8.1 * ROW, 8),
        ((Replay(),), PLAIN + 7.9 * ROW, 4),
        ((Replay(), KL()), PLAIN + 8.1 * ROW, 4),
        ((Replay(), KL()), BESIDE + 8.1 * ROW, 8),
        ((), PLAIN + 1.9 * ROW, 1),
        ((), 0, 1),
    ],
)
def test_on_a_cpu_the_size_follows_from_model_and_free_memory(
    strategies: tuple[Strategy, ...], room: float, rows: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """4 copies of the weights for a plain arm, 2 more beside a base; 0.85 of what is free may be used."""
    found, (note,) = chosen(monkeypatch, tmp_path, room / 0.85, strategies)
    assert found == rows
    wanted = (BESIDE if KL() in strategies else PLAIN) + rows * ROW
    assert note == f"micro-batches of {rows} {ROWS[rows == 1]} of 512 tokens: " + (
        "up to 4,096 tokens at once on a CPU, and memory has room for them"
        if rows == 8
        else f"they need about {wanted / GIB:.1f} GiB of memory, and of what is free {room / GIB:.1f} GiB are used at most"
    )


def test_what_was_asked_for_is_taken_and_auto_is_the_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert chosen(monkeypatch, tmp_path, 0, micro_batch=5) == (5, [])
    assert chosen(monkeypatch, tmp_path, 0, micro_batch="99") == (16, [])
    assert chosen(monkeypatch, tmp_path, 64 * GIB, micro_batch="auto") == chosen(monkeypatch, tmp_path, 64 * GIB)


def test_a_run_goes_on_with_the_size_that_it_began_with(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    notes = ["equal tokens", "micro-batches of 2 rows of 512 tokens: so it was"]
    plan = {"fingerprint": "f", "micro_batch": 2, "notes": notes}
    write_plan(tmp_path / "run", plan)
    assert chosen(monkeypatch, tmp_path, 64 * GIB) == (2, notes[1:])
    assert chosen(monkeypatch, tmp_path, 64 * GIB, micro_batch=4) == (4, [])


@pytest.mark.parametrize("kind", ["llama", "gpt_neox"])
@pytest.mark.parametrize(("attention", "length"), [("sdpa", 64), ("eager", 64), ("eager", 256)])
def test_what_a_token_keeps_is_not_reckoned_too_low(kind: str, attention: str, length: int) -> None:
    """The tensors that autograd holds after a forward pass, counted; the rule lies above, and not by more than thrice."""
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, LlamaConfig, LlamaForCausalLM

    sizes: Any = {"vocab_size": 50, "hidden_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4}
    sizes |= {"attn_implementation": attention}
    if kind == "llama":
        model: Any = LlamaForCausalLM(LlamaConfig(**sizes, intermediate_size=352))
    else:
        model = GPTNeoXForCausalLM(GPTNeoXConfig(**sizes, intermediate_size=512))
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.base_model(input_ids=torch.zeros(1, length, dtype=torch.int64), use_cache=False)
    held = sum(tensor.untyped_storage().nbytes() for place, tensor in kept.items() if place not in own)
    reckoned = length * fitting.per_token(model.config, Engine(attention=attention), length)
    assert held < reckoned < 3 * held
    assert fitting.per_token(model.config, Engine(gradient_checkpointing=True), length) < reckoned / length


@pytest.mark.parametrize("strategy", [Strategy(), fitting.Beside(), fitting.Beside(("reference",))])
def test_the_steps_that_are_tried_are_real(strategy: Strategy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two steps of two micro-batches through the loop's own forward and backward; too large is found out, not raised."""
    seen: list[int] = []
    whole = train_gradient.one_batch

    def batch(training: Training, picked: Any) -> Any:
        seen.append(len(picked))
        return whole(training, picked)

    monkeypatch.setattr(train_gradient, "one_batch", batch)
    assert fitting.two_steps(tiny_setting(tmp_path), strategy, 2)
    assert seen == [2] * 4

    def short(training: Training, picked: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(train_gradient, "one_batch", short)
    assert not fitting.two_steps(tiny_setting(tmp_path), strategy, 1)


def test_what_is_tried_is_what_the_most_demanding_arm_needs() -> None:
    assert fitting.demanding([Strategy(), Replay()]) == Strategy()
    assert fitting.demanding([Replay(), KL()]) == fitting.Beside()
    assert fitting.demanding([KL(), Needs()]) == fitting.Beside(("reference",))


class Needs(KL):
    """Compares with another model."""

    def needed(self) -> tuple[str, ...]:
        return ("reference", "old")


@pytest.mark.parametrize(
    ("fits", "peaks", "rows", "why"),
    [
        ((4, 2, 1), (8, 7, 6), 4, "steps of this size were tried and took 8.0 GiB of the 8.5 GiB to be used"),
        ((4, 2, 1), (9, 8, 6), 2, "steps of this size were tried and took 8.0 GiB of the 8.5 GiB to be used"),
        ((1,), (3, 3, 3), 1, "steps of this size were tried and took 3.0 GiB of the 8.5 GiB to be used"),
        ((), (9, 9, 9), 1, "steps of one row were tried and are too large for the 8.5 GiB to be used"),
    ],
)
def test_on_a_gpu_the_largest_that_leaves_a_margin_is_taken(
    fits: tuple[int, ...],
    peaks: tuple[int, ...],
    rows: int,
    why: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """A GPU of 10 GiB that is played."""
    left = list(peaks)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("harness.mishaps.free", lambda: None)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (8 * GIB, 12 * GIB))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: 2 * GIB)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: None)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda: left.pop(0) * GIB)
    monkeypatch.setattr(fitting, "two_steps", lambda setting, strategy, size: size in fits)
    found = fitting.choose(settings({}, "here"), tiny_setting(tmp_path), (), CONFIG, 1, tmp_path / "run")
    assert found == (rows, [f"micro-batches of {rows} {ROWS[rows == 1]} of {LENGTH} tokens: {why}"])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_that_is_almost_full_gets_smaller_micro_batches(tmp_path: Path) -> None:
    setting = tiny_setting(tmp_path)
    assert fitting.choose(settings({}, "here"), setting, (KL(),), CONFIG, 1, tmp_path)[0] == BATCH
    big = replace(setting, load=partial(wide_model, 4096), budget=replace(setting.budget, batch=512))
    whole = fitting.choose(settings({}, "here"), big, (KL(),), CONFIG, 1, tmp_path)[0]
    taken = torch.empty(int(0.97 * torch.cuda.mem_get_info()[0]), dtype=torch.int8, device="cuda")
    less = fitting.choose(settings({}, "here"), big, (KL(),), CONFIG, 1, tmp_path)[0]
    assert 1 <= less < whole
    assert taken.numel()


def wide_model(width: int) -> Any:
    from transformers import LlamaForCausalLM

    config: Any = tiny_model().config
    config.update({"hidden_size": width, "intermediate_size": 2 * width, "num_attention_heads": 32, "num_key_value_heads": 32})
    return LlamaForCausalLM(config).eval()


def test_trying_leaves_the_trials_alone(tmp_path: Path) -> None:
    """A trial after it has the bits of one without it."""
    alone = Training(KL(), tiny_setting(tmp_path), 1)
    alone.step()
    fitting.two_steps(tiny_setting(tmp_path), fitting.Beside(), 2)
    after = Training(KL(), tiny_setting(tmp_path), 1)
    after.step()
    assert same_bits(dict(after.model.named_parameters()), dict(alone.model.named_parameters()))
