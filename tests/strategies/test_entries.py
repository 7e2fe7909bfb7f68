"""Chosen entries and chosen matrices: only the largest momenta move, half of each category stands still."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness.bench import STEPS, Control, tiny_model, tiny_setting
from harness.strategy import Strategy
from harness.train import Training
from strategies.half import Half, drawn
from strategies.mofo import MomentumFilter


def begun(strategy: Strategy, folder: Path, **changes: Any) -> Training:
    return Training(strategy, tiny_setting(folder / "cache", **changes), 1)


def weights(training: Training) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in training.model.named_parameters()}


@pytest.mark.parametrize("share", [0.05, 0.3])
def test_only_the_largest_momenta_move_and_they_take_adams_step(share: float, folder: Path) -> None:
    training = begun(MomentumFilter(share=share), folder)
    budget = training.setting.budget
    for _ in range(STEPS):
        before = weights(training)
        training.step()
        rate, after = training.origin.rate, weights(training)
        for name, p in training.model.named_parameters():
            state = training.optimizer.state[p]
            t = float(state["step"])
            direction = state["exp_avg"] / (1 - budget.beta1**t)
            direction = direction / ((state["exp_avg_sq"] / (1 - budget.beta2**t)).sqrt() + 1e-8)
            decay = budget.weight_decay if p.ndim >= 2 else 0.0
            full = before[name] * (1 - rate * decay) - rate * direction
            moved = torch.ones_like(p, dtype=torch.bool)
            if p.ndim >= 2:
                kept = round(share * p.numel())
                moved = torch.zeros(p.numel(), dtype=torch.bool)
                moved[state["exp_avg"].abs().flatten().argsort(descending=True)[:kept]] = True
                moved = moved.view_as(p)
            torch.testing.assert_close(after[name][moved], full[moved], atol=1e-6, rtol=1e-5)
            assert torch.equal(after[name][~moved], before[name][~moved]), f"{name} moved where its momentum is small"


def test_what_has_no_momentum_does_not_move_even_by_decay(folder: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    def untied() -> nn.Module:
        sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
        torch.manual_seed(1)
        return LlamaForCausalLM(LlamaConfig(vocab_size=400, tie_word_embeddings=False, **sizes))

    training = begun(MomentumFilter(share=0.9), folder, load=untied)
    name = "model.embed_tokens.weight"
    before = weights(training)[name]
    training.step()
    after, seen = weights(training)[name], training.optimizer.state[training.named[name]]["exp_avg"].ne(0).any(1)
    assert 0 < seen.sum() < 48 < 400
    assert torch.equal(after[~seen], before[~seen])


def test_random_entries_are_as_many(folder: Path) -> None:
    training = begun(MomentumFilter(share=0.25, score="random"), folder)
    moved = []
    for _ in range(2):
        before = weights(training)
        training.step()
        name = "model.layers.0.mlp.up_proj.weight"
        moved.append(weights(training)[name] != before[name])
        assert moved[-1].sum() == round(0.25 * moved[-1].numel())
    assert not torch.equal(*moved), "drawn anew each step"


def neox() -> nn.Module:
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
    return GPTNeoXForCausalLM(GPTNeoXConfig(vocab_size=8, **sizes))


def categories(model: nn.Module, frozen: list[nn.Module]) -> dict[str, list[int]]:
    """How many modules of a category are frozen, by block."""
    names = {module: name for name, module in model.named_modules()}
    found: dict[str, list[int]] = {}
    for module in frozen:
        block, _, inside = names[module].partition("layers.")[2].partition(".")
        category = "norm" if "norm" in inside else inside.split(".")[0]
        found.setdefault(category, [0, 0])[int(block)] += 1
    return {category: sorted(counts) for category, counts in found.items()}


@pytest.mark.parametrize(
    ("kind", "share", "wanted"),
    [
        ("llama", 0.5, {"self_attn": [2, 2], "mlp": [1, 2], "norm": [1, 1]}),
        ("llama", 0.25, {"self_attn": [1, 1], "mlp": [0, 1], "norm": [0, 1]}),
        ("llama", 1.0, {"self_attn": [4, 4], "mlp": [3, 3], "norm": [2, 2]}),
        ("gpt_neox", 0.5, {"attention": [1, 1], "mlp": [1, 1], "norm": [1, 1]}),
        ("llama", 0.0, {}),
    ],
)
def test_half_of_each_category_is_frozen(kind: str, share: float, wanted: dict[str, list[int]]) -> None:
    model = neox() if kind == "gpt_neox" else tiny_model()
    draws = [drawn(model, share, f"1/{i}") for i in range(30)]
    assert all(categories(model, draw) == wanted for draw in draws)
    if 0 < share < 1:
        assert len({frozenset(draw) for draw in draws}) > 10
    if share == 0.5:
        assert set().union(*draws) == set().union(*(draws[0] + draw for draw in draws)), "every module has its turn"
    assert [set(draw) for draw in draws] == [set(drawn(model, share, f"1/{i}")) for i in range(30)]


@pytest.mark.parametrize("every", [0, 2])
def test_frozen_tensors_stand_still_and_so_do_their_moments(every: int, folder: Path) -> None:
    training = begun(Half(every=every), folder)
    sets: list[set[str]] = []
    for _ in range(STEPS):
        before = weights(training)
        moments = {name: training.origin.momentum(name).clone() for name in before}
        training.step()
        after = weights(training)
        frozen = {name for name in before if torch.equal(after[name], before[name])}
        assert all(torch.equal(training.origin.momentum(name), moments[name]) for name in frozen)
        assert {"model.embed_tokens.weight", "model.norm.weight"}.isdisjoint(frozen)
        assert len(frozen) == 2 * 2 + 3 + 2, "two of four, three of six, one of two in each block"
        sets.append(frozen)
    rounds = [sets[0]] * STEPS if not every else [sets[0], sets[0], sets[2], sets[2], sets[4]]
    assert sets == rounds
    assert not every or sets[0] != sets[2]


def test_a_second_stage_draws_another_half(folder: Path) -> None:
    origin = begun(Control(), folder).origin
    memory = Half().setup(origin)
    Half().gradients(tiny_model(), memory, origin)
    origin.earlier = memory
    assert Half().setup(origin).moving == {"updates": 0, "rounds": 1}
