"""Runs that follow each other."""

from collections.abc import Iterator, Sequence
from typing import Any

from harness.record import Record


def chain(records: Sequence[Record]) -> tuple[Record, ...]:
    return ()


def rows(records: Sequence[Record]) -> Iterator[dict[str, Any]]:
    yield from ()
