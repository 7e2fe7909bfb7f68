"""Files, folders and hub datasets become documents as they stand, or one sentence with file and row."""

import gzip
import json
import os
import tracemalloc
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.corpus import SPLITS, Corpus, Document
from harness.errors import InputError
from harness.reading import Size, check, corpus

SHARED = Path(os.environ.get("HARNESS_SHARED", Path(__file__).parents[2].parent / "shared"))
Rows = list[dict[str, Any]]
KINDS = ".jsonl, .jsonl.gz, .jsonl.zst, .json.gz, .json.zst, .parquet, .txt"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are named as a user in their folder would."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))


def jsonl(path: str, rows: Rows) -> str:
    return write(path, "".join(json.dumps(row) + "\n" for row in rows).encode())


def write(path: str, content: bytes) -> str:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    if path.endswith(".zst"):
        content = pa.compress(content, "zstd", asbytes=True)
    Path(path).write_bytes(gzip.compress(content) if path.endswith(".gz") else content)
    return path


def parquet(path: str, rows: Rows) -> str:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def numbered(n: int) -> Rows:
    return [{"id": f"doc{i}", "text": f"text {i}"} for i in range(n)]


def ids(found: Corpus) -> dict[str, list[str]]:
    return {split: [document.id for document in found.read(split)] for split in SPLITS}


def refused(word: str) -> str:
    """What is said of a word whose rows cannot be used."""
    with pytest.raises(InputError) as error:
        check(corpus(word))
    return str(error.value)


# What is read


@pytest.mark.parametrize(
    ("path", "make"),
    [("n.jsonl", jsonl), ("n.jsonl.gz", jsonl), ("n.jsonl.zst", jsonl), ("n.json.gz", jsonl), ("n.parquet", parquet)],
)
def test_every_kind_gives_the_same_documents(path: str, make: Callable[[str, Rows], str]) -> None:
    """In the file's order, under the file's ids, at every call."""
    found = corpus(make(path, numbered(300)))
    assert found.name == "n"
    assert sorted(chain(*ids(found).values())) == sorted(row["id"] for row in numbered(300))
    for split in SPLITS:
        documents = list(found.read(split))
        assert documents == list(found.read(split))
        assert documents == sorted(documents, key=lambda document: int(document.id[3:]))
        assert all(document.text == f"text {document.id[3:]}" for document in documents)
    assert sum(size.documents for size in check(found).values()) == 300
    assert sum(size.bytes for size in check(found).values()) == sum(len(row["text"]) for row in numbered(300))


def test_another_column() -> None:
    """The text stands where the word says; numbers serve as ids; a file may have a # in its own name."""
    rows = [{"id": i, "page": f"p{i}", "text": 5} for i in range(5)]
    assert {d.id: d.text for s in SPLITS for d in corpus(jsonl("a.jsonl", rows) + "#page").read(s)}["3"] == "p3"
    assert {d.text for s in SPLITS for d in corpus(parquet("a.parquet", rows) + "#page").read(s)} >= {"p0"}
    assert corpus(jsonl("b#1.jsonl", numbered(3))).name == "b#1"
    assert corpus(jsonl("b#1.jsonl", rows) + "#page").name == "b#1"


def test_rows_without_id_are_called_after_their_text() -> None:
    """Equal texts have two names and one split."""
    texts = [f"text {i % 100}" for i in range(200)]
    found = corpus(jsonl("n.jsonl", [{"text": text} for text in texts]))
    assert len(set(chain(*ids(found).values()))) == 200
    held = {split: {document.text for document in found.read(split)} for split in SPLITS}
    assert sum(map(len, held.values())) == 100
    assert check(found)


def test_a_text_file_is_cut_at_blank_lines() -> None:
    """One document a paragraph, its lines kept; a byte order mark and carriage returns are no text."""
    found = corpus(write("n.txt", b"\xef\xbb\xbfone\r\nstill one\r\n\r\n \r\ntwo\r\n\r\nthree"))
    assert sorted(d.text for s in SPLITS for d in found.read(s)) == ["one\r\nstill one", "three", "two"]


def test_splits_of_a_folder() -> None:
    """Files and subfolders that name a split are that split; what none names is cut from train."""
    jsonl("f/pubmed_train.jsonl", numbered(300))
    jsonl("f/pubmed_valid.jsonl", [{"id": "v", "text": "held"}])
    found = ids(corpus("f"))
    assert found["validation"] == ["v"]
    assert len(found["test"]) in range(1, 30)
    assert sorted(found["train"] + found["test"]) == sorted(row["id"] for row in numbered(300))
    jsonl("g/train/a.jsonl", numbered(3))
    write("g/dev/b.txt", b"a whole\n\nfile")
    parquet("g/test-00000-of-00002.parquet", [{"text": "t"}])
    write("g/README.md", b"not read")
    write("g/.hidden/x.jsonl", b"not read")
    found = corpus("g")
    assert ids(found) | {"test": 1} == {"train": ["doc0", "doc1", "doc2"], "validation": ["dev/b.txt"], "test": 1}
    assert [d.text for d in found.read("validation")] == ["a whole\n\nfile"]
    assert found.about == "g, 3 files, text in text"


def test_a_folder_without_splits_is_one_text() -> None:
    """All files by name; a loose text file is one document; a word such as test within a name says nothing."""
    write("f/a.txt", b"one\n\none")
    write("f/stress-test.txt", b"two")
    jsonl("f/sub/latest.jsonl", [{"text": "x"}])
    assert sorted(d.text for s in SPLITS for d in corpus("f").read(s)) == ["one\n\none", "two", "x"]


def test_beside_a_named_file_nothing_is_guessed() -> None:
    """A file that was named is the corpus, whatever lies beside it."""
    jsonl("pubmed_valid.jsonl", numbered(5))
    assert sum(map(len, ids(corpus(jsonl("pubmed_train.jsonl", numbered(50)))).values())) == 50


@pytest.mark.parametrize(
    ("word", "sizes"),
    [
        ("medical", {"train": 5929, "validation": 213, "test": 227}),
        ("code", {"train": 317, "validation": 39, "test": 45}),
        ("eval/wikitext2_test.jsonl#page", {"train": 60, "validation": 1, "test": 1}),
    ],
)
def test_real_files(word: str, sizes: dict[str, int]) -> None:
    """Real text in the numbers that its README states."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"{SHARED / 'data'} is not here; HARNESS_SHARED names the folder with trial data")
    assert {split: size.documents for split, size in check(corpus(str(SHARED / "data" / word))).items()} == sizes


# What is refused

BEFORE = b'{"text": "fine"}\n\n'
EVERY = 'every line is one object, as {"text": "..."}'
COLUMN = "name the text's column as in file#column"


@pytest.mark.parametrize("path", ["n.jsonl", "n.jsonl.gz", "n.jsonl.zst"])
@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (b'{"text": "cut', f"no JSON (Unterminated string starting at, column 10); {EVERY}"),
        (b"{'text': 1}", f"no JSON (Expecting property name enclosed in double quotes, column 2); {EVERY}"),
        (b'["text"]', f"a list where an object belongs; {EVERY}"),
        (b'"text"', f"text where an object belongs; {EVERY}"),
        (b"null", f"null where an object belongs; {EVERY}"),
        (b'{"text": "caf\xe9"}', "no UTF-8 (byte 0xe9, the line's 14.); save the file as UTF-8"),
        (b'{"body": "x", "n": 1}', f"there is no text; the row has body, n; {COLUMN}"),
        (b"{}", f"there is no text; the row has nothing; {COLUMN}"),
        (b'{"text": null}', "text is null; it has to be text"),
        (b'{"text": 12}', "text is a number; it has to be text"),
        (b'{"text": true}', "text is true or false; it has to be text"),
        (b'{"text": ["a"]}', "text is a list; it has to be text"),
        (b'{"text": {"a": 1}}', "text is an object; it has to be text"),
        (b'{"text": ""}', "text is blank; take the row out or give it text"),
        (b'{"text": " \\n\\u00a0"}', "text is blank; take the row out or give it text"),
        (b'{"text": "\\ud83d!"}', "text holds \\ud83d, half of a character; mend or take out the row"),
        (b'{"text": "a", "id": "\\udc00"}', "id holds \\udc00, half of a character; mend or take out the row"),
        (b'{"text": "a", "id": 1.5}', "id is a number; an id is text or a whole number, or left out in every row"),
        (b'{"text": "a", "id": ""}', "id is empty; an id is text or a whole number, or left out in every row"),
        (b'{"text": "a", "id": false}', "id is true or false; an id is text or a whole number, or left out in every row"),
    ],
)
def test_a_bad_line_is_named(path: str, line: bytes, sentence: str) -> None:
    """Its file and line, what is wrong, what is allowed."""
    assert refused(write(path, BEFORE + line + b"\n" + BEFORE)) == f"{path}:3: {sentence}"


@pytest.mark.parametrize("line", [b"[" * 100_000, b'{"text": ' + b"9" * 5000 + b"}"], ids=["nested", "long number"])
def test_hostile_json_is_a_sentence_too(line: bytes) -> None:
    """What makes the parser itself give up."""
    assert refused(write("n.jsonl", BEFORE + line)).startswith("n.jsonl:3: no JSON (")


def test_a_blank_row_of_a_whole_file() -> None:
    """A loose text file with nothing in it."""
    write("f/a.txt", b"one")
    assert refused(str(Path(write("f/b.txt", b"\n \n")).parent)) == (
        "f/b.txt:1: text is blank; take the row out or give it text"
    )


@pytest.mark.parametrize("path", ["n.jsonl", "n.jsonl.gz", "n.jsonl.zst", "n.txt"])
@pytest.mark.parametrize("content", [b"", b"\n\n"])
def test_an_empty_file(path: str, content: bytes) -> None:
    """Refused, not a corpus of nothing."""
    assert refused(write(path, content)) == f"{path} is empty; it needs at least one document"


def test_an_empty_parquet() -> None:
    """A table without rows."""
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), "n.parquet")
    assert refused("n.parquet") == "n.parquet is empty; it needs at least one document"


@pytest.mark.parametrize("keep", [0, 1, 0.5, -1])
def test_a_truncated_parquet(keep: float) -> None:
    """Cut anywhere."""
    content = Path(parquet("n.parquet", numbered(2000))).read_bytes()
    Path("n.parquet").write_bytes(content[: int(len(content) * keep) if 0 < keep < 1 else int(keep)])
    sentence = refused("n.parquet")
    assert sentence.startswith("n.parquet: the file is cut off or damaged (Parquet ")
    assert sentence.endswith("); fetch or write it again")


def test_a_damaged_parquet_page() -> None:
    """A whole file whose data does not unpack."""
    pq.write_table(pa.table({"text": ["word " * 50 + str(i) for i in range(9000)]}), "n.parquet", use_dictionary=False)
    content = bytearray(Path("n.parquet").read_bytes())
    content[3000:3400] = bytes(255 - byte for byte in content[3000:3400])
    Path("n.parquet").write_bytes(content)
    assert "the file is cut off or damaged (" in refused("n.parquet")


@pytest.mark.parametrize("kind", ["gz", "zst"])
@pytest.mark.parametrize("keep", [5, 40, -9, -1])
def test_a_truncated_archive(kind: str, keep: int) -> None:
    """Cut in the header, in the data or in the check sum."""
    path = Path(jsonl(f"n.jsonl.{kind}", numbered(500)))
    path.write_bytes(path.read_bytes()[:keep])
    sentence = refused(f"n.jsonl.{kind}")
    assert sentence.startswith(f"n.jsonl.{kind}:")
    assert sentence.endswith("; fetch or write it again")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (pa.array(["a", None]), "n.parquet:2: text is null; it has to be text"),
        (pa.array([1, 2]), "n.parquet:1: text is a number; it has to be text"),
        (pa.array(["a", " "]), "n.parquet:2: text is blank; take the row out or give it text"),
        (pa.array([b"a", b"b"]), "n.parquet:1: text is bytes; it has to be text"),
        (
            pa.Array.from_buffers(pa.string(), 2, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0"), pa.py_buffer(b"a\xff")]),
            "n.parquet:2: no UTF-8 (invalid start byte); write the file again as UTF-8",
        ),
    ],
)
def test_a_bad_row_of_parquet(values: pa.Array, sentence: str) -> None:
    """Its file and row."""
    pq.write_table(pa.table({"text": values}), "n.parquet")
    assert refused("n.parquet") == sentence


def test_a_column_that_parquet_lacks() -> None:
    """Said before any row is read."""
    sentence = "n.parquet has no column body; it has id, text; name one as in file#column"
    assert refused(parquet("n.parquet", numbered(3)) + "#body") == sentence


def test_ids_are_unique() -> None:
    """Within a file, between a number and a word, and between splits."""
    rows = [*numbered(5), {"id": "doc3", "text": "other"}]
    assert refused(jsonl("n.jsonl", rows)) == ("n.jsonl:6: the id 'doc3' stands a second time; every document has its own")
    assert refused(jsonl("n.jsonl", [{"id": 1, "text": "a"}, {"id": "1", "text": "b"}])).startswith("n.jsonl:2: the id '1'")
    jsonl("f/train.jsonl", numbered(5))
    jsonl("f/test.jsonl", numbered(1))
    assert "the id 'doc0' stands a second time" in refused("f")


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("", "there is no file or folder ''; give a file, a folder or hub:owner/name"),
        ("nots.jsonl", "there is no file or folder 'nots.jsonl'; did you mean notes.jsonl?"),
        ("f/x.jsonl", "there is no file or folder 'f/x.jsonl'; give a file, a folder or hub:owner/name"),
        ("a/b/c", "there is no file or folder 'a/b/c'; give a file, a folder or hub:owner/name"),
        (
            "notes.jsonl#",
            "'notes.jsonl#' names no column behind the #; type the column that holds the text, as in notes.jsonl#text",
        ),
        (
            "n.csv",
            f"n.csv is not of a kind that is read; those are {KINDS}",
        ),
        (
            "n.gz",
            f"n.gz is not of a kind that is read; those are {KINDS}",
        ),
        (
            "f",
            f"f holds no file that is read; those end in {KINDS}, .py; for code, type its endings, as in f#.java,.kt",
        ),
        ("g", "in g, x_test.jsonl names a split and y.jsonl names none; let all files name theirs, or give one file"),
        ("k", "in k, train.jsonl names a split and y.jsonl names none; let all files name theirs, or give one file"),
        ("h", "in h, test.jsonl names a split and no file is called train; let all files name theirs, or give one file"),
    ],
)
def test_words_that_name_nothing(word: str, sentence: str) -> None:
    """One sentence for each, with what to type."""
    for path in (
        "notes.jsonl",
        "n.csv",
        "n.gz",
        "f/README.md",
        "g/x_test.jsonl",
        "g/y.jsonl",
        "h/test.jsonl",
        "k/train.jsonl",
        "k/y.jsonl",
    ):
        write(path, BEFORE)
    assert refused(word) == sentence


def test_a_file_that_changes_is_not_read_under_its_old_key() -> None:
    """A key says what the documents are."""
    found = corpus(jsonl("n.jsonl", numbered(5)))
    jsonl("n.jsonl", numbered(6))
    with pytest.raises(InputError, match=r"^n\.jsonl was changed or removed since this command began; run it again$"):
        list(found.read("train"))


# What a key says


def test_key_is_content_column_and_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for a copy; another for another byte, column, split or rule."""
    key = corpus(jsonl("a.jsonl", numbered(9))).key
    assert corpus(jsonl("sub/b.jsonl", numbered(9))).key == key
    keys = {key, corpus(jsonl("c.jsonl", numbered(8))).key, corpus("a.jsonl#id").key}
    jsonl("f/train.jsonl", numbered(9))
    keys.add(corpus("f").key)
    Path("f/train.jsonl").rename("f/other.jsonl")
    keys.add(corpus("f").key)
    keys.add(corpus("a.jsonl", seed=1).key)
    monkeypatch.setattr("harness.local.RULE", "another")
    keys.add(corpus("a.jsonl").key)
    assert len(keys) == 7


# Checking


def test_registered_documents_are_checked_alike() -> None:
    """A corpus of somebody's own function gets the same questions."""

    def own(*documents: Document) -> Corpus:
        return Corpus("own", "", lambda split: iter(documents if split == "train" else ()), "k")

    assert check(own(Document("a", "é"))) == {"train": Size(1, 2), "validation": Size(), "test": Size()}
    for documents, sentence in (
        ((), "own has no document to train on"),
        ((Document("a", "x"), Document("a", "y")), "own train:2: the id 'a' stands a second time; every document has its own"),
        ((Document("a", " "),), "own train:1: text is blank; take the row out or give it text"),
    ):
        with pytest.raises(InputError) as error:
            check(own(*documents))
        assert str(error.value) == sentence


def test_checking_does_not_hold_the_corpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """16 MB of text are looked at in a fraction of that; what near duplicates take is measured elsewhere."""
    monkeypatch.setattr("harness.splits.clusters", lambda documents: dict.fromkeys(each for each in documents if not each))
    with Path("n.jsonl").open("w") as file:
        for i in range(2000):
            file.write(json.dumps({"id": i, "text": f"{i} " + "word " * 1600}) + "\n")
    found = corpus("n.jsonl")
    tracemalloc.start()
    check(found)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2e6
