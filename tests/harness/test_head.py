"""How a model's logits come of its head is found out, not believed: by one batch, whatever its configuration says."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from harness.frozen import FrozenBase
from harness.head import Bend, bend_of
from harness.objective import Objective
from tests.harness.test_objective import LENGTH, MODELS, POSITIONS, ROWS, build, slopes, tokens, weighting

BENT = [name for name, (_, _, told) in MODELS.items() if told != "chunked"]


@pytest.mark.parametrize("spread", [0.0, 0.1])
@pytest.mark.parametrize("name", MODELS)
def test_what_a_model_does_to_its_heads_output_is_found(name: str, spread: float) -> None:
    """A soft cap hardly bends the small logits of a fresh model, and must be found all the same."""
    assert Objective(build(name, spread)).told == MODELS[name][2]


@pytest.mark.parametrize("name", MODELS)
def test_it_is_found_in_half_precision_too(name: str) -> None:
    assert Objective(build(name).bfloat16()).told == MODELS[name][2]


class Own(nn.Module):
    """A model that does to its logits what its configuration does not say."""

    def __init__(self, name: str, change: Any) -> None:
        super().__init__()
        self.inner, self.change = build(name), change
        self.config, self.base_model = self.inner.config, self.inner.base_model

    def get_output_embeddings(self) -> nn.Module:
        return self.inner.get_output_embeddings()

    def forward(self, **given: Any) -> Any:
        out = self.inner(**given)
        out.logits = self.change(out.logits)
        return out


@pytest.mark.parametrize("name", ["untied", "capped", "scaled"])
@pytest.mark.parametrize(
    "change", [lambda z: z * 1.05, lambda z: z + 1.0, lambda z: 10 * (z / 10).tanh(), lambda z: z.log_softmax(-1)]
)
def test_what_no_known_form_makes_is_left_to_the_model(name: str, change: Any) -> None:
    objective = Objective(Own(name, change))
    assert objective.told == "whole logits"
    own = objective.model(input_ids=tokens()).logits[:, :-1]
    total, _ = objective(tokens(), weighting())
    wanted = F.cross_entropy(own.flatten(0, 1), tokens()[:, 1:].flatten())
    assert total.item() == pytest.approx(wanted.item(), rel=1e-6)


@pytest.mark.parametrize(("key", "value"), [("final_logit_softcapping", 2.0), ("logit_scale", 0.25), ("logits_scaling", 4.0)])
def test_a_number_that_the_model_does_not_use_is_not_used(key: str, value: float) -> None:
    model = build("untied")
    setattr(model.config, key, value)
    assert Objective(model).told == "chunked"


@pytest.mark.parametrize(
    ("known", "bend"),
    [
        ({"lm_head_multiplier": 0.5}, Bend(0.5)),
        ({"logits_soft_cap": 2.0}, Bend(cap=2.0)),
        ({"logit_scale": 0.5, "final_logit_softcapping": 2.0}, Bend(0.5, 2.0)),
        ({"logits_scaling": 4, "output_logit_soft_cap": 5}, Bend(0.25, 5.0)),
    ],
)
def test_scales_and_caps_are_found_by_what_configurations_call_them(known: dict[str, float], bend: Bend) -> None:
    own = Own("untied", lambda z: bend.logits(z.clone()))
    for key, value in known.items():
        setattr(own.config, key, value)
    assert bend_of(own) == bend


@pytest.mark.parametrize("size", [7, 1000])
@pytest.mark.parametrize("name", BENT)
def test_gradients_are_those_of_the_models_own_logits_in_double_precision(name: str, size: int) -> None:
    """Terms that read the logits too: what a strategy is given is what the model predicts with."""
    model, double = build(name, 0.3), build(name, 0.3).double()
    objective = Objective(model, lambda chunk, _: {"ce": chunk.losses, "spread": chunk.logits.softmax(-1).square().sum(-1)})
    objective.size = size
    found = slopes(model, objective(tokens(), weighting())[0])
    logits = double(input_ids=tokens()).logits[:, :-1].flatten(0, 1)
    assert logits.dtype == torch.float64
    loss = F.cross_entropy(logits, tokens()[:, 1:].flatten()) + logits.softmax(-1).square().sum() / POSITIONS
    for parameter, slope in slopes(double, loss).items():
        torch.testing.assert_close(found[parameter].double(), slope, atol=2e-6, rtol=2e-4, msg=parameter)


@pytest.mark.parametrize("bend", [Bend(), Bend(0.25), Bend(1.0, 2.0), Bend(3.0, 0.5)])
def test_the_slope_is_the_derivative(bend: Bend) -> None:
    z = torch.linspace(-4, 4, 60).view(3, 20)
    turned = z.double().requires_grad_()
    wanted = bend.scale * turned if bend.cap is None else bend.cap * (bend.scale * turned / bend.cap).tanh()
    logits = bend.logits(z.clone())
    torch.testing.assert_close(logits.double(), wanted.detach(), atol=1e-6, rtol=1e-6)
    slope = torch.linspace(1, -1, 60).view(3, 20)
    (own,) = torch.autograd.grad(wanted, turned, slope.double())
    torch.testing.assert_close(bend.slope(slope.clone(), logits).double(), own, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_a_reference_has_the_models_own_logits(name: str) -> None:
    base = FrozenBase(lambda: build(name))
    states = base.states(tokens()).flatten(0, 1)
    own = build(name)(input_ids=tokens()).logits[:, :-1].flatten(0, 1)
    torch.testing.assert_close(base.logits(states), own.detach(), atol=1e-5, rtol=1e-5)
    assert states.shape == (ROWS * (LENGTH - 1), 16)


@pytest.mark.parametrize("name", ["untied", "capped"])
def test_looking_at_the_head_leaves_no_trace(name: str) -> None:
    model = build(name).train()
    model.model.layers[0].eval()
    modes = [module.training for module in model.modules()]
    before = model(input_ids=tokens()).logits
    Objective(model)
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(model(input_ids=tokens()).logits, before)
    assert all(p.grad is None for p in model.parameters())
