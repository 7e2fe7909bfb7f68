"""Three splits, disjoint and whole: by id and seed, near duplicates together, the same whatever else comes and goes."""

import hashlib
import json
import random
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import splits
from harness.corpus import SPLITS, Document
from harness.formats import Found, text_key
from harness.reading import checked, corpus
from harness.splits import Split, Splits

WORDS = [f"{a}{b}" for a in "bcdfgklmnprst" for b in ("a", "e", "i", "o", "u", "an", "er", "is", "ot", "um")]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))


def essay(number: int, words: int = 80) -> str:
    """A text of its own."""
    return " ".join(random.Random(number).choices(WORDS, k=words))


def edited(text: str, place: int) -> str:
    """A near duplicate: one word is another (J = 71 / 81)."""
    words = text.split()
    words[place] = "another"
    return " ".join(words)


def cut(texts: dict[str, str], seed: int = 0) -> dict[str, list[str]]:
    """The splits of documents by id, all given as train."""

    def source() -> Iterator[Found]:
        return (Found(Document(name, text), name, "here") for name, text in texts.items())

    key = hashlib.sha256(json.dumps(texts).encode()).hexdigest()
    read = Splits({"train": source}, key, seed)
    return {split: [document.id for document in read(split)] for split in SPLITS}


def where(found: dict[str, list[str]]) -> dict[str, str]:
    return {name: split for split, names in found.items() for name in names}


def apart(names: list[str]) -> dict[str, str]:
    """Documents that do not resemble one another."""
    return {name: f"{name} {i}" for i, name in enumerate(names)}


@settings(deadline=None, max_examples=60)
@given(names=st.lists(st.text(min_size=1), unique=True, max_size=60))
def test_splits_are_disjoint_whole_and_never_empty(names: list[str]) -> None:
    """Every document in one split, in its order; from three documents on each split has one."""
    found = cut(apart(names))
    assert sorted(chain(*found.values())) == sorted(names)
    assert all(documents == [name for name in names if name in documents] for documents in found.values())
    assert all(found.values()) if len(names) >= 3 else not (found["validation"] or found["test"])


def test_a_document_stays_in_its_split() -> None:
    """Others may come and go, in any order; and the shares are what they should be."""
    names = [f"doc{i}" for i in range(6000)]
    texts = {name: f"words of {name}" for name in names}
    whole = where(cut(texts))
    more = {f"new{i}": essay(i) for i in range(50)}
    for kept in (names[::2], names[:900], [*reversed(names)], random.Random(1).sample(names, 3000)):
        found = where(cut({name: texts[name] for name in kept} | more))
        assert all(found[name] == whole[name] for name in kept)
    for split in ("validation", "test"):
        assert 0.02 < list(whole.values()).count(split) / 6000 < 0.03


def test_another_seed_is_another_cut() -> None:
    texts = apart([f"doc{i}" for i in range(2000)])
    first, again, other = cut(texts), cut(texts), cut(texts, seed=1)
    assert first == again
    assert len(set(first["test"]) & set(other["test"])) < 10 < len(other["test"])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_near_duplicates_are_never_in_two_splits(seed: int) -> None:
    """40 families of an original, an exact copy and two edits, among 400 others, whatever the order."""
    texts = {f"doc{i}": essay(i) for i in range(400)}
    families = []
    for i in range(40):
        family = {f"a{i}": texts[f"doc{i}"], f"b{i}": edited(texts[f"doc{i}"], 10), f"z{i}": edited(texts[f"doc{i}"], 60)}
        texts |= family
        families.append([f"doc{i}", *family])
    found = where(cut(texts, seed))
    assert all(len({found[name] for name in family}) == 1 for family in families)
    names = list(texts)
    random.Random(seed).shuffle(names)
    assert where(cut({name: texts[name] for name in names}, seed)) == found
    assert len(texts) == len(found)


def test_a_small_corpus_of_families_is_filled_by_whole_families() -> None:
    """Four families of five: each split has whole ones."""
    texts = {f"{i}-{j}": edited(essay(i, 300), 50 * j) if j else essay(i, 300) for i in range(4) for j in range(5)}
    found = cut(texts)
    assert all(found.values())
    assert all(len(names) % 5 == 0 for names in found.values())
    alike = {f"{j}": edited(essay(1, 300), 50 * j) if j else essay(1, 300) for j in range(6)}
    assert cut(alike) == {"train": list(alike), "validation": [], "test": []}, "one family cannot be held out of itself"


def test_a_part_that_was_cut_by_hash_is_cut_evenly() -> None:
    """Files that were cut from something larger by the hash of their ids do not fall into one split."""
    names = [f"c4-{i}" for i in range(40_000)]
    held = [name for name in names if int(hashlib.sha256(name.encode()).hexdigest(), 16) / 2**256 < 0.025]
    assert len(cut(apart(held))["validation"]) < 0.06 * len(held)


def test_in_a_small_corpus_only_the_fillers_move() -> None:
    """A split that would be empty takes the document with the smallest fraction."""
    names = [f"doc{i}" for i in range(12)]
    found = cut(apart(names))
    first, second = sorted(names, key=splits.fraction)[:2]
    assert {first, second} == {*found["validation"], *found["test"]}


def test_train_is_filled_too() -> None:
    """Three documents that all hash into the held-out splits."""
    found: dict[str, Split] = {"a": "validation", "b": "validation", "c": "test"}
    moved = splits.fill(found, ["validation", "test"])
    assert list(moved.values()) == ["train"]
    assert set({**found, **moved}.values()) == set(SPLITS)


def test_clusters_are_found_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By content: a copy of the file finds them, another file does not."""
    rows = [{"id": str(i), "text": essay(i % 50)} for i in range(100)]
    for name, some in (("a", rows), ("b", rows), ("c", rows[:99])):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some))
    first = [document.id for document in corpus(str(tmp_path / "a.jsonl")).read("test")]
    monkeypatch.setattr(splits, "clusters", lambda documents: pytest.fail("clusters are sought a second time"))
    assert [document.id for document in corpus(str(tmp_path / "b.jsonl")).read("test")] == first
    with pytest.raises(BaseException, match="a second time"):
        list(corpus(str(tmp_path / "c.jsonl")).read("test"))


def test_near_duplicates_across_the_splits_of_a_source_are_counted_and_left(tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()

    def write(split: str, texts: list[str]) -> None:
        rows = [{"id": f"{split}{i}", "text": text} for i, text in enumerate(texts)]
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    write("train", [essay(i) for i in range(20)])
    write("valid", [essay(100), essay(3), edited(essay(5), 9)])
    write("test", [essay(200), essay(7), essay(100)])
    found = checked(corpus(str(folder)))
    assert found.notes == (
        "notes: 3 of validation and 2 of test have near duplicates in another split, "
        "and stay as the splits of the source have them",
    )
    assert [document.id for document in found.read("validation")] == ["valid0", "valid1", "valid2"]
    write("valid", [essay(101)])
    write("test", [essay(200)])
    assert checked(corpus(str(folder))).notes == ()


def streamed(texts: list[str], window: int) -> Splits:
    """A stream of which `window` documents are looked at."""

    def source() -> Iterator[Found]:
        return (Found(Document(f"{i}", text), text_key(text), "here") for i, text in enumerate(texts))

    key = hashlib.sha256(json.dumps([texts, window]).encode()).hexdigest()
    return Splits({"train": source}, key, window=lambda: (found for _, found in zip(range(window), source(), strict=False)))


def test_of_a_stream_the_first_documents_are_held_out_and_their_copies_further_down_are_read_by_nobody() -> None:
    texts = [essay(i) for i in range(600)]
    read = streamed([*texts, *texts, *(essay(i) for i in range(1000, 1400))], 600)
    found = {split: list(read(split)) for split in SPLITS}
    held = {document.text for split in ("validation", "test") for document in found[split]}
    assert all(int(document.id) < 600 for split in ("validation", "test") for document in found[split])
    assert found["validation"]
    assert found["test"]
    assert not held & {document.text for document in found["train"]}
    assert len(found["train"]) > 0.9 * (1600 - 2 * len(held))


def test_a_longer_stream_keeps_what_was_held_out() -> None:
    """What comes behind the documents that were looked at moves nothing."""
    texts = [essay(i) for i in range(300)]
    one, other = streamed(texts, 300), streamed([*texts, *(essay(i) for i in range(500, 600))], 300)
    for split in ("validation", "test"):
        assert [document.text for document in one(split)] == [document.text for document in other(split)]


def test_a_longer_look_at_a_stream_is_another_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was found among its first documents is not taken for what is found among more of them."""
    found = [Found(Document(str(i), text), str(i), "") for i, text in enumerate([essay(1), essay(2), edited(essay(1), 40)])]
    seen = []
    for window in (2, 3):
        monkeypatch.setattr(splits, "WINDOW", window)
        read = Splits({"train": lambda: iter(found)}, "k", 0, lambda window=window: iter(found[:window]))
        seen.append(dict(read.clusters))
    assert seen == [{}, {"0": "0", "2": "0"}]
