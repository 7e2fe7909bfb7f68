"""How fast and lean scoring is beside lm-eval's own HFLM, and how far the numbers are apart.

    python benchmarks/score.py DATA TOKENIZER [TASK ...] [rounds=N]

DATA holds hellaswag_validation.jsonl, blimp/*.jsonl, pubmedqa_test.jsonl and wikitext2_test.jsonl, TOKENIZER a tokenizer of at
most 50,304 entries. The model is a GPT-NeoX of 70M parameters with random weights, fp32. Of each task some items drawn by a
seed are scored by HFLM with its default cache of logits and without, at batches of 1, 8, 16 and 64; then, in rounds, by this
scorer and by HFLM at the best batch of each. Times are medians over rounds, of the wall and of the processor (which other
programs disturb less), tokenising included. Building requests is left out, and so is what this scorer does once a model:
comparing a packed row with plain passes. Memory is the peak of a process of its own above what it held before the first
request, that comparison included.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from contenders import neox
from lm_eval.models.huggingface import HFLM as Stock
from numpy.typing import NDArray
from transformers import AutoTokenizer

from harness.memory import peak_memory, restart_peak
from harness.score_model import Scorer
from harness.score_state import quiet
from harness.score_tasks import build, subset
from harness.suite import Task

HFLM: Any = Stock  # lm-eval's registry hides the type

BATCHES = (1, 8, 16, 64)
ITEMS = {"hellaswag": 12, "blimp": 180, "pubmedqa": 4, "wikitext": 1, "letters": 5}
"""Items of each task; letters: endings of HellaSwag listed, and answered by one letter."""
CACHES = {"HFLM": True, "HFLM without its cache": False}
LETTERS = {
    "output_type": "multiple_choice",
    "doc_to_text": "{{ctx}}\n{% for e in endings %}{{'ABCD'[loop.index0]}}. {{e}}\n{% endfor %}Answer:",
    "doc_to_choice": ["A", "B", "C", "D"],
    "doc_to_target": "label",
    "metric_list": [{"metric": "acc"}],
}
Found = list[tuple[float, bool]]


class Bench:
    """Requests of every task, and one model that answers them in every way."""

    def __init__(self, data: Path, tokenizer: Path) -> None:
        self.data, self.tokenizer = data, AutoTokenizer.from_pretrained(tokenizer)
        self.model: Any = neox()

    @lru_cache(maxsize=8)  # noqa: B019  one Bench a process
    def requests(self, name: str) -> list[Any]:
        """lm-eval's requests of a task."""
        return [request for task in self._tasks(name) for request in asked(task, ITEMS[name] // len(self._tasks(name)))]

    def _tasks(self, name: str) -> list[Task]:
        """Tasks of that name on local files."""
        if name == "blimp":
            files = sorted((self.data / "blimp").glob("*.jsonl"))
            return [Task(f"blimp_{file.stem}", files={"train": str(file)}) for file in files]
        if name == "letters":
            return [Task(name, config=LETTERS, documents=lambda: listed(self.data / "hellaswag_validation.jsonl"))]
        split, file = {
            "hellaswag": ("validation", "hellaswag_validation"),
            "pubmedqa": ("test", "pubmedqa_test"),
            "wikitext": ("test", "wikitext2_test"),
        }[name]
        metric: Any = "bits_per_byte" if name == "wikitext" else "acc"
        return [Task(name, metric=metric, files={split: str(self.data / f"{file}.jsonl")})]

    @lru_cache(maxsize=16)  # noqa: B019  one Bench a process
    def contender(self, name: str, batch: int) -> Any:
        """Ours, or HFLM with one of its settings; the windows of all are HFLM's."""
        if name == "this scorer":
            return Scorer(self.model, self.tokenizer, length=None, bos=False)
        return HFLM(
            pretrained=self.model, tokenizer=self.tokenizer, batch_size=batch, add_bos_token=False, logits_cache=CACHES[name]
        )  # fmt: skip

    def timed(self, task: str, name: str, batch: int = 1) -> tuple[NDArray[np.float64], Found]:
        """Seconds of the wall and of the processor of one contender on one task, and what it found."""
        lm, requests = self.contender(name, batch), self.requests(task)
        began = clocks()
        with quiet():
            found = answered(lm, task, requests)
        return clocks() - began, found

    def peak(self, task: str, name: str, batch: int) -> int:
        """Bytes that one contender needs on one task, in this process."""
        requests = self.requests(task)
        restart_peak()
        before = peak_memory()
        with quiet():
            answered(self.contender(name, batch), task, requests)
        return peak_memory() - before


def clocks() -> NDArray[np.float64]:
    """(2,) seconds of the wall and of the processor."""
    return np.array([time.perf_counter(), time.process_time()])


def listed(path: Path) -> Iterator[dict[str, Any]]:
    """Documents of HellaSwag with a whole context."""
    for line in path.read_text(encoding="utf-8").splitlines()[::40]:
        row = json.loads(line)
        yield {"ctx": f"{row['ctx_a']} {row['ctx_b']}", "endings": row["endings"], "label": int(row["label"])}


def asked(task: Task, items: int) -> Iterator[Any]:
    """Requests of some items, the same in every process."""
    built = build(task)
    for name, chosen in (subset(built, items) or {}).items():
        leaf = built[name]
        leaf.build_all_requests(samples=chosen)
        yield from leaf.instances


def answered(lm: Any, task: str, requests: list[Any]) -> Found:
    """Log-likelihoods and greedy flags."""
    if task == "wikitext":
        return [(value, True) for value in lm.loglikelihood_rolling(requests, disable_tqdm=True)]
    return lm.loglikelihood(requests, disable_tqdm=True)


def compared(bench: Bench, task: str, rounds: int) -> dict[str, Any]:
    """Seconds of every contender on a task, the batch at which it was best, and how far the numbers are apart."""
    tried = {name: {batch: bench.timed(task, name, batch) for batch in BATCHES} for name in CACHES}
    best = {name: min(BATCHES, key=lambda batch, name=name: tried[name][batch][0][1]) for name in CACHES}
    times: dict[str, list[NDArray[np.float64]]] = {name: [] for name in ("this scorer", *CACHES)}
    ours = bench.timed(task, "this scorer")[1]
    for _ in range(rounds):
        for name, seconds in times.items():
            seconds.append(bench.timed(task, name, best.get(name, 1))[0])
    stock = tried["HFLM without its cache"][1][1]
    return {
        "seconds": {name: np.median(found, axis=0) for name, found in times.items()},
        "batch": best,
        "requests": len(ours),
        "apart": float(np.abs(np.array([o[0] - s[0] for o, s in zip(ours, stock, strict=True)])).max()),
        "flags": sum(o[1] != s[1] for o, s in zip(ours, stock, strict=True)),
    }


def apart(*words: str) -> Any:
    """What this file prints last with these words, in a process of its own."""
    done = subprocess.run([sys.executable, __file__, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(words)} failed: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def mean(ratios: Iterable[NDArray[np.float64]]) -> NDArray[np.float64]:
    """(2,) geometric means."""
    return np.exp(np.mean([np.log(ratio) for ratio in ratios], axis=0))


def both(found: NDArray[np.float64]) -> str:
    """Of the wall and of the processor."""
    return " / ".join(f"{value:.2f}" for value in found)


def holds(what: str, found: NDArray[np.float64], bound: float) -> None:
    """A line about a bound, which is one on the wall's time."""
    print(f"- {what}: {both(found)}, expected at least {bound:.2f}: {'holds' if found[0] >= bound else 'MISSED'}")


def main(words: list[str]) -> None:
    """Print the tables, and below them the bounds."""
    rounds = next((int(word.removeprefix("rounds=")) for word in words if word.startswith("rounds=")), 3)
    data, tokenizer, *tasks = [word for word in words if "=" not in word]
    if tasks[:1] == ["--peak"]:
        print(json.dumps(Bench(Path(data), Path(tokenizer)).peak(tasks[1], tasks[2], int(tasks[3]))))
        return
    bench = Bench(Path(data), Path(tokenizer))
    print("Seconds and ratios: of the wall / of the processor.\n")
    print("| task | requests | this scorer | HFLM (batch) | ratio | HFLM without its cache (batch) | ratio "
          "| largest difference, nats | other flags | MiB above the model |\n|" + "---|" * 10)  # fmt: skip
    ratios: dict[str, dict[str, NDArray[np.float64]]] = {name: {} for name in CACHES}
    lean = []
    for task in tasks or ITEMS:
        found = compared(bench, task, rounds)
        seconds, cells = found["seconds"], []
        for name in CACHES:
            ratios[name][task] = seconds[name] / seconds["this scorer"]
            cells.append(f"{both(seconds[name])} ({found['batch'][name]}) | {both(ratios[name][task])}")
        peaks = [apart(data, str(tokenizer), "--peak", task, name, str(found["batch"].get(name, 1))) for name in seconds]
        lean.append(min(peaks[1:]) / peaks[0])
        sizes = ", ".join(f"{peak / 2**20:,.0f}" for peak in peaks)
        cells += [f"{found['apart']:.1g} | {found['flags']} | {sizes}"]
        print(f"| {task} | {found['requests']} | {both(seconds['this scorer'])} | {' | '.join(cells)} |", flush=True)
    print()
    if "hellaswag" in ratios["HFLM"]:
        holds("HellaSwag, HFLM over this scorer", ratios["HFLM"]["hellaswag"], 4.0)
    holds("geometric mean, HFLM over this scorer", mean(ratios["HFLM"].values()), 2.3)
    holds("geometric mean, HFLM without its cache over this scorer", mean(ratios["HFLM without its cache"].values()), 3.0)
    holds("least memory of HFLM over this scorer's, the worst task", np.array([min(lean)]), 1.0)


if __name__ == "__main__":
    main(sys.argv[1:])
