"""From the command to the page on a fiftieth of the default budget, without a network."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from harness.record import SCORE_COLUMNS, read
from harness.registry import find

FIFTIETH = ["--strategies", "kl,ewc:tokens=2048,replay,wise", "--limit", "16", "--seeds", "1"]


def harness(cache: Path, *words: str, code: int = 0) -> str:
    """What `python -m harness WORDS` printed, both streams; its exit code is checked."""
    env = {**os.environ, "HARNESS_CACHE": str(cache), "HF_HUB_OFFLINE": "1", "HF_HOME": str(cache / "hub")}
    done = subprocess.run(
        [sys.executable, "-m", "harness", *words], env=env, cwd=cache, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, f"exit code {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def tokens() -> str:
    """A fiftieth of what the default plan spends on an arm."""
    plan = yaml.safe_load(find("models", "world").load()().plan.read_text(encoding="utf-8"))
    step = plan["batch"] * plan["length"]
    from harness.typed import number

    whole = number(str(plan["tokens"]))
    assert isinstance(whole, int)
    return str(max(4 * step, whole // 50))


@pytest.fixture(scope="module")
def run(cache: Path, tokens: str) -> Path:
    folder = cache / "run"
    said = harness(cache, "run", *FIFTIETH, "--tokens", tokens, "--output", str(folder))
    assert f"page: {folder.resolve() / 'report.html'}" in said
    assert "\r" not in said, "without a terminal there are no progress bars"
    assert len(said.splitlines()) < 25, f"without a terminal it is quiet: {said}"
    return folder


def test_the_folder_holds_what_the_design_says(run: Path) -> None:
    for name in ("plan.yaml", "results.csv", "report.html", "base/result.json", "base/completions.parquet"):
        assert (run / name).is_file(), name
    for arm in ("none", "kl", "ewc-tokens-2048", "replay", "wise"):
        trial = run / arm / "seed-1"
        for name in ("trial.json", "result.json", "weights/model.safetensors", "completions.parquet"):
            assert (trial / name).is_file(), f"{arm}/{name}"
        assert not (trial / "checkpoints").exists(), "a finished trial keeps no checkpoints"
    assert (run / "old_only" / "seed-1" / "result.json").is_file()
    assert len(list((run / "none" / "seed-1" / "curve").glob("*/scores/world_general.parquet"))) == 9


def test_every_arm_spent_the_same_tokens(run: Path) -> None:
    record = read(run)
    spent = {result.name: sum(result.facts["tokens"].values()) for result in record.trials}
    budget = record.plan["budget"]
    assert set(spent.values()) == {budget["steps"] * budget["batch"] * budget["length"]}, spent
    assert json.loads((run / "replay/seed-1/result.json").read_text())["tokens"]["old"] > 0


def test_an_arm_without_a_training_of_its_own_logs_none(run: Path) -> None:
    assert not (run / "wise/seed-1/training.jsonl").exists()
    wise, control = (json.loads((run / arm / "seed-1" / "result.json").read_text()) for arm in ("wise", "none"))
    assert wise["facts"]["shared_with"] == "none"
    assert wise["flops"] == control["flops"], "what it cost is the training it shares"


def test_base_and_arms_answer_the_same_items(run: Path) -> None:
    record = read(run)
    base = record.base.scores
    assert list(base.columns) == list(SCORE_COLUMNS)
    for result in record.trials:
        assert (result.scores[["task", "item", "prompt_hash"]] == base[["task", "item", "prompt_hash"]]).all(axis=None)


def test_results_have_a_row_an_arm_seed_and_task(run: Path) -> None:
    table, record = pd.read_csv(run / "results.csv"), read(run)
    assert len(table) == len(record.trials) * len(record.tasks)
    assert {"arm", "seed", "task", "base", "value", "change", "low", "high", "n", "chance"} <= set(table.columns)


def test_the_page_says_what_a_world_is_worth(run: Path) -> None:
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "no evidence about" in page
    assert "this checkpoint" in page.lower()
    assert "At what it learned, the control interpolated with the base forgets" in page
    assert "training on old text alone changes unrehearsed text by" in page
    markup = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r'(?:src|href)\s*=(?!"#)', markup), "nothing is fetched, and nothing linked but its own sections"


def test_the_same_command_again_trains_nothing(run: Path, cache: Path, tokens: str) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*.safetensors")}
    said = harness(cache, "run", *FIFTIETH, "--tokens", tokens, "--output", str(run))
    assert "6 of 6 trials were finished before" in said
    assert before == {path: path.stat().st_mtime_ns for path in run.rglob("*.safetensors")}


def test_a_plugin_joins_a_run_and_a_failing_one_spoils_nothing(run: Path, cache: Path, tokens: str) -> None:
    plugin = cache / "mine.py"
    plugin.write_text(
        "from dataclasses import dataclass\nfrom harness.strategy import Strategy\n\n\n"
        "@dataclass(frozen=True)\nclass Shrink(Strategy):\n    share: float = 0.5\n\n"
        "    def schedule(self, budget):\n        return lambda update: self.share * budget.schedule(update)\n\n\n"
        "@dataclass(frozen=True)\nclass Broken(Strategy):\n"
        "    def gradients(self, model, memory, origin):\n        raise RuntimeError('it broke <b>here</b>')\n"
    )
    words = ["run", "--plugin", str(plugin), "--limit", "16", "--seeds", "1", "--tokens", tokens, "--output", str(run)]
    said = harness(cache, *words, "--strategies", "shrink,broken", code=1)
    assert "broken" in said
    results = {result.name: result for result in read(run).trials}
    assert results["shrink"].status == "done"
    assert results["broken"].status == "failed"
    assert "it broke" in results["broken"].facts["error"]
    assert results["kl"].status == "done", "a run grows: arms of an earlier command stay"
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "<b>here</b>" not in page


def test_a_folder_of_another_plan_is_refused(run: Path, cache: Path) -> None:
    before = (run / "plan.yaml").read_text()
    said = harness(cache, "run", *FIFTIETH, "--tokens", "9k", "--output", str(run), code=2)
    assert "belongs to another plan" in said
    assert "steps" in said
    assert (run / "plan.yaml").read_text() == before


def test_a_dry_run_writes_nothing(cache: Path) -> None:
    said = harness(cache, "run", "--strategies", "kl", "--dry-run", "--output", str(cache / "dry"))
    assert "trainings" in said
    assert not (cache / "dry").exists()
