"""Chunked losses are the model's own, for every kind of head, and no tensor of positions x vocabulary is ever made."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from harness.errors import TrialError
from harness.objective import Objective, Weighting, chunk_size
from harness.strategy import Chunk

VOCABULARY, ROWS, LENGTH = 61, 3, 14
POSITIONS = ROWS * (LENGTH - 1)
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 32,
    "pad_token_id": 0,
}
# name -> kind of model, settings, how its logits are made
MODELS: dict[str, tuple[str, dict[str, Any], str]] = {
    "tied": ("llama", {"tie_word_embeddings": True}, "chunked"),
    "untied": ("llama", {"tie_word_embeddings": False}, "chunked"),
    "biased": ("phi", {}, "chunked"),
    "normed": ("gpt_neox", {"tie_word_embeddings": False}, "chunked"),
    "capped": ("gemma2", {"final_logit_softcapping": 2.0}, "chunked with soft cap 2"),
    "hardly capped": ("gemma2", {"final_logit_softcapping": 30.0}, "chunked with soft cap 30"),
    "not capped": ("gemma2", {"final_logit_softcapping": None}, "chunked"),
    "capped in its text": ("gemma3_text", {"final_logit_softcapping": 3.0}, "chunked with soft cap 3"),
    "scaled": ("cohere", {"logit_scale": 0.25}, "chunked with scale 0.25"),
    "divided": ("granite", {"logits_scaling": 4.0}, "chunked with scale 0.25"),
}


def build(name: str, spread: float = 0.1) -> Any:
    """A small model with random weights, its head's bias included."""
    kind, changes, _ = MODELS[name]
    with torch.random.fork_rng():
        torch.manual_seed(2)
        config = CONFIG_MAPPING[kind](**{**SIZES, **changes})
        for key in ("resid_pdrop", "embd_pdrop", "attention_dropout", "hidden_dropout"):
            setattr(config, key, 0.0)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        for p in model.parameters():
            p.data += spread * torch.randn(p.shape)
    return model.eval()


def tokens() -> Tensor:
    return torch.randint(VOCABULARY, (ROWS, LENGTH), generator=torch.Generator().manual_seed(4))


def weighting(divisor: float = POSITIONS, **weights: Tensor) -> Weighting:
    return Weighting(divisor, weights, {name: float(w.count_nonzero()) for name, w in weights.items()})


def slopes(model: nn.Module, loss: Tensor) -> dict[str, Tensor]:
    """Gradients by name; those of tensors that a loss does not reach are zero."""
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    return {name: torch.zeros_like(p) if g is None else g for (name, p), g in zip(named.items(), found, strict=True)}


@pytest.mark.parametrize("size", [7, POSITIONS, 1000])
@pytest.mark.parametrize("name", MODELS)
def test_loss_and_gradient_are_the_models_own(name: str, size: int) -> None:
    model = build(name)
    objective = Objective(model)
    objective.size = size
    total, sums = objective(tokens(), weighting())
    own = model(input_ids=tokens(), labels=tokens()).loss
    assert total.item() == pytest.approx(own.item(), rel=1e-6)
    assert sums["cross_entropy"].item() / POSITIONS == pytest.approx(own.item(), rel=1e-6)
    wanted = slopes(model, own)
    for parameter, slope in slopes(model, total).items():
        torch.testing.assert_close(slope, wanted[parameter], atol=1e-6, rtol=1e-4, msg=parameter)


@pytest.mark.parametrize("name", MODELS)
def test_losses_without_gradient_are_the_cross_entropies(name: str) -> None:
    model = build(name)
    objective = Objective(model)
    objective.size = 7
    found = objective.losses(tokens())
    logits = model(input_ids=tokens()).logits[:, :-1]
    wanted = F.cross_entropy(logits.flatten(0, 1), tokens()[:, 1:].flatten(), reduction="none").view(ROWS, -1)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
    assert not found.requires_grad


@pytest.mark.parametrize("name", ["tied", "untied", "capped"])
def test_weights_choose_positions_and_the_divisor_counts_those_that_count(name: str) -> None:
    model = build(name)
    weights = torch.rand(ROWS, LENGTH - 1, generator=torch.Generator().manual_seed(1)).mul(2).sub(1).clamp_(0)
    objective = Objective(model)
    objective.size = 5
    total, _ = objective(tokens(), weighting(cross_entropy=weights))
    logits = model(input_ids=tokens()).logits[:, :-1].flatten(0, 1)
    each = F.cross_entropy(logits, tokens()[:, 1:].flatten(), reduction="none")
    wanted = (each * weights.flatten()).sum() / weights.count_nonzero()
    assert 0 < weights.count_nonzero() < POSITIONS
    for parameter, slope in slopes(model, wanted).items():
        torch.testing.assert_close(slopes(model, objective(tokens(), weighting(cross_entropy=weights))[0])[parameter], slope,
                                   atol=1e-6, rtol=1e-4)  # fmt: skip
    assert total.item() == pytest.approx(wanted.item(), rel=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_a_multiple_of_the_total_has_a_multiple_of_its_gradient(name: str) -> None:
    """As where several processes share a step, and their gradients are averaged."""
    model = build(name)
    once, thrice = (slopes(model, times * Objective(model)(tokens(), weighting())[0]) for times in (1, 3))
    for parameter, slope in thrice.items():
        torch.testing.assert_close(slope, 3 * once[parameter], atol=1e-6, rtol=1e-4, msg=parameter)


def test_a_term_that_no_position_carries_is_zero() -> None:
    total, _ = Objective(build("tied"))(tokens(), weighting(cross_entropy=torch.zeros(ROWS, LENGTH - 1)))
    assert total.item() == 0


def test_terms_reach_the_weights_through_hidden_states_too() -> None:
    model = build("untied")

    def terms(chunk: Chunk, memory: Any) -> Mapping[str, Tensor]:
        return {"norm": chunk.hidden.square().sum(-1)}

    objective = Objective(model, terms)
    objective.size = 7
    found = slopes(model, objective(tokens(), weighting())[0])
    hidden = model.model(input_ids=tokens()).last_hidden_state[:, :-1]
    wanted = slopes(model, hidden.square().sum() / POSITIONS)
    for parameter, slope in wanted.items():
        torch.testing.assert_close(found[parameter], slope, atol=1e-6, rtol=1e-4)


def test_a_frozen_head_gets_no_gradient_and_the_rest_keeps_its_own() -> None:
    model = build("untied")
    wanted = slopes(model, Objective(model)(tokens(), weighting())[0])
    model.lm_head.weight.requires_grad_(False)
    Objective(model)(tokens(), weighting())[0].backward()
    assert model.lm_head.weight.grad is None
    for name, p in model.named_parameters():
        if p.requires_grad:
            torch.testing.assert_close(p.grad, wanted[name])


def test_a_frozen_body_leaves_the_head_its_gradient() -> None:
    model = build("untied")
    wanted = slopes(model, Objective(model)(tokens(), weighting())[0])["lm_head.weight"]
    model.model.requires_grad_(False)
    Objective(model)(tokens(), weighting())[0].backward()
    torch.testing.assert_close(model.lm_head.weight.grad, wanted)


def test_a_term_of_another_shape_is_a_sentence() -> None:
    objective = Objective(build("tied"), lambda chunk, memory: {"mine": chunk.logits})
    with pytest.raises(
        TrialError, match=r"the term mine has the shape \(39, 61\); a loss returns one value a position: \(39,\)"
    ):
        objective(tokens(), weighting())


class Products(TorchDispatchMode):
    """How often a product was added to a gradient of the head."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func is torch.ops.aten.addmm_.default
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(("gradients", "frozen", "products"), [(True, False, 2), (True, True, 0), (False, False, 0)])
def test_the_heads_gradient_is_made_where_it_is_wanted(gradients: bool, frozen: bool, products: int) -> None:
    model = build("untied")
    model.lm_head.weight.requires_grad_(not frozen)
    objective = Objective(model)
    objective.size = 20
    watched = Products()
    with watched, torch.set_grad_enabled(gradients):
        total, _ = objective(tokens(), weighting())
    assert watched.count == products
    assert total.requires_grad is gradients


@pytest.mark.parametrize(("vocabulary", "size"), [(48, 1024), (8192, 1024), (50_304, 128), (152_000, 64), (1_000_000, 64)])
def test_chunks_are_chosen_by_vocabulary_alone(vocabulary: int, size: int) -> None:
    assert chunk_size(vocabulary) == size


@pytest.mark.parametrize("name", ["tied", "capped"])
def test_half_precision_stays_near_single(name: str) -> None:
    """Logits and losses are fp32 under autocast; gradients differ by rounding of the products alone."""
    model = build(name)
    whole = slopes(model, Objective(model)(tokens(), weighting())[0])
    objective = Objective(model)
    objective.size = 5
    with torch.autocast("cpu", torch.bfloat16):
        total, sums = objective(tokens(), weighting())
    assert total.dtype == sums["cross_entropy"].dtype == torch.float32
    half = slopes(model, total)
    apart = sum((half[n] - g).square().sum() for n, g in whole.items()) ** 0.5
    assert apart < 0.05 * sum(g.square().sum() for g in whole.values()) ** 0.5
