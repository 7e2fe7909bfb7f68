"""How fast and lean the training loop is beside what people use instead: transformers' Trainer, and a bare PyTorch loop.

    python benchmarks/train.py [speed] [memory] [kl] [strategies] [rounds=N]     what is named, all where nothing is

Prints Markdown tables, and under each its ratios with bounds. Times are medians over rounds in one process, in each of which
every contender takes one step; memory is the peak of a process of its own above what it held before it built anything, the
median of three. Two shapes: a GPT-NeoX of 70M parameters with random weights and tokens, and the world's model with its own
batch and length; the contenders are those of `contenders.py`. On a GPU, MFU stands beside the tokens/s.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from contenders import GPU, ROUNDS, SHAPES, WARM, bare, ours, setting, trainer

from harness.memory import peak_memory, restart_peak
from harness.objective import multiplied
from harness.reader import Setting
from harness.registry import find, installed

PROCESSES = 3
"""That memory is measured in: what the allocator keeps varies between them."""
SHORT = 20
"""Rounds of every strategy on the world's model, at most: there are thirty."""
PEAK_FLOPS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12, "4090": 165e12}
"""Dense bf16 FLOPs a second, as the makers print them."""

# What is measured.


def clock() -> float:
    """Seconds, when the device has done all that it was given."""
    if GPU:
        torch.cuda.synchronize()
    return time.perf_counter()


def timed(step: Callable[[], Any]) -> float:
    """Seconds of one step."""
    began = clock()
    step()
    return clock() - began


def alternated(shape: str, contenders: Mapping[str, Callable[[Setting], Callable[[], Any]]], other: bool) -> dict[str, float]:
    """Median seconds of a step of each contender, and of the Trainer where asked for: in each round everyone takes one."""
    with tempfile.TemporaryDirectory() as scratch:
        made = setting(shape, Path(scratch), ROUNDS[shape])
        steps = {name: make(made) for name, make in contenders.items()}
        times: dict[str, list[float]] = {name: [] for name in (*steps, *(["Trainer"] if other else []))}
        began = clock()

        def round_() -> None:
            nonlocal began
            if other:  # its step began when this function last ended: data loading, callbacks and all
                times["Trainer"].append(clock() - began)
            for name, step in steps.items():
                times[name].append(timed(step))
            began = clock()

        if other:
            trainer(made, Path(scratch), round_)
        else:
            for _ in range(made.budget.steps - 1):
                round_()
    return {name: statistics.median(found[WARM:]) for name, found in times.items()}


def peak(shape: str, contender: str) -> dict[str, float]:
    """Peak bytes of a few steps of one contender in this process, and bytes of weights, gradients and optimizer state."""
    from transformers import Trainer as _  # what it imports is not what it needs

    with tempfile.TemporaryDirectory() as scratch:
        made = setting(shape, Path(scratch), 0)
        state = 16.0 * sum(p.numel() for p in made.load().parameters())
        restart_peak()
        before = resident()
        if contender == "Trainer":
            trainer(made, Path(scratch), lambda: None)
        else:
            step = bare(made) if contender == "bare loop" else ours(made, contender.removeprefix("this loop, "))
            for _ in range(WARM):
                step()
        return {"peak": float(peak_memory() - before), "state": state}


def resident() -> int:
    """Bytes held now."""
    if GPU:
        return torch.cuda.memory_allocated()
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) * 1024


def apart(*words: str) -> Any:
    """What this file prints with these words, in a process of its own."""
    done = subprocess.run([sys.executable, __file__, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(words)} failed: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


# What is printed.


def holds(what: str, found: float, bound: float, least: bool) -> None:
    """A line about a bound."""
    fine = found >= bound if least else found <= bound
    print(f"- {what}: {found:.2f}, expected at {'least' if least else 'most'} {bound:.2f}: {'holds' if fine else 'MISSED'}")


def speed() -> None:
    """Tokens a second of the three loops."""
    print("\n| shape | loop | step, ms | tokens/s | times Trainer |" + (" MFU |" if GPU else ""))
    print("|---|---|---|---|---|" + ("---|" if GPU else ""))
    ratios = {}
    for shape, (_, _, batch, length) in SHAPES.items():
        found = alternated(shape, {"this loop": ours, "bare loop": bare}, True)
        ratios[shape] = found["Trainer"] / found["this loop"]
        for name, seconds in found.items():
            cells = [
                shape,
                name,
                f"{seconds * 1e3:.1f}",
                f"{batch * length / seconds:,.0f}",
                f"{found['Trainer'] / seconds:.2f}",
            ]
            print(f"| {' | '.join(cells)} |" + (f" {mfu(shape, seconds):.1%} |" if GPU else ""), flush=True)
    print()
    holds("70M shape, this loop over Trainer", ratios["neox70m"], 1.0, True)
    holds("world's model, this loop over Trainer", ratios["world"], 1.15, True)


def mfu(shape: str, seconds: float) -> float:
    """Share of the device's bf16 FLOPs that 6 FLOPs a weight and token (looked-up embeddings left out) come to."""
    load, _, batch, length = SHAPES[shape]
    name = torch.cuda.get_device_name()
    fastest = next((flops for part, flops in PEAK_FLOPS.items() if part in name), float("nan"))
    return 6 * multiplied(load()) * batch * length / seconds / fastest


def memory() -> None:
    """Peak memory of the three loops, and of the reference strategies."""
    print("\n| shape | loop | peak, MiB | above weights, gradients and optimizer, MiB | share of Trainer's |")
    print("|---|---|---|---|---|")
    shares = {}
    for shape in SHAPES:
        names = ("Trainer", "bare loop", "this loop, none", "this loop, kl")
        runs = [{name: apart("--peak", shape, name) for name in names} for _ in range(PROCESSES)]
        peaks = {name: statistics.median(run[name]["peak"] for run in runs) for name in names}
        above = {name: found - runs[0][name]["state"] for name, found in peaks.items()}
        for name, found in peaks.items():
            cells = [shape, name, *(f"{b / 2**20:,.0f}" for b in (found, above[name]))]
            print(f"| {' | '.join(cells)} | {above[name] / above['Trainer']:.2f} |", flush=True)
        shares[shape] = above["this loop, none"] / above["Trainer"]
    print()
    holds("70M shape, memory above the state over Trainer's", shares["neox70m"], 0.5, False)


def kl() -> None:
    """KL and the penalties beside the control, and the textbook's KL beside ours, on the 70M shape."""
    arms = ("none", "kl", "ewc", "l2sp")
    contenders: dict[str, Any] = {name: partial(ours, name=name) for name in arms}
    found = alternated("neox70m", {**contenders, "textbook KL": partial(bare, reference=True)}, False)
    print("\n| 70M shape | step, ms | times the control |\n|---|---|---|")
    for name, seconds in found.items():
        print(f"| {name} | {seconds * 1e3:.0f} | {seconds / found['none']:.2f} |")
    print()
    holds("KL over the control", found["kl"] / found["none"], 1.65, False)
    holds("EWC over the control", found["ewc"] / found["none"], 1.05, False)
    holds("textbook KL over ours", found["textbook KL"] / found["kl"], 2.0, True)


def strategies() -> None:
    """Every core strategy beside the control, on the world's model; no bound is expected of them."""
    print("\n| world's model | step time over the control's |\n|---|---|", flush=True)
    rounds = f"rounds={min(SHORT, ROUNDS['world'])}"
    for name in installed("strategies"):
        if not find("strategies", name).load().experimental and name != "none":
            print(f"| `{name}` | {apart('--ratio', name, rounds):.2f} |", flush=True)


def ratio(name: str) -> float:
    """Step time of a strategy over the control's."""
    found = alternated("world", {"none": ours, name: partial(ours, name=name)}, False)
    return found[name] / found["none"]


SECTIONS = {"speed": speed, "memory": memory, "kl": kl, "strategies": strategies}


def main(words: list[str]) -> None:
    """Print the tables; `rounds=N` for a look whether all is well, not for figures."""
    for word in [word for word in words if word.startswith("rounds=")]:
        words.remove(word)
        ROUNDS.update(dict.fromkeys(ROUNDS, int(word.removeprefix("rounds="))))
    if words[:1] == ["--peak"]:
        print(json.dumps(peak(words[1], words[2])))
    elif words[:1] == ["--ratio"]:
        print(json.dumps(ratio(words[1])))
    elif odd := [word for word in words if word not in SECTIONS]:
        sys.exit(f"{odd[0]} is none of {', '.join(SECTIONS)}")
    else:
        for name in words or SECTIONS:
            print(f"\n## {name}")
            SECTIONS[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
