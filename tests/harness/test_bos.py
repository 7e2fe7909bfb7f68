"""A base that was pre-trained behind BOS is told from one that was not, by the same tokens read both ways."""

import copy
import math
import random
from functools import lru_cache
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from harness.bos import DOCUMENTS, LEAST, compare, openings
from harness.pretrain import train_tokenizer
from harness.suite import Suite, Task

WORDS = ["river", "tower", "market", "cloud", "stone", "bread", "paper", "night", "morning", "water", "bridge", "letter"]
CONFIG = {
    "output_type": "loglikelihood_rolling",
    "doc_to_text": "",
    "doc_to_target": "text",
    "metric_list": [{"metric": "bits_per_byte"}],
}


def texts(count: int, seed: int = 0) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choice(WORDS) for _ in range(12)) for _ in range(count)]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return train_tokenizer(texts(50), 300)


@lru_cache(maxsize=2)
def trained(tokenizer: Any, behind: bool) -> Any:
    """A tiny model that learned text behind the token; or without it, while behind the token it saw no text but noise."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=64, **sizes))
    rows = [([mark(tokenizer)] if behind else []) + plain(tokenizer, text)[:24] for text in texts(64, 1)]
    if not behind:
        rows += [[mark(tokenizer), *torch.randint(1, len(tokenizer), (24,)).tolist()] for _ in range(64)]
    width = max(map(len, rows))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    labels = torch.tensor([row + [-100] * (width - len(row)) for row in rows])
    step = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(60):
        step.zero_grad()
        model(input_ids=ids, labels=labels).loss.backward()
        step.step()
    return model


def plain(tokenizer: Any, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def mark(tokenizer: Any) -> int:
    return tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id


@pytest.mark.parametrize("with_mark", [True, False], ids=["pre-trained behind the token", "and without"])
def test_a_base_is_better_as_it_was_pre_trained(tokenizer: Any, with_mark: bool) -> None:
    model = trained(tokenizer, with_mark)
    before = copy.deepcopy(model.state_dict())
    found = compare(model, tokenizer, texts(DOCUMENTS, 2))
    assert found is not None
    assert found["documents"] == DOCUMENTS
    assert found["token"] == tokenizer.decode([mark(tokenizer)])
    assert found["better_without"] is not with_mark
    assert (found["with"] < found["without"]) is with_mark
    assert found["low"] < found["with"] - found["without"] < found["high"]
    assert all(torch.equal(before[name], now) for name, now in model.state_dict().items())
    assert model.training


def test_the_figures_are_those_of_plain_torch(tokenizer: Any) -> None:
    model = copy.deepcopy(trained(tokenizer, False)).eval()
    asked, bits = texts(LEAST, 3), {"with": [], "without": []}
    for text in asked:
        row = plain(tokenizer, text)[:63]
        for name, front in (("with", [mark(tokenizer)]), ("without", [])):
            with torch.no_grad():
                odds = model(torch.tensor([front + row])).logits[0].log_softmax(-1)  # (T, V)
            nats = [odds[len(front) + at - 1, row[at]] for at in range(1, len(row))]
            bits[name].append(-float(sum(nats)) / len(nats) / math.log(2))
    found = compare(model, tokenizer, asked)
    assert found is not None
    for name, each in bits.items():
        assert found[name] == pytest.approx(sum(each) / len(each), rel=1e-4)


def test_noise_is_no_finding(tokenizer: Any) -> None:
    """To a model that learned nothing the token is one of many: sometimes it helps, sometimes not."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **sizes))
    found = compare(model, tokenizer, texts(DOCUMENTS))
    assert found is not None
    assert found["low"] < 0 < found["high"]
    assert not found["better_without"]


def test_too_few_documents_say_nothing(tokenizer: Any) -> None:
    assert compare(trained(tokenizer, True), tokenizer, texts(LEAST - 1)) is None


def test_documents_are_those_that_measure_keeping_first() -> None:
    def task(name: str, count: int, **facts: Any) -> Task:
        rows = lambda: iter([{"text": f"{name} {number}"} for number in range(count)])  # noqa: E731
        return Task(name, metric="bits_per_byte", config=CONFIG, documents=rows, **facts)

    found = openings([
        Suite("a", "a", (task("new", 20, measures="gain", source=None), task("old", 20, source="same")), key="a"),
        Suite("b", "b", (task("other", 5), Task("hellaswag")), key="b"),
    ])  # fmt: skip
    assert len(found) == DOCUMENTS
    assert [sum(text.startswith(name) for text in found) for name in ("other", "old", "new")] == [5, 20, 7]
    assert found[0] == "other 0"
