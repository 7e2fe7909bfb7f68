"""Drift from its equations: which way a divergence goes, nothing from nothing, sums over documents, whatever the batch."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from harness import drift
from harness.drift import divergence, measure, texts
from harness.model import load_model, load_tokenizer
from harness.score import score
from harness.score_items import Item
from harness.suite import Suite, Task
from harness.tabled import DRIFT_COLUMNS

VOCABULARY, LENGTH = 50, 32


def made(seed: int, **more: Any) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=VOCABULARY, max_position_embeddings=LENGTH, initializer_range=0.3, **sizes, **more)
    return LlamaForCausalLM(config).eval()


@pytest.fixture(scope="module")
def base() -> LlamaForCausalLM:
    return made(0)


@pytest.fixture(scope="module")
def arm() -> LlamaForCausalLM:
    return made(1)


def item(name: str, windows: Sequence[tuple[list[int], list[int]]]) -> Item:
    return Item("text", name, name, "text", 10.0, 0.0, tuple(windows))


def documents() -> list[Item]:
    """One of a window, one of two of which the second sees what is left of the first, and a short one."""
    words = torch.randint(0, VOCABULARY, (60,), generator=torch.Generator().manual_seed(3)).tolist()
    return [
        item("one", [([0], words[:20])]),
        item("two", [([0], words[:32]), (words[8:31], words[31:40])]),
        item("three", [([0], words[50:53])]),
    ]


def by_hand(model: nn.Module, context: list[int], scored: list[int]) -> torch.Tensor:
    """(n, V) log-probabilities at the scored positions, from whole logits in float64."""
    with torch.no_grad():
        logits = model(torch.tensor([(context + scored)[:-1]])).logits[0].double()  # (T, V)
    return logits[len(context) - 1 :].log_softmax(-1)


def rows(table: pd.DataFrame, kind: str) -> pd.DataFrame:
    return table[table["kind"] == kind].set_index("item")


def test_the_divergence_goes_from_the_first_to_the_second() -> None:
    """Reference logits (ln 9, 0) and current (0, 0): 0.3681 one way, 0.5108 the other."""
    reference, current = (torch.tensor([logits]).log_softmax(-1) for logits in ([math.log(9), 0.0], [0.0, 0.0]))
    assert divergence(reference, current).item() == pytest.approx(0.3681, abs=1e-4)
    assert divergence(current, reference).item() == pytest.approx(0.5108, abs=1e-4)


class Coins(nn.Module):
    """Two tokens, whose logits are what stands in the table for the token before."""

    def __init__(self, logits: list[list[float]]) -> None:
        super().__init__()
        self.table = nn.Embedding.from_pretrained(torch.tensor(logits), freeze=False)
        self.config: Any = made(0).config
        self.head = nn.Linear(2, 2, bias=False)
        self.head.weight = nn.Parameter(torch.eye(2))

    def get_output_embeddings(self) -> nn.Module:
        return self.head

    @property
    def base_model(self) -> Any:
        def forward(input_ids: Any, **_: Any) -> Any:
            return type("Out", (), {"last_hidden_state": self.table(input_ids)})

        return forward

    def forward(self, input_ids: Any, **_: Any) -> Any:
        return type("Out", (), {"logits": self.head(self.table(input_ids))})


def test_a_model_of_two_tokens_is_what_the_hand_computes() -> None:
    """After 0 the base says 9:1 and the arm 1:1; after 1 both say 1:1. Tokens 0 | 0 1 0: positions after 0, 0 and 1."""
    first, second = Coins([[math.log(9), 0.0], [0.0, 0.0]]), Coins([[0.0, 0.0], [0.0, 0.0]])
    found = rows(measure(first, second, [item("coin", [([0], [0, 1, 0])])]), "text").loc["coin"]
    forward, reverse = 0.9 * math.log(1.8) + 0.1 * math.log(0.2), 0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1)
    assert found["forward"] == pytest.approx(2 * forward, abs=1e-6)
    assert found["reverse"] == pytest.approx(2 * reverse, abs=1e-6)
    assert found["before"] == pytest.approx(-math.log(0.9) - math.log(0.1) - math.log(0.5), abs=1e-6)
    assert found["after"] == pytest.approx(3 * math.log(2), abs=1e-6)
    assert found["tokens"] == 3


def test_sums_over_documents_are_those_of_whole_logits(base: nn.Module, arm: nn.Module) -> None:
    found = rows(measure(base, arm, documents()), "text")
    assert list(found.index) == ["one", "two", "three"]
    for each in documents():
        pairs = [(by_hand(base, *window), by_hand(arm, *window), window[1]) for window in each.windows]
        forward = sum(float((p.exp() * (p - q)).sum()) for p, q, _ in pairs)
        reverse = sum(float((q.exp() * (q - p)).sum()) for p, q, _ in pairs)
        before = -sum(float(p[range(len(scored)), scored].sum()) for p, _, scored in pairs)
        row = found.loc[each.item]
        assert row["forward"] == pytest.approx(forward, rel=1e-5)
        assert row["reverse"] == pytest.approx(reverse, rel=1e-5)
        assert row["before"] == pytest.approx(before, rel=1e-5)
        assert row["tokens"] == sum(len(scored) for _, _, scored in pairs)
    assert found["forward"].to_numpy().min() > 0.01


def test_windows_as_long_as_a_table_of_positions_are_measured() -> None:
    """A window's last token is scored and never fed: GPT-2 has no position for it."""
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=VOCABULARY, bos_token_id=0, eos_token_id=0, n_positions=LENGTH, n_embd=16, n_layer=1, n_head=2
    )
    model = GPT2LMHeadModel(config).eval()
    found = rows(measure(model, model, documents()), "text")
    assert found["tokens"].tolist() == [20, 41, 3]
    before = -sum(float(by_hand(model, *window)[range(len(window[1])), window[1]].sum()) for window in documents()[1].windows)
    assert found.loc["two", "before"] == pytest.approx(before, rel=1e-5)


@pytest.mark.parametrize(("chunk", "together"), [(64, 1), (1, 64), (7, 4096)])
def test_neither_chunks_nor_batches_change_what_is_found(
    base: nn.Module, arm: nn.Module, monkeypatch: pytest.MonkeyPatch, chunk: int, together: int
) -> None:
    whole = rows(measure(base, arm, documents()), "text")
    monkeypatch.setattr("harness.objective.chunk_size", lambda vocabulary: chunk)
    monkeypatch.setattr(drift, "TOGETHER", together)
    parts = rows(measure(base, arm, documents()[::-1]), "text").loc[whole.index]
    for column in drift.SUMS:
        assert parts[column].tolist() == pytest.approx(whole[column].tolist(), rel=1e-5)


def test_a_base_has_not_drifted_from_itself(base: nn.Module) -> None:
    table = measure(base, made(0), documents(), {name: torch.ones_like(p) for name, p in base.named_parameters()})
    text, tensors = rows(table, "text"), rows(table, "tensor")
    assert text[["forward", "reverse"]].to_numpy().tolist() == [[0.0, 0.0]] * 3
    assert text["before"].tolist() == text["after"].tolist()
    assert tensors[["moved", "changed"]].to_numpy().max() == 0.0
    assert rows(table, "predicted")["forward"].tolist() == [0.0]
    assert list(table.columns) == list(DRIFT_COLUMNS)


def test_weights_are_told_tensor_by_tensor_and_weighed_by_the_fisher(base: nn.Module) -> None:
    """Two entries of one matrix are moved by 3 and 4: a distance of 5; with a Fisher of 2 there, half of 2·25 nats a token."""
    moved, name = made(0), "model.layers.0.mlp.up_proj.weight"
    with torch.no_grad():
        moved.get_parameter(name)[0, :2] += torch.tensor([3.0, 4.0])
    fisher = {key: torch.full_like(p, 2.0 if key == name else 100.0) for key, p in base.named_parameters()}
    table = measure(base, moved, [], fisher)
    tensors = rows(table, "tensor")
    assert set(tensors.index) == {key for key, _ in base.named_parameters()}
    weights = base.get_parameter(name)
    assert tensors.loc[name, "moved"] == pytest.approx(5.0, rel=1e-5)
    assert tensors.loc[name, "whole"] == pytest.approx(float(weights.detach().norm()), rel=1e-5)
    assert tensors.loc[name, "changed"] == pytest.approx(2 / weights.numel())
    assert tensors["moved"].drop(name).to_numpy().max() == 0.0
    assert rows(table, "predicted")["forward"].tolist() == pytest.approx([25.0], rel=1e-5)


def test_a_prediction_needs_the_tensors_of_its_fisher(base: nn.Module) -> None:
    untied = made(0, tie_word_embeddings=True)  # has no head of its own
    table = measure(base, untied, documents(), {name: torch.ones_like(p) for name, p in base.named_parameters()})
    assert rows(table, "predicted").empty
    assert "lm_head.weight" not in rows(table, "tensor").index


def test_a_model_with_another_vocabulary_is_skipped_with_the_reason(base: nn.Module) -> None:
    other = made(0)
    other.resize_token_embeddings(VOCABULARY + 6)
    table = measure(base, other, documents())
    assert table[["kind", "item"]].to_numpy().tolist() == [["skipped", "the model has 56 logits, the base 50"]]


def test_measuring_changes_neither_model(base: LlamaForCausalLM, arm: LlamaForCausalLM) -> None:
    arm.train()
    before, chance = {n: p.clone() for n, p in arm.named_parameters()}, torch.get_rng_state()
    measure(base, arm, documents())
    assert arm.training
    assert all(p.requires_grad and p.grad is None and p.equal(before[n]) for n, p in arm.named_parameters())
    assert torch.get_rng_state().equal(chance)
    arm.eval()


CONFIG = {
    "output_type": "loglikelihood_rolling",
    "doc_to_text": "",
    "doc_to_target": "text",
    "metric_list": [{"metric": "bits_per_byte"}],
}


def test_documents_and_their_losses_are_those_of_the_scores(model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The base's loss beside the divergence is what scoring found, document by document; a text is cut by documents."""
    model, tokenizer = load_model(model_folder), load_tokenizer(model_folder)
    told = [{"id": f"d{n}", "text": f"The river of Aldon is {'very ' * n}wide."} for n in range(40)]
    task = Task("told", metric="bits_per_byte", config=CONFIG, documents=lambda: iter(told), identity="id")
    suite = Suite("one", "one text", (task,), key="one")
    scored = score(model, tokenizer, suite)
    found = texts(model, tokenizer, [suite], scored, None)
    assert len(found) == 40
    table = rows(measure(model, model, found), "text")
    nats = -scored.set_index("item")["loglikelihoods"].str[0]
    tokens = scored.set_index("item")["option_tokens"].str[0]
    assert table["before"].tolist() == pytest.approx(nats.loc[table.index].tolist(), rel=1e-4)
    assert table["tokens"].tolist() == tokens.loc[table.index].tolist()
    monkeypatch.setattr(drift, "DOCUMENTS", 10)
    assert [each.item for each in texts(model, tokenizer, [suite], scored, None)] == [each.item for each in found[:10]]
    monkeypatch.setattr(drift, "TOKENS", 1)
    assert len(texts(model, tokenizer, [suite], scored, None)) == 1
