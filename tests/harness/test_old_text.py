"""Where an arm reads old text and none was given, some is found: the base's own, a web sample, or drawn from the base."""

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from harness import cli, drawn, mirrors
from harness.borders import borders
from harness.corpus import SPLITS
from harness.drawn import Drawing, rows_of
from harness.errors import InputError
from harness.model import load_tokenizer, locate

Run = Callable[..., tuple[int, str, str]]
READS = "replay reads old text, and no --old was given: it is "


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(mirrors.VARIABLE, raising=False)
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def run(model_folder: Path, text_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`harness run` with a small plan and these words: code, what was printed and what was complained of."""

    def typed(*words: Any, model: Path = model_folder) -> tuple[int, str, str]:
        flags = ["--model", model, "--new", text_file, "--length", 16, "--batch", 4, "--tokens", 640, "--seeds", 1]
        flags += ["--output", "out", "--limit", 2, "--no-milestones", *words]
        monkeypatch.setattr(sys, "argv", ["harness", "run", *map(str, flags)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out, said.err

    return typed


def old() -> dict[str, Any]:
    return yaml.safe_load(Path("out/plan.yaml").read_text())["sources"]["old"]


def named(model: Path, name: str) -> Path:
    """A copy of a model that says where it came from."""
    folder = Path(shutil.copytree(model, "named"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "_name_or_path": name}))
    return folder


def web(name: str, path: str = "web.jsonl") -> None:
    """A mirror of a dataset of the hub."""
    rows = [{"text": f"Page {i} of the web says {i * i}, and some more words about {i}."} for i in range(200)]
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("mirrors.yaml").write_text(json.dumps({"datasets": {name: {"train": path}}}))


def test_arms_that_read_none_get_none(run: Run) -> None:
    code, out, err = run("--strategies", "kl", "--dry-run")
    assert (code, err) == (0, "")
    assert "no old text" in out
    assert "--old" not in out


def test_the_base_s_own_corpus_comes_first(run: Run, model_folder: Path) -> None:
    model = named(model_folder, "EleutherAI/pythia-70m")
    web("EleutherAI/the_pile_deduplicated")
    code, out, err = run("--strategies", "replay", "--dry-run", model=model)
    assert (code, err) == (0, "")
    assert f"note: {READS}text that the base was trained on, hub:EleutherAI/the_pile_deduplicated\n" in out
    assert "old text the_pile_deduplicated" in out


def test_then_a_web_sample_and_what_could_not_be_had(run: Run, model_folder: Path) -> None:
    web("HuggingFaceFW/fineweb-edu")
    code, out, err = run("--strategies", "replay", "--dry-run")
    assert (code, err) == (0, "")
    assert f"note: {READS}a web sample, fineweb_edu\n" in out
    code, out, err = run("--strategies", "replay", "--dry-run", model=named(model_folder, "EleutherAI/pythia-70m"))
    assert (code, err) == (0, "")
    assert f"note: {READS}a web sample, fineweb_edu (hub:EleutherAI/the_pile_deduplicated cannot be reached: " in out


def test_a_mirror_that_cannot_be_read_is_an_error_and_not_passed_over(run: Run) -> None:
    web("HuggingFaceFW/fineweb-edu")
    Path("web.jsonl").write_text("{")
    code, _, err = run("--strategies", "replay", "--dry-run")
    assert code == 2
    assert "web.jsonl:1: no JSON" in err


def test_else_it_is_drawn_from_the_base_and_stays_so(run: Run) -> None:
    """A dry run says what it costs and draws nothing; the run draws it once, the plan names it, a continued run keeps it."""
    code, out, err = run("--strategies", "replay,kl_old", "--dry-run")
    assert (code, err) == (0, "")
    assert (
        "note: replay, kl_old read old text, and no --old was given: it is text of the base's own distribution, drawn from"
        in out
    )
    assert "1,024 tokens" in out
    assert "not drawn in a dry run" in out
    assert "fineweb_edu cannot be reached: " in out
    assert not Path("cache/drawn").exists()

    code, out, err = run("--strategies", "replay")
    assert (code, err) == (0, "")
    assert "drawing old text from" in out
    first = old()
    assert first["word"] == "drawn:64x16"
    assert first["name"].startswith("drawn from ")
    assert "own distribution, drawn from" in Path("out/report.html").read_text()

    web("HuggingFaceFW/fineweb-edu")
    code, out, err = run("--strategies", "replay,kl_old")
    assert (code, err) == (0, "")
    assert "as in the plan of this run" in out
    assert "drawing old text" not in out
    assert old() == first

    shutil.rmtree("cache")
    code, out, err = run("--strategies", "replay,kl_old,kl")
    assert (code, err) == (0, "")
    assert old() == first, "drawn again, it is the same text"


@pytest.mark.parametrize("mirrored", [True, False])
def test_a_run_goes_on_with_arms_that_read_no_old_text(run: Run, mirrored: bool) -> None:
    """It has old text all the same: what is scored stays, and so does the plan; whoever joins later may read it again."""
    if mirrored:
        web("HuggingFaceFW/fineweb-edu")
    assert run("--strategies", "replay")[0] == 0
    first = old()
    code, out, err = run("--strategies", "kl")
    assert (code, err) == (0, "")
    assert f"no arm reads old text, and no --old was given: it is {first['name']}, as in the plan of this run" in out
    assert old() == first, "and why it was chosen"
    assert run("--strategies", "kl_old")[0] == 0
    folders = {path.name for path in Path("out").iterdir() if path.is_dir()}
    assert folders == {"base", "none", "replay", "kl", "kl_old", "old_only"}


def test_a_run_without_old_text_is_not_given_some(run: Run) -> None:
    """That is said before any is looked for or drawn."""
    assert run("--strategies", "kl")[0] == 0
    code, out, err = run("--strategies", "kl,replay")
    assert code == 2
    assert "out was begun without old text, and replay reads old text; give --output another folder, or delete it" in err
    assert "looking for" not in out
    assert "drawing" not in out


def test_a_run_whose_old_text_was_a_file_asks_for_it_again(run: Run) -> None:
    web("HuggingFaceFW/fineweb-edu")
    assert run("--strategies", "replay", "--old", "web.jsonl")[0] == 0
    for arm in ("replay", "kl"):
        code, out, err = run("--strategies", arm)
        assert code == 2
        assert "out has the old text web; give it again with --old, or --output another folder" in err
        assert "looking for" not in out


@pytest.fixture
def drawing(model_folder: Path) -> Drawing:
    base = locate(str(model_folder))
    tokenizer: Any = load_tokenizer(base.folder)
    start = borders(tokenizer).start
    return Drawing(base, tokenizer, start, frozenset({start, tokenizer.eos_token_id}), 600, 32)


def test_drawing_goes_on_where_it_stopped(drawing: Drawing, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Stopped behind each group and begun again, the text is that of one go, bit for bit; and nothing is drawn twice."""
    drawing.draw(lambda sentence: None)
    whole = drawing.path.read_bytes()
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "other"))
    again = Drawing(drawing.base, drawing.tokenizer, drawing.start, drawing.ends, drawing.rows, drawing.length)
    of, drew = drawn.group, []

    def stopping(*given: Any) -> torch.Tensor:
        if len(drew) % 2:
            drew.append(None)
            raise KeyboardInterrupt
        drew.append(given[2])
        return of(*given)

    monkeypatch.setattr(drawn, "group", stopping)
    for _ in range(9):
        try:
            again.draw(lambda sentence: None)
            break
        except KeyboardInterrupt:
            assert not again.path.is_file()
    assert again.path.read_bytes() == whole
    rows = [rows for rows in drew if rows is not None]
    assert rows == drawn.groups_of(600, 32)


def test_another_size_is_another_text(drawing: Drawing) -> None:
    """Nothing of one is taken for the other."""
    sizes = [(drawing.rows, drawing.length), (drawing.rows + 1, drawing.length), (drawing.rows, drawing.length + 1)]
    assert len({replace(drawing, rows=rows, length=length).folder for rows, length in sizes}) == 3


def test_what_was_drawn_is_a_corpus(drawing: Drawing) -> None:
    """Documents between the tokens that end them, in three splits; the key is made of the text."""
    drawing.draw(lambda sentence: None)
    found = drawing.corpus(0)
    documents = [document for split in SPLITS for document in found.read(split)]
    assert all(list(found.read(split)) for split in SPLITS)
    assert len({document.id for document in documents}) == len(documents)
    assert all("<|endoftext|>" not in document.text for document in documents)
    assert {document.id.partition("-")[0] for document in documents} <= {str(i) for i in range(600)}
    assert found.key != drawing.corpus(1).key


@pytest.mark.parametrize(
    ("budget", "length", "tokens"),
    [(640, 16, 1024), (10**6, 1000, 100_000), (5 * 10**6, 1000, 500_000), (10**9, 2**10, 2**20), (10**6, 2048, 2**17)],
)
def test_how_much_is_drawn(budget: int, length: int, tokens: int) -> None:
    """A tenth of a training, 2^20 tokens at most, 64 rows at least."""
    assert rows_of(budget, length) * length == tokens


def test_documents_end_where_a_token_ends_them() -> None:
    assert list(drawn._cut([1, 2, 9, 3, 9, 9, 4], frozenset({9}))) == [[1, 2], [3], [], [4]]


def test_a_stream_is_read_as_far_as_it_was_asked_for(run: Run, monkeypatch: pytest.MonkeyPatch, model_folder: Path) -> None:
    """New text of the hub without an end is refused; old text of it is read as far as a training goes."""
    from harness import lookup
    from harness.asking import settings
    from harness.corpus import Corpus, Document

    def endless(split: str) -> Any:
        number = 0
        while True:
            number += 1
            yield Document(str(number), f"page {number} of many")

    asked = settings({"model": str(model_folder)}, "here")
    tokenizer: Any = load_tokenizer(model_folder)
    stream = Corpus("web", "", endless, "hub:x")
    known = borders(tokenizer)
    with pytest.raises(InputError, match=r"^web is streamed; say how much of it is read, as in --tokens 100M, or all with"):
        lookup.pack_all(asked, tokenizer, {"new": stream}, 16, known)
    finite = Corpus("own", "", lambda split: iter([Document(str(i), "some words " * 9) for i in range(50)]), "own")
    tables = lookup.pack_all(asked, tokenizer, {"old": stream, "new": finite}, 16, known)
    assert list(tables) == ["old", "new"]
    assert abs(tables["old"].facts.tokens - tables["new"].facts.tokens) <= 16
