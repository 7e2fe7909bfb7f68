"""What a strategy may know of its trial: gradients without traces, a frozen base, and a memory that outlives the run."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness.bench import LENGTH, same_bits, tiny_model, tiny_setting
from harness.checkpoint import random_state
from harness.errors import InputError
from harness.origin import TrialOrigin
from harness.plan import Engine


def origin(folder: Path, **changes: Any) -> TrialOrigin:
    setting = tiny_setting(folder)
    known = TrialOrigin(setting.budget, 1, setting.tables, setting.keys, folder, setting.load)
    return replace(known, **changes)


def whole(model: Any, tokens: Tensor) -> Tensor:
    """Mean cross-entropy from whole logits."""
    return model(input_ids=tokens, labels=tokens).loss


def test_the_gradient_is_that_of_the_mean_cross_entropy(tmp_path: Path) -> None:
    known, model = origin(tmp_path), tiny_model()
    tokens = known.source("new").tokens([0, 1, 2])
    found = known.gradient(model, tokens)
    whole(model, tokens).backward()
    for name, p in model.named_parameters():
        torch.testing.assert_close(found[name], p.grad, atol=1e-6, rtol=1e-4)
    assert known.tokens_read == 3 * LENGTH


def test_the_gradient_takes_any_loss_and_what_lies_beside_it(tmp_path: Path) -> None:
    known, model = origin(tmp_path), tiny_model()
    tokens = known.source("new").tokens([0, 1])
    counts = torch.arange(2 * (LENGTH - 1)).view(2, -1).float()
    found = known.gradient(model, tokens, lambda chunk: chunk.losses * chunk.beside["counts"], {"counts": counts})
    logits = tiny_logits(model, tokens)
    each = nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="none")
    (each * counts.flatten()).mean().backward()
    for name, p in model.named_parameters():
        torch.testing.assert_close(found[name], p.grad, atol=1e-5, rtol=1e-4)


def tiny_logits(model: Any, tokens: Tensor) -> Tensor:
    return model(input_ids=tokens).logits[:, :-1]


@pytest.mark.parametrize("frozen", [False, True])
def test_the_gradient_leaves_no_trace(frozen: bool, tmp_path: Path) -> None:
    """`.grad`, mode, what is trainable and random state are as they were, also of a model that is trained in part."""
    known = origin(tmp_path)
    model: Any = tiny_model().requires_grad_(not frozen).train()
    model.model.layers[0].eval()
    if not frozen:
        model.model.norm.weight.requires_grad_(False)
        model.model.embed_tokens.weight.grad = torch.ones_like(model.model.embed_tokens.weight)

    def look() -> list[Any]:
        chance = random_state()
        modes = [module.training for module in model.modules()]
        wanted = [p.requires_grad for p in model.parameters()]
        grads = [None if p.grad is None else p.grad.sum().item() for p in model.parameters()]
        return [modes, wanted, grads, chance.numbers, chance.tensors["random.torch"].tolist()]

    before = look()
    found = known.gradient(model, known.source("old").tokens([0]), lambda chunk: chunk.losses * torch.rand(()))
    assert look() == before
    assert ("model.norm.weight" in found) is frozen


def test_a_loss_that_fails_leaves_no_trace_either(tmp_path: Path) -> None:
    known = origin(tmp_path)
    model = known.base.model
    chance = random_state()

    def fails(chunk: Any) -> Tensor:
        torch.rand(3)
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        known.gradient(model, known.source("old").tokens([0]), fails)
    assert not any(p.requires_grad for p in model.parameters())
    assert same_bits(random_state().tensors, chance.tensors)


def test_the_base_is_loaded_once_frozen_and_gives_its_own_logits(tmp_path: Path) -> None:
    loads: list[int] = []

    def load() -> nn.Module:
        loads.append(1)
        return tiny_model().train()

    known = origin(tmp_path, load=load)
    assert not loads
    base, tokens = known.base, known.source("new").tokens([0, 1])
    assert known.base is base
    assert len(loads) == 1
    assert not base.model.training
    states = base.states(tokens)
    torch.testing.assert_close(base.logits(states.flatten(0, 1)), tiny_logits(tiny_model(), tokens).flatten(0, 1).detach())
    assert not states.requires_grad
    assert base.tokens_seen == tokens.numel()
    assert base.losses(tokens).mean().item() == pytest.approx(whole(tiny_model(), tokens).item(), rel=1e-6)
    assert base.parameter("model.norm.weight").dtype == torch.float32


@pytest.mark.parametrize("name", ["old", "task"])
def test_a_source_that_the_plan_lacks_is_a_sentence(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as found:
        origin(tmp_path, tables={}).source(name)
    assert str(found.value) == f"this plan has no {name} text; give it with --{name}, or leave out the strategies that read it"


def test_what_is_remembered_is_made_once_by_content(tmp_path: Path) -> None:
    made: list[int] = []

    def make() -> dict[str, Tensor]:
        made.append(1)
        return {"a": torch.arange(6.0).view(2, 3).T}

    what = {"what": "test", "groups": 2}
    known = origin(tmp_path)
    for one in (known, known, origin(tmp_path, seed=9)):
        assert torch.equal(one.remember(what, make)["a"], torch.arange(6.0).view(2, 3).T)
    assert len(made) == 1
    known.remember({**what, "groups": 3}, make)
    origin(tmp_path, keys={**known.keys, "base": "another"}).remember(what, make)
    origin(tmp_path, keys={**known.keys, "old": "another"}).remember(what, make)
    assert len(made) == 4
    origin(tmp_path, keys={**known.keys, "new": "another"}).remember(what, make)
    assert len(made) == 4, "what is made from old text does not depend on the new"


@pytest.mark.parametrize(
    ("changed", "anew"),
    [
        ({"precision": "bf16"}, True),
        ({"weights": "bf16"}, True),
        ({"attention": "eager"}, True),
        ({"document_mask": True}, True),
        ({"reference_weights": "int8"}, True),
        ({"compile": True}, True),
        ({"liger": True}, True),
        ({"optimizer": "adafactor"}, False),
        ({"gradient_checkpointing": True}, False),
        ({"offload_reference": True}, False),
    ],
)
def test_what_is_remembered_is_of_the_arithmetic_it_was_made_with(changed: dict[str, Any], anew: bool, tmp_path: Path) -> None:
    """What a frozen model's forward pass depends on is in the key; what trains weights, or gives the same bits, is not."""
    known = origin(tmp_path)
    other = origin(tmp_path, budget=replace(known.budget, engine=Engine(**changed)))
    assert (other.remembered({"what": "test"}) != known.remembered({"what": "test"})) is anew
    assert {f.name for f in fields(Engine)} == {
        *known.budget.engine.forward, "optimizer", "gradient_checkpointing", "offload_reference",
    }  # fmt: skip


def test_what_is_remembered_is_of_the_code_that_made_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever mends the formula of an importance meets the new one in the next run, and not what the old one left."""
    known = origin(tmp_path)
    known.remember({"what": "test"}, lambda: {"a": torch.ones(2)})
    monkeypatch.setattr("harness.origin.code", lambda module: f"{module} edited")
    assert known.remember({"what": "test"}, lambda: {"a": torch.zeros(2)})["a"].tolist() == [0, 0]


def test_drawn_text_begins_with_the_token_that_it_was_asked_to_begin_with(tmp_path: Path) -> None:
    """The same base with a tokenizer whose documents start otherwise: other text."""
    one, other = origin(tmp_path, start=1), origin(tmp_path, start=2)
    assert one.remembered({"what": "drawn"}, ()) != other.remembered({"what": "drawn"}, ())


@pytest.mark.parametrize("damage", [lambda whole: whole[:20], lambda whole: whole[:-1] + b"?", lambda whole: b""])
def test_what_was_damaged_is_made_again(damage: Any, tmp_path: Path) -> None:
    """A cache that outlives runs meets full disks and power cuts; a torn file must neither stop an arm nor be believed."""
    known, wanted = origin(tmp_path), torch.arange(3.0)
    known.remember({"what": "test"}, lambda: {"a": wanted})
    (kept,) = tmp_path.glob("*.safetensors")
    kept.write_bytes(damage(kept.read_bytes()))
    assert torch.equal(known.remember({"what": "test"}, lambda: {"a": wanted})["a"], wanted)


def test_a_make_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    def fails() -> dict[str, Tensor]:
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        origin(tmp_path).remember({"what": "test"}, fails)
    assert list(tmp_path.iterdir()) == []
