"""What is typed for a text: one corpus, or several with shares; what cannot be meant is one sentence."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from harness import sources
from harness.corpus import Corpus, Document
from harness.errors import InputError
from harness.settings import settings
from harness.sources import heard, mixed, read, words

HALF = Fraction(1, 2)


@pytest.mark.parametrize(
    ("typed", "names", "shares"),
    [
        ("notes.jsonl", ["notes.jsonl"], None),
        ("a.jsonl,b.jsonl", ["a.jsonl", "b.jsonl"], None),
        ("a.jsonl=0.7, b.jsonl#body=.3", ["a.jsonl", "b.jsonl#body"], [Fraction(7, 10), Fraction(3, 10)]),
        ("a=0.333,b=0.333,c=0.333", ["a", "b", "c"], [Fraction(1, 3)] * 3),
        ({"a,b=1.jsonl": 0.5, "owner/name": 0.5}, ["a,b=1.jsonl", "owner/name"], [HALF, HALF]),
        ({"a": None, "b": None}, ["a", "b"], None),
        ("x=y.jsonl", ["x=y.jsonl"], None),  # no share: no number
        ("a=1", ["a"], [Fraction(1)]),
    ],
)
def test_texts_and_shares(typed: Any, names: list[str], shares: list[Fraction] | None) -> None:
    assert read("new", typed) == (names, shares)
    assert words(typed) == names
    assert settings({"new": typed}, "here").new == typed


def test_what_is_there_as_a_whole_is_one_text(tmp_path: Path) -> None:
    for name in ("a,b.jsonl", "a=0.5.jsonl", "a.jsonl=0.5,b.jsonl=0.5", "c=1"):
        path = tmp_path / name
        path.write_text("")
        assert read("new", str(path)) == ([str(path)], None)
        assert read("new", f"{path}#body") == ([f"{path}#body"], None)
    assert read("new", f"{tmp_path / 'c=1'}=0.5,b=0.5") == ([str(tmp_path / "c=1"), "b"], [HALF, HALF])


@pytest.mark.parametrize(
    ("typed", "names", "shares"),
    [
        ("a.jsonl#body,b.jsonl", ["a.jsonl#body", "b.jsonl"], None),
        ("a.jsonl#body,b.jsonl#body", ["a.jsonl#body", "b.jsonl#body"], None),
        ("a.jsonl#body=0.5,b.jsonl=0.5", ["a.jsonl#body", "b.jsonl"], [HALF, HALF]),
        ("b.jsonl=0.5,a.jsonl#body=0.5", ["b.jsonl", "a.jsonl#body"], [HALF, HALF]),
        ("code#.java,.kt", ["code#.java,.kt"], None),
        ("code#.java,.kt,b.jsonl", ["code#.java,.kt", "b.jsonl"], None),
        ("code#.java,.d.ts=0.5,b.jsonl=0.5", ["code#.java,.d.ts", "b.jsonl"], [HALF, HALF]),
        ("code#.java=0.5,./b.jsonl=0.5", ["code#.java", "./b.jsonl"], [HALF, HALF]),
        ("a,b.jsonl#body", ["a,b.jsonl#body"], None),
    ],
)
def test_files_that_are_there_and_name_a_column_are_mixed_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, typed: str, names: list[str], shares: list[Fraction] | None
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("code").mkdir()
    for name in ("a.jsonl", "b.jsonl", "a,b.jsonl"):
        Path(name).write_text("")
    assert read("new", typed) == (names, shares)


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("a=0.7,b=0.2", "--new: the shares of a, b sum to 0.9; they are to sum to 1"),
        ("a=0.7", "--new: the shares of a sum to 0.7; they are to sum to 1"),
        ("a=1,b=0", "--new: the share of b is 0; shares are above 0, leave out what is not read"),
        ({"a": 1.5, "b": -0.5}, "--new: the share of b is -0.5; shares are above 0, leave out what is not read"),
        ("a=0.5,b", "--new gives a a share and b none; give all of them one, or none"),
        ("a=0.5,a=0.5", "--new names a twice; name each text once, with its whole share"),
        ("a,,b", "--new a,,b has an empty part; give names with a comma between them"),
    ],
)
def test_what_cannot_be_meant(typed: Any, sentence: str) -> None:
    with pytest.raises(InputError) as error:
        read("new", typed)
    assert str(error.value) == sentence


@pytest.mark.parametrize("typed", [{"a": "much"}, {"a": True, "b": 0.5}, {"a": float("nan")}, 7])
def test_what_is_no_text_and_no_share(typed: Any) -> None:
    with pytest.raises(InputError, match="give a text, or several with their shares, as in"):
        settings({"new": typed}, "here")


def text(name: str, key: str) -> Corpus:
    return Corpus(name, name, lambda split: iter([]), key)


def test_the_same_text_under_two_words_is_refused() -> None:
    with pytest.raises(InputError) as error:
        mixed("old", [text("a", "1"), text("b", "2"), text("link-to-a", "1")], None)
    assert str(error.value) == "--old: a and link-to-a are the same text; name it once"


def test_text_that_is_streamed_wants_a_share() -> None:
    with pytest.raises(InputError) as error:
        mixed("new", [text("a", "1"), text("web", "hub:2")], None)
    assert str(error.value) == ("--new: web is streamed, and how many tokens it has is not known; give shares, as in web=0.5")
    assert mixed("new", [text("a", "1"), text("web", "hub:2")], [HALF, HALF]).name == "a+web"


def test_reading_that_takes_long_is_heard_of_and_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def named(name: str) -> Corpus:
        return Corpus(name, "", lambda split: iter([Document(f"{split}{i}", "a" * 10**6) for i in range(3)]), name)

    both = mixed("new", [named("one"), named("two")], None)
    said: list[str] = []
    clock = iter(range(0, 1000, 4))
    monkeypatch.setattr(sources.time, "monotonic", lambda: float(next(clock)))
    for quiet, count in ((100.0, 0), (7.0, 2)):
        monkeypatch.setattr(sources, "QUIET", quiet)
        slow = heard(both, said.append)
        for part, same in zip(sources.parts(slow), sources.parts(both), strict=True):
            assert list(part.read("train")) == list(same.read("train"))
            assert (part.name, part.key) == (same.name, same.key)
        assert len(said) == count
    assert said[0] == "packing one: 2 documents, 2M characters, 0.2M a second"
