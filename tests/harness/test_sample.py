"""Drawn text: from the model's own distribution, by (seed, row) alone, and in the form of packed text."""

from typing import Any

import pytest
import torch

from harness.bench import tiny_model
from harness.sample import FEWEST, MOST, TOKENS, label, sample, uniform

START = 5


@pytest.fixture(scope="module")
def model() -> Any:
    return tiny_model()


def test_labels_have_the_frequencies_of_the_softmax() -> None:
    logits = torch.tensor([0.7, -1.0, 2.0, 0.0, -30.0])
    drawn = (torch.arange(100_000) + 0.5) / 100_000  # evenly spread: each token gets its share to within one
    found = label(logits.expand(100_000, 5), drawn).bincount(minlength=5) / 100_000
    torch.testing.assert_close(found, logits.softmax(-1), atol=2e-5, rtol=0)


@pytest.mark.parametrize("edge", [0.0, 1 - 2**-24])
def test_labels_at_the_edges_are_tokens_that_can_be(edge: float) -> None:
    logits = torch.tensor([[-torch.inf, 1.0, 1.0, -torch.inf]])
    assert label(logits, torch.tensor([edge])).item() == (1 if edge == 0 else 2)


@pytest.mark.parametrize("length", [9, 12])
def test_a_row_does_not_depend_on_how_many_are_drawn(model: Any, length: int) -> None:
    together = max(FEWEST, min(MOST, TOKENS // length))
    whole = sample(model, START, together + 9, length, seed=3)
    assert whole.shape == (together + 9, length)
    forwards: set[int] = set()
    hook = model.register_forward_pre_hook(lambda module, given, named: forwards.add(len(named["input_ids"])), with_kwargs=True)
    for rows in (1, 2, 7, together - 1, together, together + 1):
        assert torch.equal(sample(model, START, rows, length, seed=3), whole[:rows])
    hook.remove()
    assert forwards == {together}, "another number of rows in a forward rounds differently, where matrices are larger"
    assert sample(model, START, 0, length, seed=3).shape == (0, length)


def test_rows_and_seeds_differ_and_random_state_is_left_alone(model: Any) -> None:
    before = torch.get_rng_state()
    one, two = sample(model, START, 30, 12, seed=0), sample(model, START, 30, 12, seed=1)
    assert len({tuple(row) for row in torch.cat([one, two]).tolist()}) == 60
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_each_token_follows_from_the_text_before_it(model: Any, temperature: float) -> None:
    """The cache of keys and values, the temperature and the start: as one forward over the whole row has them."""
    tokens = sample(model, START, 20, 12, seed=7, temperature=temperature)
    assert (tokens[:, 0] == START).all()
    with torch.no_grad():
        probabilities = (model(input_ids=tokens).logits[:, :-1] / temperature).softmax(-1).double()  # (20, 11, V)
    cumulative = probabilities.cumsum(-1)
    drawn = torch.stack([uniform(7, row, 11) for row in range(20)]).double()
    place = tokens[:, 1:].unsqueeze(-1)
    above = cumulative.gather(-1, place).squeeze(-1)
    below = above - probabilities.gather(-1, place).squeeze(-1)
    assert (below - 1e-5 <= drawn).all()
    assert (drawn <= above + 1e-5).all()
    assert len(tokens.unique()) > 10
