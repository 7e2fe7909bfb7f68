"""Under every setting of the engine the laws hold, and what a document is, or a step, does not depend on how it is computed."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness import arithmetic
from harness.arithmetic import FIRST_SCALE, GROWTH_INTERVAL, LossScale
from harness.bench import BATCH, Bench, distance, norm, same_bits, tiny_model, tiny_setting, trained_weights
from harness.errors import InputError, TrialError
from harness.plan import Engine
from harness.strategy import Combined, Memory, Strategy
from harness.testing import NotApplicable, frozen_weights_stay, neutral_is_the_control, no_pull_at_the_base, resumes_anywhere
from harness.train import Training, train
from harness.train_gradient import one_batch
from strategies.ewc import EWC
from strategies.kl import KL
from strategies.lora import LoRA
from strategies.replay import Replay
from strategies.reptile import Reptile

ENGINES = {
    "fp16": Engine("fp16"),
    "bf16": Engine("bf16"),
    "weights": Engine("bf16", weights="bf16"),
    "adafactor": Engine(optimizer="adafactor"),
    "checkpointing": Engine(gradient_checkpointing=True),
    "mask": Engine(document_mask=True),
    "eager": Engine(attention="eager"),
    "all": Engine("bf16", "bf16", "adafactor", "eager", document_mask=True, gradient_checkpointing=True),
}
HALVED = {"fp16": 2e-3, "bf16": 1e-2, "weights": 1e-2, "all": 1e-2}
"""How far the gradient may be from another way of adding up, by its norm; 1e-5 in fp32."""
under = pytest.mark.parametrize("name", ENGINES)


def end(strategy: Strategy, engine: Engine, folder: Path, stop: int = 0) -> dict[str, Tensor]:
    """The weights that a training ends with; with `stop`, one that was left after so many updates and gone on with."""
    left = folder / "left"

    def show(update: int, total: int, row: Any) -> None:
        if update == stop + 1:
            shutil.copytree(folder / "first", left)

    if stop:
        train(Training(strategy, tiny_setting(folder, engine, checkpoint_every=1), 1), folder / "first", show)
    again = Training(strategy, tiny_setting(folder, engine), 1)
    train(again, left)
    assert again.accelerator.mixed_precision == "no"
    return trained_weights(again)


@under
def test_stopped_and_resumed_it_ends_with_the_same_bits(name: str, tmp_path: Path) -> None:
    strategy = Combined((Replay(share=0.5), KL(0.5), Reptile(0.5, 2)))
    whole = end(strategy, ENGINES[name], tmp_path / "whole")
    assert same_bits(end(strategy, ENGINES[name], tmp_path / "stopped", stop=3), whole)
    assert all(p.dtype == torch.float32 for p in whole.values())


@under
def test_neutral_is_the_control_and_micro_batches_change_rounding_only(name: str) -> None:
    bench = Bench(KL, ENGINES[name])
    neutral_is_the_control(bench)
    no_pull_at_the_base(bench)
    (one, terms), (two, others) = bench.usual, bench.slope(bench.example, micro_batch=2)
    near = HALVED.get(name, 1e-5)
    assert distance(one, two) < near * norm(one)
    assert terms == pytest.approx(others, rel=near)


@pytest.mark.slow
@under
@pytest.mark.parametrize("strategy", [KL, EWC, LoRA, Reptile, Replay])
def test_the_laws_hold_under_every_engine(strategy: type[Strategy], name: str) -> None:
    bench = Bench(strategy, ENGINES[name])
    for law in (neutral_is_the_control, resumes_anywhere, no_pull_at_the_base, frozen_weights_stay):
        try:
            law(bench)
        except NotApplicable:
            continue


def test_blocks_that_are_computed_again_give_the_same_bits(tmp_path: Path) -> None:
    ends = [end(KL(0.5), engine, tmp_path / str(i)) for i, engine in enumerate((Engine(), ENGINES["checkpointing"]))]
    assert same_bits(*ends)


@pytest.mark.parametrize("engine", [Engine("bf16", weights="bf16"), ENGINES["eager"], Engine("fp16")])
def test_another_arithmetic_trains_near_fp32(engine: Engine, tmp_path: Path) -> None:
    whole, found = end(KL(0.5), Engine(), tmp_path / "whole"), end(KL(0.5), engine, tmp_path / "other")
    moved = distance(whole, {name: p.detach() for name, p in tiny_model().named_parameters()})
    assert 0 < distance(whole, found) < 0.3 * moved


# Documents


@lru_cache(maxsize=2)
def built(kind: str) -> nn.Module:
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {"vocab_size": 48, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    with torch.random.fork_rng():
        torch.manual_seed(4)
        config = AutoConfig.for_model(kind, **sizes, max_position_embeddings=64, initializer_range=0.3)
        return AutoModelForCausalLM.from_config(config).eval()


def packed(start: int = 5) -> tuple[Tensor, list[list[slice]]]:
    """(2, 13) tokens of two rows, and the documents of each: one row begins inside a document, one holds a lone separator."""
    tokens = torch.randint(6, 48, (2, 13), generator=torch.Generator().manual_seed(2))
    tokens[0, [4, 9]] = start
    tokens[1, [0, 6, 7]] = start
    return tokens, [[slice(0, 4), slice(4, 9), slice(9, 13)], [slice(0, 6), slice(6, 7), slice(7, 13)]]


@pytest.mark.parametrize("kind", ["llama", "gpt_neox"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_packed_documents_come_out_as_each_alone(kind: str, attention: str) -> None:
    model: Any = built(kind)
    tokens, documents = packed()
    alone = [[model(input_ids=tokens[row : row + 1, part]).logits[0] for part in parts] for row, parts in enumerate(documents)]
    mixed = model(input_ids=tokens).logits
    with arithmetic.fit(model, Engine(attention=attention, document_mask=True), start=5):
        found = model(input_ids=tokens, use_cache=False).logits
    for row in range(len(documents)):
        torch.testing.assert_close(found[row], torch.cat(alone[row]), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(mixed, found, atol=1e-2)
    assert torch.equal(model(input_ids=tokens).logits, mixed), "all is taken back"


def test_places_begin_anew_with_each_document() -> None:
    found = arithmetic.positions(torch.tensor([[7, 5, 7, 7, 5, 5, 7], [5, 7, 7, 7, 7, 7, 7]]), start=5)
    assert found.tolist() == [[0, 0, 1, 2, 0, 0, 1], [0, 1, 2, 3, 4, 5, 6]]


def test_training_reference_and_held_out_loss_see_the_same_documents(tmp_path: Path) -> None:
    """Before the first step the trained model is the base: by one mask it has the same losses; without it others."""
    losses = {}
    for mask in (False, True):
        run = Training(KL(0.5), tiny_setting(tmp_path, Engine(document_mask=mask), start=9), 1)
        batch = one_batch(run, [("new", row) for row in range(BATCH)])
        assert (batch.tokens == 9).any()
        losses[mask] = batch.losses()
        assert torch.equal(run.origin.base.losses(batch.tokens), losses[mask])
        step = run.slope([("new", row) for row in range(BATCH)])
        assert step["cross_entropy"] == pytest.approx(float(losses[mask].mean()), rel=1e-6)
        assert step["kl"] == pytest.approx(0, abs=1e-6)
    assert not torch.allclose(losses[True], losses[False], atol=1e-3)


@pytest.mark.parametrize(
    ("kind", "engine", "sentence"),
    [
        ("opt", Engine(document_mask=True),
         "opt with this attention mixes the documents of a packed row; leave --document-mask out"),
        ("bloom", Engine(attention="eager", document_mask=True),
         "bloom with this attention mixes the documents of a packed row; leave --document-mask out"),
        ("falcon", Engine(attention="eager"), "falcon has no attention eager; leave --attention out"),
    ],
)  # fmt: skip
def test_an_architecture_that_does_something_else_is_refused(kind: str, engine: Engine, sentence: str) -> None:
    with pytest.raises(InputError) as found:
        arithmetic.check(built(kind), engine, 5)
    assert str(found.value) == sentence


@pytest.mark.parametrize("kind", ["llama", "gpt_neox"])
def test_a_check_leaves_the_model_as_it_was(kind: str) -> None:
    model: Any = built(kind)
    before = {name: p.clone() for name, p in model.named_parameters()}
    arithmetic.check(model, ENGINES["all"], 5)
    assert same_bits(before, dict(model.named_parameters()))
    assert model.config._attn_implementation == "sdpa"
    assert not model.base_model._forward_pre_hooks
    assert not any(getattr(module, "gradient_checkpointing", False) for module in model.modules())


# fp16


@dataclass(frozen=True)
class Looks(Strategy):
    """Notes the gradient that hooks are given."""

    def setup(self, origin: Any) -> Memory:
        return Memory(fixed=[])

    def gradients(self, model: nn.Module, memory: Memory, origin: Any) -> None:
        memory.fixed.append({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})


def test_hooks_are_given_gradients_without_the_scale(tmp_path: Path) -> None:
    seen = []
    for precision in ("fp32", "fp16"):
        run = Training(Looks(), tiny_setting(tmp_path, Engine(precision)), 1)
        run.step()
        seen += run.memory.fixed
    assert 0 < distance(*seen) < 1e-2 * norm(seen[0])


def test_the_scale_keeps_what_fp16_would_lose(tmp_path: Path) -> None:
    """Of a loss a millionth as large fp16 has hardly a digit left; scaled it has those that it had."""
    found = {}
    for factor in (1.0, FIRST_SCALE):
        run = Training(Strategy(), tiny_setting(tmp_path, Engine("fp16")), 1)
        run.loss_scale.factor = factor * 2**-20  # as if every loss were so much smaller
        run.slope([("new", row) for row in range(BATCH)])
        found[factor] = {name: p.grad for name, p in run.named.items() if p.grad is not None}
    whole = Training(Strategy(), tiny_setting(tmp_path), 1)
    whole.slope([("new", row) for row in range(BATCH)])
    wanted = {name: p.grad for name, p in whole.named.items() if p.grad is not None}
    assert distance(found[FIRST_SCALE], wanted) < 5e-3 * norm(wanted)
    assert distance(found[1.0], wanted) > 0.1 * norm(wanted)


def test_a_step_that_overflows_is_left_out_counted_and_said(tmp_path: Path) -> None:
    run = Training(Looks(), tiny_setting(tmp_path, Engine("fp16"), checkpoint_every=1), 1)
    run.loss_scale.factor = 2.0**19
    before = trained_weights(run)
    ends: list[Mapping[str, Any]] = []
    train(run, tmp_path / "run", lambda done, total, row: ends.append(dict(row)))
    skipped = [row for row in ends if "skipped" in row]
    assert 0 < len(skipped) == run.skipped < run.update == len(ends)
    assert skipped[0]["skipped"] == "the gradient overflowed fp16 at the loss scale 524288"
    assert run.loss_scale.factor == 2.0**19 / 2 ** len(skipped)
    assert len(run.memory.fixed) == len(ends) - len(skipped), "hooks see no gradient that overflowed"
    assert not same_bits(before, trained_weights(run))
    assert [json.loads(line).get("skipped") for line in (tmp_path / "run" / "training.jsonl").read_text().splitlines()] == [
        row.get("skipped") for row in ends
    ]
    again = Training(Looks(), tiny_setting(tmp_path, Engine("fp16"), checkpoint_every=1), 1)
    train(again, tmp_path / "run")
    assert (again.loss_scale.state(), again.skipped) == (run.loss_scale.state(), run.skipped)


def test_the_scale_halves_and_grows() -> None:
    scale, model = LossScale(Engine("fp16")), nn.Linear(2, 2)
    for p in model.parameters():
        p.grad = torch.full_like(p, float("inf"))
    assert not scale.unscale(model)
    assert scale.factor == FIRST_SCALE / 2
    for _ in range(GROWTH_INTERVAL):
        for p in model.parameters():
            p.grad = torch.full_like(p, 3 * scale.factor)
        assert scale.unscale(model)
        assert all(bool((p.grad == 3).all()) for p in model.parameters() if p.grad is not None)
    assert scale.factor == FIRST_SCALE


def test_what_overflows_at_every_scale_is_a_fault(tmp_path: Path) -> None:
    """At a scale of 1 there is nothing left to halve: the step is not finite by itself."""
    run = Training(Strategy(), tiny_setting(tmp_path, Engine("fp16")), 1)
    run.loss_scale.factor = 1.0
    with torch.no_grad():
        run.named["model.layers.0.mlp.down_proj.weight"].fill_(float("nan"))
    with pytest.raises(TrialError, match="not finite"):
        run.step()


def test_in_other_precisions_nothing_is_scaled() -> None:
    scale, model = LossScale(Engine("bf16")), nn.Linear(2, 2)
    model.weight.grad = torch.full_like(model.weight, float("inf"))
    assert scale.unscale(model)
    assert (scale.factor, scale.overflowed) == (1.0, False)


# Weights in bf16, references in 8 bits


def test_weights_and_gradients_of_a_training_in_bf16(tmp_path: Path) -> None:
    run = Training(Looks(), tiny_setting(tmp_path, ENGINES["weights"]), 1)
    assert {p.dtype for p in run.model.parameters()} == {torch.bfloat16}
    assert {b.dtype for b in run.model.buffers()} == {torch.float32}, "positions keep all digits"
    run.step()
    assert {g.dtype for g in run.memory.fixed[0].values()} == {torch.float32}
    assert {p.dtype for p in run.model.parameters()} == {torch.bfloat16}
    assert {value.dtype for slots in run.optimizer.state.values() for value in slots.values()} == {torch.float32}


@under
def test_while_it_is_trained_it_is_looked_at_as_it_will_be_stored(name: str, tmp_path: Path) -> None:
    """As a model in fp32 that transformers made; and training goes on as if nobody had looked."""
    ends = []
    for looked in (False, True):
        run = Training(KL(0.5), tiny_setting(tmp_path, ENGINES[name]), 1)
        for _ in range(3):
            run.step()
            if looked:
                with run.as_stored() as model:
                    assert {p.dtype for p in model.parameters()} == {torch.float32}
                    assert not model.base_model._forward_pre_hooks
                    assert model.config._attn_implementation == "sdpa"
        ends.append(trained_weights(run))
    assert same_bits(*ends)


def test_a_reference_in_eight_bits_is_near_and_its_weights_are_whole(tmp_path: Path) -> None:
    pytest.importorskip("torchao")
    light = Training(KL(0.5), tiny_setting(tmp_path, Engine(reference_weights="int8")), 1).origin.base
    whole = Training(KL(0.5), tiny_setting(tmp_path), 1).origin.base
    tokens = torch.randint(0, 48, (3, 12), generator=torch.Generator().manual_seed(1))
    assert 0 < float((light.losses(tokens) - whole.losses(tokens)).abs().max()) < 0.1
    head: Any = light._objective.model
    assert type(head.lm_head.weight) is nn.Parameter, "its errors would be errors of every logit"
    assert light._model is None, "only what is asked for is loaded"
    for name, p in tiny_model().named_parameters():
        assert torch.equal(light.parameter(name), p)


@pytest.mark.slow
def test_compiled_blocks_hold_the_laws(tmp_path: Path) -> None:
    if shutil.which("g++") is None:
        pytest.skip("no C++ compiler")
    engine = Engine(compile=True)
    whole = end(KL(0.5), engine, tmp_path / "whole")
    assert same_bits(end(KL(0.5), engine, tmp_path / "stopped", stop=3), whole)
    assert distance(whole, end(KL(0.5), Engine(), tmp_path / "plain")) < 1e-3 * norm(whole)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
@pytest.mark.parametrize("engine", [Engine("bf16"), Engine("fp16"), Engine("bf16", weights="bf16", compile=True)])
def test_the_laws_hold_on_an_accelerator(engine: Engine, tmp_path: Path) -> None:
    strategy = Combined((Replay(share=0.5), KL(0.5), Reptile(0.5, 2)))
    assert same_bits(end(strategy, engine, tmp_path / "one", stop=3), end(strategy, engine, tmp_path / "two"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
def test_ligers_kernels_compute_what_transformers_does() -> None:
    pytest.importorskip("liger_kernel")
    tokens = packed()[0].cuda()
    plain = built("llama").cuda()(input_ids=tokens).logits
    arithmetic.use_liger("llama")
    built.cache_clear()
    torch.testing.assert_close(built("llama").cuda()(input_ids=tokens).logits, plain, atol=1e-3, rtol=1e-3)
