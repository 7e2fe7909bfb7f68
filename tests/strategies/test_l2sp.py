"""Decay towards the base: the special case of EWC with even importances, in a coupled and in a proximal form."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from harness.bench import tiny_model, tiny_setting
from harness.train import Training
from strategies.ewc import EWC
from strategies.l2sp import L2SP


def moved(strategy: Any, folder: Path) -> Training:
    """A training whose weights are 0.1 off the base's."""
    training = Training(strategy, tiny_setting(folder), seed=1)
    with torch.no_grad():
        for p in training.model.parameters():
            p.add_(0.1)
    return training


def slope(training: Training) -> dict[str, Tensor]:
    training.slope(training.reader.read())
    return {name: p.grad.clone() for name, p in training.model.named_parameters() if p.grad is not None}


def test_it_is_ewc_with_a_fisher_of_one(tmp_path: Path) -> None:
    training = moved(EWC(weight=3.0), tmp_path)
    for fisher in training.memory.fixed.importance.values():
        fisher.fill_(1.0)
    wanted = slope(training)
    for name, found in slope(moved(L2SP(weight=3.0), tmp_path)).items():
        torch.testing.assert_close(found, wanted[name], atol=1e-6, rtol=1e-6)


def test_its_pull_is_the_slope_of_half_the_weighted_distance(tmp_path: Path) -> None:
    plain = slope(moved(L2SP(weight=0.0), tmp_path))
    for name, found in slope(moved(L2SP(weight=3.0), tmp_path)).items():
        torch.testing.assert_close(found - plain[name], torch.full_like(found, 0.3), atol=1e-5, rtol=1e-4)


def test_the_proximal_step_is_the_printed_one(tmp_path: Path) -> None:
    """theta <- (theta' + eta alpha theta_0) / (1 + eta alpha), theta' being what the optimizer left."""
    plain, held = (moved(L2SP(weight=weight, form="proximal"), tmp_path) for weight in (0.0, 40.0))
    plain.step()
    logged = held.step()
    pull = held.origin.rate * 40.0
    base = dict(tiny_model().named_parameters())
    far = 0.0
    for name, found in held.model.named_parameters():
        wanted = (plain.model.get_parameter(name) + pull * base[name]) / (1 + pull)
        torch.testing.assert_close(found, wanted, atol=1e-7, rtol=1e-5)
        far += float((found - base[name]).detach().square().sum())
    assert logged["strategy.penalty"] == pytest.approx(far / 2, rel=1e-4)


@pytest.mark.parametrize(("form", "limit"), [("proximal", 0.0), ("coupled", 5.0)])
def test_a_huge_weight_ends_at_the_base(form: str, limit: float, tmp_path: Path) -> None:
    """The proximal form exactly; the coupled one within the learning rate, Adam's jitter."""
    training = Training(L2SP(weight=1e12, form=form), tiny_setting(tmp_path), seed=1)
    base = dict(tiny_model().named_parameters())
    for _ in range(5):
        training.step()
    apart = max(float((p - base[name]).detach().abs().max()) for name, p in training.model.named_parameters())
    assert apart <= limit * training.peak


def test_a_relative_strength_is_measured_on_the_whole_distance(tmp_path: Path) -> None:
    training = moved(L2SP(), tmp_path)
    origin = training.origin
    origin.loaded_control = type("Control", (), {"gain": 0.5, "parameter": lambda self, name: training.named[name]})()
    memory = L2SP(relative=2.0).setup(origin)
    weights = sum(p.numel() for p in training.model.parameters())
    assert memory.facts["control_penalty"] == pytest.approx(0.5 * weights * 0.1**2, rel=1e-4)
    assert memory.fixed.weight == pytest.approx(2.0 * 0.5 / (0.5 * weights * 0.1**2), rel=1e-4)


def test_a_form_that_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match="form=prox is unknown; it must be one of coupled, proximal"):
        L2SP(form="prox")
