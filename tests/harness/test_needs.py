"""What an arm needs and the plan lacks is one sentence with code 2 when the plan is made, before anything is written."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness import cli

PLUGIN = """
from dataclasses import dataclass
from harness.strategy import Strategy

@dataclass(frozen=True)
class Asks(Strategy):
    what: str = "old"
    extra = "no_such_library" if {extra} else ""

    def needed(self):
        return (self.what,)

    def fits(self, config, budget):
        if self.what == "peak":
            raise ValueError(f"it has {{config.num_hidden_layers}} blocks and {{budget.steps}} updates")

    def controls(self):
        return ("none:lr=0.3",)

    def cost(self, budget):
        return 2.0
"""
Refused = Callable[..., str]


@pytest.fixture
def typed(
    model_folder: Path, text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """`harness run` with a small plan and these words: code, what was printed and what was complained of."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(PLUGIN.format(extra=False))

    def run(*words: Any) -> tuple[int, str, str]:
        flags = ["--model", model_folder, "--new", text_file, "--length", 16, "--batch", 4, "--tokens", 640, "--seeds", 1]
        flags += ["--plugin", "mine.py", "--output", "out", "--limit", 2, *words]
        monkeypatch.setattr(sys, "argv", ["harness", "run", *map(str, flags)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out, said.err

    return run


@pytest.fixture
def refused(typed: Callable[..., tuple[int, str, str]], tmp_path: Path) -> Refused:
    """The one sentence, with code 2 and nothing written."""

    def run(*words: Any) -> str:
        code, out, err = typed(*words)
        assert (code, out) == (2, ""), err
        assert not (tmp_path / "out").exists()
        assert err.startswith("harness: ")
        assert err.count("\n") == 1
        return err.removeprefix("harness: ").strip()

    return run


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("task", "needs the text of a task; give such text with --task, or leave it out"),
        ("reference", "needs a reference model; give one that knows such text with --reference, or leave it out"),
        ("instruct", "needs an instruction-tuned model made from the base; give one with --instruct, or leave it out"),
        ("luck", "needs 'luck', which no plan has; a plan may have old, task, reference, instruct, peak"),
    ],
)
def test_what_a_plan_lacks(what: str, sentence: str, refused: Refused) -> None:
    assert refused("--strategies", f"kl,asks:what={what}") == f"asks:what={what} {sentence}"


def test_a_peak_that_is_unknown(refused: Refused, model_folder: Path) -> None:
    assert refused("--strategies", "asks:what=peak") == (
        f"asks:what=peak needs the peak learning rate that {model_folder} was pre-trained with, which is unknown; leave it out"
    )


def test_a_base_that_does_not_fit(refused: Refused, model_folder: Path) -> None:
    found = refused("--strategies", "freeze:share=0.2")
    assert found == f"freeze:share=0.2 cannot train {model_folder}: share=0.2 of its 2 blocks is none; give share=0.5 or more"


@pytest.mark.parametrize("word", ["curriculum:shape=switch:at=0.05", "constant+curriculum:shape=switch:at=0.5"])
def test_a_schedule_that_never_reaches_the_switch(word: str, refused: Refused, model_folder: Path, text_file: Path) -> None:
    found = refused("--strategies", word, "--old", text_file)
    assert found.startswith(f"{word} cannot train {model_folder}: the arm's learning rate never falls to at=")
    assert found.endswith("so that its mixture never switches; give a larger at, or by=steps")


@pytest.mark.parametrize(
    "word",
    ["cosine:floor=0+curriculum:shape=switch:at=0.05", "constant+curriculum:shape=switch:by=steps", "curriculum:shape=switch"],
)
def test_a_schedule_that_reaches_the_switch(word: str, typed: Callable[..., tuple[int, str, str]], text_file: Path) -> None:
    assert typed("--strategies", word, "--old", text_file, "--dry-run")[0] == 0


def test_an_extra_that_is_not_installed(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(PLUGIN.format(extra=True))
    assert refused("--strategies", "asks:what=peak") == (
        "asks:what=peak needs no_such_library, which is not installed; type pip install no_such_library, or leave it out"
    )


def test_an_extra_of_ours_that_is_not_installed(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    assert refused("--strategies", "kl,lora") == (
        "lora needs peft, which is not installed; type pip install 'forgetting-harness[lora]', or leave it out"
    )


def test_a_model_that_was_not_made_from_the_base(refused: Refused, model_folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = shutil.copytree(model_folder, tmp_path / "other") / "model.safetensors"
    kept = {name: tensor for name, tensor in load_file(weights).items() if "layers.1." not in name}
    save_file(kept, weights, {"format": "pt"})
    other = weights.parent
    found = refused("--strategies", "residual", "--instruct", other)
    assert found.startswith(f"--instruct {other} was not made from {model_folder}: they differ in model.layers.1.")


@pytest.mark.parametrize(
    ("flag", "value", "sentence"),
    [
        ("--equal", "steps", "the command line: equal='steps': input should be 'tokens', 'new_tokens' or 'flops' (equal is: "),
        ("--controls", "all", "the command line: controls='all': input should be 'matched' (controls is: matched: "),
    ],
)
def test_a_word_that_is_not_known(flag: str, value: str, sentence: str, refused: Refused) -> None:
    assert refused("--strategies", "kl", flag, value).startswith(sentence)


def test_new_text_that_is_never_read_cannot_be_made_equal(refused: Refused, text_file: Path) -> None:
    found = refused("--strategies", "replay:share=1", "--old", text_file, "--equal", "new_tokens")
    assert found == "replay:share=1 reads too little new text to read as much as the control; type --equal tokens"


def test_the_plan_holds_what_arms_share_and_are_measured_against(
    typed: Callable[..., tuple[int, str, str]], text_file: Path, tmp_path: Path
) -> None:
    words = ["--strategies", "replay:share=0.5,asks", "--old", text_file]
    code, out, _ = typed(*words, "--equal", "flops", "--controls", "matched", "--no-curve")
    assert code == 0
    assert "note: the arm none:lr=0.3 was added: asks is measured against it" in out
    assert "640 tokens for the control: 10 steps of 4 x 16" in out
    assert "10 updates an arm, but 5 for asks. One-off passes are recorded beside this, not deducted" in out
    assert "to do: 5 trainings (2,880 tokens, " in out
    plan = yaml.safe_load((tmp_path / "out" / "plan.yaml").read_text())
    assert plan["equal"] == "flops"
    assert plan["trainings"]["asks"] == {
        "lr": 1.0, "updates": 5, "controls": ["none:lr=0.3"], "needs": ["old"], "weighs": False, "experimental": False,
    }  # fmt: skip
    assert plan["trainings"]["none:lr=0.3"] == {
        "lr": 0.3, "updates": 10, "controls": [], "needs": [], "weighs": False, "experimental": False,
    }  # fmt: skip
    code, _, err = typed(*words)
    assert code == 2
    assert err == "harness: the arms of out share flops; give --equal flops, or give --output another folder, or delete it\n"
