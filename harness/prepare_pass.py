"""One pass over documents: chunks of them through the steps that look at a document alone, in worker processes.

Chunks are cut by their content, handed out in order and given back in order, a few at a time: what comes out does not depend on
the number of workers, and what is in memory not on the number of documents.
"""

import os
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from typing import Any, NamedTuple

from harness.clean import Step, through
from harness.clean_anonymise import anonymise
from harness.corpus import batches
from harness.duplicates import fingerprint
from harness.errors import HarnessError
from harness.hiding import quote
from harness.withheld import withheld

DOCUMENTS, CHARACTERS = 256, 2**19
"""Where a chunk ends."""
EXAMPLES, SHOWN, READ = 3, 160, 4000
"""Examples of a step, the characters shown of each, and the characters that are made anonymous before they are cut."""


class Row(NamedTuple):
    """A document: the number of its source, its id, its text, and its tokens where they were counted."""

    source: int
    id: str
    text: str
    tokens: int = -1


@dataclass(frozen=True)
class Work:
    """What is done to every document of a pass.

    tokenizer  that counts tokens, as its own JSON
    prints     whether fingerprints are wanted, because duplicates are looked for next
    key        under which examples are withheld, where they are sensitive; "": they are shown
    """

    steps: tuple[Step, ...]
    tokenizer: str
    prints: bool
    key: str


class Made(NamedTuple):
    """What became of a chunk: documents and characters read, those that are left, and what is counted of the others.

    prints  fingerprints of what is left, one behind another
    counts  "step field" -> sum
    marks   type -> count
    """

    read: int
    characters: int
    rows: list[Row]
    prints: bytes
    counts: Counter[str]
    marks: Counter[str]
    examples: dict[str, list[dict[str, Any]]]


def chunks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Documents in chunks, the same ones wherever reading goes on at the beginning of one."""
    return batches(rows, CHARACTERS, DOCUMENTS)


def mapped(parts: Iterable[list[Row]], work: Work, workers: int) -> Iterator[Made]:
    """Every chunk through the work, in order; with one worker in this process."""
    if workers == 1:
        _own.begin(work)
        yield from map(made, parts)
        return
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_begin, initargs=(work,))
    waiting: deque[Future[Made]] = deque()
    try:
        for part in parts:
            waiting.append(pool.submit(made, part))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise HarnessError(
            "a worker process was ended from outside, mostly because memory ran out; "
            "type the same command again with a smaller --workers, and it goes on from where it was"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class _Own:
    """What a worker process holds: its work, and the tokenizer made of it."""

    work: Work
    tokenizer: Any

    def begin(self, work: Work) -> None:
        from tokenizers import Tokenizer

        self.work, self.tokenizer = work, Tokenizer.from_str(work.tokenizer)
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()


_own = _Own()


def _begin(work: Work) -> None:
    """A worker leaves Ctrl-C to its parent, and ends when that is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    quote(not work.key)
    _own.begin(work)


def _end_with_parent() -> None:
    if parent := parent_process():
        parent.join()
        os._exit(1)


def made(part: Sequence[Row]) -> Made:
    """A chunk through every step."""
    counts, marks = Counter[str](), Counter[str]()
    ended = [_through(row, counts, marks) for row in part]
    changed = [i for i, (row, _) in enumerate(ended) if row.tokens < 0]
    sizes = _own.tokenizer.encode_batch_fast([ended[i][0].text for i in changed], add_special_tokens=False)
    for i, size in zip(changed, sizes, strict=True):
        ended[i] = (ended[i][0]._replace(tokens=len(size.ids)), ended[i][1])
    examples: dict[str, list[dict[str, Any]]] = {}
    for row, taken in ended:
        if taken:
            counts[f"{taken} taken"] += 1
            counts[f"{taken} tokens"] += row.tokens
            if len(some := examples.setdefault(taken, [])) < EXAMPLES:
                some.append(example(row, _own.work.key))
    left = [row for row, taken in ended if not taken]
    prints = b"".join(fingerprint(row.text) for row in left) if _own.work.prints else b""
    return Made(len(part), sum(len(row.text) for row in part), left, prints, counts, marks, examples)


def _through(row: Row, counts: Counter[str], marks: Counter[str]) -> tuple[Row, str | None]:
    """A document as it stands at the end of the steps, or before the one that took it; and that one."""
    for step in _own.work.steps:
        out = through((step,), row.text, row.id)
        marks.update(out.marks)
        if out.taken:
            return row, out.taken
        assert out.text is not None
        if out.text != row.text:
            counts[f"{step.name} changed"] += 1
            counts[f"{step.name} characters"] += len(row.text) - len(out.text)
            row = row._replace(text=out.text, tokens=-1)
    return row, None


def example(row: Row, key: str) -> dict[str, Any]:
    """A document for the table: how its text begins, made anonymous; of sensitive text length and keyed digest."""
    known = {"id": row.id, "characters": len(row.text), "tokens": row.tokens}
    if key:
        return {**known, "text": withheld(row.text, key)}
    text = anonymise(" ".join(row.text.split())[:READ]).text
    return {**known, "text": text if len(text) <= SHOWN else f"{text[:SHOWN]}..."}


def pace(part: Sequence[Row], work: Work) -> float:
    """Seconds a byte that one process takes for the work, measured on a few documents."""
    _own.begin(work)
    made(part[:1])  # what is loaded at a first call
    began = time.perf_counter()
    made(part)
    return (time.perf_counter() - began) / sum(len(row.text.encode()) for row in part)
