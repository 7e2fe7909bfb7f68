"""`--match` and `--sweep` from the command line: a search is stopped anywhere and goes on, by what is in the rows alone."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import grids, search
from harness.errors import HarnessError
from harness.forgetting import Study
from harness.record import Record, read

Harness = Callable[..., tuple[int, str]]
PLUGIN = """
from dataclasses import dataclass
from harness.strategy import Strategy

@dataclass(frozen=True)
class Mine(Strategy):
    pass
"""
SMALL = ("--tokens", 1280, "--suites", "text", "--no-milestones", "--no-curve")


@pytest.fixture
def text_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents enough that some of the held-out ones are validation items."""
    path = tmp_path_factory.mktemp("text") / "new.jsonl"
    words = ("old", "wide", "quiet", "steep", "known", "lost")
    texts = [f"The river {i} of Aldon is {words[i % 6]} and {words[i // 6 % 6]} at {i * 7919 % 1000}." for i in range(1500)]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


@pytest.fixture
def harness(tmp_path: Path, small_run: Harness, monkeypatch: pytest.MonkeyPatch) -> Harness:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(PLUGIN)
    return lambda *words: small_run(*SMALL, "--learning-rate", 0.01, *words)


def trials(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "search.jsonl").read_text().splitlines()]


def weights(record: Record) -> dict[tuple[str, int | None], str]:
    return {(trial.name, trial.seed): trial.facts["weights"] for trial in record.trials}


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_search_that_is_stopped_anywhere_ends_the_same(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ("--match", 0.5, "--strategies", "low_lr", "--seeds", 2)
    assert harness(*asked, "--output", "whole") == (0, "")
    whole, listed = read(tmp_path / "whole"), trials(tmp_path / "whole")
    assert 1 <= len(listed) <= 6
    assert all(line["share"] == pytest.approx(line["gain"] / line["control"]) for line in listed)
    run, calls = search.run, []

    def stopped(*given: Any) -> list[str]:
        calls.append(1)
        if len(calls) == 2:  # before a round
            raise KeyboardInterrupt
        found = run(*given)
        if len(calls) == 4:  # after one, before it is read
            raise KeyboardInterrupt
        return found

    monkeypatch.setattr(search, "run", stopped)
    for _ in range(2):
        harness(*asked, "--output", "stopped")
        if (path := tmp_path / "stopped" / "search.jsonl").exists():  # what was listed is never read
            path.write_text(path.read_text().replace('"share": 0.', '"share": 9.'))
    assert harness(*asked, "--output", "stopped")[0] == 0
    again = read(tmp_path / "stopped")
    assert weights(again) == weights(whole)
    assert trials(tmp_path / "stopped") == listed
    assert all(again.plan[key] == whole.plan[key] for key in ("families", "tried", "match"))
    found = Study(whole).picks["low_lr"]
    assert found.share == pytest.approx(min((line["share"] for line in listed), key=lambda share: abs(share - 0.5)))
    assert [trial.seed for trial in whole.trials if trial.name == found.setting] == [1, 2]
    assert all(trial.seed == 1 for trial in whole.trials if trial.name in whole.plan["tried"])
    code, said = harness("--match", 0.6, "--strategies", "low_lr", "--output", "whole")
    assert (code, "was made by a search for equal gain with target 0.5, this plan has 0.6; give the same" in said) == (2, True)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_sweep_trains_every_setting_and_shows_one_an_arm(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grids, "SETTINGS", 3)
    assert harness("--sweep", "--strategies", "wise", "--seeds", 1, "--output", "out") == (0, "")
    record = read(tmp_path / "out")
    assert {arm: len(names) for arm, names in record.plan["families"].items()} == {"none": 3, "wise": 3}
    assert [trial.status for trial in record.trials] == ["done"] * len(record.trials)
    assert {trial.facts["facts"].get("shared_with") for trial in record.trials} >= {None, "none"}
    assert len(Study(record).arms) == 2
    code, said = harness("--strategies", "wise", "--items", "test", "--seeds", 1, "--output", "out")
    assert (code, "was made by a sweep, and this plan is not one" in said) == (2, True)


class Ready:
    """What a search asks of a plan."""

    folder = Path()
    plan = type("Plan", (), {"arms": (), "seeds": (1,)})()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], Any]:
    """The gains that a search reads where the control gained so much on validation items."""
    monkeypatch.setattr(search, "read", lambda folder: None)
    monkeypatch.setattr(search, "Study", lambda record, split: split)
    monkeypatch.setattr(search, "learned", lambda study: study == "validation" or None)

    def read_gains(gain: float) -> Any:
        monkeypatch.setattr(search.choosing, "gains", lambda study, names, seed: {"none": gain})
        return search._gains(Ready())  # pyright: ignore

    return read_gains


def test_gains_are_read_from_validation_items(told: Callable[[float], Any]) -> None:
    assert told(0.4) == {"none": 0.4}


def test_where_the_control_learned_nothing_there_is_nothing_to_search(told: Callable[[float], Any]) -> None:
    with pytest.raises(HarnessError, match="the control learned nothing on validation items, so that no share of it can be"):
        told(-0.1)
