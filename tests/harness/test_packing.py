"""Packed rows hold every request as it is, share what sorted neighbours share, and show each token its ancestors alone."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.packing import Request, Row, alone, clipped, pack, shared

TOKENS = st.lists(st.integers(0, 3), min_size=1, max_size=12)
REQUESTS = st.lists(
    TOKENS.flatmap(lambda fed: st.integers(1, len(fed)).map(lambda n: Request(tuple(fed), tuple(range(n))))), max_size=25
)
BUDGETS = st.integers(1, 40)


def path(row: Row, place: int) -> list[int]:
    """The places that a place sees, itself last: by the mask alone."""
    seen = row.mask(torch.float32, torch.device("cpu"))[0, 0, place] == 0
    return torch.nonzero(seen).flatten().tolist()


def ancestors(row: Row, place: int) -> list[int]:
    """The same by search: the nearest place before, one position lower, is the parent."""
    found = [place]
    while row.positions[found[0]] > 0:
        before = (at for at in range(found[0] - 1, -1, -1) if row.positions[at] == row.positions[found[0]] - 1)
        found.insert(0, next(before))
    return found


@given(REQUESTS, BUDGETS)
def test_every_request_is_read_back(requests: list[Request], budget: int) -> None:
    for rows in (pack(requests, budget), alone(requests)):
        seen = []
        for row in rows:
            for read in row.reads:
                asked = requests[read.number]
                last = path(row, int(read.places[-1]))
                assert tuple(row.tokens[at] for at in last) == asked.fed
                assert [row.positions[at] for at in last] == list(range(len(asked.fed)))
                assert read.places.tolist() == last[len(last) - len(asked.scored) :]
                seen.append(read.number)
        assert sorted(seen) == list(range(len(requests))), "none lost, duplicates included"


@given(REQUESTS, BUDGETS)
def test_the_mask_is_the_relation_of_ancestors(requests: list[Request], budget: int) -> None:
    for row in pack(requests, budget):
        mask = row.mask(torch.float32, torch.device("cpu"))
        assert mask.shape == (1, 1, len(row.tokens), len(row.tokens))
        assert mask.dtype == torch.float32, "a boolean one is silently wrong under eager attention"
        assert set(mask.unique().tolist()) <= {0.0, torch.finfo(torch.float32).min}
        for place in range(len(row.tokens)):
            assert path(row, place) == ancestors(row, place)
        if not row.branches:
            assert torch.equal(mask[0, 0] == 0, torch.ones_like(mask[0, 0], dtype=torch.bool).tril())


@given(REQUESTS)
def test_sorted_neighbours_share_all_they_can(requests: list[Request]) -> None:
    rows = pack(requests, 10_000)
    prefixes = {asked.fed[: n + 1] for asked in requests for n in range(len(asked.fed))}
    assert sum(len(row.tokens) for row in rows) == len(prefixes), "every distinct prefix stands once"
    assert len(rows) == (1 if requests else 0)


@given(REQUESTS, BUDGETS)
def test_rows_keep_to_their_budget(requests: list[Request], budget: int) -> None:
    for row in pack(requests, budget):
        assert len(row.tokens) <= max(budget, 3 * row.longest)


@given(REQUESTS, BUDGETS)
def test_plain_rows_are_single_paths(requests: list[Request], budget: int) -> None:
    rows = alone(requests)
    assert not any(row.branches for row in rows)
    assert all(row.positions == list(range(row.longest)) for row in rows)
    assert [row.longest for row in rows] == sorted((row.longest for row in rows), reverse=True)


@given(REQUESTS, BUDGETS, st.randoms())
def test_order_does_not_matter(requests: list[Request], budget: int, chance: object) -> None:
    mixed = list(requests)
    chance.shuffle(mixed)  # pyright: ignore[reportAttributeAccessIssue]
    assert [row.tokens for row in pack(mixed, budget)] == [row.tokens for row in pack(requests, budget)]


def test_unshared_long_requests_stay_alone() -> None:
    requests = [Request(tuple(range(first, first + 300)), (0,)) for first in (0, 1000, 2000)]
    assert [len(row.tokens) for row in pack(requests, 512)] == [300, 300, 300]


def test_a_context_longer_than_the_budget_is_read_once() -> None:
    context = tuple(range(100, 700))
    requests = [Request((*context, option), (0, 1)) for option in range(4)]
    (row,) = pack(requests, 512)
    assert len(row.tokens) == 604


def test_no_row_is_made_so_wide_that_its_mask_fills_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.packing.WIDE", 1000)
    requests = [Request((*range(600), *range(1000 * part, 1000 * part + 300)), (0,)) for part in range(1, 4)]
    assert [len(row.tokens) for row in pack(requests, 512)] == [900] * 3, "and not 1,500 of which 1,200 are read twice"


def test_a_full_row_is_cut_between_contexts() -> None:
    """Not between the options of one: its context would be read twice."""
    requests = [Request((item, *range(50, 70), option), (0,)) for item in range(6) for option in range(4)]
    rows = pack(requests, 40)
    assert [len(row.tokens) for row in rows] == [25] * 6


def test_the_beginning_is_cut_as_lm_eval_cuts_it() -> None:
    assert clipped([1, 2, 3], [4, 5], 10) == Request((1, 2, 3, 4), (4, 5))
    assert clipped([1, 2, 3], [4, 5], 3) == Request((2, 3, 4), (4, 5))
    assert clipped([1, 2, 3], [4, 5], 2) == Request((3, 4), (4, 5))


@pytest.mark.parametrize(
    ("one", "other", "found"), [((), (1,), 0), ((1, 2), (1, 2, 3), 2), ((1, 2), (1, 3), 1), ((4,), (5,), 0)]
)
def test_shared(one: tuple[int, ...], other: tuple[int, ...], found: int) -> None:
    assert shared(one, other) == shared(other, one) == found


def test_a_place_that_several_score_stands_once() -> None:
    """Options of one token: one place, many targets."""
    requests = [Request((1, 2, 3), (option,)) for option in range(4)]
    (row,) = pack(requests, 512)
    assert row.tokens == [1, 2, 3]
    assert np.unique([read.places for read in row.reads]).tolist() == [2]
