"""What each method costs: step time and peak memory relative to the control, beside what it declares.

    python benchmarks/costs.py [NAME ...]     all registered strategies at their defaults, as a Markdown table

Times are ratios of medians of steps that alternate with the control's in one process; memory is the peak of a process of
its own above what it held before, divided by the control's. A Llama of 6M parameters, random text, 8 x 128 tokens a step.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

STEPS, WARM = 10, 2
VOCABULARY, LENGTH, BATCH = 4096, 128, 8


def model(seed: int = 1) -> Any:
    """A Llama of 6M parameters."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=256,
            intermediate_size=688,
            num_hidden_layers=6,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=LENGTH,
            tie_word_embeddings=True,
        )
        return LlamaForCausalLM(config).eval()


def setting(folder: Path) -> Any:
    """Random rows of every source, and other models of the same shape."""
    import numpy as np

    from harness.plan import Budget
    from harness.reader import Setting
    from harness.rows import Facts, Rows

    bits = np.random.default_rng(1)

    def rows(count: int) -> Rows:
        tokens = bits.integers(0, VOCABULARY, (count, LENGTH)).astype(np.uint16)
        return Rows(tokens, Facts(count, count * LENGTH, count, count, 0, True))

    tables = {"new": rows(STEPS * BATCH), "old": rows(STEPS * BATCH), "task": rows(8)}
    return Setting(
        Budget(steps=STEPS, batch=BATCH, length=LENGTH, peak=1e-4),
        model,
        tables,
        BATCH,
        {name: name for name in ("base", *tables)},
        folder,
        models={"reference": partial(model, 2), "instruct": partial(model, 3)},
        held=lambda: rows(8),
        control=partial(model, 4),
    )


def one(name: str, alone: bool) -> dict[str, float]:
    """A method in this process: steps beside the control's, or by itself for its memory."""
    from harness.memory import peak_memory, restart_peak
    from harness.registry import find
    from harness.train import Training

    cls = find("strategies", name).load()
    with tempfile.TemporaryDirectory() as scratch:
        made = setting(Path(scratch))
        restart_peak()
        before = peak_memory()
        began = time.perf_counter()
        own = Training(cls(), made, 1, cls.lr)
        found = {"setup": time.perf_counter() - began, "declared": cls().cost(made.budget)}
        if alone:
            for _ in range(WARM):
                own.step()
            return found | {"memory": float(peak_memory() - before)}
        control = Training(find("strategies", "none").load()(), made, 1)
        times: list[tuple[float, float]] = [(timed(own), timed(control)) for _ in range(STEPS)]
        pairs = [(a, b) for a, b in times[WARM:]]
        return found | {"ratio": statistics.median(a for a, _ in pairs) / statistics.median(b for _, b in pairs)}


def timed(training: Any) -> float:
    """Seconds of one update."""
    began = time.perf_counter()
    training.step()
    return time.perf_counter() - began


def measured(name: str, alone: bool) -> dict[str, float]:
    """`one` in a fresh process."""
    words = [sys.executable, __file__, "--one", name, *(["--alone"] if alone else [])]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"failed": 1.0}
    return json.loads(done.stdout.splitlines()[-1])


def main(names: list[str]) -> None:
    """The table, a line a method as it is measured."""
    from harness.registry import installed

    reference = measured("none", True)["memory"]
    print("| strategy | step time | declared FLOPs | peak memory | set-up, s |\n|---|---|---|---|---|")
    for name in names or list(installed("strategies")):
        times, alone = measured(name, False), measured(name, True)
        if "failed" in {**times, **alone}:
            print(f"| `{name}` | failed | | | |", flush=True)
            continue
        print(
            f"| `{name}` | {times['ratio']:.2f} | {times['declared']:.2f} | {alone['memory'] / reference:.2f} "
            f"| {alone['setup']:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    if "--one" in sys.argv:
        print(json.dumps(one(words[0], "--alone" in sys.argv)))
    else:
        main(words)
