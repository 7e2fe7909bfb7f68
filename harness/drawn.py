"""Old text that is drawn from the base itself, for where nothing that it read can be had.

It is of the base's own distribution: what it lets an arm keep is what the base would say, which need not be what it once read.
Each row is a function of base, seed and row (sample.py); rows are kept group by group, so that drawing goes on where it
stopped, and a text that was drawn once is drawn no more.

Cost: one forward pass a token, in order, with a cache of keys and values: 2 x parameters FLOPs a token, against 6 of training.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from harness import local
from harness.corpus import Corpus
from harness.files import cache, read_json, write_json, write_text
from harness.formats import Place
from harness.model import Base, count_parameters, load_model
from harness.plan import digest
from harness.sample import group, groups_of
from harness.sources import Say

SHARE, MOST, ROWS = 0.1, 2**20, 64
"""Tokens that are drawn: a tenth of what an arm trains on, so many at most, and so many rows at least, to hold some out.

Replay reads a quarter by default, so each drawn token is read two or three times; what an arm estimates from old text (a Fisher
matrix) takes up to 2^20 tokens. In FLOPs it is a thirtieth of one training; in time about a tenth, as rows grow token by token.
"""
SEED = 0


@dataclass(frozen=True)
class Drawing:
    """A text to be drawn: so many rows of `length` tokens behind the token that documents begin with.

    ends    tokens that end a document
    """

    base: Base
    tokenizer: Any
    start: int
    ends: frozenset[int]
    rows: int
    length: int

    @property
    def tokens(self) -> int:
        """Tokens that are drawn."""
        return self.rows * self.length

    @property
    def cost(self) -> str:
        """What it takes, in words."""
        return f"{self.tokens:,} tokens, {2 * count_parameters(self.base.folder) * self.tokens:.1e} FLOPs, kept for later runs"

    @cached_property
    def folder(self) -> Path:
        """Where it is kept."""
        what = [self.base.digest, self.start, sorted(self.ends), self.rows, self.length, SEED]
        return cache() / "drawn" / digest(what)

    @property
    def path(self) -> Path:
        """Its documents, once all are drawn."""
        return self.folder / "drawn.jsonl"

    def corpus(self, seed: int) -> Corpus:
        """Its documents, as they were drawn."""
        found = local.one(self.path, Place(str(self.path)), seed)
        about = f"{self.rows} rows of {self.length} tokens at temperature 1, seed {SEED}"
        return replace(found, name=name(self.base), about=about, word=f"drawn:{self.rows}x{self.length}")

    def draw(self, say: Say) -> None:
        """Draw what is missing of it."""
        from harness.train import device

        model: Any = None
        groups, began, drawn = groups_of(self.rows, self.length), time.perf_counter(), 0
        for number, rows in enumerate(groups):
            part = self.folder / f"{rows.start}.json"
            if part.is_file():
                continue
            model = model or load_model(self.base.folder).to(device()).eval()
            tokens = group(model, self.start, rows, self.length, SEED)
            write_json(part, {"rows": tokens.tolist()})
            drawn += 1
            left = (time.perf_counter() - began) / drawn * (len(groups) - number - 1)
            say(f"old text: {number + 1} of {len(groups)} parts drawn, {left / 60:.1f} minutes left")
        documents = [{"id": f"{number}-{i}", "text": text} for number, i, text in self._documents(groups)]
        write_text(self.path, "".join(json.dumps(document) + "\n" for document in documents))

    def _documents(self, groups: list[range]) -> Iterator[tuple[int, int, str]]:
        """Row, place in it, and text of every document."""
        for rows in groups:
            for number, tokens in zip(rows, read_json(self.folder / f"{rows.start}.json")["rows"], strict=True):
                for i, ids in enumerate(_cut(tokens[1:], self.ends) if number < self.rows else ()):
                    if (text := self.tokenizer.decode(ids, skip_special_tokens=True)).strip():
                        yield number, i, text


def name(base: Base) -> str:
    """How a text that was drawn from a base is called."""
    return f"drawn from {base.name.rstrip('/').rpartition('/')[2]}"


def rows_of(budget: int, length: int) -> int:
    """Rows that are drawn for a training of so many tokens."""
    return max(ROWS, -(-min(MOST, round(SHARE * budget)) // length))


def _cut(tokens: list[int], ends: frozenset[int]) -> Iterator[list[int]]:
    """Documents between tokens that end them."""
    found: list[int] = []
    for token in tokens:
        if token in ends:
            yield found
            found = []
        else:
            found.append(token)
    yield found
