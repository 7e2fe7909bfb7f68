"""Packed or plain, the numbers are HFLM's at batch 1 without its cache; faults put in on purpose are noticed."""

import copy
import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import transformers as tf
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from torch import Tensor

from harness.packing import Row
from harness.score import score
from harness.score_encode import encode
from harness.score_model import Scorer
from harness.score_passes import Pile, Products, _product
from harness.score_paths import tolerance
from harness.score_state import quiet
from harness.score_tasks import build, subset
from harness.suite import Task
from harness.tabled import PATHS
from tests.harness.test_score import choice, make_tokenizer, rolling, sentence, suite

SHARED = Path(os.environ.get("HARNESS_SHARED", Path(__file__).resolve().parents[3] / "shared"))
Stock: Any = HFLM
LENGTH = 32
SIZES = {"vocab_size": 330, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "initializer_range": 0.3}
WIDE = SIZES | {"intermediate_size": 48, "max_position_embeddings": LENGTH}
ENDS = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None}
NARROW = {"head_dim": 16, "num_key_value_heads": 1}

PACKED: dict[str, Callable[[], Any]] = {
    "llama": lambda: tf.LlamaConfig(**WIDE, **ENDS),
    "gpt_neox": lambda: tf.GPTNeoXConfig(**WIDE, **ENDS),
    "gpt2": lambda: tf.GPT2Config(n_embd=32, n_layer=2, n_head=2, n_positions=LENGTH, vocab_size=330, **ENDS),
    "opt": lambda: tf.OPTConfig(ffn_dim=48, max_position_embeddings=LENGTH, word_embed_proj_dim=32, **SIZES, **ENDS),
    "gemma": lambda: tf.GemmaConfig(**WIDE, **NARROW, **ENDS),
    "qwen2": lambda: tf.Qwen2Config(**WIDE, num_key_value_heads=2, **ENDS),
    "falcon": lambda: tf.FalconConfig(max_position_embeddings=LENGTH, **SIZES, **ENDS),
    "phi3": lambda: tf.Phi3Config(**WIDE, num_key_value_heads=2, **ENDS),
    "mistral, window as long as text": lambda: tf.MistralConfig(**WIDE, num_key_value_heads=2, sliding_window=LENGTH, **ENDS),
}
PLAIN: dict[str, tuple[Callable[[], Any], str]] = {
    "mistral": (
        lambda: tf.MistralConfig(**WIDE, num_key_value_heads=2, sliding_window=8, **ENDS),
        "plain: its sliding window of 8 tokens is shorter than the longest request",
    ),
    "gemma2": (
        lambda: tf.Gemma2Config(**WIDE, **NARROW, sliding_window=8, **ENDS),
        "plain: its sliding window of 8 tokens is shorter than the longest request",
    ),
    "gemma3": (
        lambda: tf.Gemma3TextConfig(**WIDE, **NARROW, sliding_window=8, **ENDS),
        "plain: its sliding window of 8 tokens is shorter than the longest request",
    ),
    "falcon": (
        lambda: tf.FalconConfig(alibi=True, new_decoder_architecture=False, **SIZES, **ENDS),
        "plain: its ALiBi positions are places in a row",
    ),
    "mpt": (
        lambda: tf.MptConfig(d_model=32, n_heads=2, n_layers=2, max_seq_len=LENGTH, vocab_size=330, expansion_ratio=2, **ENDS),
        "plain: its ALiBi positions are places in a row",
    ),
    "bloom": (
        lambda: tf.BloomConfig(hidden_size=32, n_layer=2, n_head=2, vocab_size=330, **ENDS),
        "plain: its ALiBi positions are places in a row",
    ),
    "mamba": (
        lambda: tf.MambaConfig(hidden_size=32, num_hidden_layers=2, vocab_size=330, state_size=8, **ENDS),
        "plain: it carries a state from token to token",
    ),
    "yarn's cousin": (
        lambda: tf.LlamaConfig(
            **WIDE, **ENDS, rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
        ),
        "plain: its RoPE (dynamic) depends on the length of the row",
    ),
}  # fmt: skip


def built(config: Any, attention: str | None = None) -> Any:
    """A model of random weights, loud enough for attention to matter."""
    torch.manual_seed(3)
    model = tf.AutoModelForCausalLM.from_config(config, attn_implementation=attention).eval()
    for name, weight in model.named_parameters():
        if weight.dim() > 1 and "A_log" not in name:
            torch.nn.init.normal_(weight, std=0.25)
    return model


@pytest.fixture(scope="module", params=[True, False], ids=["adds BOS", "adds none"])
def tokenizer(request: pytest.FixtureRequest) -> Any:
    return make_tokenizer(request.param)


def pairs(tokenizer: Any) -> list[tuple[str, str]]:
    rng = random.Random(4)
    long = sentence(rng, 60)
    full = tokenizer.decode(encode(tokenizer, [" " + long], False)[0][:LENGTH])
    contexts = [sentence(rng, rng.randint(1, 14)) for _ in range(4)]
    found = [(context, " " + sentence(rng, rng.randint(1, 4))) for context in contexts for _ in range(3)]
    found += [("", "the cat sees"), ("", "the cat likes a river")]
    found += [("the cat  ", "is old"), ("the cat ", "is red"), (long, " of town"), (long, " is"), ("the", full)]
    found += [("a dog", " sees the town"), ("a dog sees", " the town"), ("a dog sees the", " town")]
    found += [
        ("the red cat is old " * 5, "the red"),
        ("the red cat is old " * 4, "the red cat is old the red"),
        found[0],
        found[0],
    ]
    return found


def asked(kind: Any, each: Sequence[tuple[str, ...]]) -> list[Any]:
    return [Instance(kind, {}, arguments, 0, metadata=("toy", number, 1)) for number, arguments in enumerate(each)]


def stock(model: Any, tokenizer: Any, **settings: Any) -> Any:
    known = {"max_length": LENGTH, "batch_size": 1, "logits_cache": False} | settings
    return Stock(pretrained=model, tokenizer=copy.deepcopy(tokenizer), backend="causal", **known)


def ours(model: Any, tokenizer: Any, bos: bool | None = None) -> Scorer:
    return Scorer(model, tokenizer, length=LENGTH, bos=bos)


def agree(model: Any, tokenizer: Any) -> str:
    """Compare all pairs with HFLM, and say which path was taken."""
    requests, scorer = asked("loglikelihood", pairs(tokenizer)), ours(model, tokenizer)
    with quiet():
        expected = stock(model, tokenizer).loglikelihood(requests, disable_tqdm=True)
    found = scorer.loglikelihood(requests)
    for request, (nats, greedy), (wanted, flag) in zip(requests, found, expected, strict=True):
        assert nats == pytest.approx(wanted, abs=1e-4 * scorer.predicted[request.args]), request.args
        assert greedy == flag, request.args
    return scorer.path


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("name", PACKED)
def test_packed_rows_are_hflms_numbers(name: str, attention: str, tokenizer: Any) -> None:
    assert agree(built(PACKED[name](), attention), tokenizer) == "packed"


@pytest.mark.parametrize("name", PLAIN)
def test_others_go_the_plain_path(name: str, tokenizer: Any) -> None:
    config, why = PLAIN[name]
    assert agree(built(config()), tokenizer) == why


TEXTS = ["a", "the cat", "the red cat is old " * 20, "a b c d e " * 9]


@pytest.mark.parametrize("window", [None, 8], ids=["no window", "window 8"])
def test_texts_are_hflms_numbers(tokenizer: Any, window: int | None) -> None:
    """Repeated tokens, lengths about the window's; HFLM switched so that it adds no BOS in texts, and ours in later windows."""
    rng = random.Random(6)
    tokens = encode(tokenizer, [sentence(rng, 200)], False)[0]
    cut = [tokenizer.decode(tokens[:n]) for n in (1, LENGTH - 1, LENGTH, LENGTH + 1, 5 * LENGTH)]
    model = built(tf.MistralConfig(**WIDE, num_key_value_heads=2, sliding_window=window, **ENDS))
    requests = asked("loglikelihood_rolling", [(text,) for text in TEXTS + cut])
    scorer = ours(model, tokenizer, bos=False)
    with quiet():
        expected = stock(model, tokenizer, add_bos_token=False).loglikelihood_rolling(requests, disable_tqdm=True)
    found = scorer.loglikelihood_rolling(requests)
    for request, nats, wanted in zip(requests, found, expected, strict=True):
        assert nats == pytest.approx(wanted, abs=1e-4 * scorer.predicted[request.args])


def test_repeated_tokens_with_a_short_window(tokenizer: Any) -> None:
    """Period 5, window 8: HFLM's own cache gives other values there."""
    model = built(PACKED["llama"]())
    text = tokenizer.decode(encode(tokenizer, ["the cat is old in a river town"], False)[0][:5] * 5)
    requests = asked("loglikelihood_rolling", [(text,)])
    with quiet():
        other = stock(model, tokenizer, add_bos_token=False, max_length=8)
        expected = other.loglikelihood_rolling(requests, disable_tqdm=True)
    found = Scorer(model, tokenizer, length=8, bos=False).loglikelihood_rolling(requests)
    assert found == pytest.approx(expected, abs=1e-4 * 25)


@pytest.mark.parametrize("declares", [True, False])
def test_every_window_begins_with_the_bos_that_is_declared(declares: bool) -> None:
    tokenizer = make_tokenizer(False)
    tokenizer.bos_token = "<s>" if declares else None
    scorer = ours(built(PACKED["llama"]()), tokenizer)
    text = sentence(random.Random(1), 90)
    tokens = encode(tokenizer, [text], False)[0]
    windows = scorer.windows(text)
    assert [token for _, scored in windows for token in scored] == tokens, "each token once, BOS never"
    assert all(len(context) + len(scored) - 1 <= LENGTH for context, scored in windows)
    assert windows[0][0] == [0]
    assert all((context[0] == 0) == declares for context, _ in windows[1:])
    assert all(len(context) > 1 or not declares for context, _ in windows[1:]), "and then with what stands before"


def test_the_order_of_requests_does_not_matter_and_bits_repeat(tokenizer: Any) -> None:
    model = built(PACKED["gpt_neox"]())
    requests = asked("loglikelihood", pairs(tokenizer))
    found = ours(model, tokenizer).loglikelihood(requests)
    assert ours(model, tokenizer).loglikelihood(requests) == found
    backwards = ours(model, tokenizer).loglikelihood(requests[::-1])[::-1]
    assert [nats for nats, _ in backwards] == pytest.approx([nats for nats, _ in found], abs=1e-4)


def test_half_precision_is_packed_too(tokenizer: Any) -> None:
    model = built(PACKED["llama"]()).to(torch.bfloat16)
    scorer = ours(model, tokenizer)
    scorer.loglikelihood(asked("loglikelihood", pairs(tokenizer)))
    assert scorer.path == "packed"
    assert tolerance(torch.float32, 20.0) == 1e-4
    assert tolerance(torch.bfloat16, 20.0) < 1.0


def test_a_head_that_only_the_model_knows(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.score_passes.bend_of", lambda model: None)
    assert agree(built(PACKED["llama"]()), tokenizer) == "packed"


# Faults on purpose: the comparison sends such a model down the plain path, where numbers are right again.

Mask = Callable[[Row, torch.dtype, torch.device], Tensor]
whole: Mask = Row.mask


def boolean(row: Row, dtype: torch.dtype, device: torch.device) -> Tensor:
    return whole(row, dtype, device) == 0


def leaking(row: Row, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.where(torch.ones(len(row.tokens), len(row.tokens)).tril() == 1, 0.0, torch.finfo(dtype).min)[None, None]


@pytest.mark.parametrize("fault", [boolean, leaking])
def test_a_wrong_mask_is_noticed(fault: Mask, tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Row, "mask", fault)
    path = agree(built(PACKED["llama"](), "eager"), tokenizer)
    assert path.startswith("plain: a packed row differed from plain passes by")


def test_missing_positions_are_noticed(tokenizer: Any) -> None:
    model = built(PACKED["llama"]())
    inner = model.model.forward
    model.model.forward = lambda position_ids=None, **given: inner(**given)
    assert agree(model, tokenizer).startswith("plain: a packed row differed")


def test_a_model_that_refuses_a_mask(tokenizer: Any) -> None:
    model = built(PACKED["llama"]())
    inner = model.model.forward

    def forward(attention_mask: Any = None, **given: Any) -> Any:
        if attention_mask is not None:
            raise ValueError("two dimensions, please")
        return inner(**given)

    model.model.forward = forward
    assert agree(model, tokenizer) == "plain: it refuses a mask (ValueError)"


NEO = {"hidden_size": 32, "num_layers": 2, "num_heads": 2, "vocab_size": 330, "attention_types": [[["local"], 2]], **ENDS}


@pytest.mark.parametrize(
    ("places", "why"),
    [(1024, "plain: a packed row differed from plain passes by"), (4 * LENGTH, "plain: it refuses a mask (RuntimeError)")],
    ids=["far in the row is far", "the row is longer than its table of distances"],
)
def test_rows_as_wide_as_those_that_are_read_are_compared(places: int, why: str, tokenizer: Any) -> None:
    """GPT-Neo's local window counts places of a row: a row of the longest request and few others would fit it."""
    model = built(tf.GPTNeoConfig(max_position_embeddings=places, window_size=2 * LENGTH, **NEO))
    assert agree(model, tokenizer).startswith(why)


def test_products_are_torchs_own_where_onednn_has_none(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its product is no promise of torch's: gone, or with other arguments, or of another meaning."""
    for other in (None, lambda given, weight: given, lambda given, *_: given):
        monkeypatch.setattr(torch.ops.mkldnn, "_linear_pointwise", other, raising=False)
        assert _product() is None
        assert agree(built(PACKED["llama"]()), tokenizer) == "packed"


def test_products_are_autocasts_where_it_is_on() -> None:
    given, weight = torch.randn(3, 4), torch.nn.Parameter(torch.randn(5, 4))
    with torch.autocast("cpu", torch.bfloat16), Products():
        assert torch.nn.functional.linear(given, weight).dtype == torch.bfloat16


def shifted(pile: Pile, row: Row, states: Tensor) -> None:
    kept(pile, row, states.roll(1, 0))


kept = Pile.add


def test_reading_one_place_off_fails_the_comparison_with_hflm(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pile, "add", shifted)
    with pytest.raises(AssertionError):
        agree(built(PACKED["llama"]()), tokenizer)


def test_a_prefix_is_not_shared_across_different_beginnings() -> None:
    """The same words with BOS and without are two paths."""
    model, adds = built(PACKED["llama"]()), make_tokenizer(True)
    plain = encode(adds, ["the cat", " is old"], False)
    rows = [(None, before + plain[0], plain[1]) for before in ([0], [])]
    found = ours(model, adds)._loglikelihood_tokens(rows)
    apart = [ours(model, adds)._loglikelihood_tokens([row])[0] for row in rows]
    assert [nats for nats, _ in found] == pytest.approx([nats for nats, _ in apart], abs=1e-4)
    assert abs(found[0][0] - found[1][0]) > 1e-2


def test_real_items_are_hflms_one_by_one() -> None:
    data, folder = SHARED / "data" / "eval", SHARED / "models" / "general6m"
    if not (data.is_dir() and folder.is_dir()):
        pytest.skip(f"no evaluation files and model below {SHARED}")
    model = tf.AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = tf.AutoTokenizer.from_pretrained(folder)
    files = {
        "hellaswag": ("validation", "hellaswag_validation.jsonl", 6),
        "blimp_wh_island": ("train", "blimp/wh_island.jsonl", 25),
        "pubmedqa": ("test", "pubmedqa_test.jsonl", 3),
        "wikitext": ("test", "wikitext2_test.jsonl", 1),
    }
    for name, (split, file, items) in files.items():
        task = Task(name, metric="bits_per_byte" if name == "wikitext" else "acc", files={split: str(data / file)})
        with quiet():
            (leaf,) = build(task).values()
            leaf.build_all_requests(samples=subset({name: leaf}, items)[name])  # pyright: ignore[reportOptionalSubscript]
            other = stock(model, tokenizer, max_length=None, add_bos_token=False)
            scorer = Scorer(model, tokenizer, length=None, bos=False)
            call = leaf.instances[0].request_type
            expected = getattr(other, call)(leaf.instances, disable_tqdm=True)
            found = getattr(scorer, call)(leaf.instances)
        assert scorer.path == "packed"
        for request, one, wanted in zip(leaf.instances, found, expected, strict=True):
            near = 1e-4 * scorer.predicted[request.args]
            if name == "wikitext":
                assert one == pytest.approx(wanted, abs=near)
            else:
                assert one[0] == pytest.approx(wanted[0], abs=near)
                assert one[1] == wanted[1]


def test_a_table_says_how_requests_were_read(tokenizer: Any, tmp_path: Path) -> None:
    """In its metadata, which a file keeps."""
    toy = suite(choice(), rolling())
    table = score(built(PLAIN["mistral"][0]()), tokenizer, toy)
    table.to_parquet(tmp_path / "toy.parquet")
    why = PLAIN["mistral"][1]
    assert pd.read_parquet(tmp_path / "toy.parquet").attrs == {PATHS: {"quiz": why, "texts": why}}
    assert score(built(PACKED["llama"]()), tokenizer, toy).attrs == {PATHS: {"quiz": "packed", "texts": "packed"}}
