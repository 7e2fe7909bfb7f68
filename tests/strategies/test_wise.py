"""Interpolation with the base: exact at both ends, straight in between, and no training of its own."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from harness.bench import same_bits, tiny_model, tiny_setting
from harness.registry import arm
from harness.strategy import after_training
from harness.train import Training, train
from harness.typed import parse_arms
from strategies.none import Plain
from strategies.wise import Wise


def trained(word: str, folder: Path) -> dict[str, Tensor]:
    training = Training(arm(parse_arms(word)[0]), tiny_setting(folder / "cache"), 1)
    train(training, folder / word)
    return {name: p.detach().clone() for name, p in training.model.named_parameters()}


def interpolated(alpha: float, folder: Path) -> dict[str, Tensor]:
    """As an arm that shares the control's training: the control's weights, then the arm's last hook."""
    model = tiny_model()
    for name, weights in trained("none", folder).items():
        model.get_parameter(name).data.copy_(weights)
    last = Training(Wise(alpha), tiny_setting(folder / "cache"), 1, 1.0, model, folder)
    last.strategy.finish(last.model, last.memory, last.origin)
    return {name: p.detach() for name, p in last.model.named_parameters()}


def test_it_is_affine_in_every_tensor(tmp_path: Path) -> None:
    ends = {name: p.detach() for name, p in tiny_model().named_parameters()}, trained("none", tmp_path)
    for alpha in (0.25, 0.5, 0.9):
        for name, weights in interpolated(alpha, tmp_path).items():
            torch.testing.assert_close(weights, torch.lerp(ends[0][name], ends[1][name], alpha), atol=1e-7, rtol=1e-6)
            assert not torch.equal(weights, ends[1][name]), f"{name} was left out"


def test_its_ends_are_the_base_and_what_was_trained_bit_for_bit(tmp_path: Path) -> None:
    assert same_bits(interpolated(0.0, tmp_path), {name: p.detach() for name, p in tiny_model().named_parameters()})
    assert same_bits(interpolated(1.0, tmp_path), trained("none", tmp_path))


def test_sharing_the_controls_training_changes_no_bit(tmp_path: Path) -> None:
    assert same_bits(interpolated(0.3, tmp_path), trained("wise:alpha=0.3", tmp_path))


def test_it_acts_after_training_alone() -> None:
    assert after_training(Wise())
    assert not after_training(Plain())


@pytest.mark.parametrize("word", ["kl", "ewc", "replay", "curriculum", "low_lr", "constant", "wsd", "kl+wise"])
def test_nothing_else_does(word: str) -> None:
    assert not after_training(arm(parse_arms(word)[0]))
