"""Datasets of the hub, against a local stand-in: pinned, streamed, kept; what fails is one sentence that says what to type."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness import mirrors, splits
from harness.errors import InputError
from harness.reading import check, corpus
from harness.texts import asked_of_hub, find_corpus

Rows = list[dict[str, Any]]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(mirrors.VARIABLE, raising=False)
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(splits, "WINDOW", 1000)


def numbered(n: int) -> Rows:
    return [{"id": f"doc{i}", "text": f"text {i}"} for i in range(n)]


class Hub:
    """A hub of one dataset, as far as it is asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, data: dict[str, Rows], revision: str = "abc") -> None:
        import datasets
        import huggingface_hub

        self.data, self.asked = data, []
        info = SimpleNamespace(dataset_info=lambda name, timeout: SimpleNamespace(sha=revision))
        monkeypatch.setattr(huggingface_hub, "HfApi", lambda: info)
        monkeypatch.setattr(huggingface_hub, "get_token", lambda: "a token")
        monkeypatch.setattr(datasets, "get_dataset_split_names", lambda name, configuration, revision, **_: list(data))
        monkeypatch.setattr(datasets, "load_dataset", self.load)

    def load(self, name: str, configuration: str | None, **how: Any) -> Iterator[dict[str, Any]]:
        self.asked.append((name, configuration, how))
        return iter(self.data[how["split"]])


def offline(*_: Any, **__: Any) -> Any:
    raise ConnectionError("no route\n  to host.")


def refused(word: str) -> str:
    with pytest.raises(InputError) as error:
        check(find_corpus(word))
    return str(error.value)


def test_a_hub_dataset(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streamed at a pinned revision; its own splits where it has them, under their usual names."""
    hub = Hub(monkeypatch, {"train": numbered(900), "dev": [{"text": "v"}]})
    found = corpus("owner/name")
    assert found.name == "name"
    assert found.about == "hub:owner/name at abc, text in text, id in id, held out from its first 1,000 documents"
    assert found.key.startswith("hub:")
    assert [d.text for d in found.read("validation")] == ["v"]
    assert len(list(found.read("test"))) in range(5, 60)
    assert ("owner/name", None, {"split": "dev", "revision": "abc", "streaming": True}) in hub.asked
    assert corpus("hub:owner/name/config#text").about.startswith("hub:owner/name/config at abc, text in text")
    other = Hub(monkeypatch, hub.data, "def")
    assert corpus("owner/name").key != found.key
    assert corpus(found.word).key == found.key, "the word that a plan keeps is the same text when the hub has moved on"
    assert all(how["revision"] != "abc" for _, _, how in other.asked)


def test_what_was_read_of_a_commit_is_known_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Splits, what is held out and the key; the rest of train alone is asked for."""
    Hub(monkeypatch, {"train": numbered(3000)})
    found = find_corpus("hub:owner/name@abc")
    held = [document.id for document in found.read("test")]
    monkeypatch.setattr("datasets.load_dataset", offline)
    monkeypatch.setattr("datasets.get_dataset_split_names", offline)
    again = find_corpus("hub:owner/name@abc")
    assert again.key == found.key
    assert [document.id for document in again.read("test")] == held
    with pytest.raises(InputError, match="no route to host"):
        list(again.read("train"))


def test_only_what_was_looked_at_is_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Held-out documents are among the first; a stream is not read to its end for them."""
    hub = Hub(monkeypatch, {"train": numbered(5000)})
    found = corpus("owner/name")
    hub.data["train"] = numbered(1)
    held = [int(document.id[3:]) for split in ("validation", "test") for document in found.read(split)]
    assert max(held) < 1000
    assert 20 < len(held) < 100


def test_rows_of_the_hub_without_text_are_left_out_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of one's own files are refused; these nobody can mend."""
    Hub(monkeypatch, {"train": [{"text": ""}, *numbered(900), {"text": " \n"}, {"text": "last"}]})
    found = find_corpus("o/n")
    assert found.notes == ("hub:o/n: rows without text are left out, 2 beside its first documents",)
    assert sum(len(list(found.read(split))) for split in splits.SHARES) + len(list(found.read("train"))) == 901


def test_a_copy_of_what_is_held_out_is_not_trained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Further down the stream, under another id."""
    copies = [{"id": f"copy{i}", "text": row["text"]} for i, row in enumerate(numbered(1000))]
    Hub(monkeypatch, {"train": [*numbered(1000), *copies]})
    found = corpus("owner/name")
    held = {document.text for split in ("validation", "test") for document in found.read(split)}
    trained = [document.text for document in found.read("train")]
    assert not held & set(trained)
    assert len(trained) == 2 * (1000 - len(held))


def test_rows_of_the_hub_are_looked_at_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first before a run, the others when they are read."""
    Hub(monkeypatch, {"train": [*numbered(2), {"text": None}]}, "1")
    assert refused("o/n") == "hub:o/n train:3: text is null; it has to be text"
    Hub(monkeypatch, {"train": [*numbered(1000), {"text": None}]}, "2")
    found = corpus("o/n")
    assert sum(size.documents for size in check(found).values()) == 1000
    with pytest.raises(InputError, match=r"^hub:o/n train:1001: text is null; it has to be text$"):
        list(found.read("train"))
    Hub(monkeypatch, {"train": []}, "3")
    assert refused("o/n") == "hub:o/n train is empty; it needs at least one document"
    Hub(monkeypatch, {"english": numbered(3)}, "4")
    assert refused("o/n").startswith("hub:o/n has no split train; it has english; say in mirrors.yaml where its files lie")
    Hub(monkeypatch, {"train": [{"text": "a", "sensitive": True}, *numbered(3)]}, "5")
    assert corpus("o/n").sensitive


MIRROR = "say in mirrors.yaml where its files lie, as in `datasets: {%s: {train: train.jsonl#%s}}`"


@pytest.mark.parametrize(
    ("word", "name", "column"),
    [
        ("hub:o/n", "o/n", "text"),
        ("hub:o/n/part#body", "o/n/part", "body"),
        ("pubmed", "MedRAG/pubmed", "content"),
        ("clinical_notes", "AGBonnet/augmented-clinical-notes", "note"),
        ("medical_textbooks", "MedRAG/textbooks", "content"),
        ("the_stack", "bigcode/the-stack-dedup/python", "content"),
        ("the_stack/java", "bigcode/the-stack-dedup/java", "content"),
        ("wikitext", "Salesforce/wikitext/wikitext-103-raw-v1", "text"),
        ("c4", "allenai/c4/en", "text"),
        ("c4/de", "allenai/c4/de", "text"),
        ("fineweb_edu", "HuggingFaceFW/fineweb-edu/sample-10BT", "text"),
    ],
)
def test_a_hub_that_does_not_answer(word: str, name: str, column: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the library below raises is one sentence that says what to put into mirrors.yaml; and that line works."""
    Hub(monkeypatch, {"train": numbered(3)})
    monkeypatch.setattr("datasets.get_dataset_split_names", offline)
    monkeypatch.setattr("huggingface_hub.HfApi", offline)
    help_ = "check name, network and HF_TOKEN, or " + MIRROR % (name, column)
    assert refused(word) == f"hub:{name} cannot be read (no route to host); {help_}"
    Path("train.jsonl").write_text("".join(json.dumps({column: f"text {i}"}) + "\n" for i in range(9)))
    line = refused(word).split("`")[1]
    Path("mirrors.yaml").write_text(line)
    found = find_corpus(word)
    assert len([document for split in splits.SHARES for document in found.read(split)]) == 2
    assert found.sensitive == (word == "clinical_notes")


def test_a_stream_that_breaks_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    Hub(monkeypatch, {"train": numbered(3)})
    found = corpus("o/n")
    monkeypatch.setattr("datasets.load_dataset", offline)
    with pytest.raises(InputError, match=r"^hub:o/n cannot be read \(no route to host\); check name"):
        list(found.read("train"))


def test_a_gated_dataset_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a token before anything is asked; with one that was not let in, from what the hub says."""
    hub = Hub(monkeypatch, {"train": numbered(3)})
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    page = "https://huggingface.co/datasets/bigcode/the-stack-dedup"
    sentence = (
        f"hub:bigcode/the-stack-dedup/python is gated: agree to its terms at {page} and set HF_TOKEN to your token, or "
        + MIRROR % ("bigcode/the-stack-dedup/python", "content")
    )
    assert refused("the_stack") == sentence
    assert not hub.asked
    monkeypatch.setattr("huggingface_hub.get_token", lambda: "a token")

    def closed(*_: Any, **__: Any) -> Any:
        raise RuntimeError("Dataset 'bigcode/the-stack-dedup' is a gated dataset on the Hub. Visit the page to ask for access.")

    monkeypatch.setattr("datasets.get_dataset_split_names", closed)
    assert refused("the_stack") == sentence


def test_another_language_of_the_stack_is_another_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(monkeypatch, {"train": [{"content": f"int x{i};"} for i in range(5)]})
    found = find_corpus("the_stack/java")
    assert hub.asked[0] == (
        "bigcode/the-stack-dedup", None,
        {"split": "train", "revision": "abc", "streaming": True, "data_dir": "data/java"},
    )  # fmt: skip
    assert (found.name, found.word) == ("the_stack/java", "the_stack/java@abc")
    assert find_corpus("the_stack/java@abc").key == found.key


def test_credentialed_text_is_a_recipe_and_never_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(monkeypatch, {"train": numbered(3)})
    sentence = refused("mimic_notes")
    assert sentence.startswith("mimic_notes is on no hub: it is given to credentialed users of physionet.org")
    assert sentence.endswith(MIRROR % ("physionet/mimic-iv-note", "text"))
    assert not hub.asked
    assert asked_of_hub("mimic_notes") is None
    Path("train.jsonl").write_text("".join(json.dumps({"note_id": f"{i}", "text": f"note {i}"}) + "\n" for i in range(9)))
    Path("mirrors.yaml").write_text(sentence.split("`")[-2])
    assert find_corpus("mimic_notes").sensitive


def test_a_missing_file_is_not_looked_for_on_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """`data/notes` in a folder `data` that is here is a file that is missing; prefixes say what is meant."""
    Hub(monkeypatch, {"train": numbered(3)})
    Path("data").mkdir()
    assert refused("data/notes") == "there is no file or folder 'data/notes'; give a file, a folder or hub:owner/name"
    assert corpus("hub:data/notes").name == "notes"
    assert refused("file:o/n").startswith("there is no file or folder 'file:o/n'")
    Path("o").mkdir()
    Path("o/n").write_text("")
    assert refused("file:o/n").startswith("o/n is not of a kind that is read")


WORDS: list[tuple[str, str | None]] = [
    ("world_old", None), ("notes.jsonl", None), ("o/n#body", "o/n"), ("hub:o/n/c", "o/n"), ("pubmed", "MedRAG/pubmed"),
    ("the_stack/java", "bigcode/the-stack-dedup"),
]  # fmt: skip


@pytest.mark.parametrize(("word", "name"), WORDS)
def test_what_is_asked_of_the_hub_is_known_beforehand(word: str, name: str | None) -> None:
    found = asked_of_hub(word)
    assert (found and found.dataset) == name
    if name:
        Path("train.jsonl").write_text("")
        Path("mirrors.yaml").write_text(json.dumps({"datasets": {name: {"train": "train.jsonl"}}}))
        assert asked_of_hub(word) is None


def test_a_part_of_what_has_none() -> None:
    with pytest.raises(InputError, match=r"^pubmed has no parts, and pubmed/2023 asks for one; type pubmed$"):
        find_corpus("pubmed/2023")
