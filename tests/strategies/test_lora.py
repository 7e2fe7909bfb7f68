"""Adapters: the base at first, W_base + scale·B·A at the end, under the base's own names."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
)

from harness.bench import VOCABULARY, same_bits, tiny_model, tiny_setting
from harness.errors import InputError
from harness.model import load_model
from harness.price import spent
from harness.registry import arm
from harness.strategy import Memory
from harness.train import Training, train
from harness.typed import parse_arms
from strategies.lora import LoRA

TOKENS = torch.arange(24).view(2, 12) % VOCABULARY


def llama(width: int = 16, blocks: int = 2) -> PreTrainedModel:
    sizes = {"hidden_size": width, "intermediate_size": 2 * width, "num_hidden_layers": blocks, "num_attention_heads": 2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=VOCABULARY, tie_word_embeddings=False, **sizes))


def gpt_neox() -> PreTrainedModel:
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    return GPTNeoXForCausalLM(GPTNeoXConfig(vocab_size=VOCABULARY, **sizes))


def gpt2() -> PreTrainedModel:
    ends = {"bos_token_id": 0, "eos_token_id": 0}
    return GPT2LMHeadModel(GPT2Config(vocab_size=VOCABULARY, n_embd=16, n_layer=2, n_head=2, n_positions=32, **ends))


pytestmark = pytest.mark.filterwarnings("ignore:fan_in_fan_out")  # GPT-2 stores its matrices the other way round
MODELS = pytest.mark.parametrize("make", [tiny_model, llama, gpt_neox, gpt2])


def logits(model: nn.Module) -> Tensor:
    """(2, 12, V) logits, dropout off."""
    with torch.no_grad():
        return model.eval()(input_ids=TOKENS).logits


def moved(model: nn.Module) -> nn.Module:
    """The adapters as training may leave them: none of them zero."""
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad:
                p.copy_(0.3 * torch.randn(p.shape))
    return model


def training(folder: Path, word: str = "lora:rank=4", seed: int = 1) -> Training:
    return Training(arm(parse_arms(word)[0]), tiny_setting(folder / "cache"), seed)


@MODELS
def test_at_first_it_is_the_base(make: Any) -> None:
    base = make()
    before = logits(base)
    assert torch.equal(logits(LoRA(4).adapt(base)), before)


@MODELS
def test_merged_it_is_what_was_trained_under_the_bases_names(make: Any, tmp_path: Path) -> None:
    strategy, base = LoRA(4, scale=0.7), make()
    names, start = [name for name, _ in base.named_parameters()], logits(base)
    model: Any = moved(strategy.adapt(base))
    wanted = logits(model)
    assert (wanted - start).abs().max() > 1e-3
    strategy.finish(model, Memory(), Any)
    assert [name for name, _ in model.named_parameters()] == names
    torch.testing.assert_close(logits(model), wanted, atol=1e-5, rtol=1e-4)
    model.save_pretrained(tmp_path)
    assert torch.equal(logits(load_model(tmp_path)), logits(model))
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors"}
    assert not list(tmp_path.glob("adapter*"))


def test_every_weight_of_the_blocks_is_base_plus_scaled_product(tmp_path: Path) -> None:
    """W_base + scale·B·A in fp64, from the matrices that training left; everything else keeps its bits."""
    run = training(tmp_path, "lora:rank=4:scale=0.7")
    pairs: dict[str, Tensor] = {}
    for _ in range(3):
        run.step()
    for name, p in run.model.named_parameters():
        if "lora_A" in name:
            b = run.model.get_parameter(name.replace("lora_A", "lora_B"))
            assert p.shape[0] == b.shape[1] == 4
            pairs[name.split(".lora_A")[0] + ".weight"] = 0.7 * b.detach().double() @ p.detach().double()
    run.strategy.finish(run.model, run.memory, run.origin)
    base = dict(tiny_model().named_parameters())
    adapted = {n for n in base if n.endswith("_proj.weight")}
    assert pairs.keys() == adapted
    assert len(adapted) == 14  # q, k, v, o, gate, up, down of two blocks
    for name, p in run.model.named_parameters():
        if name in adapted:
            assert pairs[name].abs().max() > 1e-4
            torch.testing.assert_close(p.double(), base[name].double() + pairs[name], atol=1e-6, rtol=0)
        else:
            assert torch.equal(p, base[name]), name


def test_only_adapters_are_optimized_and_decayed(tmp_path: Path) -> None:
    run = training(tmp_path)
    held = {p for group in run.optimizer.param_groups for p in group["params"]}
    assert held == {p for name, p in run.model.named_parameters() if "lora_" in name}
    run.strategy.finish(run.model, run.memory, run.origin)
    assert spent(run, None)["parameters_trained"] == sum(p.numel() for p in held), "merged, they still are what was trained"


def drawn(run: Training) -> dict[str, Tensor]:
    """A of every layer."""
    return {name: p for name, p in run.model.named_parameters() if "lora_A" in name}


def test_a_is_drawn_from_the_seed_and_from_nothing_else(tmp_path: Path) -> None:
    first = drawn(training(tmp_path))
    torch.rand(5)
    assert same_bits(first, drawn(training(tmp_path)))
    assert same_bits(first, drawn(training(tmp_path, "kl+lora:rank=4")))
    assert not same_bits(first, drawn(training(tmp_path, seed=2)))


def test_its_cost_is_the_one_that_is_counted() -> None:
    """FLOPs of the products of a forward and backward, with adapters of rank 1."""
    counts = []
    for model in (llama(256, 8), LoRA(1).adapt(llama(256, 8))):
        with FlopCounterMode(display=False) as counter:
            made: Any = model(input_ids=TOKENS)
            made.logits.sum().backward()
        counts.append(counter.get_total_flops())
    assert counts[1] / counts[0] == pytest.approx(LoRA().cost(tiny_setting(Path()).budget), abs=0.03)


def test_without_its_library_it_is_refused_when_the_plan_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    config, budget = llama().config, tiny_setting(Path()).budget
    LoRA().fits(config, budget)
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ValueError, match=r"not installed; type pip install 'forgetting-harness\[lora\]'$"):
        LoRA().fits(config, budget)


def test_a_rank_above_the_width_is_refused() -> None:
    with pytest.raises(ValueError, match="rank=17 is above its width of 16; give rank=16 or less"):
        LoRA(17).fits(llama().config, tiny_setting(Path()).budget)


def test_it_is_compared_with_full_training_at_its_own_best_rate() -> None:
    assert {built.lr for built in parse_arms(",".join(LoRA().controls()))} == {0.3, 3.0}
    assert LoRA.lr == 10


def test_what_looks_for_the_bases_names_waits_for_the_merge(tmp_path: Path) -> None:
    arm(parse_arms("lora+wise")[0])
    for word in ("lora+ewc", "wise+lora"):
        with pytest.raises(InputError, match="cannot be combined: the first gives weights other names"):
            arm(parse_arms(word)[0])
    run = training(tmp_path, "lora:rank=4+wise:alpha=0")
    train(run, tmp_path)
    assert same_bits(dict(run.model.named_parameters()), dict(tiny_model().named_parameters()))
