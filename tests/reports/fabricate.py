"""A run folder without a training: planted effects, so that a page can be checked against what was planted."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from harness.record import write_plan
from harness.tabled import DRIFT_COLUMNS, SCORE_COLUMNS
from harness.typed import parse_arms


@dataclass(frozen=True)
class Effect:
    """What an arm does to the base; bits in bits per byte, shares of the items that the base answers right or wrong."""

    forgets: float = 0.0  # bits per byte, other source
    forgets_same: float = 0.0
    learns: float = 0.0  # bits per byte of domain text
    loses: float = 0.0  # share of right answers lost, other source
    loses_same: float = 0.0
    gains: float = 0.0  # share of wrong domain answers gained
    held: "Effect | None" = None  # what it does to validation items, where that is something else


ARMS: dict[str, Effect] = {
    "none": Effect(0.42, 0.38, 1.10, 0.45, 0.42, 0.70),
    "kl": Effect(0.05, 0.05, 0.78, 0.08, 0.08, 0.42),
    "ewc:weight=100": Effect(0.03, 0.03, 1.10, 0.03, 0.03, 0.84),
    "replay:share=0.25": Effect(0.36, 0.01, 1.05, 0.44, 0.02, 0.60),
    "low_lr": Effect(0.15, 0.14, 0.95, 0.20, 0.19, 0.55),
}

TASKS: dict[str, dict[str, Any]] = {
    "facts": {"suite": "world_general", "measures": "keep", "metric": "acc", "chance": 0.125, "source": "other"},
    "facts_rehearsed": {
        "suite": "world_general",
        "measures": "keep",
        "metric": "acc",
        "chance": 0.125,
        "source": "same",
    },
    "grammar": {"suite": "world_general", "measures": "keep", "metric": "acc", "chance": 0.5, "source": "other"},
    "text_stories": {"suite": "world_general", "measures": "keep", "metric": "bits_per_byte", "source": "other"},
    "text_letters": {"suite": "world_general", "measures": "keep", "metric": "bits_per_byte", "source": "other"},
    "text_rehearsed": {"suite": "world_general", "measures": "keep", "metric": "bits_per_byte", "source": "same"},
    "new_form": {"suite": "world_general", "measures": "probe", "metric": "acc", "chance": 0.125, "source": None},
    "changed": {"suite": "world_general", "measures": "change", "metric": "acc", "chance": 0.125, "source": None},
    "drugs": {"suite": "world_medical", "measures": "gain", "metric": "acc", "chance": 0.125, "source": None},
    "diseases": {"suite": "world_medical", "measures": "gain", "metric": "acc", "chance": 0.25, "source": None},
    "text_medical": {"suite": "world_medical", "measures": "gain", "metric": "bits_per_byte", "source": None},
}
KNOWN = {"facts": 0.85, "facts_rehearsed": 0.86, "grammar": 0.92, "new_form": 0.4, "drugs": 0.14, "diseases": 0.27}
NOTE = "A world page shows that the program measures what it says and is no evidence about the reader's model."


@dataclass(frozen=True)
class Recipe:
    """What to fabricate. `failed` and `missing` are (arm, seed) pairs."""

    arms: Mapping[str, Effect] = field(default_factory=lambda: ARMS)
    seeds: tuple[int, ...] = (0, 1, 2)
    items: int = 240
    documents: int = 60
    failed: tuple[tuple[str, int], ...] = ()
    missing: tuple[tuple[str, int], ...] = ()
    error: str = "the loss was not finite at update 17; try a lower rate, as in kl:lr=0.3"
    tasks: Mapping[str, dict[str, Any]] = field(default_factory=lambda: TASKS)
    prompts: tuple[str, ...] = ("The capital of France is", "Aspirin is given against", "def add(a, b):")
    plan: Mapping[str, Any] = field(default_factory=dict)
    luck: float = 0.008  # standard deviation over seeds, bits per byte
    spread: float = 0.2  # standard deviation over documents, as a share of the effect
    milestones: tuple[float, ...] = (0.0, 0.02, 0.1, 0.4, 1.0)  # shares of the training; none: not looked at
    transient: float = 0.3  # forgetting at a tenth of the training, as a multiple of what is left at its end, on top
    option: str = "option"
    completion: str = " Paris, and the river that runs through it is the Seine."
    curve: bool = False  # of the first arm, interpolated with the base
    validation: bool = False  # whether a fifth of the items is kept for choosing


def run_folder(folder: Path, recipe: Recipe | None = None) -> Path:
    """Write a run folder and return it."""
    recipe = recipe or Recipe()
    folder.mkdir(parents=True, exist_ok=True)
    write_plan(folder, plan(recipe))
    write_result(folder / "base", {"status": "done", "digest": "b" * 64, "seconds": {"score": 9.5}})
    write_scores(folder / "base", recipe, None, 0)
    write_completions(folder / "base", recipe, "base")
    for seed in recipe.seeds:
        for name in recipe.arms:
            if (name, seed) not in recipe.missing:
                write_trial(folder, recipe, name, seed)
        if recipe.curve:
            write_curve(folder, recipe, seed)
    return folder


def plan(recipe: Recipe) -> dict[str, Any]:
    suites = sorted({facts["suite"] for facts in recipe.tasks.values()})
    return {
        "fingerprint": "f" * 64,
        "command": "harness run --strategies kl,ewc:weight=100,replay:share=0.25,low_lr",
        "created": "2025-01-31",
        "arms": list(recipe.arms),
        "seeds": list(recipe.seeds),
        "base": {"name": "world", "digest": "b" * 64, "parameters": 1_049_600},
        "sources": {
            "new": {"name": "world_domain", "key": "n" * 64, "documents": 3120, "rows": 2400, "tokens": 307_200},
            "old": {"name": "world_old", "key": "o" * 64, "documents": 6120, "rows": 4400, "tokens": 563_200},
        },
        "budget": {"steps": 300, "batch": 8, "length": 128, "peak": 6e-4, "warmup": 0.03, "floor": 0.1, "clip": 1.0,
                   "weight_decay": 0.01, "beta1": 0.9, "beta2": 0.95},
        "engine": {"precision": "fp32", "weights": "fp32", "optimizer": "adamw", "attention": "sdpa", "document_mask": True,
                   "gradient_checkpointing": False, "reference_weights": "fp32", "offload_reference": False,
                   "compile": False, "liger": False},
        "strategies": {name: {name.split(":")[0]: {"weight": 1.0}} for name in recipe.arms},
        "equal": "tokens",
        "trainings": {name: training(name) for name in recipe.arms},
        "suites": dict.fromkeys(suites, "k" * 64),
        "tasks": {name: described(name, facts) for name, facts in recipe.tasks.items()},
        "suite_notes": {"world_general": NOTE},
        "sensitive": [],
        "prompts": list(recipe.prompts),
        "notes": ["the batch was shrunk from 256 to 8 rows, so that there are at least 300 steps"],
        "versions": {"forgetting-harness": "0.1.0", "torch": "2.13.0"},
        "micro_batch": 8,
        "options": {"milestones": bool(recipe.milestones)},
    } | dict(recipe.plan)  # fmt: skip


def training(name: str) -> dict[str, Any]:
    needs = ["old"] if name.startswith(("ewc", "replay")) else []
    return {"lr": 1.0, "updates": 300, "controls": [], "needs": needs, "weighs": False, "experimental": False}


def described(name: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    return {"higher_is_better": facts["metric"] != "bits_per_byte", "chance": None, "about": f"about {name}"} | facts


def write_trial(folder: Path, recipe: Recipe, name: str, seed: int) -> None:
    where = folder / parse_arms(name)[0].folder / f"seed-{seed}"
    facts = {"arm": name, "seed": seed, "fingerprint": "f" * 64}
    if (name, seed) in recipe.failed:
        write_result(where, facts | {"status": "failed", "error": recipe.error})
        return
    rehearses = "replay" in name
    new = 230_400 if rehearses else 307_200
    write_result(where, facts | {
        "status": "done", "tokens": {"new": new, "old": 307_200 - new}, "steps": 300, "learning_rate_area": 0.101,
        "setup_tokens": 65_536 if "ewc" in name else 0,
        "seconds": {"setup": 4.2, "train": 71.5 + 20 * ("kl" in name), "score": 9.7},
        "flops": 1.93e12 * (1 + ("kl" in name) / 3), "peak_memory_bytes": 812_000_000, "parameters_trained": 1_049_600,
        "stored_bytes": 4_198_400 * ("kl" in name or "ewc" in name),
        "weights": "w" * 64,
        "facts": {"distance": 0.21 - 0.1 * ("ewc" in name)} | ({"fisher_split_half": 0.93} if "ewc" in name else {}),
    })  # fmt: skip
    write_training(where, name, seed)
    write_trajectory(where, recipe, recipe.arms[name], seed)
    write_scores(where, recipe, recipe.arms[name], seed)
    write_completions(where, recipe, name)
    write_drift(where, recipe, recipe.arms[name], seed)


def write_curve(folder: Path, recipe: Recipe, seed: int) -> None:
    """With a share a of its weights the control has forgotten a^2 of what it forgets, and learned 1 - (1 - a)^2."""
    where = folder / parse_arms(next(iter(recipe.arms)))[0].folder / f"seed-{seed}"
    texts = {name: facts["measures"] == "gain" for name, facts in recipe.tasks.items() if facts["metric"] == "bits_per_byte"
             and (facts["measures"] == "gain" or facts["source"] == "other")}  # fmt: skip
    for path in sorted((where / "scores").glob("*.parquet")):
        after = pd.read_parquet(path)
        after = after[after["task"].isin(texts)]
        nats = {at: table.set_index(["task", "item"])["loglikelihoods"].str[0] for at, table in
                [("base", pd.read_parquet(folder / "base" / "scores" / path.name)), ("end", after)]}  # fmt: skip
        nats["base"] = nats["base"][nats["end"].index]
        gains = np.array([texts[task] for task in after["task"]])
        for share in (step / 10 for step in range(1, 10)):
            done = np.where(gains, 1 - (1 - share) ** 2, share**2)
            blend = nats["base"].to_numpy() + done * (nats["end"] - nats["base"]).to_numpy()
            place = where / "curve" / f"{share:g}"
            (place / "scores").mkdir(parents=True, exist_ok=True)
            table = after.assign(loglikelihoods=[[float(each)] for each in blend])
            table.to_parquet(place / "scores" / path.name)
            write_result(place, {"status": "done", "weights": f"{share:g}", "seconds": {"score": 1.0}})


def write_drift(where: Path, recipe: Recipe, effect: Effect, seed: int) -> None:
    """What was learned of new text drifts by half as many nats a token, what was forgotten of old text by as many."""
    rows: list[dict[str, Any]] = []
    luck = np.random.default_rng([seed, 7])
    for task, facts in recipe.tasks.items():
        if facts["metric"] != "bits_per_byte":
            continue
        height = effect.learns / 2 if facts["measures"] == "gain" else effect.forgets
        rise = effect.forgets_same if facts["source"] == "same" else height
        for i in range(8):
            tokens, drift = 100 + 10 * i, height * float(luck.normal(1, 0.05))
            rows.append({"kind": "text", "task": task, "item": f"doc-{i}", "cluster": f"doc-{i}", "tokens": tokens,
                         "bytes": 4 * tokens, "forward": drift * tokens, "reverse": 1.2 * drift * tokens,
                         "before": 3.0 * tokens, "after": (3.0 + rise) * tokens})  # fmt: skip
    for number in range(12):
        moved = {"moved": effect.learns * (number + 1) / 100, "whole": 2.0, "entries": 64, "changed": 1.0}
        rows.append({"kind": "tensor", "item": f"model.layers.{number}.mlp.up_proj.weight"} | moved)
    rows.append({"kind": "predicted", "forward": effect.forgets_same / 2})
    pd.DataFrame(rows, columns=list(DRIFT_COLUMNS)).astype(DRIFT_COLUMNS).to_parquet(where / "drift.parquet")


def write_result(where: Path, facts: Mapping[str, Any]) -> None:
    where.mkdir(parents=True, exist_ok=True)
    (where / "result.json").write_text(json.dumps(facts))


def write_training(where: Path, name: str, seed: int) -> None:
    generator, lines = np.random.default_rng(seed), []
    for update in range(1, 301):
        rate = min(update / 9, 0.1 + 0.45 * (1 + math.cos(math.pi * (update - 9) / 291)))
        row = {
            "update": update, "tokens": update * 1024, "learning_rate": 6e-4 * rate,
            "loss": 1.1 + 0.3 * ("kl" in name) + 3 * math.exp(-update / 40) + generator.normal(0, 0.04),
            "norm": 0.5 + math.exp(-update / 20) + abs(generator.normal(0, 0.05)),
            "clipped": update < 12, "seconds": 0.24 * update, "new": update * 1024, "old": 0,
        }  # fmt: skip
        if "kl" in name:
            row["term.kl"] = 0.4 * (1 - math.exp(-update / 60)) + abs(generator.normal(0, 0.01))
        lines.append(json.dumps(row))
    (where / "training.jsonl").write_text("\n".join(lines) + '\n{"update": 301, "tok')


def write_trajectory(where: Path, recipe: Recipe, effect: Effect, seed: int) -> None:
    """Eight documents and answers of each text and choice task: forgetting rises past its end and comes back."""
    rows: list[dict[str, Any]] = []
    for number, (task, facts) in enumerate(recipe.tasks.items()):
        keeps, text = facts["measures"] == "keep", facts["metric"] == "bits_per_byte"
        if not (keeps or facts["measures"] == "gain"):
            continue
        final = (effect.forgets_same if facts["source"] == "same" else effect.forgets) if keeps else -effect.learns
        items = np.random.default_rng(500 + number)
        spread, weights = items.normal(1, recipe.spread, 8), items.integers(300, 1200, 8) if text else np.ones(8)
        for share in recipe.milestones:
            height = final * min(1.0, share / 0.1) * (1 + (recipe.transient if keeps and share == 0.1 else 0))
            height += np.random.default_rng([number, seed, round(1000 * share)]).normal(0, recipe.luck) * (share > 0)
            rows += [
                {"update": round(300 * share), "tokens": round(307_200 * share), "task": task, "item": f"doc-{i}",
                 "cluster": f"doc-{i}", "kind": "text" if text else "answer", "weight": float(weights[i]),
                 "before": float(1.3 * weights[i]), "after": float((1.3 + height * spread[i]) * weights[i])}
                for i in range(8)
            ]  # fmt: skip
    if rows:
        pd.DataFrame(rows).to_parquet(where / "trajectory.parquet")


def write_completions(where: Path, recipe: Recipe, name: str) -> None:
    rows = [{"prompt": prompt, "completion": f"{recipe.completion} [{name[:4]}]"} for prompt in recipe.prompts]
    pd.DataFrame(rows).to_parquet(where / "completions.parquet")


def write_scores(where: Path, recipe: Recipe, effect: Effect | None, seed: int) -> None:
    """Items are drawn once (by task), so that they are the same before and after; an arm's luck comes from its seed."""
    (where / "scores").mkdir(parents=True, exist_ok=True)
    suites: dict[str, list[pd.DataFrame]] = {}
    for number, (task, facts) in enumerate(recipe.tasks.items()):
        found = score_rows(recipe, task, effect, [number, seed])
        if recipe.validation:
            held = np.arange(len(found)) % 5 == 0
            other = score_rows(recipe, task, effect.held, [number, seed]) if effect and effect.held else found
            found = pd.concat([found[~held], other[held].assign(split="validation")]).sort_index()
        suites.setdefault(facts["suite"], []).append(found.reindex(list(SCORE_COLUMNS), axis=1))
    for suite, parts in suites.items():
        table = pa.Table.from_pandas(pd.concat(parts, ignore_index=True), preserve_index=False)
        pq.write_table(
            table.replace_schema_metadata(), where / "scores" / f"{suite}.parquet"
        )  # pandas cannot read its own note on lists


def row(item: str, cluster: str, **more: Any) -> dict[str, Any]:
    hashes = {f"{kind}_hash": f"{kind}-{item}" for kind in ("document", "prompt", "target")}
    hashes |= {"split": "test", "pool": 1000}
    empty = {"option_tokens": [-1], "choice": None, "answer": None, "prompt": "", "options": []}
    return {"item": item, "cluster": cluster} | hashes | empty | more


def score_rows(recipe: Recipe, task: str, effect: Effect | None, drawn: list[int]) -> pd.DataFrame:
    """All rows of a task; `drawn`: its number, by which items are drawn, and the seed."""
    facts, items = recipe.tasks[task], np.random.default_rng(100 + drawn[0])
    planted = tuple(value for value in vars(effect).values() if isinstance(value, float)) if effect else ()
    luck = np.random.default_rng([*drawn, hash(planted) % 2**32])
    text = facts["metric"] == "bits_per_byte"
    rows = text_rows(recipe, facts, effect, items, luck) if text else choice_rows(recipe, task, effect, items, luck)
    return pd.DataFrame({"suite": facts["suite"], "task": task} | rows)


def sweep(families: Mapping[str, Mapping[str, Effect]], **more: Any) -> Recipe:
    """A recipe of a sweep: arm as typed -> setting -> effect, the control first."""
    facts = {"settings": len(next(iter(families.values()))), "least": 0.75, "rule": "as planned"}
    planned = {
        "families": {arm: list(settings) for arm, settings in families.items()},
        "sweep": facts,
        "options": {"items": "test"},
    }
    control = next(iter(families))
    arms = {control: families[control][control]}
    arms |= {name: effect for settings in families.values() for name, effect in settings.items()}
    return Recipe(arms=arms, plan=planned, validation=True, milestones=(), **more)


def text_rows(
    recipe: Recipe,
    facts: Mapping[str, Any],
    effect: Effect | None,
    items: np.random.Generator,
    luck: np.random.Generator,
) -> dict[str, Any]:
    sizes, level = items.integers(300, 1200, recipe.documents), items.normal(1.2, 0.15, recipe.documents)
    shift = 0.0
    if effect:
        same = facts.get("source") == "same"
        shift = -effect.learns if facts["measures"] == "gain" else effect.forgets_same if same else effect.forgets
        shift += luck.normal(0, recipe.luck)
    level = level + (2.4 if facts["measures"] == "gain" else 0)
    changed = level + shift * items.normal(1, recipe.spread, recipe.documents) if effect else level
    return columns([f"doc-{i}" for i in range(recipe.documents)]) | {
        "value": changed, "option_bytes": lists(sizes[:, None]),
        "loglikelihoods": lists((-changed * sizes * math.log(2))[:, None]),
        "option_tokens": lists(np.full((recipe.documents, 1), -1)), "options": lists(np.empty((recipe.documents, 0), str)),
    }  # fmt: skip


def choice_rows(
    recipe: Recipe, task: str, effect: Effect | None, items: np.random.Generator, luck: np.random.Generator
) -> dict[str, Any]:
    facts, n = recipe.tasks[task], recipe.items
    options = facts.get("options") or round(1 / facts["chance"])
    right, answers = items.random(n) < KNOWN.get(task, 0.8), items.integers(0, options, n)
    if effect:
        gain = facts["measures"] == "gain"
        loses = 0.05 if gain else effect.loses_same if facts["source"] == "same" else effect.loses
        gains = effect.gains if gain else 0.02
        right = np.where(right, luck.random(n) >= loses, luck.random(n) < gains)
    choices = np.where(right, answers, (answers + 1) % options)
    nats = -6.0 + 3.0 * (np.arange(options) == choices[:, None]) + luck.normal(0, 0.1, (n, options))
    return columns([f"{task}-{i}" for i in range(n)]) | {
        "cluster": [f"relation-{i % 24}" for i in range(n)],
        "prompt": [f"Question {i} of {task}: the answer is" for i in range(n)],
        "options": lists(np.tile([f"{recipe.option} {o}" for o in range(options)], (n, 1))),
        "value": right.astype(float), "choice": choices, "answer": answers,
        "loglikelihoods": lists(nats), "option_bytes": lists(np.full((n, options), 8)),
        "option_tokens": lists(np.full((n, 1), -1)),
    }  # fmt: skip


def columns(items: list[str]) -> dict[str, Any]:
    """What every item has; digests as long as real ones."""
    hashes = {f"{kind}_hash": [f"{kind}-{item}".ljust(64, "0") for item in items] for kind in ("document", "prompt", "target")}
    return {"item": items, "cluster": items, "prompt": "", "split": "test", "pool": 1000} | hashes


def lists(rows: Any) -> Any:
    """(n, k) values as a column of n lists."""
    flat = pa.array(rows.ravel())
    offsets = pa.array(np.arange(len(rows) + 1, dtype=np.int32) * rows.shape[1])
    return pd.Series(pd.arrays.ArrowExtensionArray(pa.ListArray.from_arrays(offsets, flat)))
