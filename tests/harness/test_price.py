"""FLOPs as recorded against those that PyTorch counts, and what a plan says of its cost before it starts."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig, LlamaForCausalLM

from harness.arms import gather
from harness.bench import VOCABULARY, tiny_model, tiny_setting
from harness.objective import multiplied
from harness.plan import Plan
from harness.price import cost, spent
from harness.reader import Setting
from harness.spending import updates
from harness.strategy import OLD, Batch, Memory, Origin, Strategy
from harness.train import Training

TOLERANCE = 0.03
"""Attention among the tokens of a row (T / 6D of a block) is counted by PyTorch and not by 2P; the bands hold it."""


def model() -> nn.Module:
    """Wide for its rows and its vocabulary, so that matrices are nearly all that is computed."""
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=256, intermediate_size=512, num_hidden_layers=4, num_attention_heads=4,
        max_position_embeddings=64, tie_word_embeddings=False, attn_implementation="eager",
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    made = tiny_setting(tmp_path_factory.mktemp("cache"), load=model)
    return replace(made, budget=replace(made.budget, peak=1e-4))


@dataclass(frozen=True)
class Reads(Strategy):
    """A Fisher-like pass before training, a memory-like one at every step, a look at its own losses, and drawn text."""

    needs: ClassVar[tuple[str, ...]] = (OLD,)

    def setup(self, origin: Origin) -> Memory:
        origin.gradient(origin.base.model, origin.source(OLD).tokens(range(3)))
        return Memory(fixed=origin.sample(2, 1))

    def weigh(self, batch: Batch, memory: Memory) -> Mapping[str, Tensor]:
        batch.losses()
        return {}

    def gradients(self, model: nn.Module, memory: Memory, origin: Origin) -> None:
        origin.gradient(model, origin.read(OLD, 0, 8))


def measured(strategy: Strategy, setting: Setting) -> tuple[float, dict[str, Any]]:
    """FLOPs that PyTorch counts over two updates, and what the harness records."""
    training = Training(strategy, setting, 1)
    with FlopCounterMode(display=False) as counter:
        training.step()
        training.step()
    return float(counter.get_total_flops()), spent(training, None)


ARMS = ["none", "kl", "replay:share=0.5", "freeze:share=0.5", "freeze:share=0.5:side=top", "freeze:share=0.5+kl"]


@pytest.mark.parametrize("word", ARMS)
def test_flops_are_those_that_are_computed(word: str, setting: Setting) -> None:
    strategy = gather([word], {}, False, "tokens").strategies[word]
    counted, facts = measured(strategy, setting)
    assert facts["flops"] == pytest.approx(counted, rel=TOLERANCE)
    assert facts["setup_flops"] == facts["setup_tokens"] == 0
    assert facts["beside_tokens"] == ("kl" in word) * sum(facts["tokens"].values()), "the base reads what is learned"


def test_what_is_read_looked_at_and_drawn_beside_is_counted(setting: Setting) -> None:
    counted, facts = measured(Reads(), setting)
    assert facts["flops"] - facts["setup_flops"] == pytest.approx(counted, rel=2 * TOLERANCE), "gradient tries the head first"
    length, matrices = setting.budget.length, sum(p.numel() for p in model().parameters()) - VOCABULARY * 256
    assert (facts["setup_tokens"], facts["beside_tokens"]) == (5 * length, 2 * (4 + 8) * length)
    assert facts["setup_flops"] == 2 * matrices * length * (3 * 3 + 2), "three rows forward and backward, two drawn"


def test_embeddings_that_are_looked_up_are_no_work_and_a_tied_head_is() -> None:
    untied, tied = model(), tiny_model()
    assert multiplied(untied) == sum(p.numel() for p in untied.parameters()) - VOCABULARY * 256
    assert multiplied(tied) == sum(p.numel() for p in tied.parameters())


def test_a_shared_training_adds_what_its_own_set_up_reads(setting: Setting) -> None:
    control = spent(Training(Strategy(), setting, 1), None) | {"arm": "none", "flops": 100.0, "setup_tokens": 7, "steps": 5}
    facts = spent(Training(Reads(), setting, 1), control)
    assert (facts["steps"], facts["setup_tokens"]) == (5, 7 + 5 * setting.budget.length)
    assert facts["flops"] == 100.0 + facts["setup_flops"] > 100.0


def test_a_plan_costs_what_its_arms_steps_cost(setting: Setting) -> None:
    arms = gather(["kl", "none:steps=2"], {}, False, "tokens")
    budget = setting.budget
    plan = Plan({"parameters": 10}, {}, budget, arms.arms, {}, {}, updates(arms, budget, "tokens")[0], (1,), {}, 4)
    found = cost(plan, setting, {trial: arms.strategies[trial.arm.name] for trial in plan.trials}, 4)
    assert (found.trainings, found.tokens) == (3, 4 * budget.tokens)
    assert found.flops == pytest.approx(60 * budget.tokens * (1 + 4 / 3 + 2))
