"""Several texts as one source: within one row of their shares after every row, each in its own order, continued anywhere."""

from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.bench import BATCH, LENGTH, Control, tiny_setting
from harness.corpus import Corpus, Document
from harness.mixture import Mixture, epoch, rows_of
from harness.passed import passed, told
from harness.plan import Budget
from harness.reader import Reader
from harness.rows import Facts, Rows
from harness.sources import Mixed, mixed
from harness.strategy import Course, Memory, Strategy
from harness.text import Kept, rows_at
from harness.train import Training, train

SMALL = settings(deadline=None, max_examples=80)
sizes = st.lists(st.integers(1, 60), min_size=2, max_size=6)


def table(rows: int, first: int = 0, start: int = 0) -> Rows:
    """Rows that tell themselves apart: row i is [first + i] throughout."""
    array = np.repeat(np.arange(first, first + rows, dtype=np.int32)[:, None], LENGTH, axis=1)
    return Rows(array, Facts(rows, rows * LENGTH, rows, rows, 0, True))


def mixture(sizes: list[int], shares: list[Fraction] | None = None) -> Mixture:
    starts = np.cumsum([0, *sizes])
    parts = [table(size, int(start)) for size, start in zip(sizes, starts, strict=False)]
    return Mixture([f"part{n}" for n in range(len(sizes))], parts, shares)


@st.composite
def shared(draw: st.DrawFn) -> tuple[list[int], list[Fraction] | None]:
    """Sizes of parts, and shares that sum to 1, or none."""
    found = draw(sizes)
    if draw(st.booleans()):
        return found, None
    weights = draw(st.lists(st.integers(1, 1000), min_size=len(found), max_size=len(found)))
    return found, [Fraction(weight, sum(weights)) for weight in weights]


def owner(mix: Mixture, row: int) -> int:
    """The part that a row number belongs to, by adding up sizes."""
    for number, part in enumerate(mix.parts):
        if row < len(part):
            return number
        row -= len(part)
    raise AssertionError(f"there is no row {row}")


@SMALL
@given(made=shared(), seed=st.integers(0, 2**32), rows=st.integers(1, 400))
def test_every_part_has_its_share_to_within_one_row_after_every_row(
    made: tuple[list[int], list[Fraction] | None], seed: int, rows: int
) -> None:
    """For any number of parts and any shares, over any number of epochs."""
    mix = mixture(*made)
    shares = made[1] or [Fraction(size, sum(made[0])) for size in made[0]]
    given_ = [0] * len(shares)
    for count, row in enumerate(mix.rows_at(seed, "new", range(rows)), 1):
        given_[owner(mix, row)] += 1
        for own, share in zip(given_, shares, strict=True):
            assert abs(own - share * count) < 1
    assert mix.given(rows) == given_


@SMALL
@given(made=shared(), seed=st.integers(0, 2**32), rows=st.integers(1, 400))
def test_a_part_is_read_in_the_order_in_which_it_would_be_read_alone(
    made: tuple[list[int], list[Fraction] | None], seed: int, rows: int
) -> None:
    """Which is every row of it once an epoch of its own; and it is the same under one seed only."""
    mix = mixture(*made)
    found = mix.rows_at(seed, "new", range(rows))
    for number, (part, start) in enumerate(zip(mix.parts, mix.starts, strict=True)):
        own = [row - start for row in found if owner(mix, row) == number]
        assert own == rows_at(seed, "new", range(len(own)), len(part))
        for begin in range(0, len(own) - len(part) + 1, len(part)):
            assert sorted(own[begin : begin + len(part)]) == list(range(len(part)))


@SMALL
@given(made=shared(), start=st.integers(0, 500), pieces=st.lists(st.integers(0, 40), max_size=6))
def test_a_mixture_reads_on_from_anywhere(made: tuple[list[int], list[Fraction] | None], start: int, pieces: list[int]) -> None:
    """Positions in any pieces, in a process that never read those before, are the rows that one reading gives."""
    end = start + sum(pieces)
    whole = mixture(*made).rows_at(7, "old", range(end))
    at, found = start, []
    for piece in pieces:
        found += mixture(*made).rows_at(7, "old", range(at, at + piece))
        at += piece
    assert found == whole[start:]


@SMALL
@given(made=shared(), data=st.data(), rows=st.integers(1, 200))
def test_of_rows_that_are_kept_parts_have_their_shares_too(
    made: tuple[list[int], list[Fraction] | None], data: st.DataObject, rows: int
) -> None:
    """Times the part of their rows that is kept: what is kept is read as often, beside the rest, as it would have been."""
    mix = mixture(*made)
    chosen = sorted(data.draw(st.sets(st.integers(0, len(mix) - 1), min_size=1)))
    kept, held = Kept(np.array(chosen)), Counter(owner(mix, row) for row in chosen)
    wanted = {n: made[1][n] * held[n] / made[0][n] if made[1] else Fraction(held[n]) for n in held}
    found = mix.rows_at(3, "new", range(rows), kept)
    assert set(found) <= set(chosen)
    for count in range(1, rows + 1):
        read = Counter(owner(mix, row) for row in found[:count])
        assert all(abs(read[n] - share / sum(wanted.values()) * count) < 1 for n, share in wanted.items())
    if not made[1]:  # by tokens: every row that is kept once an epoch
        assert len(set(found[: len(chosen)])) == min(rows, len(chosen))


@SMALL
@given(made=shared())
def test_no_row_is_read_twice_in_an_epoch(made: tuple[list[int], list[Fraction] | None]) -> None:
    """It is as long as that allows: by tokens it is everything once; with shares one part was all read, to a row."""
    mix = mixture(*made)
    count = epoch(mix)
    found = mix.rows_at(1, "new", range(count))
    assert len(set(found)) == count
    read = Counter(owner(mix, row) for row in found)
    assert min(size - read[n] for n, size in enumerate(made[0])) <= 1
    assert made[1] or count == len(mix)


def test_parts_take_turns_from_the_first_row_on() -> None:
    """0.7 and 0.3 in rounds of ten."""
    mix = mixture([50, 50], [Fraction(7, 10), Fraction(3, 10)])
    turns = [owner(mix, row) for row in mix.rows_at(0, "new", range(20))]
    assert turns[:10] == turns[10:]
    assert Counter(turns[:10]) == {0: 7, 1: 3}
    assert Counter(turns[:5]) in ({0: 4, 1: 1}, {0: 3, 1: 2})
    assert mix.weights() == (7, 3)
    assert mixture([4, 2]).weights() == (2, 1)


def test_tokens_come_by_number_from_whichever_part() -> None:
    mix = mixture([3, 4, 5])
    assert len(mix) == 12
    assert (mix.facts.rows, mix.facts.tokens, mix.facts.documents) == (12, 12 * LENGTH, 12)
    assert mix.tokens([11, 0, 3, 11, 2])[:, 0].tolist() == [11, 0, 3, 11, 2]
    turns = mix.in_turn()
    assert sorted(turns.tokens(range(len(turns)))[:, 0].tolist()) == list(range(12))
    assert {owner(mix, int(row)) for row in turns.tokens(range(3))[:, 0]} == {0, 1, 2}


def test_one_table_alone_reads_as_it_always_did() -> None:
    assert rows_of(table(12), 7, "new", range(30)) == rows_at(7, "new", range(30), 12)


class Moving(Strategy):
    """A schedule of shares: old text comes and goes."""

    def mixture(self, update: int, course: Course) -> dict[str, float]:
        return {"old": (update % 7) / 10, "task": 0.1}


@SMALL
@given(batch=st.integers(1, 16), steps=st.integers(1, 40), seed=st.integers(0, 99))
def test_shares_hold_within_sources_whose_own_share_moves(batch: int, steps: int, seed: int) -> None:
    """Each source is mixed of parts, and parts have their shares of what their source was given, to within one row."""
    shares = [Fraction(1, 2), Fraction(1, 3), Fraction(1, 6)]
    tables = {name: mixture([5, 9, 20], shares) for name in ("new", "old", "task")}
    setting = tiny_setting(Path(), budget=Budget(steps, batch, LENGTH, 1.0), tables=tables)
    reader, read = Reader(Moving(), Memory(), setting, seed), {name: Counter[int]() for name in tables}
    for update in range(1, steps + 1):
        for source, row in reader.read():
            read[source][owner(tables[source], row)] += 1
        for source, mix in tables.items():
            total = reader.positions[source]
            assert [read[source][n] for n in range(3)] == mix.given(total)
            assert all(abs(read[source][n] - share * total) < 1 for n, share in enumerate(shares))
        owed = batch * sum((u % 7) / 10 for u in range(1, update + 1))
        assert abs(reader.positions["old"] - owed) < 1 + 1e-6


def test_a_training_on_mixtures_is_continued_with_the_same_bits(tmp_path: Path) -> None:
    tables = dict.fromkeys(("new", "old", "task"), mixture([7, 4, 9], [Fraction(1, 2), Fraction(1, 4), Fraction(1, 4)]))

    def made() -> Training:
        return Training(Moving(), tiny_setting(tmp_path, tables=tables, checkpoint_every=1), 1)

    whole, again = made(), made()
    train(whole, tmp_path / "whole")

    class Stop(Exception): ...

    def stop(done: int, total: int, row: Any) -> None:
        if done == 3:
            raise Stop

    with pytest.raises(Stop):
        train(again, tmp_path / "again", stop)
    again = made()
    train(again, tmp_path / "again")
    assert again.reader.positions == whole.reader.positions
    for one, two in zip(whole.model.parameters(), again.model.parameters(), strict=True):
        assert one.equal(two)


START = 0


def documented(rows: list[list[int]]) -> Rows:
    array = np.array(rows, dtype=np.int32)
    return Rows(array, Facts(len(array), array.size, 1, 1, 0, True))


def documents_of(rows: Rows, read: list[int]) -> int:
    """Documents of which any token stands in the rows that were read, token by token."""
    stream, number, owners = rows.array.reshape(-1).tolist(), -1, []
    for token in stream:
        number += token == START
        owners.append(number)
    length = rows.length
    return len({owners[row * length + place] for row in read for place in range(length)})


@SMALL
@given(data=st.data(), steps=st.integers(1, 12))
def test_what_was_read_is_counted(data: st.DataObject, steps: int) -> None:
    """Tokens, epochs, unique tokens and documents of every part, counted here row by row."""
    tables = []
    for _ in range(2):
        rows = data.draw(st.lists(st.lists(st.integers(0, 3), min_size=3, max_size=3), min_size=1, max_size=30))
        rows[0][0] = START
        tables.append(documented(rows))
    mix = Mixture(["a", "b"], tables, None)
    setting = tiny_setting(Path(), budget=Budget(steps, BATCH, 3, 1.0), tables={"new": mix, "old": tables[0]})
    reader, read = Reader(Control(), Memory(), setting, 5), list[int]()
    for _ in range(steps):
        read += [row for _, row in reader.read()]
    found = passed(reader, START)
    assert set(found) == {"new"}
    assert found["new"]["tokens"] == steps * BATCH * 3
    for number, (name, rows) in enumerate(zip("ab", tables, strict=True)):
        own = [row - mix.starts[number] for row in read if owner(mix, row) == number]
        assert found["new"]["parts"][name] == {
            "tokens": len(own) * 3,
            "epochs": len(own) / len(rows),
            "unique_tokens": len(set(own)) * 3,
            "documents": documents_of(rows, list(set(own))),
        }


def corpus(name: str, key: str, **facts: Any) -> Corpus:
    return Corpus(name, name, lambda split: iter([Document("1", f"{name} {split}")]), key, **facts)


def test_a_mixture_is_a_corpus_of_all_documents() -> None:
    found = mixed("new", [corpus("notes", "1"), corpus("notes", "2", sensitive=True), corpus("a-b", "3")], None)
    assert isinstance(found, Mixed)
    assert [part.name for part in found.parts] == ["notes", "notes_2", "a_b"]
    assert [(d.id, d.text) for d in found.read("test")] == [
        ("notes:1", "notes test"), ("notes_2:1", "notes test"), ("a_b:1", "a-b test"),
    ]  # fmt: skip
    assert found.sensitive
    other = mixed("new", list(found.parts), [Fraction(1, 2), Fraction(1, 4), Fraction(1, 4)])
    assert len({found.key, other.key}) == 2
    alone = corpus("notes", "1")
    assert mixed("new", [alone], [Fraction(1)]) is alone


def test_a_plan_says_how_a_text_is_mixed_and_how_often_it_is_read() -> None:
    parts = [corpus("notes", "1"), corpus("code", "2")]
    shares = [Fraction(3, 4), Fraction(1, 4)]
    assert told("new", mixed("new", parts, shares), mixture([30, 100], shares), 80) == [
        "the new text is, by tokens, 0.75 part0 (read 2 times), 0.25 part1 (read 0.2 times): as asked"
    ]
    assert told("old", mixed("old", parts, None), mixture([30, 10]), 0) == [
        "the old text is, by tokens, 0.75 part0, 0.25 part1: each by its own as no shares were given"
    ]
    assert told("new", parts[0], table(30), 30) == []
    assert told("new", parts[0], table(30), 45) == ["the new text is read 1.5 times"]
