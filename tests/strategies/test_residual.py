"""The instruction residual is added whole or in part, over all tensors, and only where both models fit."""

from pathlib import Path

import pytest
import torch
from torch import nn

from harness.bench import Control, tiny_model, tiny_setting
from harness.errors import InputError, TrialError
from harness.strategy import Strategy
from harness.train import Training, train
from strategies.residual import Residual


def ended(strategy: Strategy, folder: Path) -> dict[str, torch.Tensor]:
    training = Training(strategy, tiny_setting(folder / "cache"), 1)
    train(training, folder / type(strategy).__name__)
    return {name: p.detach().clone() for name, p in training.model.named_parameters()}


@pytest.mark.parametrize("weight", [0.5, 1.0])
def test_it_adds_instruct_minus_base_after_training(weight: float, folder: Path) -> None:
    found, trained = ended(Residual(weight=weight), folder), ended(Control(), folder)
    base, instruct = (dict(tiny_model(seed).named_parameters()) for seed in (7, 9))
    for name, after in trained.items():
        wanted = after.double() + weight * (instruct[name].double() - base[name].double())
        torch.testing.assert_close(found[name].double(), wanted.detach(), atol=1e-6, rtol=1e-6)


def wider() -> nn.Module:
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=50, tie_word_embeddings=True, **sizes))


def deeper() -> nn.Module:
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=48, tie_word_embeddings=True, **sizes))


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (wider, r"differ in model.embed_tokens.weight: \(48, 16\) and \(50, 16\); give one that was tuned from this base"),
        (deeper, r"differ in model.layers.2.input_layernorm.weight: none and \(16,\)"),
    ],
)
def test_a_model_that_does_not_fit_is_refused_before_training(other: object, said: str, folder: Path) -> None:
    setting = tiny_setting(folder, models={"instruct": other})
    with pytest.raises((ValueError, TrialError), match=said):
        Training(Residual(), setting, 1)


def test_without_an_instruct_model_it_is_refused(folder: Path) -> None:
    assert Residual.needs == ("instruct",)
    with pytest.raises(InputError, match="this plan names no instruct model"):
        Training(Residual(), tiny_setting(folder, models={}), 1)
