"""A page of ten arms stays small, and no torch is loaded for it; benchmarks/report.py measures the large run."""

import importlib
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
report = importlib.import_module("report")


def test_a_page_of_ten_arms_is_small_and_loads_no_torch(tmp_path: Path) -> None:
    found, torch = report.measured(report.fabricated(tmp_path / "run", items=300, seeds=1))
    assert not torch
    assert found["size of the page, MB"] < 6.5  # of which plotly.js is 4.8
    assert found["peak memory, GB"] < 0.5
