"""Several tables of rows as one source, mixed by tokens: each is packed on its own, and their own endless orders take turns.

Turns are handed out by error diffusion in whole numbers: after any number of rows each part has been given share x rows, to
within one. Which row is read at which position stays a function of (seed, source, position), so that a restart reads on
anywhere; a part is read in the order in which it would be read alone, every row of it once an epoch of its own.
"""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cached_property, lru_cache
from math import gcd, lcm
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.rows import Facts, Rows
from harness.text import Kept, rows_at

if TYPE_CHECKING:
    from torch import Tensor

FIRST = 4096
"""Turns that are worked out at once; twice as many whenever more are asked for."""


class Mixture:
    """A finite table: the rows of all parts, one part after the other.

    names    what the parts are called
    shares   of the tokens that are read, summing to 1; None: as many as each part has
    """

    def __init__(self, names: Sequence[str], parts: Sequence[Rows], shares: Sequence[Fraction] | None) -> None:
        self.names, self.parts, self.shares = tuple(names), tuple(parts), shares
        self.starts = [sum(map(len, parts[:number])) for number in range(len(parts))]

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    @cached_property
    def facts(self) -> Facts:
        """Sums over the parts."""
        each = [part.facts for part in self.parts]
        sums = {name: sum(getattr(facts, name) for facts in each) for name in vars(each[0]) if name != "whole"}
        return replace(each[0], **sums, whole=all(facts.whole for facts in each))

    def tokens(self, rows: Sequence[int]) -> "Tensor":
        """Rows by number: (len(rows), length) int64."""
        import torch

        owners = np.searchsorted(self.starts, rows, side="right") - 1
        found = torch.empty(len(rows), self.parts[0].length, dtype=torch.int64)
        for number in set(owners.tolist()):
            mine = np.flatnonzero(owners == number)
            found[mine] = self.parts[number].tokens([rows[place] - self.starts[number] for place in mine.tolist()])
        return found

    def weights(self, kept: Kept | None = None) -> tuple[int, ...]:
        """Turns of each part in one round, in whole numbers.

        Where rows were selected, what is kept of a part has its share times the part of its rows that is kept: a row that is
        kept is read as often beside other kept ones as without the selection, and a lone row of a part never in its place.
        """
        whole_sizes = self.sizes()
        shares = whole_sizes if self.shares is None else self.shares
        each = zip(shares, self.sizes(kept), whole_sizes, strict=True)
        shares = [Fraction(share) * size / whole if whole else Fraction(0) for share, size, whole in each]
        whole = lcm(*(share.denominator for share in shares))
        turns = [int(share * whole) for share in shares]
        common = gcd(*turns) or 1
        return tuple(count // common for count in turns)

    def sizes(self, kept: Kept | None = None) -> list[int]:
        """Rows of each part, of those kept."""
        return [len(part) if own is None else len(own.rows) for part, own in zip(self.parts, self.split(kept), strict=True)]

    def given(self, rows: int, kept: Kept | None = None) -> list[int]:
        """Rows of each part among the first so many of the endless order, those read again counted again."""
        weights = self.weights(kept)
        done, turn = divmod(rows, sum(weights))
        owners, _ = _turns(weights, _enough(turn, sum(weights)))
        begun = np.bincount(owners[:turn], minlength=len(weights))
        return [done * own + int(more) for own, more in zip(weights, begun, strict=True)]

    def epoch(self) -> int:
        """Rows after which the first part has been read once: no row has been read twice by then."""
        weights = self.weights()
        rounds = [size * sum(weights) // own for size, own in zip(self.sizes(), weights, strict=True) if own]
        return min(rounds, default=0)

    def places(self, positions: Sequence[int], kept: Kept | None = None) -> list[tuple[int, int]]:
        """(part, position in the part's own endless order) at positions of the mixture's."""
        weights = self.weights(kept)
        found = []
        for position in positions:
            done, turn = divmod(position, sum(weights))
            owners, before = _turns(weights, _enough(turn, sum(weights)))
            part = int(owners[turn])
            found.append((part, done * weights[part] + int(before[turn])))
        return found

    def rows_at(self, seed: int, source: str, positions: Sequence[int], kept: Kept | None = None) -> list[int]:
        """Row numbers at positions of the endless order."""
        places, split = self.places(positions, kept), self.split(kept)
        found = dict[tuple[int, int], int]()
        for number in {part for part, _ in places}:
            mine = [place for part, place in places if part == number]
            rows = rows_at(seed, source, mine, len(self.parts[number]), split[number])
            found |= {(number, place): self.starts[number] + row for place, row in zip(mine, rows, strict=True)}
        return [found[place] for place in places]

    def split(self, kept: Kept | None) -> tuple[Kept | None, ...]:
        """The rows of each part that are kept, by its own numbers."""
        return (None,) * len(self.parts) if kept is None else _apart(kept, tuple(self.starts), len(self))

    def in_turn(self) -> "InTurn":
        """The rows of one epoch, parts taking turns: any stretch of them holds each part's share."""
        return InTurn(self)


class InTurn:
    """A mixture's rows in the order in which its parts take turns, unshuffled, until one is used up."""

    def __init__(self, mixture: Mixture) -> None:
        self.mixture = mixture

    def __len__(self) -> int:
        return self.mixture.epoch()

    def tokens(self, rows: Sequence[int]) -> "Tensor":
        """Rows by number: (len(rows), length) int64."""
        return self.mixture.tokens([self.mixture.starts[part] + row for part, row in self.mixture.places(rows)])


@lru_cache(maxsize=32)
def _apart(kept: Kept, starts: tuple[int, ...], end: int) -> tuple[Kept, ...]:
    cuts = np.searchsorted(kept.rows, [*starts, end])
    return tuple(Kept(kept.rows[a:b] - start) for a, b, start in zip(cuts, cuts[1:], starts, strict=False))


def _enough(turn: int, whole: int) -> int:
    """Turns to work out so that one is among them."""
    return min(whole, max(FIRST, 2 ** (turn + 1).bit_length()))


@lru_cache(maxsize=8)
def _turns(weights: tuple[int, ...], count: int) -> tuple[np.ndarray, np.ndarray]:
    """(count,) whose turn it is, and (count,) the turns that it had before: the first of a round of sum(weights).

    Each part's k-th row is released once more than k - 1 are owed and due before k are: earliest due first keeps all of
    these deadlines (Baruah et al. 1996, proportionate progress), as in `text.mix`.
    """
    whole, given = sum(weights), [0] * len(weights)
    owners, before = np.empty(count, np.int32), np.empty(count, np.int64)
    due = [-(-whole // own) if own else 0 for own in weights]
    for turn in range(count):
        released = [n for n, own in enumerate(weights) if given[n] * whole < own * (turn + 1)]
        next_ = min(released, key=due.__getitem__)
        owners[turn], before[turn] = next_, given[next_]
        given[next_] += 1
        due[next_] = -(-(given[next_] + 1) * whole // weights[next_])
    return owners, before


def epoch(table: Any) -> int:
    """Rows of an epoch: all of them; of a mixture, until its first part was read once."""
    return table.epoch() if isinstance(table, Mixture) else len(table)


def rows_of(table: Any, seed: int, source: str, positions: Sequence[int], kept: Kept | None = None) -> list[int]:
    """Positions in the endless order of a source, mixed or not, to row numbers of its table."""
    if isinstance(table, Mixture):
        return table.rows_at(seed, source, positions, kept)
    return rows_at(seed, source, positions, len(table), kept)
