"""Every public corpus: its facts stand there, and its loading code reads files in the shape of the hub's, and real ones."""

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness import mirrors, registry
from harness.corpus import SPLITS, Corpus, Published
from harness.describe import lines, page
from harness.texts import find_corpus
from suites.corpora import articles

SHARED = Path(os.environ.get("HARNESS_SHARED") or Path(__file__).parents[3] / "shared")
PUBLIC = [name for name, entry in registry.installed("corpora").items() if isinstance(entry.load()(), Published)]
TEXTS = [f"The {i}th of the texts, which has some words of its own: {i * 7}, {i * 11} and {i * 13}." for i in range(60)]
Rows = list[dict[str, Any]]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(mirrors.VARIABLE, raising=False)
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))


def jsonl(path: str, rows: Rows) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    Path(path).write_bytes(gzip.compress(content) if path.endswith(".gz") else content)


def parquet(path: str, rows: Rows) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


def mirror(**datasets: Any) -> None:
    Path("mirrors.yaml").write_text(json.dumps({"datasets": datasets}))


def sizes(found: Corpus) -> dict[str, int]:
    return {split: sum(1 for _ in found.read(split)) for split in SPLITS}


def medrag() -> None:
    """As MedRAG's repositories hold their snippets."""
    rows = [{"id": f"a_{i}", "title": "T", "content": text, "contents": f"T. {text}"} for i, text in enumerate(TEXTS)]
    jsonl("copy/chunk/a.jsonl", rows[:30])
    jsonl("copy/chunk/b.jsonl", rows[30:])


def notes() -> None:
    fields = {"full_note": "longer", "conversation": "words", "summary": "{}"}
    jsonl("copy/augmented_notes_30K.jsonl", [{"idx": str(i), "note": text, **fields} for i, text in enumerate(TEXTS)])


def stack() -> None:
    for language in ("python", "java"):
        rows = [{"hexsha": str(i), "content": f"# {language}\n{text}", "lang": language} for i, text in enumerate(TEXTS)]
        parquet(f"copy/data/{language}/train-00000-of-00002.parquet", rows)


def wikitext() -> None:
    for split, some in (("train", TEXTS), ("validation", ["v"]), ("test", ["t", "u"])):
        written = [line for i, text in enumerate(some) for line in ("", f" = {i} = \n", "", f" {text} \n", " = = A = = \n")]
        parquet(f"copy/wikitext-103-raw-v1/{split}-00000-of-00001.parquet", [{"text": line} for line in written])
        parquet(f"copy/wikitext-2-raw-v1/{split}-00000-of-00001.parquet", [{"text": " = Small = \n"}, {"text": "x"}])


def c4() -> None:
    rows = [{"text": text, "timestamp": "2019-04-25T12:57:54Z", "url": "http://a"} for text in TEXTS]
    jsonl("copy/en/c4-train.00000-of-01024.json.gz", rows[:50])
    jsonl("copy/en/c4-train.00001-of-01024.json.gz", rows[50:])
    jsonl("copy/en/c4-validation.00000-of-00008.json.gz", [{"text": "held"}])
    jsonl("copy/de/c4-train.00000-of-01024.json.gz", [{"text": "deutsch"}])


def fineweb() -> None:
    parquet("copy/sample/10BT/000_00000.parquet", [{"text": text, "id": f"<{i}>", "dump": "d"} for i, text in enumerate(TEXTS)])
    parquet("copy/data/CC-MAIN-2013-20/train-00000.parquet", [{"text": "not of the sample"}])


COPIES: dict[str, tuple[Callable[[], None], dict[str, int]]] = {
    "pubmed": (medrag, {}),
    "clinical_notes": (notes, {}),
    "medical_textbooks": (medrag, {}),
    "the_stack": (stack, {}),
    "wikitext": (wikitext, {"validation": 1, "test": 2}),
    "c4": (c4, {"validation": 1}),
    "fineweb_edu": (fineweb, {}),
}


def test_every_public_corpus_is_loaded_in_these_tests() -> None:
    assert {*COPIES, "mimic_notes"} == set(PUBLIC)


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_of_the_repository(name: str) -> None:
    """The files that belong to it, and no others, under its columns; three splits; its facts."""
    make, own = COPIES[name]
    make()
    made = registry.find("corpora", name).load()()
    mirror(**{made.dataset: "copy"})
    found = find_corpus(name)
    assert (found.name, found.licence, found.sensitive) == (name, made.licence, name == "clinical_notes")
    counted = sizes(found)
    assert sum(count for split, count in counted.items() if split not in own) == len(TEXTS)
    assert {split: counted[split] for split in own} == own
    assert all(counted.values())
    texts = [document.text for document in found.read("train")]
    assert all(any(text in read for text in TEXTS) for read in texts)


def test_other_parts_of_a_copy() -> None:
    for make in (stack, c4, wikitext):
        make()
    mirror(**{"bigcode/the-stack-dedup": "copy", "allenai/c4": "copy", "Salesforce/wikitext": "copy"})
    assert next(find_corpus("the_stack/java").read("train")).text.startswith("# java")
    assert [document.text for document in find_corpus("c4/de").read("train")] == ["deutsch"]
    assert [document.text for document in find_corpus("wikitext/wikitext-2-raw-v1").read("train")] == [" = Small = \nx"]


def test_what_save_to_disk_wrote_is_read_too() -> None:
    """A folder a split, or one of several."""
    from datasets import Dataset, DatasetDict

    table = Dataset.from_list([{"content": text} for text in TEXTS])
    DatasetDict(train=table, test=table.select(range(2)).map(lambda row: {"content": row["content"] * 2})).save_to_disk("kept")
    table.save_to_disk("one")
    mirror(**{"MedRAG/pubmed": "kept", "MedRAG/textbooks": {"train": "one"}, "allenai/c4": "one"})
    assert sizes(find_corpus("pubmed"))["test"] == 2
    assert sum(sizes(find_corpus("medical_textbooks")).values()) == len(TEXTS)
    assert sum(sizes(find_corpus("c4#content")).values()) == len(TEXTS)


REAL = {
    "pubmed": ("MedRAG/pubmed", "medical/pubmed_{}.jsonl#text", {"train": 5929, "validation": 213, "test": 227}),
    "the_stack": ("bigcode/the-stack-dedup", "code/python_{}.jsonl#text", {"train": 317, "validation": 39, "test": 45}),
    "fineweb_edu": ("HuggingFaceFW/fineweb-edu", "general/general_{}.jsonl", {"train": 2493, "validation": 91, "test": 74}),
    "wikitext": ("Salesforce/wikitext", "eval/wikitext2_{}.jsonl#page", {"train": 62, "validation": 60}),
    "clinical_notes": ("AGBonnet/augmented-clinical-notes", "medical/pubmed_{}.jsonl#text", {"train": 213}),
    "medical_textbooks": ("MedRAG/textbooks", "medical/pubmed_{}.jsonl#text", {"train": 227}),
    "c4": ("allenai/c4", "general/general_{}.jsonl", {"train": 91, "test": 74}),
}
FILES = {
    "wikitext": {"train": "test", "validation": "valid"},
    "clinical_notes": {"train": "valid"},
    "c4": {"train": "valid"},
} | {"medical_textbooks": {"train": "test"}}


@pytest.mark.parametrize("name", REAL)
def test_real_text_through_a_mirror(name: str) -> None:
    """A file a split, with the column that it has."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"{SHARED / 'data'} is not here; HARNESS_SHARED names the folder with trial data")
    dataset, pattern, expected = REAL[name]
    files = {"train": "train", "validation": "valid", "test": "test"} | FILES.get(name, {})
    mirror(**{dataset: {split: f"{SHARED}/data/{pattern.format(files[split])}" for split in expected}})
    found = find_corpus(name)
    counted = sizes(found)
    assert sum(counted.values()) == sum(expected.values())
    assert {split: count for split, count in counted.items() if split in expected and split != "train"} == {
        split: count for split, count in expected.items() if split != "train"
    }
    assert all(counted.values())


def test_lines_become_articles() -> None:
    """At titles behind a blank line; nothing is lost, and what is no text is passed on to be refused."""
    written = ["before \n", "", " = One = \n", "", " a = b \n", " = = Part = = \n", " = c = \n", "", " = Two = \n", " e \n"]
    found = list(articles(enumerate(({"text": line} for line in written), 1)))
    assert "".join(row["text"] for _, row in found) == "".join(written)
    assert [(number, row["text"].strip()[:8]) for number, row in found] == [(1, "before"), (3, "= One = "), (9, "= Two = ")]
    assert list(articles([(1, {"text": None})])) == [(1, {"text": None})]
    assert list(articles([(1, {"text": ""}), (2, {"text": " "})])) == []


@pytest.mark.parametrize("name", PUBLIC)
def test_facts_are_told(name: str) -> None:
    """`harness list corpora` and `harness show NAME` fetch nothing and say all that is known."""
    made = registry.find("corpora", name).load()()
    assert made.source
    assert made.about.split(";")[0] in "\n".join(lines("corpora"))
    told = page(name)
    for fact in (
        made.dataset,
        made.columns,
        made.size,
        made.licence,
        made.source,
        made.configuration,
        made.folder,
        made.recipe,
    ):
        assert not fact or fact in told
    assert f"sensitive: {'yes' if made.sensitive else 'no'}" in told
    assert ("HF_TOKEN" in told) == made.gated
    assert made.recipe or (made.revision or "the newest at the first read") in told
