"""harness score: models that were trained elsewhere, scored as a run scores its arms, into a folder of the same form."""

import json
import math
import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from harness import cli, mirrors, record
from harness.elsewhere import checkpoints
from harness.errors import InputError
from harness.manifest import read
from harness.score import score

Typed = Callable[..., tuple[int, str, str]]
REVISION = "0123456789abcdef0123456789abcdef01234567"


def other(model_folder: Path, folder: Path, seed: int = 1, scale: float = 0.5) -> Path:
    """A checkpoint: the base with noise on its weights."""
    model = AutoModelForCausalLM.from_pretrained(model_folder)
    with torch.no_grad():
        for i, p in enumerate(model.parameters()):
            p.add_(scale * p.std() * torch.randn(p.shape, generator=torch.Generator().manual_seed(100 * seed + i)))
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs of sentences to keep, and others to learn."""
    folder = tmp_path_factory.mktemp("suite")
    for name in ("keep", "gain"):
        rows = [
            {"sentence_good": f"{i} The river of Aldon is {name}.", "sentence_bad": f"{i} is The Aldon of {name} river.",
             "UID": str(i)} for i in range(40)
        ]  # fmt: skip
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "pairs.yaml").write_text(
        "name: pairs\nprompts: [The river]\ntasks:\n"
        "  - {task: blimp_wh_island, chance: 0.5, files: {train: keep.jsonl}}\n"
        "  - {task: blimp_adjunct_island, chance: 0.5, measures: gain, files: {train: gain.jsonl}}\n"
    )
    return folder / "pairs.yaml"


@pytest.fixture
def typed(
    model_folder: Path, suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Typed:
    """`harness score WORDS` on the suite: exit code, what was printed, what was complained of."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)

    def run(*words: Any, base: Any = model_folder) -> tuple[int, str, str]:
        flags = [*words, "--base", base, "--suites", suite, "--output", tmp_path / "run"]
        monkeypatch.setattr(sys, "argv", ["harness", "score", *map(str, flags)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out, said.err

    return run


def adapter(model_folder: Path, folder: Path, named: str | None = None) -> Path:
    """A low-rank adapter as peft writes it."""
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(r=2, target_modules=["q_proj", "down_proj"], init_lora_weights=False)
    torch.manual_seed(3)
    peft.get_peft_model(AutoModelForCausalLM.from_pretrained(model_folder), config).save_pretrained(folder)
    if named is not None:
        settings = json.loads((folder / "adapter_config.json").read_text())
        (folder / "adapter_config.json").write_text(json.dumps(settings | {"base_model_name_or_path": named}))
    return folder


def hub(folder: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A model as the hub's client keeps it, offline."""
    from huggingface_hub import constants

    shutil.copytree(model, folder / "models--org--tuned" / "snapshots" / REVISION)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    return f"org/tuned@{REVISION}"


def test_a_folder_a_revision_and_an_adapter_stand_against_the_base(
    typed: Typed, model_folder: Path, suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noisy = other(model_folder, tmp_path / "noisy")
    named = hub(tmp_path / "hub", noisy, monkeypatch)
    code, out, err = typed(noisy, named, f"mine={adapter(model_folder, tmp_path / 'lora')}")
    assert code == 0, err
    assert "to do: 4 models, 80 items each, less than a minute" in out
    found = record.read(tmp_path / "run")
    assert [trial.name for trial in found.trials] == ["noisy", "tuned@01234567", "mine"]
    assert [trial.status for trial in found.trials] == ["done"] * 3
    (suite_object,) = _suites(suite)
    by_hand = score(AutoModelForCausalLM.from_pretrained(noisy), AutoTokenizer.from_pretrained(model_folder), suite_object)
    pd.testing.assert_frame_equal(found.trials[0].scores, by_hand, check_dtype=False)
    pd.testing.assert_frame_equal(found.trials[0].scores, found.trials[1].scores)
    values = [trial.scores["loglikelihoods"].map(list).tolist() for trial in (found.base, found.trials[2])]
    assert values[0] != values[1], "an adapter on the base is not the base"
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "what they read, how long, at what price and how they were chosen is not known here" in page
    for absent in (
        "Was each arm trained properly?",
        "the control",
        "all tokens",
        "peak memory",
        "0 FLOP",
        "When did forgetting",
    ):
        assert absent not in page, absent


def _suites(path: Path) -> Any:
    from harness.lookup import named, ready
    from harness.settings import settings

    return ready(named(settings({"suites": str(path)}, "a test")))


def test_the_page_can_be_built_anew(typed: Typed, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert typed(other(model_folder, tmp_path / "noisy"))[0] == 0
    (tmp_path / "run" / "report.html").unlink()
    monkeypatch.setattr(sys, "argv", ["harness", "report", str(tmp_path / "run")])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    assert (tmp_path / "run" / "report.html").is_file()


def test_a_model_that_fails_is_a_row_and_the_others_go_on(typed: Typed, model_folder: Path, tmp_path: Path) -> None:
    """Then the same command does only what is missing."""
    from safetensors.torch import load_file, save_file

    bad, good = other(model_folder, tmp_path / "bad"), other(model_folder, tmp_path / "good", 2)
    whole = load_file(bad / "model.safetensors")
    save_file({k: v for k, v in whole.items() if "norm" not in k}, bad / "model.safetensors", metadata={"format": "pt"})
    code, _, err = typed(bad, good)
    assert code == 1
    assert err.splitlines()[-1] == "harness: 1 model failed: bad/seed-1; the page says why; the same command tries it again"
    found = {trial.name: trial for trial in record.read(tmp_path / "run").trials}
    assert found["good"].status == "done"
    assert "it would be drawn at random" in found["bad"].facts["error"]
    assert "drawn at random" in pd.read_csv(tmp_path / "run" / "results.csv")["error"].dropna().iloc[0]
    before = (tmp_path / "run" / "good" / "seed-1" / "result.json").stat().st_mtime_ns
    code, out, _ = typed(bad, good)
    assert code == 1
    assert "to do: 1 model, " in out
    assert (tmp_path / "run" / "good" / "seed-1" / "result.json").stat().st_mtime_ns == before


def test_stopped_and_started_again_it_goes_on(
    typed: Typed, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored: list[str] = []
    left = [1]

    def stopping(*given: Any, **named: Any) -> Any:
        if "limit" in named and named.get("show") and not left[0]:
            raise KeyboardInterrupt
        left[0] -= bool(named.get("show"))
        scored.append("show" if named.get("show") else "probe")
        return score(*given, **named)

    one, two = other(model_folder, tmp_path / "one"), other(model_folder, tmp_path / "two", 2)
    with monkeypatch.context() as patched:
        patched.setattr("harness.score.score", stopping)
        code, _, err = typed(one, two)
    assert code == 130
    assert "type the same command again and it goes on from where it was" in err
    assert record.read(tmp_path / "run").base.status == "done"
    code, out, _ = typed(one, two)
    assert code == 0
    assert "to do: 2 models, " in out
    assert [trial.status for trial in record.read(tmp_path / "run").trials] == ["done", "done"]


def test_a_dry_run_says_the_price_and_writes_nothing(typed: Typed, model_folder: Path, tmp_path: Path) -> None:
    code, out, _ = typed(other(model_folder, tmp_path / "noisy"), "--dry-run", "--limit", 4)
    assert code == 0
    assert "to do: 2 models, 8 items each, less than a minute" in out
    assert not (tmp_path / "run").exists()


def test_what_a_dry_run_proposes_can_be_typed_and_tells_which_tasks_show_forgetting(
    suite: Path, model_folder: Path, text_file: Path, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    """Also of a suite file, whose name is no word of --suites, behind mirrors, and for a run that keeps items to choose by."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(mirrors.VARIABLE, "")
    monkeypatch.chdir(tmp_path)
    Path("my mirrors.yaml").write_text("models: {}")

    def said(*words: Any) -> str:
        monkeypatch.setattr(sys, "argv", ["harness", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        assert end.value.code == 0, err
        return out

    flags = ["--suites", suite, "--mirrors", "my mirrors.yaml", "--limit", 30, "--allow-code-execution", "--dry-run"]
    flags += ["--length", 16, "--batch", 4, "--seeds", 1, "--tokens", "1k", "--strategies", "none"]
    asked = ["run", "--model", model_folder, "--new", text_file, *flags]
    command = re.findall("`(harness score .*)`", said(*asked))[0]
    assert "scores it alone" in said(*asked, "--items", "test")
    words = ["--base", model_folder, "--suites", suite, "--limit", 30, "--mirrors", "my mirrors.yaml", "--allow-code-execution"]
    assert shlex.split(command) == ["harness", "score", *map(str, words)]
    said(*shlex.split(command)[1:])
    for more in ([], ["--items", "test"]):
        told = said(*asked, *more)
        assert "scores it alone" not in told
        assert "blimp_wh_island" in told


def test_what_is_run_read_elsewhere_or_left_out_is_said_before_anything_is_scored(
    model_folder: Path, suite: Path, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    """A folder of task files is code, mirrors stand for the hub, and what runs model-written code is left out."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(mirrors.VARIABLE, "")
    monkeypatch.chdir(tmp_path)
    Path("mirrors.yaml").write_text("models: {}")
    Path("mine").mkdir()
    for name, more in (("mine_safe", ""), ("mine_unsafe", "unsafe_code: true\n")):
        Path(f"mine/{name}.yaml").write_text(
            f"task: {name}\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: {suite.parent / 'keep.jsonl'}}}}}\n"
            "output_type: multiple_choice\ntest_split: test\ndoc_to_text: ''\ndoc_to_target: 0\n"
            f"doc_to_choice: '{{{{[sentence_good, sentence_bad]}}}}'\nmetric_list: [{{metric: acc}}]\n{more}"
        )
    words = ["--base", model_folder, "--suites", "./mine", "--limit", 4, "--dry-run", "--output", "out"]
    monkeypatch.setattr(sys, "argv", ["harness", "score", *map(str, words)])
    with pytest.raises(SystemExit):
        cli.main()
    out, err = capsys.readouterr()
    assert err == ""
    assert f"base {model_folder}; no checkpoint\n" in out
    assert re.search(r"note: task files of .*/mine \(\w{12}\): they are code, and are run\n", out)
    assert "note: data sets and models that mirrors.yaml names are read from this machine\n" in out
    assert "note: mine_unsafe runs what the model wrote: left out, as --allow-code-execution was not given.\n" in out


@pytest.mark.slow
def test_a_folder_grows_by_models_and_refuses_what_does_not_belong(typed: Typed, model_folder: Path, tmp_path: Path) -> None:
    one, two = other(model_folder, tmp_path / "one"), other(model_folder, tmp_path / "two", 2)
    assert typed(one)[0] == 0
    assert typed(two)[0] == 0
    assert [trial.name for trial in record.read(tmp_path / "run").trials] == ["two", "one"]
    assert "was scored with options none, now {'limit': 5}" in typed(one, "--limit", 5)[2]
    assert (
        "the models of " in typed(one, base=shutil.copytree(two, tmp_path / "base") and _with_tokenizer(two, model_folder))[2]
    )
    other(model_folder, one, seed=9)
    code, _, err = typed(one)
    assert code == 1
    assert f"holds scores of other weights than {one} has now" in err


def _with_tokenizer(folder: Path, model_folder: Path) -> Path:
    AutoTokenizer.from_pretrained(model_folder).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["runs/a/model", "runs/b/model"], ["a-model", "b-model"]),
        (["org/one@main", "out/two"], ["one@main", "two"]),
        (["x=out/two", "out/one/"], ["x", "one"]),
        ([f"org/one@{REVISION}"], ["one@01234567"]),
        (["out/base"], ["out-base"]),
        (["kl:weight=1=out/kl", "out/w=3"], ["kl:weight", "w-3"]),
    ],
)
def test_models_are_named_by_as_much_of_their_path_as_tells_them_apart(words: list[str], names: list[str]) -> None:
    assert [checkpoint.arm for checkpoint in checkpoints(words)] == names


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["out/one", "out/one"], "the same model stands twice in out/one, out/one; name each once, as NAME=PATH"),
        (["x=out/one", "x=out/two"], "two models are called x; give each a name of its own: NAME=PATH"),
        (["base=out/one"], "'base' can be no name of a model; give letters, digits and ._:=+@- (and not 'base'): NAME=PATH"),
        ([".x=out/one"], "'.x' can be no name of a model; give letters, digits and ._:=+@- (and not 'base'): NAME=PATH"),
    ],
)
def test_names_that_cannot_stand_are_refused(words: list[str], says: str) -> None:
    with pytest.raises(InputError) as error:
        checkpoints(words)
    assert str(error.value) == says


@pytest.mark.slow
def test_models_that_are_not_there_or_not_of_this_base_are_refused(typed: Typed, model_folder: Path, tmp_path: Path) -> None:
    lora = adapter(model_folder, tmp_path / "lora", "org/elsewhere")
    code, out, _ = typed(lora)
    assert code == 0
    assert "note: the adapter lora names org/elsewhere as its base; it fits the shapes of" in out
    second = other(model_folder, tmp_path / "second")
    adapter(model_folder, tmp_path / "lora2", str(second))
    assert f"lora2 was made on {second}, which is not {model_folder}; give --base {second}" in typed(tmp_path / "lora2")[2]
    config = json.loads((model_folder / "config.json").read_text()) | {"hidden_size": 32, "intermediate_size": 24}
    wide = AutoModelForCausalLM.from_config(type(AutoModelForCausalLM.from_pretrained(model_folder).config)(**config))
    wide.save_pretrained(tmp_path / "wide")
    adapter(tmp_path / "wide", tmp_path / "lora3", "")
    err = typed(tmp_path / "lora3")[2]
    assert "lora3 was not made on" in err
    assert "it changes model.layers.0.mlp.down_proj as 32 x 24, which is 16 x 32 there; give its own base with --base" in err
    assert (
        "there is no model 'nowhere': no such folder, and no hub name (owner/name, or owner/name@revision)"
        in typed("nowhere")[2]
    )


def test_pickled_weights_are_refused_with_what_converts_them(typed: Typed, model_folder: Path, tmp_path: Path) -> None:
    folder = other(model_folder, tmp_path / "old")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch hit'\ntR.")
    code, _, err = typed(folder)
    assert code == 2
    assert "pytorch_model.bin is pickled, which is not read; where you trust it: python -c " in err
    lora = adapter(model_folder, tmp_path / "lora")
    (lora / "adapter_model.safetensors").rename(lora / "adapter_model.bin")
    assert "holds no adapter_model.safetensors; adapter_model.bin is pickled, which is not read" in typed(lora)[2]
    assert not (tmp_path / "run").exists()
    assert not Path("hit").exists()


def test_other_tokens_are_refused_and_another_beginning_is_said(typed: Typed, model_folder: Path, tmp_path: Path) -> None:
    begins, cuts = (other(model_folder, tmp_path / name) for name in ("begins", "cuts"))
    for folder in (begins, cuts):
        _with_tokenizer(folder, model_folder)
    rules = json.loads((begins / "tokenizer.json").read_text())
    token = rules["added_tokens"][0]
    rules["post_processor"] = {
        "type": "TemplateProcessing", "pair": [],
        "single": [{"SpecialToken": {"id": token["content"], "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "special_tokens": {token["content"]: {"id": token["content"], "ids": [token["id"]], "tokens": [token["content"]]}},
    }  # fmt: skip
    (begins / "tokenizer.json").write_text(json.dumps(rules))
    code, out, _ = typed(begins)
    assert code == 0
    assert "note: begins: its own tokenizer begins or ends texts otherwise than the base's" in out
    assert "begins or ends texts otherwise" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    rules = json.loads((cuts / "tokenizer.json").read_text())
    rules["model"]["merges"].pop()
    (cuts / "tokenizer.json").write_text(json.dumps(rules))
    code, _, err = typed(cuts)
    assert code == 2
    assert f"the tokenizer of {cuts} cuts text into other tokens than the base's" in err


def evil(model_folder: Path, folder: Path, known: bool) -> Path:
    """A model whose configuration names Python code beside it."""
    other(model_folder, folder)
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}
    config |= {} if known else {"model_type": "evil"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text(
        "from pathlib import Path\nfrom transformers import LlamaConfig, LlamaForCausalLM\nPath('hit').touch()\n"
        "class Config(LlamaConfig): ...\nclass Model(LlamaForCausalLM):\n    config_class = Config\n"
    )
    return folder


@pytest.mark.parametrize("known", [True, False])
def test_code_that_comes_with_a_model_is_not_run(known: bool, typed: Typed, model_folder: Path, tmp_path: Path) -> None:
    folder = evil(model_folder, tmp_path / "evil", known)
    assert typed(folder)[0] == (0 if known else 1)
    code, _, err = typed(folder, "--trust-remote-code")
    assert code == 2
    assert f"{folder} carries Python files, which no commit pins; name it as owner/name@ and the 40 digits of a commit" in err
    assert not Path("hit").exists()


@pytest.mark.parametrize("word", ["org/tuned", "org/tuned@main", "org/tuned@0123456"])
def test_remote_code_needs_a_commit(word: str, typed: Typed) -> None:
    code, _, err = typed(word, "--trust-remote-code")
    assert code == 2
    assert f"--trust-remote-code runs Python files of {word}, which no commit pins" in err


@pytest.mark.slow
def test_remote_code_of_a_commit_is_run_where_it_was_asked_for(
    typed: Typed, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    word = hub(tmp_path / "hub", evil(model_folder, tmp_path / "evil", known=True), monkeypatch)
    assert typed(word)[0] == 0
    assert not Path("hit").exists()
    shutil.rmtree(tmp_path / "run")
    shutil.rmtree(tmp_path / "cache")
    assert typed(word, "--trust-remote-code")[0] == 0
    assert Path("hit").exists()


def test_no_secret_is_written_or_printed(
    typed: Typed, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, password = "sentinel-of-the-hub", "sentinelpass"
    monkeypatch.setenv("HF_TOKEN", token)
    address = f"https://user:{password}@host/x"
    said = [*typed(address), *typed(f"x={address}")]

    def leaking(*_: Any, **__: Any) -> Any:
        raise RuntimeError(f"401 for {address} with Bearer {token} and hf_sentinelsentinel")

    monkeypatch.setattr("harness.elsewhere.load_model", leaking)
    said += typed(other(model_folder, tmp_path / "one"))
    assert record.read(tmp_path / "run").trials[0].facts["error"] == (
        "RuntimeError: 401 for https://***@host/x with Bearer *** and ***"
    )
    for words in map(str, said):
        assert token not in words
        assert password not in words
        assert "hf_sentinel" not in words
    for path in (tmp_path / "run").rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert not any(secret in content for secret in (token.encode(), password.encode(), b"hf_sentinelsentinel")), path


def manifest(folder: Path, *lines: str, head: str = "path,arm,seed,step,tokens,lr,role") -> Path:
    path = folder / "arms.csv"
    path.write_text("\n".join([head, *lines]) + "\n")
    return path


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["a,plain,1,5,,,control", ",kl,1,5,,,"], ":3 has no path; give a folder, or a hub name (owner/name@revision)"),
        (["gone,plain,1,5,,,control"], "gone, and 'gone' is no hub name (owner/name@revision)"),
        (
            ["a,plain,1,5,,,control", "a,kl,1,5,,,", "b,kl,1,5,,,"],
            ":4 is arm kl, seed 1, step 5 again, as {}:3 is; give each once",
        ),
        (["a,plain,1,5,,,", "b,kl,1,5,,,arm"], ": no row has the role control; mark the rows of plain training"),
        (
            ["a,plain,1,5,,,control", "b,kl,1,5,,,control"],
            ":3: kl is a second control beside plain of {}:2; one arm is the control",
        ),
        (
            ["a,plain,1,5,,,control", "b,plain,2,5,,,arm"],
            ":3: plain is the control by {}:2, and an arm here; mark all of its rows",
        ),
        (["a,plain,1,,,,control", "b,plain,1,5,,,control"], ":2: arm plain, seed 1 has 2 checkpoints; give the step of each"),
        (["a,plain,one,5,,,control"], ":2: seed is 'one'; give a whole number (k, M and B are understood)"),
        (["a,plain,1,-5,,,control"], ":2: step is '-5'; give a whole number (k, M and B are understood)"),
        (["a,plain,1,5,,fast,control"], ":2: lr is 'fast'; give a learning rate, as in 3e-5"),
        (["a,plain,1,5,,,boss"], ":2: unknown role 'boss'; give control or arm"),
        (["a,base,1,5,,,control"], ":2: 'base' can be no name of an arm"),
        (["a,plain,1"], ":2 has 3 cells, the first line names 7 columns"),
        ([], " names no checkpoint; write one a line below the columns path,arm,seed,step,tokens,lr,role"),
    ],
)
def test_a_manifest_is_read_strictly(lines: list[str], says: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    path = manifest(tmp_path, *lines)
    with pytest.raises(InputError) as error:
        read(path)
    assert says.format(path) in str(error.value)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("head", "says"),
    [
        ("path,arms", ":1 has an unknown column 'arms'; did you mean arm?"),
        ("path,arm,arm", ":1 names the column arm twice"),
        ("arm,seed", ":1 has no column path; it may have path, arm, seed, step, tokens, lr, role"),
    ],
)
def test_columns_of_a_manifest_are_known(head: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        read(manifest(tmp_path, head=head))
    assert str(error.value) == f"{tmp_path / 'arms.csv'}{says}"


@pytest.mark.slow
def test_a_manifest_gives_the_full_page(typed: Typed, model_folder: Path, tmp_path: Path) -> None:
    """Control, seeds, frontier, and the course of trainings of which several steps are there."""
    rows = []
    for arm, scale, role in (("plain", 1.0, "control"), ("kl:weight=0.1", 0.3, "arm")):
        for seed in (1, 2):
            for step in (50, 100):
                name = f"{arm.partition(':')[0]}-{seed}-{step}"
                other(model_folder, tmp_path / name, seed, scale * step / 100)
                rows.append(f"{name},{arm},{seed},{step},{step}k,1e-4,{role}")
    code, _, err = typed("--manifest", manifest(tmp_path, *rows))
    assert code == 0, err
    found = record.read(tmp_path / "run")
    assert [(trial.name, trial.seed) for trial in found.trials] == [
        (arm, seed) for seed in (1, 2) for arm in ("plain", "kl:weight=0.1")
    ]
    course: Any = found.trials[0].trajectory
    assert sorted(set(zip(course["update"], course["tokens"], strict=True))) == [(0, 0), (50, 50_000), (100, 100_000)]
    at_last = course[(course["update"] == 100) & (course["task"] == "blimp_wh_island")].set_index("item")["after"]
    rows_of: Any = found.trials[0].scores.query("task == 'blimp_wh_island' and item == '3'")
    (asked,) = rows_of.to_dict("records")
    assert at_last["3"] == pytest.approx(-asked["loglikelihoods"][asked["answer"]] / math.log(2))
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    for said in ("When did forgetting set in", "kl:weight=0.1", "the control", "100 k", "0.0001"):
        assert said in page, said
    assert (tmp_path / "run" / "kl-weight-0.1" / "seed-2" / "steps" / "50" / "scores" / "pairs.parquet").is_file()


def test_a_model_alone_is_a_base(
    model_folder: Path, suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it can show is known once it is scored."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    words = ["harness", "score", str(model_folder), "--suites", str(suite), "--output", str(tmp_path / "run")]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code, capsys.readouterr().err
    found = record.read(tmp_path / "run")
    assert found.base.status == "done"
    assert found.trials == ()


def test_what_cannot_be_asked_is_refused(typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (
        "give the models to be scored, or --manifest with a CSV that names them; not both" in typed("x", "--manifest", "y")[2]
    )
    assert "--lm-eval-samples brings rows that are scored already" in typed("x", "--lm-eval-samples", tmp_path)[2]
    assert os.environ["HARNESS_CACHE"] == str(tmp_path / "cache")


README = Path(__file__).parents[2] / "README.md"


@pytest.mark.slow
@pytest.mark.parametrize("form", ["out/checkpoint-900", "--manifest", "--lm-eval-samples"])
def test_the_examples_of_the_readme_run(
    form: str, model_folder: Path, suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (line,) = [line for line in README.read_text(encoding="utf-8").splitlines() if line.startswith(f"harness score {form}")]
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(model_folder, "base-model")
    other(model_folder, Path("out/checkpoint-900"))
    adapter(model_folder, Path("out/adapter"), "base-model")
    manifest(tmp_path, "out/checkpoint-900,plain,control", head="path,arm,role")
    for name in ("org__base-model", "org__tuned"):
        (tmp_path / "lm_eval_out" / name).mkdir(parents=True)
        (tmp_path / "lm_eval_out" / name / "samples_toy_2026-01-01T10-00-00.000001.jsonl").write_text(json.dumps(SAMPLE) + "\n")
    monkeypatch.setattr(sys, "argv", [str(suite) if word == "general" else word for word in line.split()])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    assert (tmp_path / line.split()[-1] / "report.html").is_file()


SAMPLE = {
    "doc_id": 0, "doc": {"q": "2 + 2 ="}, "target": "0", "arguments": {"gen_args_0": {"arg_0": "2 + 2 =", "arg_1": " 4"},
    "gen_args_1": {"arg_0": "2 + 2 =", "arg_1": " 5"}}, "resps": [[["-1.5", "True"]], [["-2.5", "False"]]],
    "filtered_resps": [["-1.5", "True"], ["-2.5", "False"]], "filter": "none", "metrics": ["acc"], "acc": 1.0,
    "doc_hash": "d", "prompt_hash": "p", "target_hash": "t",
}  # fmt: skip
"""What lm-eval writes of a question with two options."""
