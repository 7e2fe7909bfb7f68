"""Real text, real models and lm-eval's own definitions, end to end, on the files that may lie beside the checkout."""

import os
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests.test_journey import harness

SHARED = Path(os.environ.get("HARNESS_SHARED") or Path(__file__).parents[2] / "shared")
pytestmark = pytest.mark.skipif(not (SHARED / "data").is_dir(), reason=f"no data and models at {SHARED} (HARNESS_SHARED)")


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """lm-eval's own tasks on local files."""
    data = SHARED / "data" / "eval"
    tasks = [{"task": "hellaswag", "files": {"validation": str(data / "hellaswag_validation.jsonl")}}]
    for name in ("anaphor_gender_agreement", "wh_island"):
        tasks.append({"task": f"blimp_{name}", "chance": 0.5, "files": {"train": str(data / "blimp" / f"{name}.jsonl")}})
    path = tmp_path_factory.mktemp("suite") / "english.yaml"
    path.write_text(yaml.safe_dump({"name": "english", "about": "local files", "prompts": ["She was"], "tasks": tasks}))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("model", ["stories260k", "general6m"])
def test_five_arms_from_files_to_the_page(model: str, suite: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    words = ["--model", str(SHARED / "models" / model), "--suites", str(suite), "--output", str(folder)]
    words += ["--new", str(SHARED / "data" / "medical" / "pubmed_valid.jsonl")]
    words += ["--old", str(SHARED / "data" / "general" / "general_valid.jsonl")]
    words += ["--strategies", "kl,ewc:tokens=2k,replay,wise", "--seeds", "1", "--limit", "8"]
    words += ["--tokens", "4k", "--batch", "4", "--length", "128", "--learning-rate", "1e-3"]
    harness(tmp_path, "run", *words)
    results = pd.read_csv(folder / "results.csv")
    assert list(dict.fromkeys(results["arm"])) == ["none", "kl", "ewc:tokens=2000", "replay", "wise", "old_only"]
    assert set(results["task"]) == {
        *("hellaswag", "blimp_anaphor_gender_agreement", "blimp_wh_island"),
        *("new_text", "old_text"),
    }
    learned = results[(results["task"] == "new_text") & (results["arm"] == "none")]["change"].item()
    assert learned < 0, "the control's held-out PubMed text takes fewer bits than the base's"
    assert (folder / "report.html").stat().st_size > 10_000
