"""Block expansion: the base at first, old blocks to the last bit, and a model that others can load."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PreTrainedModel

from harness import resume
from harness.bench import VOCABULARY, tiny_setting
from harness.checkpoint import Checkpoints
from harness.distance import distance
from harness.errors import InputError
from harness.model import load_model
from harness.registry import arm
from harness.train import Training, train
from harness.typed import parse_arms
from strategies.expand import OUTPUTS, Expand

TOKENS = torch.arange(24).view(2, 12) % VOCABULARY
FAMILIES = pytest.mark.parametrize("family", OUTPUTS)


def base(family: str = "llama", count: int = 4, width: int = 16, **more: Any) -> PreTrainedModel:
    """A base with random weights, biases and norms too."""
    torch.manual_seed(3)
    sizes = {"hidden_size": width, "intermediate_size": 2 * width, "num_hidden_layers": count, "num_attention_heads": 2}
    if family != "gpt_neox":
        sizes["num_key_value_heads"] = 1
    if family.startswith("qwen"):  # two blocks of full attention below, sliding windows above
        more = {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 2, **more}
    ends = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    config = CONFIG_MAPPING[family](vocab_size=VOCABULARY, max_position_embeddings=64, **sizes, **ends, **more)
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn(p.shape))
    return model.eval()


def logits(model: nn.Module) -> Tensor:
    """(2, 12, V) logits."""
    with torch.no_grad():
        return model.eval()(input_ids=TOKENS).logits


def places(model: Any) -> list[int]:
    """Where the trainable blocks stand."""
    stack = model.get_submodule("gpt_neox.layers" if model.config.model_type == "gpt_neox" else "model.layers")
    assert len(stack) == model.config.num_hidden_layers
    return [i for i, block in enumerate(stack) if all(p.requires_grad for p in block.parameters())]


@pytest.mark.parametrize(
    ("count", "every", "new"), [(4, 4, [4]), (4, 2, [2, 5]), (4, 1, [1, 3, 5, 7]), (5, 2, [2, 5]), (3, 3, [3])]
)
def test_copies_stand_behind_every_group(count: int, every: int, new: list[int]) -> None:
    old = base(count=count)
    model: Any = Expand(every).adapt(base(count=count))
    assert places(model) == new
    left = iter(i for i in range(count + len(new)) if i not in new)
    for block in old.model.layers:
        stood = model.model.layers[next(left)]
        assert all(torch.equal(p, q) for p, q in zip(block.parameters(), stood.parameters(), strict=True))
    copied, origin = model.model.layers[new[0]], model.model.layers[new[0] - 1]
    for name, p in copied.named_parameters():
        silent = name in ("self_attn.o_proj.weight", "mlp.down_proj.weight")
        assert torch.equal(p, torch.zeros_like(p) if silent else origin.get_parameter(name)), name


@FAMILIES
@pytest.mark.parametrize("every", [1, 2])
def test_at_first_it_is_the_base(family: str, every: int) -> None:
    model = base(family)
    before = logits(model)
    grown = Expand(every).adapt(model)
    assert torch.equal(logits(grown), before)
    assert {p.requires_grad for name, p in grown.named_parameters() if ".layers." not in name} == {False}


@FAMILIES
def test_trained_it_keeps_old_blocks_and_others_can_load_it(family: str, tmp_path: Path) -> None:
    """The base's tensors to the last bit, decay included; saved, loaded, and generating with and without a cache."""
    strategy = Expand(2)
    training = Training(strategy, tiny_setting(tmp_path / "cache", load=lambda: base(family)), 1)
    train(training, tmp_path)
    model: Any = training.model
    assert places(model) == [2, 5]
    assert training.memory.facts == {"blocks": 6, "blocks_added": 2}
    assert distance(training) is None
    fresh = strategy.adapt(base(family))
    for name, p in model.named_parameters():
        new = ".layers.2." in name or ".layers.5." in name
        unused = name.endswith("k_proj.bias")  # keys' bias cancels in the softmax
        assert torch.equal(p, fresh.get_parameter(name)) != new or unused, name
    held = {p for group in training.optimizer.param_groups for p in group["params"]}
    assert held == {p for name, p in model.named_parameters() if ".layers.2." in name or ".layers.5." in name}
    model.save_pretrained(tmp_path / "weights")
    loaded: Any = load_model(tmp_path / "weights")
    assert loaded.config.num_hidden_layers == 6
    assert torch.equal(logits(loaded), logits(model))
    for each in (model, loaded):
        made = [each.generate(TOKENS[:, :6], max_new_tokens=8, do_sample=False, use_cache=cache) for cache in (True, False)]
        assert torch.equal(*made)


def test_kinds_of_attention_move_with_their_blocks() -> None:
    model: Any = Expand(1).adapt(base("qwen2"))
    full, sliding = ["full_attention"] * 4, ["sliding_attention"] * 4
    assert model.config.layer_types == full + sliding
    assert [block.self_attn.sliding_window for block in model.model.layers] == [None] * 4 + [4] * 4
    assert [block.self_attn.layer_idx for block in model.model.layers] == list(range(8))


def test_a_tied_embedding_stays_frozen() -> None:
    model = Expand(4).adapt(base(tie_word_embeddings=True))
    assert not model.get_output_embeddings().weight.requires_grad  # pyright: ignore


def test_it_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    """A checkpoint of the grown model is read into a model that is grown anew."""

    def start() -> Training:
        return Training(Expand(2), tiny_setting(tmp_path / "cache", load=base), 1)

    first, second = start(), start()
    for _ in range(2):
        first.step()
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    checkpoints.write(2, resume.state(first))
    state = checkpoints.newest()
    assert state is not None
    resume.restore(second, state)
    assert first.step() == second.step()
    assert all(torch.equal(p, q) for p, q in zip(first.model.parameters(), second.model.parameters(), strict=True))


@pytest.mark.parametrize("every", [2, 4])
def test_its_cost_is_at_most_what_it_says(every: int) -> None:
    """FLOPs of the products; exact but for the blocks below the lowest new one, which nothing is passed back through."""
    counts = []
    for model in (base(count=8, width=256), Expand(every).adapt(base(count=8, width=256))):
        with FlopCounterMode(display=False) as counter:
            made: Any = model(input_ids=TOKENS)
            made.logits.sum().backward()
        counts.append(counter.get_total_flops())
    said = Expand(every).cost(tiny_setting(Path()).budget)
    assert counts[1] / counts[0] == pytest.approx(said - every / 8 / 3, abs=0.03)


@pytest.mark.parametrize(
    ("strategy", "family", "said"),
    [
        (Expand(4), "gpt2", r"the architectures llama, mistral, qwen2, qwen3, gpt_neox, and this is gpt2$"),
        (Expand(4), "gemma2", r"and this is gemma2$"),
        (Expand(5), "llama", r"every=5 is more than its 4 blocks; give every=4 or less$"),
    ],
)
def test_what_it_cannot_expand_is_refused_when_the_plan_is_made(strategy: Expand, family: str, said: str) -> None:
    config = CONFIG_MAPPING[family]() if family != "llama" else base().config
    with pytest.raises(ValueError, match=said):
        strategy.fits(config, tiny_setting(Path()).budget)


@pytest.mark.parametrize("word", ["expand+wise", "ewc+expand", "expand+lora", "freeze+expand"])
def test_what_finds_weights_by_the_bases_names_is_refused(word: str) -> None:
    with pytest.raises(InputError, match="cannot be combined"):
        arm(parse_arms(word)[0])
