"""Documents to packed rows; one fixed order a seed; exact mixtures of sources.

A stream is documents within their borders (borders.py): every document, the first one too, comes behind the token that it
began behind in the base's pre-training, from which its first token is predicted. The stream is cut into windows of
`length` tokens: no padding, no token lost or doubled; only the last, incomplete window is dropped, and counted.

Which row is read at which position is a function of (seed, source, position) and of nothing else.
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import lru_cache, partial
from io import BytesIO
from itertools import count
from typing import IO, Any

import numpy as np

from harness.borders import Borders, borders
from harness.corpus import Document, batches
from harness.errors import InputError
from harness.plan import digest
from harness.rows import Cache, Facts, Rows
from harness.strategy import NEW

DOCUMENTS, CHARACTERS = 256, 2**22  # that are tokenised at once: work for all cores, little memory
NEAR = 1e-9  # rounding of shares: 0.1 ten times is one row

AHEAD = 1000  # updates whose mixtures are looked at before their time: rows that are due later are not urgent


def tokenizer_digest(tokenizer: Any, known: Borders | None = None) -> str:
    """sha256 of all that decides which tokens a text becomes; equal after saving and loading.

    Vocabulary, merges and rules, without what is set at each call (padding, truncation); BOS, EOS and the start of a document.
    Borders that are `known`, and are not those that the tokenizer shows, make another digest.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    rules = json.loads(backend.to_str()) if backend is not None else {"vocabulary": tokenizer.get_vocab()}
    rules = {key: value for key, value in rules.items() if key not in ("padding", "truncation")}
    shown = borders(tokenizer)
    found = digest([rules, tokenizer.bos_token_id, tokenizer.eos_token_id, shown.start])
    return found if known in (None, shown) else digest([found, astuple(known)])


def pack(
    tokenizer: Any,
    documents: Iterable[Document],
    length: int,
    cache: Cache | None = None,
    limit_tokens: int | None = None,
    known: Borders | None = None,
) -> Rows:
    """Documents to packed rows, kept in `cache` where one is given.

    limit_tokens   stops early: the rows are then the first limit // length of the whole table
    known          the borders of documents, where more is known of the base than its tokenizer shows
    """
    limit = None if limit_tokens is None else limit_tokens // length
    kind = np.dtype(np.uint16 if max(tokenizer.get_vocab().values()) < 2**16 else np.int32)
    stream = _Stream(encode(tokenizer, documents, known), kind, length, limit)
    if cache is None:
        memory = BytesIO()
        facts = stream.write(memory)
        return Rows(np.frombuffer(memory.getbuffer(), kind).reshape(-1, length), facts)
    what = [tokenizer_digest(tokenizer, known), cache.key, length, limit]
    return cache.rows(digest(what), kind, length, stream.write)


def encode(tokenizer: Any, documents: Iterable[Document], known: Borders | None = None) -> Iterator[tuple[list[int], int]]:
    """Each document's tokens within its borders, and its bytes. Text that spells a special token stays text."""
    found_borders = known or borders(tokenizer)
    for batch in batches(documents, CHARACTERS, DOCUMENTS):
        found = tokenizer(
            [document.text for document in batch],
            add_special_tokens=False,
            split_special_tokens=True,
            return_attention_mask=False,
            verbose=False,
        )
        for document, tokens in zip(batch, found.input_ids, strict=True):
            yield found_borders.around(tokens), len(document.text.encode())


@dataclass
class _Stream:
    """Encoded documents on their way into a file."""

    documents: Iterator[tuple[list[int], int]]
    kind: np.dtype
    length: int
    limit: int | None

    def write(self, file: IO[bytes]) -> Facts:
        """Write all complete windows."""
        documents = size = tokens = 0
        goal = math.inf if self.limit is None else self.limit * self.length
        while tokens < goal and (found := next(self.documents, None)):
            ids, text_bytes = found
            file.write(np.asarray(ids, self.kind).tobytes())
            documents, size, tokens = documents + 1, size + text_bytes, tokens + len(ids)
        rows = int(min(tokens, goal)) // self.length
        kept = rows * self.length
        file.truncate(kept * self.kind.itemsize)
        whole = tokens < goal or next(self.documents, None) is None
        return Facts(rows, kept, documents, size, tokens - kept, whole)


@lru_cache(maxsize=32)
def order(seed: int, source: str, epoch: int, n: int) -> np.ndarray:
    """(n,) the order in which an epoch reads a table's rows: a permutation, the same under every version of numpy.

    Raw bits of PCG64, sorted: numpy promises these bits, but not what its `permutation` makes of them.
    """
    word = hashlib.sha256(f"{seed}/{source}/{epoch}".encode()).digest()
    bits = np.random.PCG64(int.from_bytes(word)).random_raw(n)
    found = np.argsort(bits, kind="stable")
    found.setflags(write=False)
    return found


@dataclass(frozen=True, eq=False)
class Kept:
    """Row numbers of a table that may be read, ascending. Itself a key of what is made from it: there may be millions."""

    rows: np.ndarray


def rows_at(seed: int, source: str, positions: Sequence[int], n: int, kept: Kept | None = None) -> list[int]:
    """Positions in a source's endless order to row numbers: epoch after epoch, every row (of those kept) once in each."""
    assert n > 0, f"{source} has no rows"
    size = n if kept is None else len(kept.rows)
    return [int(order_of(seed, source, position // size, n, kept)[position % size]) for position in positions]


@lru_cache(maxsize=32)
def order_of(seed: int, source: str, epoch: int, n: int, kept: Kept | None) -> np.ndarray:
    """An epoch's order of the rows that are kept: that of all rows, with the others left out."""
    found = order(seed, source, epoch, n)
    if kept is None:
        return found
    wanted = np.zeros(n, dtype=bool)
    wanted[kept.rows] = True
    return found[wanted[found]]


def mix(
    shares: Mapping[str, float],
    batch: int,
    carry: Mapping[str, float],
    later: Callable[[], Iterable[Mapping[str, float]]] = tuple,
) -> tuple[dict[str, int], dict[str, float]]:
    """Rows by source of one global step, and what is owed to each source afterwards; `new` gets what is left.

    Error diffusion over the global batch: after any number of steps each source has been given the sum of batch x share
    over them, to within one row. One source alone gets floor(owed). Several get floor(sum owed) between them, each row
    going to the source whose next row is due first: a schedule that keeps all the deadlines floor(sum of batch x share)
    exists, and earliest deadline first finds one (Baruah et al. 1996, proportionate progress).

    later   the shares of the updates that follow, by which rows are due; shares stay as they are after the last
    """
    check_shares(shares)
    owed = {name: carry.get(name, 0.0) + batch * share for name, share in shares.items()}
    counts = dict.fromkeys(owed, 0)

    def due(name: str) -> float:
        """Steps until the source's next row is overdue; shares that stay the same for a while are one stretch."""
        left, begun, rate = counts[name] + 1 - owed[name], 0, batch * shares[name]
        if left <= NEAR:
            return -math.inf
        for step, coming in enumerate(later()):
            if (now := batch * coming.get(name, 0.0)) != rate:
                left, begun, rate = left - (step - begun) * rate, step, now
            if (step + 1 - begun) * rate >= left - NEAR:
                break
        return begun + left / rate if rate else math.inf

    dues = {name: due(name) if len(owed) > 1 else 0.0 for name in owed}
    for _ in range(math.floor(sum(owed.values()) + NEAR)):
        first = min((name for name in owed if owed[name] > counts[name] + NEAR), key=dues.__getitem__)
        counts[first] += 1
        dues[first] = due(first) if len(owed) > 1 else 0.0
    left = {name: owed[name] - counts[name] for name in owed}
    return {**counts, NEW: batch - sum(counts.values())}, {**carry, **left}


def shared_out(mixture: Callable[[int], Mapping[str, float]], steps: int, batch: int) -> Iterator[dict[str, int]]:
    """Rows by source of update 1, 2, ..., by the mixture of each; what comes is known up to the last of `steps`."""
    known: dict[int, Mapping[str, float]] = {}

    def shares(update: int) -> Mapping[str, float]:
        if update not in known:
            known[update] = mixture(update)
        return known[update]

    carry: Mapping[str, float] = {}
    for update in count(1):
        coming = range(update + 1, min(steps, update + AHEAD) + 1)
        counts, carry = mix(shares(update), batch, carry, partial(map, shares, coming))
        del known[update]
        yield counts


def check_shares(shares: Mapping[str, float]) -> None:
    """Refuse shares that no batch can have."""
    if NEW in shares:
        raise InputError(f"a mixture names {NEW}; {NEW} gets what the other sources leave, give the shares of those")
    for name, share in shares.items():
        if not 0 <= share <= 1:
            raise InputError(f"the share of {name} is {share:g}; a share lies between 0 and 1")
    total = sum(shares.values())
    if total > 1 + NEAR:
        raise InputError(f"the shares of {', '.join(shares)} sum to {total:g}; they may sum to 1 at most")
