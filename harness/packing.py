"""The fast scorer's core: requests to rows of tokens that share prefixes, without padding, and what stands apart by a mask.

A request is what a model is fed and what is scored after it. Sorted requests make a trie of tokens in depth-first order: a
token that several of them begin with stands in a row once, at the position it has in each of them. Token i sees token j where
j is an ancestor of i or i itself, which in that order is one test of an interval: j <= i < end of j.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

WIDE = 2**14
"""Tokens of the widest row that is made because requests share a long beginning: its mask takes 1 GiB in fp32."""


class Request(NamedTuple):
    """Tokens that are fed, and those that are scored: the last of them is predicted by the last that is fed."""

    fed: tuple[int, ...]
    scored: tuple[int, ...]


def clipped(context: Sequence[int], scored: Sequence[int], length: int) -> Request:
    """What a model that reads `length` tokens is fed: the last ones, and never the last that is scored."""
    return Request(tuple([*context, *scored][-(length + 1) :][:-1]), tuple(scored))


@dataclass(frozen=True)
class Read:
    """A request of a row: its number, and the places of the row whose next token it scores."""

    number: int
    places: NDArray[np.int64]  # (scored,)


@dataclass
class Row:
    """A trie of tokens in depth-first order.

    tokens, positions  of each place; a position restarts where a path leaves what it shares
    ends               the place after the last that sees this one
    longest            tokens of the longest path
    """

    tokens: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    longest: int = 0
    _path: list[int] = field(default_factory=list)
    _closed: list[tuple[list[int], int]] = field(default_factory=list)

    def add(self, number: int, asked: Request, shared: int) -> None:
        """Put a request after the one before, with which it shares its first tokens."""
        begin = len(self.tokens)
        if shared < len(self._path):
            self._closed.append((self._path[shared:], begin))
        self.tokens += asked.fed[shared:]
        self.positions += range(shared, len(asked.fed))
        self._path = [*self._path[:shared], *range(begin, len(self.tokens))]
        self.reads.append(Read(number, np.array(self._path[len(asked.fed) - len(asked.scored) :], dtype=np.int64)))
        self.longest = max(self.longest, len(asked.fed))

    @property
    def branches(self) -> bool:
        """Whether there is more than one path, so that a mask is needed."""
        return len(self.tokens) > self.longest

    def ends(self) -> NDArray[np.int64]:
        """(T,) the place after the last that sees this one."""
        found = np.full(len(self.tokens), len(self.tokens), dtype=np.int64)
        for places, end in self._closed:
            found[places] = end
        return found

    def mask(self, dtype: torch.dtype, device: torch.device) -> Tensor:
        """(1, 1, T, T) what is added to attention scores: 0 for a place and its ancestors, else the least number there is."""
        at = torch.arange(len(self.tokens), device=device)
        ends = torch.from_numpy(self.ends()).to(device)
        hidden = (at > at[:, None]) | (at[:, None] >= ends)  # (T, T)
        return torch.zeros(hidden.shape, dtype=dtype, device=device).masked_fill_(hidden, torch.finfo(dtype).min)[None, None]


def shared(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two requests begin with together."""
    for at, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return at
    return min(len(one), len(other))


def pack(requests: Sequence[Request], budget: int) -> list[Row]:
    """Rows of about `budget` tokens, and of three times its longest request, at most WIDE, where more than half is shared.

    A row that is full is cut in its second half, where the request before shares least: what two rows share is read twice.
    """
    order = sorted(range(len(requests)), key=lambda number: requests[number])
    fed = [requests[number].fed for number in order]
    common = [0, *(shared(one, other) for one, other in pairwise(fed))]
    rows, first = [], 0
    while first < len(order):
        last = _reach(fed, common, first, budget)
        row = Row()
        for at in range(first, last):
            row.add(order[at], requests[order[at]], common[at] if at > first else 0)
        rows.append(row)
        first = last
    return rows


def _reach(fed: Sequence[Sequence[int]], common: Sequence[int], first: int, budget: int) -> int:
    """Where the row that begins with request `first` ends."""
    size = longest = len(fed[first])
    cut, least = first + 1, None
    for at in range(first + 1, len(fed)):
        new = len(fed[at]) - common[at]
        longest = max(longest, len(fed[at]))
        if size + new > (max(budget, min(3 * longest, WIDE)) if common[at] > new else budget):
            return cut if least is not None and common[at] > least else at
        if 2 * size >= budget and (least is None or common[at] <= least):
            cut, least = at, common[at]
        size += new
    return len(fed)


def alone(requests: Sequence[Request]) -> list[Row]:
    """Rows of one path each, the longest first: only requests that begin one another stand together."""
    order = sorted(range(len(requests)), key=lambda number: requests[number])
    rows: list[Row] = []
    before: tuple[int, ...] = ()
    for number in order:
        fed = requests[number].fed
        if not rows or fed[: len(before)] != before:
            rows.append(Row())
            before = ()
        rows[-1].add(number, requests[number], len(before))
        before = fed
    return sorted(rows, key=lambda row: -row.longest)
