"""Masks are on the update: what is protected moves less or not at all, decay included; importances are the papers'."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.bench import Control, same_bits, tiny_model, tiny_setting
from harness.origin import TrialOrigin
from harness.plan import Budget
from harness.rows import Facts, Rows
from harness.strategy import Memory, Origin, Strategy
from harness.train import Training, train
from strategies.calibration import groups
from strategies.das import SoftMask
from strategies.ssu import SourceShield, column_scores, linear_layers
from strategies.units import KNOWN, gates, importance_of

VOCABULARY, LENGTH, ROWS = 16, 6, 8
HEADS, WIDTH = 4, 4


def begun(strategy: Strategy, folder: Path, **changes: Any) -> Training:
    return Training(strategy, tiny_setting(folder / "cache", **changes), 1)


def weights(training: Training) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in training.model.named_parameters()}


def built(kind: str) -> nn.Module:
    """A decoder of two blocks: key and value heads shared, with biases (qwen2), one matrix for all three (gpt_neox)."""
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {"vocab_size": VOCABULARY, "hidden_size": HEADS * WIDTH, "intermediate_size": 24, "num_hidden_layers": 2}
    sizes |= {"num_attention_heads": HEADS, "max_position_embeddings": 32, "pad_token_id": 0}
    if kind != "gpt_neox":
        sizes |= {"num_key_value_heads": HEADS // 2}
    if kind in ("qwen3", "gemma", "gemma2", "gemma3_text"):
        sizes |= {"head_dim": WIDTH}
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **sizes))
        for p in model.parameters():
            p.data += 0.1 * torch.randn_like(p)
        return model.eval()


def known(load: Callable[[], nn.Module], folder: Path) -> TrialOrigin:
    tokens = np.random.default_rng(0).integers(0, VOCABULARY, (ROWS, LENGTH)).astype(np.uint16)
    old = Rows(tokens, Facts(ROWS, ROWS * LENGTH, ROWS, ROWS, 0, True))
    budget = Budget(steps=1000, batch=4, length=LENGTH, peak=1.0)
    return TrialOrigin(budget, 1, {"old": old}, {"base": "b", "old": "o"}, folder, load)


def felt_by_gates(model: nn.Module, tokens: Tensor) -> dict[str, Tensor]:
    """Gradients to real gates of ones: on what the joining projection reads, head by head, on what the last projection reads,
    neuron by neuron, and on what that writes."""
    units, ones, hooks = KNOWN[model.config.model_type], {}, []  # pyright: ignore
    stack = "gpt_neox.layers" if model.config.model_type == "gpt_neox" else "model.layers"  # pyright: ignore
    for i in range(2):
        places = {"heads": (units.joined, HEADS), "inner": (units.outer, 24), "outer": (units.outer, HEADS * WIDTH)}
        for kind, (path, size) in places.items():
            gate = ones[f"{stack}.{i}.{kind}"] = torch.ones(size, requires_grad=True)
            module = model.get_submodule(f"{stack}.{i}.{path}")
            if kind != "outer":
                width = WIDTH if kind == "heads" else 1
                hooks.append(module.register_forward_pre_hook(lambda m, x, g=gate, w=width: (x[0] * g.repeat_interleave(w),)))
            else:
                hooks.append(module.register_forward_hook(lambda m, x, y, g=gate: y * g))
    logits = model(input_ids=tokens).logits[:, :-1]
    F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten()).backward()
    for hook in hooks:
        hook.remove()
    return {name: gate.grad for name, gate in ones.items() if gate.grad is not None}


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gpt_neox"])
def test_importance_is_the_gradient_to_a_gate_on_the_unit(kind: str, folder: Path) -> None:
    origin = known(lambda: built(kind), folder)
    read = groups(origin, 2**20)
    assert sorted(row for group in read for row in group) == list(range(ROWS))
    found = gates(origin, read)
    wanted = felt_by_gates(built(kind), origin.source("old").tokens(range(ROWS)))
    assert found.keys() == wanted.keys()
    assert len(wanted) == 6
    for name, gate in wanted.items():
        torch.testing.assert_close(found[name], gate, atol=1e-6, rtol=1e-4, msg=name)


def test_importance_is_standardised_and_bounded() -> None:
    gate = torch.tensor([1.0, 2.0, 3.0, 6.0])
    z = (np.array([1.0, 2, 3, 6]) - 3) / np.sqrt((4 + 1 + 0 + 9) / 3)
    torch.testing.assert_close(importance_of(gate).double(), torch.tensor(np.abs(np.tanh(z))), atol=1e-6, rtol=1e-6)
    assert importance_of(torch.ones(5)).eq(0).all()
    assert importance_of(torch.ones(1)).eq(0).all(), "the only unit of its kind"


@pytest.mark.parametrize("kind", sorted(KNOWN))
def test_masks_lie_along_units(kind: str, folder: Path) -> None:
    """A row mask on what makes heads or neurons, a column mask on what reads heads; a square matrix cannot confuse them."""
    origin = known(lambda: built(kind), folder)
    memory = SoftMask().setup(origin)
    model, units = origin.base.model, KNOWN[kind]
    stack = "gpt_neox.layers" if kind == "gpt_neox" else "model.layers"
    found = {name: mask.expand_as(model.get_parameter(name)) for name, mask in memory.fixed.items()}
    heads = found[f"{stack}.0.{units.joined}.weight"][0].view(HEADS, WIDTH)[:, 0]
    assert heads.unique().numel() == HEADS
    for path in units.heads:
        mask = found[f"{stack}.0.{path}.weight"]
        assert torch.equal(mask, mask[:, :1].expand_as(mask)), f"{path} is masked along its columns"
        rows = mask[:, 0].view(-1, WIDTH)  # (heads of this projection, width)
        # two key and value heads serve four; one matrix for all three holds a head's rows together
        wanted = heads.view(2, 2).amax(1) if len(rows) == 2 else heads.repeat_interleave(len(rows) // HEADS)
        assert torch.equal(rows, wanted.unsqueeze(1).expand_as(rows)), path
    for path in (*units.inner, units.outer):
        mask = found[f"{stack}.0.{path}.weight"]
        assert torch.equal(mask, mask[:, :1].expand_as(mask))
    joined = found[f"{stack}.0.{units.joined}.weight"]
    assert torch.equal(joined, joined[:1].expand_as(joined))
    assert f"{stack}.0.{units.joined}.bias" not in found, "that bias is no head's"
    biased = {name for name, _ in model.named_parameters() if name.endswith(".bias")}
    made = {f"{stack}.{i}.{path}.bias" for i in range(2) for path in (*units.heads, *units.inner, units.outer)}
    assert {name for name in found if name.endswith("bias")} == made & biased


def test_units_of_an_unknown_architecture_are_refused() -> None:
    from transformers import GPT2Config

    with pytest.raises(ValueError, match="the units of a gpt2 model are not known; known are gemma, gemma2"):
        SoftMask().fits(GPT2Config(), Budget(steps=1, batch=1, length=2, peak=1.0))


def test_the_random_importances_are_the_same_ones_elsewhere(folder: Path) -> None:
    masks = [SoftMask(score=score).setup(known(lambda: built("llama"), folder)).fixed for score in ("gradient", "random")]
    assert not same_bits(*masks)
    name = "model.layers.0.mlp.down_proj.weight"
    assert torch.equal(*(mask[name].flatten().sort().values for mask in masks))


class OnTheGradient(SoftMask):
    """The fault that the released code has: the mask multiplies the gradient, and Adam divides it out again."""

    def gradients(self, model: nn.Module, memory: Memory, origin: Origin) -> None:
        for name, importance in memory.fixed.items():
            grad = model.get_parameter(name).grad
            assert grad is not None
            grad.mul_(1 - self.weight * importance)

    def weights(self, model: nn.Module, memory: Memory, origin: Origin) -> None:
        pass


def movement_is_masked(strategy: SoftMask, folder: Path) -> None:
    """The first step, whose gradient is the control's: every entry moves (1 - weight·I) times as far, decay included."""
    masked, plain = begun(strategy, folder), begun(Control(), folder)
    start = weights(plain)
    masked.step()
    plain.step()
    found, full = weights(masked), weights(plain)
    for name, before in start.items():
        moves = 1 - strategy.weight * masked.memory.fixed.get(name, torch.zeros(()))
        wanted = before + moves * (full[name] - before)
        assert torch.allclose(found[name], wanted, atol=1e-6, rtol=0), f"{name} moved by more than its mask lets it"


@pytest.mark.parametrize("weight", [0.5, 1.0])
def test_the_soft_mask_is_on_the_update(weight: float, folder: Path) -> None:
    movement_is_masked(SoftMask(weight=weight, tokens=2**10), folder)


def test_a_mask_on_the_gradient_is_caught(folder: Path) -> None:
    with pytest.raises(AssertionError, match="moved by more than its mask lets it"):
        movement_is_masked(OnTheGradient(tokens=2**10), folder)


def test_a_unit_of_full_importance_never_moves(folder: Path) -> None:
    training = begun(SoftMask(tokens=2**10), folder)
    name = "model.layers.0.mlp.up_proj.weight"
    training.memory.fixed[name] = torch.eye(32)[:, :1]  # importance 1 for the first row, 0 for the others
    before = weights(training)[name]
    train(training, folder)
    after = weights(training)[name]
    assert torch.equal(after[0], before[0])
    assert not torch.isclose(after[1:], before[1:], atol=1e-6).any()


def test_columns_are_scored_by_weight_and_activation(folder: Path) -> None:
    """Σ_i |W_ij|·‖x_j‖ over all old text, x recomputed by hand for the query projection and for the one above it."""
    origin = known(lambda: built("llama"), folder)
    model: Any = origin.base.model
    frozen = SourceShield(share=0.25).setup(origin).fixed
    assert len(frozen) == 14, "seven linear layers in each of two blocks, and no head"
    found = column_scores(origin, linear_layers(model), groups(origin, 2**20))
    states = model(input_ids=origin.source("old").tokens(range(ROWS)), output_hidden_states=True).hidden_states
    for block in range(2):
        layer = model.model.layers[block]
        x = layer.input_layernorm(states[block]).flatten(0, 1).double()  # (positions, hidden)
        scores = (layer.self_attn.q_proj.weight.double().abs() * x.norm(dim=0)).sum(0)
        name = f"model.layers.{block}.self_attn.q_proj.weight"
        torch.testing.assert_close(found[name].double(), scores.detach(), atol=0, rtol=1e-5)
        assert set(frozen[name].tolist()) == set(scores.argsort(descending=True)[:4].tolist())
    assert not [hook for module in model.modules() for hook in module._forward_pre_hooks.values()], "a hook was left behind"


class OnlyWithoutGradient(SourceShield):
    """The released code's way: no gradient for frozen columns, and the weight decay forgotten."""

    def weights(self, model: nn.Module, memory: Memory, origin: Origin) -> None:
        memory.moving.clear()


def columns_stay(strategy: SourceShield, folder: Path) -> None:
    training = begun(strategy, folder)
    before = weights(training)
    train(training, folder / "trained")
    after = weights(training)
    for name, start in before.items():
        columns = training.memory.fixed.get(name, torch.tensor([], dtype=torch.long))
        rest = [i for i in range(start.shape[-1]) if i not in columns.tolist()]
        assert torch.equal(after[name][..., columns], start[..., columns]), f"{name} moved where it is frozen"
        assert not torch.equal(after[name][..., rest], start[..., rest]), f"{name} stayed where it is not frozen"
        assert len(columns) == (round(strategy.share * start.shape[-1]) if "_proj" in name else 0)


@pytest.mark.parametrize("strategy", [SourceShield(tokens=2**10), SourceShield(share=0.3, score="random")], ids=str)
def test_frozen_columns_are_bit_identical_at_the_end(strategy: SourceShield, folder: Path) -> None:
    columns_stay(strategy, folder)


def test_weight_decay_on_frozen_columns_is_caught(folder: Path) -> None:
    with pytest.raises(AssertionError, match="moved where it is frozen"):
        columns_stay(OnlyWithoutGradient(tokens=2**10), folder)


def test_random_columns_need_no_old_text() -> None:
    assert SourceShield().needed() == ("old",)
    assert SourceShield(score="random").needed() == ()


@pytest.mark.parametrize(("asked", "steps", "read"), [(2**20, 10**6, 8), (24, 10**6, 4), (1, 10**6, 4), (2**20, 1, 8)], ids=str)
def test_rows_are_whole_groups_spread_evenly(asked: int, steps: int, read: int, folder: Path) -> None:
    origin = known(tiny_model, folder)
    origin.budget = Budget(steps=steps, batch=4, length=LENGTH, peak=1.0)
    rows = [row for group in groups(origin, asked) for row in group]
    assert rows == list(range(0, ROWS, ROWS // read))
