"""What `train.py` compares: models with rows to learn, and this loop, a bare one, and transformers' Trainer to train them.

All contenders have the same weights, rows of the same size, fused AdamW, clipping and schedule. On a GPU all train in bf16
autocast over fp32 weights on larger micro-batches, the Trainer with Liger's kernels where these are installed.
"""

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from harness.model import load_model, locate
from harness.plan import Budget, Engine
from harness.reader import Setting
from harness.registry import find
from harness.rows import Facts, Rows
from harness.train import Training

GPU = torch.cuda.is_available()
WARM = 3
"""Rounds that are not counted."""
ROUNDS = {"neox70m": 4, "world": 100}
"""Rounds that are: one takes ten seconds and more for the first shape on two cores, a quarter of one for the other."""


def neox() -> nn.Module:
    """The 70M GPT-NeoX shape with random weights."""
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    sizes: dict[str, Any] = {"vocab_size": 50_304, "hidden_size": 512, "num_hidden_layers": 6, "num_attention_heads": 8}
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


def setting(shape: str, scratch: Path, rounds: int) -> Setting:
    """Random rows of every source, the same for all contenders, for so many rounds that count."""
    load, vocabulary, batch, length = SHAPES[shape]
    steps = WARM + rounds + 1
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
    from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

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

    rows: Any = [{"input_ids": row, "labels": row} for row in tokens]
    built = Trainer(model=made.load(), args=arguments, train_dataset=rows, callbacks=[Between()])
    built.remove_callback(PrinterCallback)  # what is printed here are tables
    built.train()


def liger() -> bool:
    """Whether Liger's kernels can be used here."""
    return GPU and importlib.util.find_spec("liger_kernel") is not None
