"""Freezing: what is frozen keeps every bit, the rest trains, and the step costs what it says."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from harness.bench import tiny_setting
from harness.train import Training, train
from strategies.freeze import Freeze

BLOCKS = 4


def llama(tied: bool = True, width: int = 16) -> LlamaForCausalLM:
    torch.manual_seed(3)
    sizes = {"hidden_size": width, "intermediate_size": 2 * width, "num_hidden_layers": BLOCKS, "num_attention_heads": 2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=48, max_position_embeddings=64, tie_word_embeddings=tied, **sizes)).eval()


def frozen(strategy: Freeze, model: nn.Module) -> set[str]:
    """The blocks by number, and the other tensors by name, that do not train."""
    held = {name for name, p in strategy.adapt(model).named_parameters() if not p.requires_grad}
    return {name.split(".")[2] if ".layers." in name or ".h." in name else name for name in held}


EMBEDDINGS = "model.embed_tokens.weight"


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        (Freeze(0.5), {EMBEDDINGS, "0", "1"}),
        (Freeze(0.5, embeddings=False), {"0", "1"}),
        (Freeze(0.25, "top", embeddings=False), {"3"}),
        (Freeze(0.75, "top"), {EMBEDDINGS, "1", "2", "3"}),
        (Freeze(1.0, "top", embeddings=False), {"0", "1", "2", "3"}),
        (Freeze(0.0), {EMBEDDINGS}),
        (Freeze(0.0, "top", embeddings=False), set()),
    ],
)
@pytest.mark.parametrize("tied", [True, False])
def test_it_freezes_the_blocks_that_were_named(strategy: Freeze, expected: set[str], tied: bool) -> None:
    model = llama(tied)
    assert frozen(strategy, model) == expected
    head = model.get_output_embeddings().weight
    assert head.requires_grad == (not (tied and strategy.embeddings)), "a tied head is the embeddings' own tensor"


def test_position_embeddings_are_embeddings() -> None:
    model = GPT2LMHeadModel(GPT2Config(vocab_size=48, n_embd=16, n_layer=4, n_head=2, n_positions=32))
    assert frozen(Freeze(0.25), model) == {"transformer.wte.weight", "transformer.wpe.weight", "0"}


@pytest.mark.parametrize("strategy", [Freeze(0.5), Freeze(0.5, "top", embeddings=False)])
def test_frozen_tensors_keep_every_bit_and_all_others_move(tmp_path: Path, strategy: Freeze) -> None:
    """Weight decay reaches what is left in the optimizer without a gradient: here it is strong enough to show."""
    setting = tiny_setting(tmp_path / "cache", load=llama)
    training = Training(strategy, replace(setting, budget=replace(setting.budget, weight_decay=0.9)), 1)
    train(training, tmp_path)
    before, fresh = dict(llama().named_parameters()), dict(strategy.adapt(llama()).named_parameters())
    for name, p in training.model.named_parameters():
        assert torch.equal(p, before[name]) == (not fresh[name].requires_grad), name
    held = {p for group in training.optimizer.param_groups for p in group["params"]}
    assert held == {p for name, p in training.model.named_parameters() if fresh[name].requires_grad}


@pytest.mark.parametrize(
    ("strategy", "cost"),
    [
        (Freeze(0.5), 1 / 3 + 2 / 3 * 0.5),
        (Freeze(0.75), 1 / 3 + 2 / 3 * 0.25),
        (Freeze(0.5, "top", embeddings=False), 2 / 3 + 1 / 3 * 0.5),
        (Freeze(0.5, "top"), 2 / 3 + 1 / 3 * 0.5),
        (Freeze(0.5, embeddings=False), 2 / 3 + 1 / 3 * 0.5),
        (Freeze(0.0, embeddings=False), 1.0),
    ],
)
def test_its_cost_is_the_one_that_is_counted(strategy: Freeze, cost: float) -> None:
    """FLOPs of the products of a forward and backward, against those of the plain model."""
    assert strategy.cost(tiny_setting(Path()).budget) == pytest.approx(cost)
    counts = []
    for model in (llama(width=128), strategy.adapt(llama(width=128))):
        with FlopCounterMode(display=False) as counter:
            made: Any = model(input_ids=torch.zeros(1, 8, dtype=torch.long))
            made.logits.sum().backward()
        counts.append(counter.get_total_flops())
    assert counts[1] / counts[0] == pytest.approx(cost, abs=0.02)


@pytest.mark.parametrize(
    ("strategy", "said"),
    [
        (Freeze(1.0), r"share=1 freezes all of its 4 blocks, .* nothing to train; give a smaller share= or embeddings=false"),
        (Freeze(0.9, "top"), r"share=0\.9 freezes all of its 4 blocks"),
        (Freeze(0.1), r"share=0\.1 of its 4 blocks is none; give share=0\.25 or more"),
    ],
)
def test_a_base_that_leaves_nothing_to_train_or_to_freeze_is_refused(strategy: Freeze, said: str) -> None:
    config = llama().config
    with pytest.raises(ValueError, match=said):
        strategy.fits(config, tiny_setting(Path()).budget)


@pytest.mark.parametrize("strategy", [Freeze(0.5), Freeze(0.0), Freeze(1.0, embeddings=False), Freeze(0.9)])
def test_what_leaves_something_is_not(strategy: Freeze) -> None:
    strategy.fits(llama(tied=False).config, tiny_setting(Path()).budget)
