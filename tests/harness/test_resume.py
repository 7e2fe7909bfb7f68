"""What a training goes on from: the state of the same trial, under what computes as it did."""

from pathlib import Path

import pytest

from harness import resume
from harness.bench import tiny_setting
from harness.errors import TrialError
from harness.strategy import Strategy
from harness.train import Training


@pytest.mark.parametrize(("name", "now"), [("torch", "0.1"), ("transformers", "0.1"), ("device", "abacus")])
def test_a_checkpoint_does_not_go_on_under_what_computes_otherwise(
    name: str, now: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a training under another torch ends with bits that no training from the start has."""
    half = Training(Strategy(), tiny_setting(tmp_path), 1)
    half.step()
    kept, here = resume.state(half), resume.made_by
    resume.restore(Training(Strategy(), tiny_setting(tmp_path), 1), kept)
    monkeypatch.setattr(resume, "made_by", lambda training: here(training) | {name: now})
    with pytest.raises(TrialError, match=f"at update 1 was written under {name} .*, and this is {name} {now}: what goes on"):
        resume.restore(Training(Strategy(), tiny_setting(tmp_path), 1), kept)
