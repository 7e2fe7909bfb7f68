"""The page of a large run: its size, the time and memory that it takes, and whether torch was loaded.

python benchmarks/report.py [FOLDER]      `make bench-report`; the run is fabricated there (without training), or anew in a
                                          temporary folder

Expected of 10 arms, 3 seeds, 20 tasks and 100,000 items: 8 MB or less, 20 s or less, 1 GB or less, no torch.
"""

import importlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LIMITS = {"size of the page, MB": 8.0, "time, s": 20.0, "processor time, s": 20.0, "peak memory, GB": 1.0}
ARMS = {
    "none": (0.42, 0.45), "kl": (0.05, 0.08), "kl:weight=0.3": (0.09, 0.12), "ewc:weight=100": (0.03, 0.03),
    "ewc:weight=1000": (0.01, 0.02), "replay:share=0.25": (0.36, 0.44), "replay:share=0.05": (0.4, 0.45), "low_lr": (0.15, 0.2),
    "average": (0.2, 0.22), "kl+replay": (0.04, 0.05),
}  # fmt: skip
"""Arm -> what it forgets in bits per byte and in share of right answers."""
WORK = r"""
import json, re, sys, time
from pathlib import Path
began = time.perf_counter()
from reports import page
size = page.write(Path(sys.argv[1])).stat().st_size
seconds = time.perf_counter() - began
# of this program alone: what getrusage calls the peak begins with that of the process that started it
peak = int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
print(json.dumps([size / 1e6, seconds, time.process_time(), peak / 1e9, "torch" in sys.modules]))
"""


def helper() -> Any:
    """The tests' module that writes run folders."""
    sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "reports")]
    return importlib.import_module("fabricate")


def recipe(items: int = 5000, seeds: int = 3, arms: int = 10) -> Any:
    """20 tasks of so many items: 14 of questions, 6 of texts, in four suites."""
    fabricate = helper()
    tasks: dict[str, Any] = {}
    for number in range(14):
        way = "keep" if number < 10 else "gain"
        source = None if way == "gain" else "same" if number % 3 == 2 else "other"
        facts = {"suite": f"questions_{'general' if way == 'keep' else 'new'}", "measures": way, "metric": "acc"}
        tasks[f"{way}_question_{number}"] = facts | {"chance": 0.25, "source": source}
    for number in range(6):
        way = "keep" if number < 4 else "gain"
        source = None if way == "gain" else "same" if number == 3 else "other"
        facts = {"suite": f"texts_{'general' if way == 'keep' else 'new'}", "measures": way, "metric": "bits_per_byte"}
        tasks[f"{way}_text_{number}"] = facts | {"source": source}
    effects = {
        arm: fabricate.Effect(bits, 0.9 * bits, 1.1 - 0.02 * place, share, 0.9 * share, 0.6)
        for place, (arm, (bits, share)) in enumerate(list(ARMS.items())[:arms])
    }
    return fabricate.Recipe(arms=effects, seeds=tuple(range(seeds)), tasks=tasks, items=items, documents=items, curve=True)


def fabricated(folder: Path, **more: Any) -> Path:
    """The run's folder, made where it is missing."""
    if not (folder / "plan.yaml").is_file():
        helper().run_folder(folder, recipe(**more))
    return folder


def measured(folder: Path) -> tuple[dict[str, float], bool]:
    """What LIMITS names, of the page of a run that a new process makes; and whether torch was loaded."""
    done = subprocess.run([sys.executable, "-c", WORK, str(folder)], check=True, capture_output=True, text=True, cwd=ROOT)
    *found, torch = json.loads(done.stdout)
    return dict(zip(LIMITS, found, strict=True)), torch


def main(folder: Path) -> None:
    """Print each figure beside its limit."""
    found, torch = measured(fabricated(folder))
    print("| what | measured | limit | ratio |\n| --- | ---: | ---: | ---: |")
    for name, limit in LIMITS.items():
        print(f"| {name} | {found[name]:.2f} | {limit:g} | {found[name] / limit:.2f} |")
    print(f"| torch loaded | {'yes' if torch else 'no'} | no | |")
    sys.exit(torch or any(found[name] > limit for name, limit in LIMITS.items()))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    with tempfile.TemporaryDirectory() as where:
        main(Path(where) / "run")
