"""Scoring is lm-eval's numbers, equals plain torch, and changes nothing."""

import copy
import hashlib
import math
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from harness.errors import HarnessError, InputError
from harness.score import complete, score
from harness.score_encode import encode
from harness.score_model import Scorer
from harness.score_state import quiet
from harness.score_tasks import build
from harness.suite import Suite, Task
from harness.tabled import SCORE_COLUMNS
from harness.text import tokenizer_digest

LENGTH = 32
WORDS = [
    *("the", "a", "cat", "dog", "river", "town", "maker", "of", "in", "is", "was"),
    *("red", "green", "small", "young", "old", "sees", "makes", "likes", "near"),
]
CHOICE = {
    "output_type": "multiple_choice",
    "doc_to_text": "question",
    "doc_to_choice": "options",
    "doc_to_target": "answer",
    "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
}
TEXT = {
    "output_type": "loglikelihood_rolling",
    "doc_to_text": "",
    "doc_to_target": "text",
    "metric_list": [{"metric": "bits_per_byte"}],
}


def sentence(rng: random.Random, words: int) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(words))


def questions() -> Iterator[dict[str, Any]]:
    rng = random.Random(1)
    for number in range(24):
        options = [sentence(rng, rng.randint(1, 6)) for _ in range(4)]
        question = "" if number % 6 == 0 else sentence(rng, rng.randint(1, 20)) + (" " if number % 5 == 0 else "")
        yield {"id": f"q{number}", "group": number % 3, "question": question, "options": options, "answer": number % 4}


def texts() -> Iterator[dict[str, Any]]:
    rng = random.Random(2)
    for number, words in enumerate([1, 5, 30, 90, 200]):
        yield {"id": f"t{number}", "text": sentence(rng, words) + "\n" * (number % 2)}


def choice(**facts: Any) -> Task:
    return Task("quiz", config=CHOICE, documents=questions, identity="id", cluster="group", chance=0.25, **facts)


def rolling() -> Task:
    return Task("texts", metric="bits_per_byte", config=TEXT, documents=texts, identity="id")


def suite(*tasks: Task, **facts: Any) -> Suite:
    return Suite("toy", "a toy", tasks, key="toy", **facts)


def make_tokenizer(adds: bool) -> PreTrainedTokenizerFast:
    rng = random.Random(0)
    pieces = Tokenizer(models.BPE())
    pieces.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    pieces.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    pieces.train_from_iterator([sentence(rng, 12) for _ in range(100)], trainer)
    if adds:
        pieces.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=pieces, bos_token="<s>", eos_token="<s>")


@pytest.fixture(scope="module", params=[True, False], ids=["adds BOS", "adds none"])
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerFast:
    return make_tokenizer(request.param)


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=330, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=LENGTH, tie_word_embeddings=True, bos_token_id=0, eos_token_id=0, initializer_range=0.3,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def nats(model: Any, fed: list[int], scored: list[int]) -> float:
    """Plain torch: log-probability of `scored` as the last tokens of `fed`, the first token given."""
    tokens = (fed + scored)[-(LENGTH + 1) :]
    with torch.no_grad():
        found = model.eval()(torch.tensor([tokens[:-1]])).logits.double().log_softmax(-1)[0]
    return sum(float(found[len(tokens) - len(scored) - 1 + i, token]) for i, token in enumerate(scored))


def digest(model: Any) -> str:
    return hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in model.state_dict().values())).hexdigest()


def states(model: Any, tokenizer: Any) -> list[Any]:
    return [
        digest(model),
        [module.training for module in model.modules()],
        [parameter.requires_grad for parameter in model.parameters()],
        [parameter.grad is None for parameter in model.parameters()],
        sorted(model.__dict__),
        model.generation_config.to_dict(),
        tokenizer_digest(tokenizer),
        tokenizer.pad_token,
        tokenizer.padding_side,
        len(tokenizer),
        random.getstate(),
        np.random.get_state()[1].tolist(),
        torch.get_rng_state().tolist(),
    ]


def test_columns_and_rows(model: Any, tokenizer: Any) -> None:
    table = score(model, tokenizer, suite(choice(), rolling()))
    assert list(table.columns) == list(SCORE_COLUMNS)
    assert table.task.value_counts().to_dict() == {"quiz": 24, "texts": 5}
    assert list(table.item)[:2] == ["q0", "q1"]
    assert set(table[table.task == "quiz"].cluster) == {"0", "1", "2"}
    assert list(table[table.task == "texts"].cluster) == ["t0", "t1", "t2", "t3", "t4"]
    assert all(table[table.task == "texts"].prompt == "")
    quiz = table[table.task == "quiz"]
    assert ((quiz.choice == quiz.answer) == (quiz.value == 1)).all()
    assert quiz.iloc[1].option_bytes == [len(option) for option in quiz.iloc[1].options]


@pytest.mark.parametrize("metric", ["acc", "acc_norm"])
def test_choices_equal_plain_torch(model: Any, tokenizer: Any, metric: Any) -> None:
    table = score(model, tokenizer, suite(choice(metric=metric)))
    for row, document in zip(table.itertuples(), questions(), strict=True):
        context, more = document["question"].rstrip(), " " if document["question"].endswith(" ") else ""
        expected, tokens = [], []
        for option in document["options"]:
            before = tokenizer.encode(context) if context else [0]
            joint = tokenizer.encode(f"{context}{more} {option}")
            scored = joint[len(before) :] if context else tokenizer.encode(f" {option}", add_special_tokens=False)
            expected.append(nats(model, before, scored))
            tokens.append(len(scored))
        assert row.loglikelihoods == pytest.approx(expected, abs=1e-4)
        assert row.option_tokens == tokens
        sizes = [len(option) if metric == "acc_norm" else 1 for option in document["options"]]
        assert row.choice == int(np.argmax(np.array(expected) / sizes))


def test_bits_per_byte_equal_plain_torch(model: Any, tokenizer: Any) -> None:
    """Every token once, BOS in front of every window and never scored, whether the tokenizer adds one or only declares it."""
    table = score(model, tokenizer, suite(rolling()))
    for row, document in zip(table.itertuples(), texts(), strict=True):
        tokens = tokenizer.encode(document["text"], add_special_tokens=False)
        total = nats(model, [0], tokens[:LENGTH])
        for start in range(LENGTH, len(tokens), LENGTH - 1):
            end = min(start + LENGTH - 1, len(tokens))
            total += nats(model, [0, *tokens[end - LENGTH : start]], tokens[start:end])
        size = len(document["text"].encode())
        assert row.value == pytest.approx(-total / size / math.log(2), abs=1e-5)
        assert (row.option_bytes, row.option_tokens) == ([size], [len(tokens)])


def test_rows_are_lm_evals_aggregates(model: Any, tokenizer: Any) -> None:
    """Accuracy and bits per byte from rows equal those of stock HFLM, switched so that windows agree."""
    from lm_eval.evaluator import evaluate
    from lm_eval.models.huggingface import HFLM

    toy = suite(choice(metric="acc_norm"), rolling())
    for task, bos in zip(toy.tasks, (None, False), strict=True):
        table = score(model, tokenizer, suite(task), bos=bos)
        with quiet():
            stock = HFLM(
                pretrained=model,
                tokenizer=copy.deepcopy(tokenizer),
                batch_size=1,
                logits_cache=False,
                add_bos_token=bos,
            )
            built = build(task)
            for found in built.values():
                found.set_fewshot_seed(1234)
            results: Any = evaluate(stock, {"tasks": built}, bootstrap_iters=0)
        rows = table
        if task.metric == "acc_norm":
            assert rows.value.mean() == pytest.approx(results["results"]["quiz"]["acc_norm,none"], abs=1e-12)
        else:
            total = -rows.loglikelihoods.str[0].sum() / rows.option_bytes.str[0].sum() / math.log(2)
            assert total == pytest.approx(results["results"]["texts"]["bits_per_byte,none"], abs=1e-6)
        expected = [sample["doc_hash"] for sample in results["samples"][task.name]]
        assert list(rows.document_hash) == expected
    model.train()


def test_scoring_changes_nothing(model: Any, tokenizer: Any) -> None:
    model.train()
    model.model.layers[0].eval()
    model.model.norm.weight.requires_grad_(False)
    before = states(model, tokenizer)
    score(model, tokenizer, suite(choice(), rolling()))
    assert states(model, tokenizer) == before
    complete(model, tokenizer, ["the cat", "a"], tokens=3)
    assert states(model, tokenizer) == before


def test_nothing_changes_on_an_error(model: Any, tokenizer: Any) -> None:
    before = states(model, tokenizer)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score(model, tokenizer, suite(choice(), rolling()), show=stop)
    assert states(model, tokenizer) == before


def test_scoring_draws_nothing_from_the_program(model: Any, tokenizer: Any) -> None:
    first = score(model, tokenizer, suite(choice()), limit=7)
    random.seed(5), torch.manual_seed(5)
    other = LlamaForCausalLM(model.config)
    second = score(other, tokenizer, suite(choice()), limit=7)
    assert list(first.item) == list(second.item)
    assert len(first) == 7
    assert list(first.item) != [f"q{number}" for number in range(7)]
    assert first.loglikelihoods.iloc[0] != second.loglikelihoods.iloc[0]


def test_batches_do_not_matter_beyond_rounding(
    model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = score(model, tokenizer, suite(choice(), rolling()))
    monkeypatch.setattr("harness.score_passes.BUDGET", {"cpu": 40})
    monkeypatch.setattr("harness.score_passes.chunk_size", lambda vocabulary: 7)
    small = score(model, tokenizer, suite(choice(), rolling()))
    for one, two in zip(whole.loglikelihoods, small.loglikelihoods, strict=True):
        assert one == pytest.approx(two, abs=1e-4)
    assert capfd.readouterr().err == "", "no bars, no log lines"


def test_bos_is_a_habit_of_the_base(model: Any) -> None:
    adds, bare = make_tokenizer(True), make_tokenizer(False)
    assert encode(bare, ["the cat", "<s>the cat"], True) == encode(adds, ["the cat", "<s>the cat"], None)
    assert encode(adds, ["the cat"], False) == encode(bare, ["the cat"], None)
    own = score(model, adds, suite(choice()))
    told = score(model, bare, suite(choice()), bos=True)
    never = score(model, adds, suite(choice()), bos=False)
    assert list(own.loglikelihoods) == list(told.loglikelihoods)
    assert list(never.loglikelihoods) == list(score(model, bare, suite(choice())).loglikelihoods) != list(own.loglikelihoods)


def test_a_sensitive_suite_stores_no_words(model: Any, tokenizer: Any) -> None:
    table = score(model, tokenizer, suite(choice(), sensitive=True))
    assert table.prompt.str.fullmatch(r"\[withheld: \d+ characters, [0-9a-f]{12}\]|").all()
    assert all(options == [] for options in table.options)


def one(**fields: Any) -> Any:
    document = {"id": "x", "group": 0, "question": "the cat", "options": ["a", "b"], "answer": 0} | fields
    return lambda: iter([document])


@pytest.mark.parametrize(
    ("task", "says"),
    [
        (choice(metric="exact_match"), "task quiz has no metric exact_match; it offers acc, acc_norm"),
        (replace(choice(), documents=lambda: iter([])), "task quiz holds no documents; nothing can be scored"),
        (replace(choice(), documents=lambda: iter([*questions()] * 2)), "task quiz: item q0 occurs twice"),
        (replace(choice(), identity="name"), "task quiz, document 0: no field 'name'; it has id, group, question"),
        (
            replace(choice(), documents=one(options=["a", "cat " * 40])),
            "tokens, the model reads 32",
        ),
        (
            replace(rolling(), documents=lambda: iter([{"id": "e", "text": ""}])),
            "item 0: the document is empty",
        ),
        (
            Task("mbpp", unsafe=True),
            "task mbpp runs what the model wrote, which was not allowed; give --allow-code-execution, or leave it out",
        ),
    ],
)
def test_errors_are_sentences(model: Any, tokenizer: Any, task: Task, says: str) -> None:
    with pytest.raises(HarnessError) as error:
        score(model, tokenizer, suite(task))
    assert says in str(error.value)


def test_broken_weights_are_an_error(model: Any, tokenizer: Any) -> None:
    broken = copy.deepcopy(model)
    torch.nn.init.constant_(broken.model.norm.weight, float("nan"))
    with pytest.raises(HarnessError, match="task texts, item t0: the model gave nan; its weights are broken"):
        score(broken, tokenizer, suite(rolling()))


def test_a_tokenizer_without_marks_is_refused(model: Any) -> None:
    bare = make_tokenizer(False)
    bare.bos_token = bare.eos_token = None
    with pytest.raises(InputError, match="names neither BOS nor EOS"):
        score(model, bare, suite(rolling()))


def test_a_missing_limit_is_refused(model: Any, tokenizer: Any) -> None:
    with pytest.raises(InputError, match="a limit of 0 items"):
        score(model, tokenizer, suite(choice()), limit=0)


def test_ties_are_left_alone(model: Any, tokenizer: Any) -> None:
    """HFLM's constructor ties weights; a model whose head was untied on purpose keeps it."""
    untied = copy.deepcopy(model)
    untied.lm_head.weight = torch.nn.Parameter(untied.lm_head.weight.detach() * 2)
    Scorer(untied, tokenizer, length=None, bos=None)
    assert untied.lm_head.weight is not untied.model.embed_tokens.weight


def test_completions_are_greedy(model: Any, tokenizer: Any) -> None:
    prompts = ["the cat", "a", "the dog sees a red river near the old town and"]
    table = complete(model, tokenizer, prompts, tokens=4)
    assert list(table.prompt) == prompts
    for prompt, completion in table.itertuples(index=False):
        tokens = tokenizer.encode(prompt)
        for _ in range(4):
            with torch.no_grad():
                tokens.append(int(model.eval()(torch.tensor([tokens])).logits[0, -1].argmax()))
            if tokens[-1] == tokenizer.eos_token_id:
                break
        said = tokens[len(tokenizer.encode(prompt)) :]
        assert completion == tokenizer.decode(said, skip_special_tokens=True)


def test_tasks_of_our_own_need_no_index_of_lm_evals(model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Indexing takes lm-eval 8 to 15 seconds."""
    monkeypatch.setattr("lm_eval.tasks.TaskManager.__init__", lambda *given, **named: pytest.fail("an index was built"))
    assert len(score(model, tokenizer, suite(choice(), rolling()))) == 29


def test_lm_evals_own_tasks_need_one_folder_of_it_indexed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from lm_eval.tasks import TaskManager

    from harness import score_stock

    built, make = [], TaskManager.__init__

    def noted(self: Any, *given: Any, **named: Any) -> None:
        built.append(named)
        make(self, *given, **named)

    score_stock.manager.cache_clear()
    monkeypatch.setattr(TaskManager, "__init__", noted)
    for _ in range(2):
        score_stock.leaves(Task("hellaswag"))
        score_stock.leaves(Task("piqa"))
    assert [named["include_defaults"] for named in built] == [False, False]
