"""What a model is made to say is what HFLM would have it say, prompt by prompt, whatever stands beside it in a batch."""

import random
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lm_eval.models.huggingface import HFLM
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    FalconConfig,
    FalconForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    PreTrainedTokenizerFast,
)

from harness import score_generate
from harness.borders import borders
from harness.errors import HarnessError
from harness.score_generate import Ends, Prompt, Way, Writer
from harness.score_model import Scorer
from harness.score_state import quiet

LENGTH, TOKENS = 64, 300
WORDS = ["the cat", "a dog sees", "rivers", "Korea 한국어", "x = 1\n", "def f():", " ", "\n\n", "naïve", "🙂", "town of"]
SIZES = {"vocab_size": TOKENS, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
SHAPE = {**SIZES, "intermediate_size": 48, "max_position_embeddings": LENGTH, "num_key_value_heads": 2}
ENDS = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
MODELS: dict[str, Callable[[], Any]] = {
    "llama": lambda: LlamaForCausalLM(LlamaConfig(**SHAPE, **ENDS, initializer_range=0.3)),
    "neox": lambda: GPTNeoXForCausalLM(
        GPTNeoXConfig(**SIZES, **ENDS, intermediate_size=48, max_position_embeddings=LENGTH, initializer_range=0.3)
    ),
    "gpt2": lambda: GPT2LMHeadModel(
        GPT2Config(vocab_size=TOKENS, n_embd=32, n_layer=2, n_head=2, n_positions=LENGTH, initializer_range=0.3, **ENDS)
    ),
    "opt": lambda: OPTForCausalLM(
        OPTConfig(**SIZES, **ENDS, ffn_dim=48, max_position_embeddings=LENGTH, word_embed_proj_dim=32, init_std=0.3)
    ),
    "falcon with ALiBi": lambda: FalconForCausalLM(FalconConfig(**SIZES, **ENDS, alibi=True, initializer_range=0.3)),
    "mistral with a window": lambda: MistralForCausalLM(
        MistralConfig(**SHAPE, **ENDS, sliding_window=8, initializer_range=0.3)
    ),
    "gemma3": lambda: Gemma3ForCausalLM(
        Gemma3TextConfig(**SHAPE, **ENDS, head_dim=16, sliding_window=8, initializer_range=0.3)
    ),
}  # fmt: skip


def words(rng: random.Random, count: int) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(count))


def make_tokenizer(adds: bool) -> PreTrainedTokenizerFast:
    rng = random.Random(0)
    pieces = Tokenizer(models.BPE())
    pieces.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    pieces.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=TOKENS, special_tokens=["<s>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    pieces.train_from_iterator([words(rng, 8) for _ in range(200)], trainer)
    if adds:
        pieces.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=pieces, bos_token="<s>", eos_token="</s>")


@pytest.fixture(scope="module", params=[True, False], ids=["adds BOS", "adds none"])
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerFast:
    return make_tokenizer(request.param)


def make_model(kind: str) -> Any:
    torch.manual_seed(1)
    return MODELS[kind]().eval()


@pytest.fixture(scope="module")
def llama() -> Any:
    return make_model("llama")


def asked(prompt: str, **options: Any) -> Any:
    return SimpleNamespace(args=(prompt, options), task_name="toy", doc_id=0)


def requests() -> Iterator[Any]:
    """Prompts of all lengths, over-long ones too, with stop strings that are said soon, late and never; two are doubled."""
    rng = random.Random(3)
    for number in range(14):
        prompt = words(rng, [1, 2, 5, 9, 40][number % 5])
        yield asked(prompt, until=[["e", "zzz"], ["\n\n", "한"], []][number % 3], max_gen_toks=[12, 20][number % 2])
    yield from [asked("the cat", until="a", max_gen_toks=12)] * 2
    yield asked("the dog", until=["o"], max_gen_toks=12, do_sample=False, temperature=0.0)


def scorer(model: Any, tokenizer: Any) -> Scorer:
    return Scorer(model, tokenizer, length=LENGTH, bos=None)


def hflm(model: Any, tokenizer: Any, made: list[Any]) -> list[str]:
    """lm-eval's own answers at batch 1."""
    with quiet():
        lm = HFLM(pretrained=model, tokenizer=tokenizer, backend="causal", max_length=LENGTH, batch_size=1, logits_cache=False)
        return lm.generate_until(made, disable_tqdm=True)


def say(model: Any, tokenizer: Any, made: list[Any]) -> list[str]:
    with quiet(), torch.no_grad():
        return scorer(model, tokenizer).generate_until(made)


@pytest.mark.parametrize("kind", MODELS)
def test_texts_are_lm_evals_at_batch_one(kind: str, tokenizer: Any) -> None:
    model, made = make_model(kind), list(requests())
    theirs, ours = hflm(model, make_tokenizer(tokenizer("a")["input_ids"][0] == 0), made), say(model, tokenizer, made)
    assert ours == theirs
    assert len(set(ours)) > len(ours) // 2  # they differ, so the order is tried too
    assert ours[14] == ours[15]


def test_a_batch_changes_nothing(llama: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither its size nor the order in which requests come."""
    made = list(requests())
    whole = say(llama, tokenizer, made)
    monkeypatch.setitem(score_generate.TOKENS, "cpu", 1)
    assert say(llama, tokenizer, made) == whole
    assert say(llama, tokenizer, made[::-1])[::-1] == whole


def test_an_empty_prompt_follows_the_token_that_documents_follow(llama: Any, tokenizer: Any) -> None:
    tokens = [borders(tokenizer).start]
    for _ in range(6):
        tokens.append(int(llama(torch.tensor([tokens])).logits[0, -1].argmax()))
    said = tokenizer.decode(tokens[1:], skip_special_tokens=True)
    assert say(llama, tokenizer, [asked("", until=[], max_gen_toks=6)]) == [said]


class Parrot:
    """Makes a model say given tokens, a list a row."""

    def __init__(self, *rows: list[int]) -> None:
        self.rows, self.steps = rows, 0

    def __call__(self, ids: Any, scores: Any) -> Any:
        tokens = torch.tensor([[row[self.steps]] for row in self.rows])
        self.steps += 1
        return torch.full_like(scores, -1e9).scatter(1, tokens, 0.0)

    def teach(self, monkeypatch: pytest.MonkeyPatch) -> "Parrot":
        monkeypatch.setattr(score_generate, "_sampling", lambda *_: ({}, [self]))
        return self


@pytest.mark.parametrize(
    ("said", "stops", "text", "steps"),
    [
        ("the end\nclass A: pass", ["\nclass", "\ndef"], "the end", len("the end\nclass")),
        ("an 🙂 here", ["🙂"], "an ", len("an ") + len("🙂".encode())),
        ("ab</s>cd", [], "ab", 3),
        ("aabb", ["b", "a"], "", 1),
        ("no stop at all", ["zzz"], "no stop at all", len("no stop at all")),
    ],
    ids=["across tokens", "within a letter's bytes", "EOS", "the one said first ends it", "never said"],
)
def test_a_stop_string_ends_a_row_as_soon_as_it_is_said(
    llama: Any, monkeypatch: pytest.MonkeyPatch, said: str, stops: list[str], text: str, steps: int
) -> None:
    """Said byte by byte, so that every stop string spans tokens that none of its own encodings has."""
    tokenizer = make_tokenizer(False)
    letters = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokens = [
        token
        for part in (said.split("</s>") if "</s>" in said else [said])
        for token in [*(tokenizer.convert_tokens_to_ids(c) for w, _ in letters.pre_tokenize_str(part) for c in w), 1]
    ][:-1]
    parrot = Parrot(tokens, tokens).teach(monkeypatch)
    made = Writer(llama, tokenizer).write([Prompt([0, 5]), Prompt([0, 5])], Way(len(tokens), (*stops, "</s>")))
    assert made == [text, text]
    assert parrot.steps == steps


def test_an_ended_row_waits_for_the_others_and_says_nothing_more(llama: Any, tokenizer: Any) -> None:
    """`Ends` marks a row once, at the token that ended it."""
    ends = Ends(tokenizer, Way(4, ("b",)), {1}, 1, lambda done: None)
    a, b = tokenizer.convert_tokens_to_ids(["a", "b"])
    assert ends(torch.tensor([[0, a], [0, b]]), None).tolist() == [False, True]
    assert ends(torch.tensor([[0, a, 1], [0, b, b]]), None).tolist() == [True, True]
    assert ends.ends == {1: 1, 0: 2}


def test_padding_is_never_said(llama: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that has ended is padded until its batch ends; here by a letter like others."""
    letters = make_tokenizer(False)
    letters.pad_token = "a"
    b = letters.convert_tokens_to_ids("b")
    Parrot([b, 1, b, b], [b, b, b, b]).teach(monkeypatch)
    assert Writer(llama, letters).write([Prompt([0, 5]), Prompt([0, 5])], Way(4)) == ["b", "bbbb"]


SAMPLED = {"do_sample": True, "temperature": 0.8, "top_p": 0.95, "max_gen_toks": 10, "until": []}


def test_what_is_drawn_belongs_to_the_request(llama: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not to its batch, its order, or the program's random state; a request that is repeated draws anew."""
    made = [asked(words(random.Random(n), 1 + n % 4), **SAMPLED) for n in range(6)] + [asked("the cat", **SAMPLED)] * 3
    torch.manual_seed(5)
    before = torch.get_rng_state()
    whole = say(llama, tokenizer, made)
    assert torch.equal(torch.get_rng_state(), before)
    assert len(set(whole[6:])) == 3
    monkeypatch.setitem(score_generate.TOKENS, "cpu", 1)
    torch.manual_seed(6)
    assert say(llama, tokenizer, made) == whole
    assert say(llama, tokenizer, made[:6][::-1]) == whole[:6][::-1]


def test_sampling_draws_from_the_models_odds(llama: Any, tokenizer: Any) -> None:
    """First tokens of many draws against softmax(logits / temperature), top 50."""
    logits = llama(torch.tensor([[0, 7]])).logits[0, -1] / 1.5
    odds = torch.where(logits >= logits.topk(50).values[-1], logits, -torch.inf).softmax(-1)
    options = {"do_sample": True, "temperature": 1.5}
    made = Writer(llama, tokenizer).write([Prompt([0, 7], seed) for seed in range(1500)], Way(1, options=options))
    texts = [tokenizer.decode([token], skip_special_tokens=True) for token in range(TOKENS)]
    likely = [token for token in range(TOKENS) if odds[token] > 0.02 and texts.count(texts[token]) == 1]
    assert likely
    for token in likely:
        share, expected = made.count(texts[token]) / 1500, odds[token].item()
        assert abs(share - expected) < 4 * (expected / 1500) ** 0.5


def test_no_room_for_a_prompt_is_a_sentence(llama: Any, tokenizer: Any) -> None:
    with pytest.raises(HarnessError, match="toy lets a model say 64 tokens, and this one reads 64 with its prompt; leave"):
        say(llama, tokenizer, [asked("a", until=[], max_gen_toks=64)])


def test_an_architecture_that_reads_padding_is_given_none(llama: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = list(requests())
    theirs = hflm(llama, make_tokenizer(tokenizer("a")["input_ids"][0] == 0), made)
    plain = llama.forward
    seen = []

    def without_mask(*given: Any, attention_mask: Any = None, position_ids: Any = None, **named: Any) -> Any:
        if attention_mask is not None and attention_mask.ndim == 2:
            seen.append(bool((attention_mask == 0).any()))
        return plain(*given, **named)

    monkeypatch.setattr(llama, "forward", without_mask)
    assert say(llama, tokenizer, made) == theirs
    assert sum(seen) == 1  # the look at it


def test_progress_is_told_within_a_batch(llama: Any, tokenizer: Any) -> None:
    told: list[tuple[float, int]] = []
    lm, made = scorer(llama, tokenizer), [asked("the cat", until=[], max_gen_toks=10), *requests()]
    lm.told = lambda done, total: told.append((done, total))
    with quiet():
        lm.generate_until(made)
    steps = [done for done, _ in told]
    assert steps == sorted(steps)
    assert steps[:3] == pytest.approx([0.1, 0.2, 0.3])  # a batch of one, of ten tokens
    assert told[-1] == (len(made), len(made))


def test_memory_that_runs_out_halves_the_batch(llama: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = list(requests())
    whole, plain, sizes = say(llama, tokenizer, made), llama.generate, []

    def small(input_ids: Any, **named: Any) -> Any:
        sizes.append(len(input_ids))
        if len(input_ids) > 2:
            raise torch.OutOfMemoryError("no room")
        return plain(input_ids=input_ids, **named)

    monkeypatch.setattr(llama, "generate", small)
    assert say(llama, tokenizer, made) == whole
    assert max(sizes) > 2
