"""How fast and lean the training loop is beside what people use instead: transformers' Trainer, and a bare PyTorch loop.

    python benchmarks/train.py [speed] [memory] [kl] [strategies]     what is named, all where nothing is; Markdown tables

Times are medians over rounds in one process, in each of which every contender takes one step; memory is the peak of a process
of its own above what it held before it built anything. Two shapes: a GPT-NeoX of 70M parameters with random weights and
tokens, and the world's model with its own batch and length. All contenders have the same weights, rows of the same size,
fused AdamW, clipping and schedule. On a GPU all train in bf16 autocast over fp32 weights on larger micro-batches, the Trainer
with Liger's kernels where these are installed, and MFU stands beside the tokens/s.
"""

import importlib.util
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

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from harness.memory import peak_memory, restart_peak
from harness.model import load_model, locate
from harness.plan import Budget, Engine
from harness.reader import Setting
from harness.registry import find, installed
from harness.rows import Facts, Rows
from harness.train import Training

GPU = torch.cuda.is_available()
WARM = 3
"""Rounds that are not counted."""
ROUNDS = {"neox70m": 8, "world": 150}
"""Rounds that are: one takes seconds for the first shape on two cores, a tenth of one for the other."""
PEAK_FLOPS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12, "4090": 165e12}
"""Dense bf16 FLOPs a second, as the makers print them."""


def neox() -> nn.Module:
    """The 70M GPT-NeoX shape with random weights."""
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    sizes = {"vocab_size": 50_304, "hidden_size": 512, "num_hidden_layers": 6, "num_attention_heads": 8}
    config = GPTNeoXConfig(**sizes, intermediate_size=2048, max_position_embeddings=2048, tie_word_embeddings=False)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return GPTNeoXForCausalLM(config).eval()


def world() -> nn.Module:
    """The world's model."""
    return load_model(locate("world").folder)


SHAPES: Mapping[str, tuple[Callable[[], nn.Module], int, int, int]] = {
    "neox70m": (neox, 50_304, 64 if GPU else 4, 1024 if GPU else 256),
    "world": (world, 2048, 4, 128),
}
"""Name to model, vocabulary, rows of a step (one micro-batch), and tokens of a row."""


def setting(shape: str, scratch: Path) -> Setting:
    """Random rows of every source, the same for all contenders."""
    load, vocabulary, batch, length = SHAPES[shape]
    steps = WARM + ROUNDS[shape] + 1
    bits = np.random.default_rng(1)

    def rows(count: int) -> Rows:
        tokens = bits.integers(0, vocabulary, (count, length)).astype(np.uint16)
        return Rows(tokens, Facts(count, count * length, count, count, 0, True))

    tables = {"new": rows(steps * batch), "old": rows(steps * batch), "task": rows(8)}
    budget = Budget(steps=steps, batch=batch, length=length, peak=1e-4, engine=Engine(precision="bf16" if GPU else "fp32"))
    return Setting(
        budget, load, tables, batch, {name: name for name in ("base", *tables)}, scratch,
        models={"reference": load, "instruct": load}, held=lambda: rows(8), control=lambda seed: moved(load()),
    )  # fmt: skip


def moved(model: nn.Module) -> nn.Module:
    """A finished control: anything that is not the base."""
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(1.01)
    return model


# The contenders: each a step to be called again and again.


def ours(made: Setting, name: str = "none") -> Callable[[], Any]:
    """This loop, under a strategy at its defaults."""
    cls = find("strategies", name).load()
    return Training(cls(), made, 1, cls.lr).step


def bare(made: Setting, reference: bool = False) -> Callable[[], Any]:
    """A loop as a tutorial writes it; with a reference, its whole logits and F.kl_div."""
    device = torch.device("cuda" if GPU else "cpu")
    model: Any = made.load().to(device).train()
    base: Any = made.load().to(device) if reference else None
    budget, table = made.budget, made.tables["new"]
    optimizer = torch.optim.AdamW(model.parameters(), lr=budget.peak, betas=(0.9, 0.95), weight_decay=0.01, fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda done: budget.schedule(done + 1))
    starts = iter(range(0, len(table), budget.batch))

    def step() -> float:
        start = next(starts)
        tokens = table.tokens(range(start, start + budget.batch)).to(device)  # (B, T)
        with torch.autocast(device.type, torch.bfloat16, enabled=GPU):
            if base is None:
                loss = model(input_ids=tokens, labels=tokens, use_cache=False).loss
            else:
                loss = textbook_kl(model, base, tokens)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), budget.clip)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        return loss.item()

    return step


def textbook_kl(model: Any, base: Any, tokens: torch.Tensor) -> torch.Tensor:
    """Cross-entropy and half of KL(base || model), from the whole logits of both."""
    logits = model(input_ids=tokens, use_cache=False).logits[:, :-1].flatten(0, 1).float()  # (B·(T-1), V)
    with torch.no_grad():
        before = base(input_ids=tokens, use_cache=False).logits[:, :-1].flatten(0, 1).float()
    loss = F.cross_entropy(logits, tokens[:, 1:].flatten())
    return loss + 0.5 * F.kl_div(logits.log_softmax(-1), before.log_softmax(-1), reduction="batchmean", log_target=True)


def trainer(made: Setting, scratch: Path, between: Callable[[], Any]) -> None:
    """transformers' Trainer on the same rows, run to its end; `between` is called after each of its steps."""
    from transformers import Trainer, TrainerCallback, TrainingArguments

    budget, tokens = made.budget, made.tables["new"].tokens(range(len(made.tables["new"])))
    arguments = TrainingArguments(
        output_dir=str(scratch), max_steps=budget.steps - 1, per_device_train_batch_size=budget.batch,
        learning_rate=budget.peak, weight_decay=budget.weight_decay, adam_beta1=budget.beta1, adam_beta2=budget.beta2,
        max_grad_norm=budget.clip, optim="adamw_torch_fused", lr_scheduler_type="cosine_with_min_lr",
        lr_scheduler_kwargs={"min_lr_rate": budget.floor}, warmup_steps=budget.warmup, save_strategy="no",
        disable_tqdm=True, dataloader_pin_memory=GPU, bf16=GPU, use_liger_kernel=liger(),
    )  # fmt: skip

    class Between(TrainerCallback):
        def on_step_end(self, *given: Any, **named: Any) -> None:
            between()

    rows = [{"input_ids": row, "labels": row} for row in tokens]
    Trainer(model=made.load(), args=arguments, train_dataset=rows, callbacks=[Between()]).train()


def liger() -> bool:
    """Whether Liger's kernels can be used here."""
    return GPU and importlib.util.find_spec("liger_kernel") is not None


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
        made = setting(shape, Path(scratch))
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
        made = setting(shape, Path(scratch))
        state = 16.0 * sum(p.numel() for p in made.load().parameters())
        restart_peak()
        before = resident()
        if contender == "Trainer":
            ROUNDS[shape] = 0
            trainer(setting(shape, Path(scratch)), Path(scratch), lambda: None)
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
    from harness.objective import multiplied

    load, _, batch, length = SHAPES[shape]
    name = torch.cuda.get_device_name()
    fastest = next((flops for part, flops in PEAK_FLOPS.items() if part in name), float("nan"))
    return 6 * multiplied(load()) * batch * length / seconds / fastest


def memory() -> None:
    """Peak memory of the three loops, and of the reference strategies."""
    print("\n| shape | loop | peak, MiB | above weights, gradients and optimizer, MiB | share of Trainer's |")
    print("|---|---|---|---|---|")
    for shape in SHAPES:
        found = {name: apart("--peak", shape, name) for name in ("Trainer", "bare loop", "this loop, none", "this loop, kl")}
        above = {name: cell["peak"] - cell["state"] for name, cell in found.items()}
        for name, cell in found.items():
            cells = [shape, name, *(f"{b / 2**20:,.0f}" for b in (cell["peak"], above[name]))]
            print(f"| {' | '.join(cells)} | {above[name] / above['Trainer']:.2f} |", flush=True)
        if shape == "neox70m":
            bound = above["this loop, none"] / above["Trainer"]
    print()
    holds("70M shape, memory above the state over Trainer's", bound, 0.5, False)


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
    """Every core strategy beside the control, on the world's model."""
    print("\n| world's model | step time over the control's |\n|---|---|", flush=True)
    for name in installed("strategies"):
        if not find("strategies", name).load().experimental and name != "none":
            print(f"| `{name}` | {apart('--ratio', name):.2f} |", flush=True)


def ratio(name: str) -> float:
    """Step time of a strategy over the control's."""
    found = alternated("world", {"none": ours, name: partial(ours, name=name)}, False)
    return found[name] / found["none"]


SECTIONS = {"speed": speed, "memory": memory, "kl": kl, "strategies": strategies}


def main(words: list[str]) -> None:
    """Print the tables."""
    if words[:1] == ["--peak"]:
        print(json.dumps(peak(words[1], words[2])))
    elif words[:1] == ["--ratio"]:
        print(json.dumps(ratio(words[1])))
    elif odd := [word for word in words if word not in SECTIONS]:
        sys.exit(f"{odd[0]} is none of {', '.join(SECTIONS)}")
    else:
        for name in words or SECTIONS:
            SECTIONS[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
