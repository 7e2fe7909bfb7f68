"""Folders of code, texts that must not be shown, files that mirrors stand for: what is read, what is not, what is said."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness import mirrors
from harness.corpus import SPLITS, Corpus
from harness.errors import InputError
from harness.reading import check, checked, corpus
from harness.texts import find_corpus


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(mirrors.VARIABLE, raising=False)
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))


def write(path: str, content: bytes | str = "x = 1\n") -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(content if isinstance(content, bytes) else content.encode())


def documents(found: Corpus) -> dict[str, str]:
    return {document.id: document.text for split in SPLITS for document in found.read(split)}


def refused(word: str) -> str:
    with pytest.raises(InputError) as error:
        check(corpus(word))
    return str(error.value)


def project() -> None:
    """A folder as version control leaves it."""
    for path in ("p/a.py", "p/src/b.py", "p/src/c.py", "p/test/d.py"):
        write(path, f"# {path}\nvalue = {len(path)}\n\nmore = 2\n")
    write("p/src/__init__.py", "\n")
    write("p/src/empty.py", "")
    write("p/src/data.py", b"x = '\0'\n")
    write("p/README.md")
    write("p/requirements.txt", "torch\n")
    write("p/web/page.js", "let x = 1;\n")
    for path in ("p/.git/hook.py", "p/.hidden.py", "p/node_modules/m/m.py", "p/src/__pycache__/a.py"):
        write(path)


def test_a_folder_of_code_is_a_document_a_file() -> None:
    """Called after its path, whole; a folder named test is no split; what is not read is counted and said."""
    project()
    found = checked(corpus("p"))
    assert documents(found) == {
        name: f"# p/{name}\nvalue = {len(name) + 2}\n\nmore = 2\n" for name in ("a.py", "src/b.py", "src/c.py", "test/d.py")
    }
    assert all(list(found.read(split)) for split in SPLITS)
    assert found.about == "p, 4 files, a document a file"
    assert found.notes == (
        "p: 4 files are read; not read are 2 empty, 1 .md, 1 .txt, 1 .js, 1 binary, 4 hidden or in node_modules or __pycache__",
    )


def test_other_endings_are_typed() -> None:
    """Behind the #; then they are read whatever else lies there, rows too."""
    project()
    write("p/rows.jsonl", '{"text": "a row"}\n')
    assert documents(corpus("p#.js")) == {"web/page.js": "let x = 1;\n"}
    assert len(documents(corpus("p#.py,.js"))) == 5
    assert set(documents(corpus("p")).values()) == {"a row", "torch\n"}, "rows are data, and code beside them is left out"
    assert "not read are 7 .py" in corpus("p").notes[0]
    assert refused("p#.java") == "p holds no code that is read: no file with text in it ends in .java"
    assert refused("p#.py,java") == "'java' is no ending of a file; type endings as in p#.py,.pyi"


def test_a_folder_of_text_says_what_it_leaves_out() -> None:
    write("f/a.txt", "one")
    write("f/b.md", "two")
    assert corpus("f").notes == ("f: 1 file is read; not read are 1 .md",)
    write("g/a.txt", "one")
    assert corpus("g").notes == ()


def test_code_that_is_no_utf_8_is_refused_by_file_and_line() -> None:
    write("p/a.py", b"# fine\nname = 'caf\xe9'\n")
    assert refused("p") == "p/a.py:2: no UTF-8 (byte 0xe9, the line's 12.); save the file as UTF-8"


def test_the_key_of_a_folder_is_what_is_read() -> None:
    """Another name or another byte of a source file is another text; what is not read changes nothing."""
    project()
    first = corpus("p").key
    write("p/notes.md", "more")
    assert corpus("p").key == first
    write("p/src/b.py", "# other\n")
    second = corpus("p").key
    Path("p/src/b.py").rename("p/src/e.py")
    assert len({first, second, corpus("p").key}) == 3


ROWS: list[dict[str, Any]] = [{"id": str(i), "text": f"note {i}", "sensitive": True} for i in range(5)]


def rows(path: str, some: list[dict[str, Any]]) -> str:
    if path.endswith(".parquet"):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(some), path)
        return path
    content = "".join(json.dumps(row) + "\n" for row in some).encode()
    packed = gzip.compress(content) if path.endswith(".gz") else content
    write(path, pa.compress(content, "zstd", asbytes=True) if path.endswith(".zst") else packed)
    return path


@pytest.mark.parametrize("path", ["n.jsonl", "n.jsonl.gz", "n.jsonl.zst", "n.parquet"])
def test_a_file_may_say_that_its_texts_must_not_be_shown(path: str) -> None:
    assert checked(corpus(rows(path, ROWS))).sensitive
    assert not checked(corpus(rows(path, [{**row, "sensitive": False} for row in ROWS]))).sensitive
    assert not checked(corpus(rows(path, [{"id": row["id"], "text": row["text"]} for row in ROWS]))).sensitive
    assert checked(corpus(rows(path, [ROWS[0], *({**row, "sensitive": None} for row in ROWS[1:])]))).sensitive
    late = [{**ROWS[0], "sensitive": False}, *ROWS[1:]]
    assert refused(rows(path, late)) == (
        f"{path}:2: sensitive is true, and the first row does not say so; say it there, or in every row"
    )
    assert refused(rows(path, [{**ROWS[0], "sensitive": "yes"}])) == (
        f"{path}:1: sensitive is text; it is true or false, or left out"
    )


def test_one_sensitive_file_makes_a_folder_sensitive() -> None:
    rows("f/a.jsonl", [{"id": "a", "text": "plain"}])
    assert not corpus("f").sensitive
    rows("f/sub/b.jsonl", ROWS)
    assert corpus("f").sensitive


def test_a_mirror_has_splits_and_columns_of_its_own() -> None:
    """A file a split, each with its column; a folder a split; a file with a # in its name."""
    rows("a#1.jsonl", [{"body": f"train {i}"} for i in range(40)])
    rows("v.parquet", [{"note": "held"}])
    rows("t/one.jsonl", [{"text": "first"}])
    rows("t/two.jsonl.zst", [{"text": "second"}])
    files = {"train": "a#1.jsonl#body", "dev": "v.parquet#note", "test": "t"}
    write("mirrors.yaml", json.dumps({"datasets": {"o/n": files}}))
    found = find_corpus("hub:o/n")
    assert [len(list(found.read(split))) for split in SPLITS] == [40, 1, 2]
    assert [document.text for document in found.read("test")] == ["first", "second"]
    assert found.about.endswith("which stands for hub:o/n")
    assert mirrors.current().dataset("o/n") == {
        "train": Path("a#1.jsonl").resolve(), "dev": Path("v.parquet").resolve(), "test": Path("t").resolve(),
    }  # fmt: skip


def test_a_mirror_of_the_whole_is_cut() -> None:
    rows("all.jsonl.zst", [{"text": f"text {i}"} for i in range(300)])
    write("mirrors.yaml", json.dumps({"datasets": {"o/n": "all.jsonl.zst"}}))
    found = find_corpus("o/n")
    assert sum(len(list(found.read(split))) for split in SPLITS) == 300
    assert all(list(found.read(split)) for split in SPLITS)


def test_a_column_that_a_mirrored_file_lacks() -> None:
    rows("a.jsonl", [{"body": "x"}])
    write("mirrors.yaml", json.dumps({"datasets": {"MedRAG/pubmed": {"train": "a.jsonl"}}}))
    with pytest.raises(InputError, match=r"a\.jsonl:1: there is no content; the row has body; name the text's column as in"):
        find_corpus("pubmed")


@pytest.mark.parametrize("split", ["train", "test"])
def test_another_column_of_any_split_is_another_text(split: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept by content, rows and scores, is not found again under the column of before."""
    for name in ("train", "test"):
        rows(f"{name}.jsonl", [{"title": f"{name} {i}", "body": f"all of {name} {i}"} for i in range(9)])
    keys = []
    for column in ("title", "body"):
        files = {name: f"{name}.jsonl#{column if name == split else 'title'}" for name in ("train", "test")}
        mirror = Path(f"{column}.yaml")
        mirror.write_text(json.dumps({"datasets": {"o/n": files}}))
        monkeypatch.setenv(mirrors.VARIABLE, str(mirror))
        keys.append(find_corpus("hub:o/n").key)
    assert keys[0] != keys[1]


def test_a_part_that_a_mirror_lacks_is_not_another_part() -> None:
    """A copy of the repository has a folder a part; one folder for the whole, or named for the part, is what was asked for."""
    rows("stack/data/python/train.jsonl", [{"content": f"x = {i}"} for i in range(9)])
    rows("flat/train.jsonl", [{"content": f"int x = {i};"} for i in range(9)])
    write("mirrors.yaml", json.dumps({"datasets": {"bigcode/the-stack-dedup": "stack"}}))
    assert "x = 0" in documents(find_corpus("the_stack")).values()
    with pytest.raises(InputError, match=r"dedup/java: .*stack/data/java is not there, beside python; copy it there, or name"):
        find_corpus("the_stack/java")
    for given in ({"bigcode/the-stack-dedup": "flat"}, {"bigcode/the-stack-dedup/java": "flat"}):
        write("mirrors.yaml", json.dumps({"datasets": given}))
        assert "int x = 0;" in documents(find_corpus("the_stack/java")).values()


@pytest.mark.parametrize(
    ("word", "dataset", "same"),
    [("c4", "allenai/c4", "c4_text"), ("wikitext", "Salesforce/wikitext", "wikitext"), ("hub:o/n", "o/n", None)],
)
def test_a_data_set_that_arms_may_read_as_old_text_is_not_scored_as_another(word: str, dataset: str, same: str | None) -> None:
    """What was rehearsed is told from what was not, also in stock suites; alone and as a part of a mixture."""
    from harness.lookup import find_source, rehearsed
    from suites.general import general

    rows("web.jsonl", [{"text": f" = Page {i} = \n"} for i in range(9)])
    rows("own.jsonl", ROWS)
    write("mirrors.yaml", json.dumps({"datasets": {dataset: {"train": "web.jsonl"}}}))
    for old in (word, f"{word}=0.5,own.jsonl=0.5"):
        (found,) = rehearsed([general()], find_source("old", old, 0))
        assert [task.name for task in found.tasks if task.source != "other"] == ([same] if same else [])
    assert rehearsed([general()], None) == rehearsed([general()], find_source("old", "own.jsonl", 0)) == [general()]


def test_linked_folders_are_not_followed_and_that_is_said(tmp_path: Path) -> None:
    folder, other = tmp_path / "texts", tmp_path / "other"
    for each in (folder, other):
        each.mkdir()
        (each / "a.txt").write_text(f"A text of {each.name}.")
    (folder / "round").symlink_to("..")
    (folder / "more").symlink_to(other)
    assert corpus(str(folder)).notes == (f"{folder}: 1 file is read; not read are 2 linked folders",)
