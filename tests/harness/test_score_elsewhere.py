"""Models of elsewhere are never taken for one another: whatever is edited, swapped, renamed or still being written."""

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from harness import cli, elsewhere, record
from harness.comparison import Words, compare
from harness.elsewhere import Checkpoint, unique
from harness.errors import HarnessError, InputError, RecordError
from harness.files import write_text, writing
from harness.hiding import hidden
from harness.manifest import read
from harness.model import identity, load_model
from harness.score import shared_key
from harness.scoring import run

Typed = Callable[..., tuple[int, str, str]]


def changed(folder: Path, seed: int = 1) -> Path:
    """Noise on a model's weights."""
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        for i, p in enumerate(model.parameters()):
            p.add_(0.5 * p.std() * torch.randn(p.shape, generator=torch.Generator().manual_seed(100 * seed + i)))
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def base(model_folder: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return shutil.copytree(model_folder, tmp_path / "small")


@pytest.fixture
def typed(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    """`harness score WORDS`: exit code, what was printed, what was complained of."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    rows = [{"sentence_good": f"{i} The river is old.", "sentence_bad": f"{i} old The is river."} for i in range(12)]
    write_text(tmp_path / "keep.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    write_text(tmp_path / "pairs.yaml", "name: pairs\ntasks: [{task: blimp_wh_island, files: {train: keep.jsonl}}]\n")

    def run(*words: Any) -> tuple[int, str, str]:
        flags = [*words, "--base", base, "--suites", "pairs.yaml", "--output", tmp_path / "run"]
        monkeypatch.setattr(sys, "argv", ["harness", "score", *map(str, flags)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out, said.err

    return run


@pytest.mark.parametrize("name", ["generation_config.json", "model.safetensors.index.json"])
def test_what_decides_words_and_files_is_part_of_a_model(name: str, base: Path) -> None:
    before = identity(base)
    (base / name).write_text(json.dumps({"weight_map": {"a": "model.safetensors"}, "repetition_penalty": 9.0}))
    assert identity(base) != before


def test_python_files_are_part_of_a_model_whose_code_is_run(base: Path) -> None:
    before = identity(base, code=True)
    (base / "modeling.py").write_text("a = 1\n")
    assert identity(base, code=True) != before


def test_how_a_model_generates_is_part_of_its_scores(base: Path) -> None:
    model: Any = load_model(base)
    before = shared_key("k", model)
    model.generation_config.repetition_penalty = 9.0
    assert shared_key("k", model) != before


@pytest.mark.parametrize("place", ["../other/model.safetensors", "gone.safetensors", "sub/model.safetensors"])
def test_weights_that_an_index_names_elsewhere_are_refused(place: str, base: Path) -> None:
    path = base / "model.safetensors.index.json"
    path.write_text(json.dumps({"metadata": {}, "weight_map": {"a": place}}))
    with pytest.raises(InputError) as error:
        identity(base)
    assert str(error.value) == (
        f"{path} names the weights {place!r}, which do not lie beside it; put all of them into one folder"
    )


def test_a_base_that_holds_an_adapter_too_is_refused(base: Path) -> None:
    (base / "adapter_config.json").write_text("{}")
    with pytest.raises(InputError, match=r"holds an adapter beside its weights .* give a folder of the model alone"):
        identity(base)


@pytest.mark.parametrize(
    ("arms", "says"),
    [
        ([("kl:w", 1, 5), ("kl-w", 1, 6)], "kl:w and kl-w would be kept in one folder; give one of them another name"),
        ([("A", 1, None), ("a", 2, None)], "A and a would be kept in one folder; give one of them another name"),
        ([("hf_" + "a1" * 17, 1, None)], "*** looks like an access token, and is written nowhere; give another: NAME=PATH"),
    ],
)
def test_names_that_would_be_one_are_refused(arms: list[tuple[str, int, int | None]], says: str) -> None:
    with pytest.raises(InputError) as error:
        unique([Checkpoint("out", arm, seed, step) for arm, seed, step in arms])
    assert str(error.value) == says


@pytest.mark.parametrize("text", ["hf_finetuned_v1_checkpoint", "out/hf_checkpoint1000", "see hf_models_of_ours"])
def test_names_that_begin_like_a_token_are_not_hidden(text: str) -> None:
    assert hidden(text) == text


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("https://user:p@ss@host/x", "https://***@host/x"),
        ("at https://u:p@host/a and https://host/owner/name@main", "at https://***@host/a and https://host/owner/name@main"),
        ("key abcdefgh12345", "key ***"),
    ],
)
def test_secrets_are_hidden_whole(text: str, left: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "abcdefgh12345")
    assert hidden(text) == left


@pytest.mark.parametrize(("cells", "what"), [("1,5,5,1e400", "lr"), ("99999999999999999999,5,5,1", "seed")])
def test_numbers_of_a_manifest_are_told_apart(cells: str, what: str, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "arms.csv").write_text(f"path,arm,role,seed,step,tokens,lr\na,plain,control,{cells}\n")
    with pytest.raises(InputError, match=rf"arms\.csv:2: {what} is '"):
        read(tmp_path / "arms.csv")


def test_tables_swapped_between_two_models_are_found(typed: Typed, base: Path, tmp_path: Path) -> None:
    """Rows with their note: both are as they were written, and each is another model's."""
    for seed, name in enumerate(("one", "two"), 1):
        changed(shutil.copytree(base, tmp_path / name), seed)
    assert typed(tmp_path / "one", tmp_path / "two")[0] == 0
    tables = [tmp_path / "run" / name / "seed-1" / "scores" for name in ("one", "two")]
    before: Any = [each.scores["loglikelihoods"].map(list).tolist() for each in record.read(tmp_path / "run").trials]
    tables[0].rename(tmp_path / "aside")
    tables[1].rename(tables[0])
    (tmp_path / "aside").rename(tables[1])
    with pytest.raises(RecordError, match=r"pairs\.parquet was made with another model's weights; run the same command again"):
        _ = record.read(tmp_path / "run").trials[0].scores
    assert typed(tmp_path / "one", tmp_path / "two")[0] == 0
    after: Any = [each.scores["loglikelihoods"].map(list).tolist() for each in record.read(tmp_path / "run").trials]
    assert after == before


def test_weights_that_change_while_they_are_read_are_not_scored(
    typed: Typed, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training that still writes to the folder; once it has ended, the same command scores what is there."""
    one = changed(shutil.copytree(base, tmp_path / "one"))
    load = elsewhere.load
    with monkeypatch.context() as patched:
        patched.setattr(elsewhere, "load", lambda found, *given: load(found, *given) if changed(one, 2) else None)
        code, _, _ = typed(one)
    assert code == 1
    (trial,) = record.read(tmp_path / "run").trials
    assert trial.facts["error"] == f"the files of {one} changed while they were read; wait until whatever writes them has ended"
    assert not (trial.folder / "scores").exists()
    code, _, err = typed(one)
    assert code == 0, err
    assert record.read(tmp_path / "run").trials[0].facts["weights"] == identity(one, tokenizer=False)


def test_a_step_does_not_take_the_place_of_a_later_one(typed: Typed, base: Path, tmp_path: Path) -> None:
    for seed, name in enumerate(("ten", "five"), 1):
        changed(shutil.copytree(base, tmp_path / name), seed)
    path = tmp_path / "arms.csv"
    head = "path,arm,step,role\n"
    path.write_text(f"{head}ten,plain,10,control\n")
    assert typed("--manifest", path)[0] == 0
    before = (tmp_path / "run" / "plain" / "seed-1" / "scores" / "pairs.parquet").read_bytes()
    path.write_text(f"{head}five,plain,5,control\n")
    code, _, err = typed("--manifest", path)
    assert code == 2
    assert "holds step 10 of plain, seed 1, which is not named now; name all steps of a training together" in err
    assert (tmp_path / "run" / "plain" / "seed-1" / "scores" / "pairs.parquet").read_bytes() == before
    path.write_text(f"{head}five,plain,5,control\nten,plain,10,control\n")
    assert typed("--manifest", path)[0] == 0


def test_another_vocabulary_without_a_tokenizer_is_said(typed: Typed, base: Path, tmp_path: Path) -> None:
    model: Any = AutoModelForCausalLM.from_pretrained(base)
    model.resize_token_embeddings(model.config.vocab_size + 5)
    model.save_pretrained(tmp_path / "wide")
    size = model.config.vocab_size
    code, out, err = typed(tmp_path / "wide")
    assert code == 0, err
    assert (
        f"note: wide: it has {size} embeddings, the base {size - 5}, and holds no tokenizer; it is asked the base's tokens"
        in out
    )


def test_a_configuration_that_is_no_object_is_named(base: Path) -> None:
    (base / "config.json").write_text("[]")
    with pytest.raises(InputError, match=r"config\.json is damaged \(it holds no object\); give a folder that save_pretrained"):
        identity(base)


def test_a_model_that_gives_no_numbers_says_nothing(base: Path) -> None:
    """A wrong answer would look like forgetting."""
    from transformers import AutoTokenizer

    from harness.score import complete

    model: Any = load_model(base)
    with torch.no_grad():
        model.model.layers[0].mlp.down_proj.weight.fill_(float("nan"))
    with pytest.raises(HarnessError, match="the model gave nan; its weights are broken"):
        complete(model, AutoTokenizer.from_pretrained(base), ["The river"])


def reading(tokens: int, model: Path, folder: Path) -> Path:
    """The same weights, said to read more or fewer tokens at once."""
    config = json.loads((shutil.copytree(model, folder) / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": tokens}))
    return folder


def test_every_model_is_asked_in_the_windows_of_the_base(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that reads longer texts at once would seem to have learned, and its drift be measured where the base never read."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    length = json.loads((base / "config.json").read_text())["max_position_embeddings"]
    texts = [{"text": f"{number} The river of Aldon is old and wide. " * (length // 4)} for number in range(3)]
    write_text(tmp_path / "keep.jsonl", "".join(json.dumps(row) + "\n" for row in texts))
    write_text(tmp_path / "long.yaml", "name: long\ntasks: [{task: told, text: {}, files: {test: keep.jsonl}}]\n")
    words = Words(str(base), (str(reading(2 * length, base, tmp_path / "longer")),), None, str(tmp_path / "long.yaml"))
    one = compare(replace(words, output=tmp_path / "run"))
    assert run(one, "harness score") == []
    found = record.read(tmp_path / "run")
    assert found.plan["options"]["length"] == length
    (longer,) = found.trials
    assert longer.scores["value"].tolist() == found.base.scores["value"].tolist()
    told = longer.drift[longer.drift["kind"] == "text"].set_index("item")
    assert told["forward"].to_numpy().max() == 0.0
    nats = -found.base.scores.set_index("item")["loglikelihoods"].str[0]
    assert told["before"].tolist() == pytest.approx(nats.loc[told.index].tolist(), rel=1e-4)
    assert compare(replace(words, models=(f"same={base}",))).how.length is None
    with pytest.raises(InputError, match=f"reads 8 tokens at once and the base {length:,}: it cannot be asked"):
        compare(replace(words, models=(str(reading(8, base, tmp_path / "shorter")),)))


def test_a_full_disk_is_said_with_the_file(tmp_path: Path) -> None:
    with (
        pytest.raises(OSError, match=r"rows\.parquet cannot be written: \[Errno 28\] full"),
        writing(tmp_path / "rows.parquet"),
    ):
        raise OSError(28, "full")
    assert list(tmp_path.iterdir()) == []
