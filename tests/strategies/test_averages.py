"""Averages and interpolations are the sums that their papers print, over steps that are otherwise the control's."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from harness import resume
from harness.bench import STEPS, Control, same_bits, tiny_model, tiny_setting
from harness.errors import InputError
from harness.plan import Budget
from harness.registry import arm
from harness.strategy import Strategy, after_training
from harness.train import Training, train
from harness.typed import parse_arms
from strategies.average import SnapshotAverage
from strategies.ema import MovingAverage
from strategies.lines import LayerScaling
from strategies.mofo import MomentumFilter
from strategies.reptile import Reptile
from strategies.ssu import SourceShield

Weights = dict[str, Tensor]


def weights(training: Training) -> Weights:
    return {name: p.detach().clone() for name, p in training.model.named_parameters()}


def begun(strategy: Strategy, folder: Path, **changes: int) -> Training:
    return Training(strategy, tiny_setting(folder / "cache", **changes), 1)


def ended(strategy: Strategy, folder: Path) -> Weights:
    training = begun(strategy, folder)
    train(training, folder / repr(strategy).replace("/", ""))
    return weights(training)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> list[Weights]:
    """The control's weights before training and after every update: T + 1 of them."""
    training = begun(Control(), tmp_path_factory.mktemp("control"))
    found = [weights(training)]
    for _ in range(STEPS):
        training.step()
        found.append(weights(training))
    return found


def mixed(path: list[Weights], shares: list[float]) -> Weights:
    """Σ share·θ / Σ share, in fp64."""
    return {
        name: sum(share * each[name].double() for share, each in zip(shares, path, strict=True)) / sum(shares)  # pyright: ignore
        for name in path[0]
    }


def close(found: Weights, wanted: Weights) -> None:
    for name, tensor in wanted.items():
        torch.testing.assert_close(found[name].double(), tensor.double(), atol=1e-7, rtol=1e-5, msg=f"{name} is off")


@pytest.mark.parametrize("mu", [0.3, 0.9, 0.9999])
def test_the_exponential_average_weighs_update_i_by_mu_to_the_T_minus_i(mu: float, path: list[Weights], folder: Path) -> None:
    newest = [(1 - mu) * mu ** (STEPS - i) for i in range(1, STEPS + 1)]
    close(ended(MovingAverage(mu=mu), folder), mixed(path, [0.0, *newest]))
    assert sum(newest) + mu**STEPS == pytest.approx(1), "the start point's share"
    close(ended(MovingAverage(mu=mu, corrected=False), folder), mixed(path, [mu**STEPS, *newest]))


def test_an_average_that_takes_nothing_new_is_the_base(path: list[Weights], folder: Path) -> None:
    assert same_bits(ended(MovingAverage(mu=1.0, corrected=False), folder), path[0])
    with pytest.raises(ValueError, match="mu=1 with corrected=true divides by zero; take a mu below 1, or corrected=false"):
        MovingAverage(mu=1.0)


@pytest.mark.parametrize(
    ("last", "every", "shape", "shares"),
    [
        (2, 2, "equal", [0, 0, 0, 1, 0, 1]),
        (3, 2, "equal", [0, 1, 0, 1, 0, 1]),
        (5, 1, "linear", [0, 1, 2, 3, 4, 5]),
        (3, 2, "linear", [0, 1, 0, 2, 0, 3]),
    ],
)
def test_snapshots_are_counted_back_from_the_end(
    last: int, every: int, shape: str, shares: list[float], path: list[Weights], folder: Path
) -> None:
    close(ended(SnapshotAverage(last=last, every=every, shape=shape), folder), mixed(path, shares))


def test_snapshots_that_do_not_fit_are_refused_when_the_plan_is_made() -> None:
    budget = Budget(steps=90, batch=1, length=2, peak=1.0)
    with pytest.raises(ValueError, match="10 snapshots 10 updates apart do not fit into 90 updates; lower last or every"):
        SnapshotAverage().fits(None, budget)
    SnapshotAverage(last=9).fits(None, budget)


@pytest.mark.parametrize("gamma", [0.0, 0.4])
def test_the_change_of_a_layer_is_scaled_by_its_depth(gamma: float, path: list[Weights], folder: Path) -> None:
    """Two blocks: γ for the first, 1 for the second; γ for embeddings and the last norm, which lie outside."""
    found = ended(LayerScaling(gamma=gamma), folder)
    for name, after in path[-1].items():
        kept = 1.0 if ".layers.1." in name else gamma
        torch.testing.assert_close(found[name], path[0][name] + kept * (after - path[0][name]), atol=1e-7, rtol=1e-6)
    assert same_bits(
        {n: w for n, w in found.items() if ".layers.1." in n}, {n: path[-1][n] for n in found if ".layers.1." in n}
    )


@pytest.mark.parametrize("blocks", [1, 5])
def test_depth_runs_from_gamma_to_one(blocks: int, folder: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {"vocab_size": 8, "hidden_size": 8, "intermediate_size": 8, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(num_hidden_layers=blocks, **sizes))
    origin = begun(Control(), folder, load=lambda: model).origin
    factors = LayerScaling(gamma=0.2).setup(origin).fixed
    expected = [0.2] if blocks == 1 else [0.2, 0.4, 0.6, 0.8, 1.0]
    assert [factors[f"model.layers.{i}.mlp.up_proj.weight"] for i in range(blocks)] == pytest.approx(expected)
    assert {factors[name] for name in ("model.embed_tokens.weight", "model.norm.weight", "lm_head.weight")} == {0.2}


@pytest.mark.parametrize(("epsilon", "every"), [(0.3, 2), (0.1, 3), (0.5, 1), (0.5, 5), (0.2, 100)])
def test_each_block_goes_a_part_of_its_way(epsilon: float, every: int, folder: Path) -> None:
    """The control, moved by hand after every block, the last and partial one included, its moments left alone."""
    training = begun(Control(), folder)
    anchor = weights(training)
    for update in range(1, STEPS + 1):
        training.step()
        if update % every == 0 or update == STEPS:
            with torch.no_grad():
                for name, p in training.model.named_parameters():
                    p.copy_(anchor[name] + epsilon * (p - anchor[name]))
            anchor = weights(training)
    close(ended(Reptile(epsilon=epsilon, every=every), folder), weights(training))


def test_a_step_of_nothing_is_the_base(folder: Path) -> None:
    assert same_bits(ended(Reptile(epsilon=0.0, every=2), folder), {n: p.detach() for n, p in tiny_model().named_parameters()})


def test_interpolation_leaves_the_moments_alone(folder: Path) -> None:
    one, two = begun(Control(), folder), begun(Reptile(epsilon=0.1, every=2), folder)
    for _ in range(2):
        one.step()
        two.step()
    assert not same_bits(weights(one), weights(two))
    for a, b in zip(one.optimizer.state.values(), two.optimizer.state.values(), strict=True):
        assert same_bits(a, b)


@pytest.mark.parametrize("strategy", [Reptile(0.3), MomentumFilter(0.1), SourceShield(0.25)], ids=lambda s: type(s).__name__)
def test_controls_can_be_typed(strategy: Strategy) -> None:
    words = strategy.controls()
    assert words
    built = [arm(parse_arms(word)[0]) for word in words]
    assert all(not again.controls() for again in built), "a control names no further ones"
    if isinstance(strategy, Reptile):
        assert words == ("none:lr=0.3",)
        assert parse_arms(words[0])[0].lr == 0.3


@pytest.mark.parametrize("word", ["lines", "residual"])
def test_what_only_finishes_shares_the_controls_training(word: str) -> None:
    assert after_training(arm(parse_arms(word)[0]))


class Stopped(Exception):
    """Thrown to stop a training in the middle."""


COMBINED = [
    "replay+reptile:every=2",
    "reptile:every=2+mofo",
    "ema:mu=0.5:corrected=false+lines",
    "average:last=2:every=2+wise",
    "das:tokens=1k+mofo",
    "ssu:tokens=1k+half:every=2",
    "mofo:score=random+replay+wise",
    "half:every=2+lines+residual:weight=0.5",
]


@pytest.mark.parametrize("word", COMBINED)
def test_combined_they_stop_and_resume_bit_for_bit(word: str, tmp_path: Path) -> None:
    strategy = arm(parse_arms(word)[0])
    whole = ended(strategy, tmp_path)
    assert not same_bits(whole, ended(Control(), tmp_path))
    folder = tmp_path / "resumed"
    for stop in (2, 4):

        def show(update: int, total: int, row: object, stop: int = stop) -> None:
            if update == stop:
                raise Stopped

        with pytest.raises(Stopped):
            train(begun(strategy, tmp_path, checkpoint_every=1), folder, show)
    last = begun(strategy, tmp_path, checkpoint_every=1)
    train(last, folder)
    assert same_bits(weights(last), whole)


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("wise+ema", "wise and ema cannot be combined in this order: ema ends the training with weights of its own making, "
                     "over those of wise; type ema before it"),
        ("replay+lines+kl+reptile", "lines and reptile cannot be combined in this order: reptile ends the training with "
                                    "weights of its own making, over those of lines; type reptile before it"),
        ("ema+average", "ema and average cannot be combined: each ends the training with weights of its own making; leave one "
                        "of them out"),
    ],
)  # fmt: skip
def test_an_end_that_another_would_overwrite_is_refused(word: str, sentence: str) -> None:
    with pytest.raises(InputError) as found:
        arm(parse_arms(word)[0])
    assert str(found.value) == sentence


@pytest.mark.parametrize("mean", ["ema:mu=0.5", "average:last=2:every=2", "reptile:every=2"])
def test_an_interpolation_after_an_average_is_one_of_the_average(mean: str, tmp_path: Path) -> None:
    """θ_base + 0.5·(θ̄ - θ_base), θ̄ being where the average alone ends."""
    alone, both = (ended(arm(parse_arms(word)[0]), tmp_path) for word in (mean, f"{mean}+wise:alpha=0.5"))
    for name, before in tiny_model().named_parameters():
        torch.testing.assert_close(both[name], (before + alone[name]) / 2, atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize("word", ["das:tokens=1k+mofo", "ssu:tokens=1k", "mofo"])
def test_no_checkpoint_holds_the_copy_of_a_step(word: str, folder: Path) -> None:
    training = begun(arm(parse_arms(word)[0]), folder)
    training.step()
    assert not [name for name in resume.state(training).tensors if name.startswith("moving")]


@pytest.mark.parametrize("name", ["ema", "average", "reptile", "lines", "das", "ssu", "residual"])
def test_a_table_by_name_is_refused_beside_what_gives_other_names(name: str) -> None:
    with pytest.raises(InputError, match=f"expand and {name} cannot be combined: the first gives weights other names"):
        arm(parse_arms(f"expand+{name}")[0])
