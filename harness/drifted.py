"""Drift in a run: which trials lack it, and its measuring beside the scores, while their models are in memory."""

import gc
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from harness.arithmetic import autocast
from harness.drift import DOCUMENTS, TOKENS, measure, skipped, texts
from harness.errors import out_of_memory
from harness.files import write_json, writing
from harness.fitting import free_memory
from harness.model import Base, load_model
from harness.plan import digest, file_digest
from harness.record import Result
from harness.score_state import unchanged
from harness.strategy import overrides, parts
from harness.tabled import DRIFT
from harness.tables import Scoring, kept, scoring

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor, nn

    from harness.resolve import Ready

Fisher = Mapping[str, "Tensor"]
WITH_FISHER = " with a Fisher"
ROOM = 1.3
"""Memory that is wanted free, as a multiple of the base's weights: those, and what one batch needs."""


def undrifted(ready: "Ready", result: Result) -> bool:
    """Whether a finished trial lacks its drift and has the weights that it can be measured on."""
    if not (result.folder / "weights").exists():
        return False
    wanted = drift_key(scoring(ready), ready.base.digest, result.facts["weights"])
    ends = (WITH_FISHER,) if _has_fisher(ready) else ("", WITH_FISHER)
    return not any(kept(result.folder / DRIFT, wanted + end) for end in ends)


def drift_key(asked: Scoring, base: str, weights: str) -> str:
    """What a model's drift is made from, its Fisher aside; `base` and `weights` are digests."""
    with_texts = [suite for suite in asked.suites if any(task.metric == "bits_per_byte" for task in suite.tasks)]
    return digest([base, DOCUMENTS, TOKENS, [asked.score_key(weights, suite) for suite in with_texts]])


def keep_drift_from(asked: Scoring, base: Base, model: "nn.Module", weights: str, folder: Path, code: bool = False) -> None:
    """The same of a model that was trained elsewhere, from that base; `code`: whether Python files beside it are run."""
    made = {"key": drift_key(asked, base.digest, weights), "weights": weights}
    measure_into(folder, made, asked, partial(load_model, base.folder, code), model)


def keep_drift(ready: "Ready", model: "nn.Module", weights: str, folder: Path, seed: int) -> None:
    """Measure the drift of a trial's model and keep it beside its scores; `weights` is the digest of the model's."""
    fisher = partial(_fisher, ready, seed) if _has_fisher(ready) else None
    key = drift_key(scoring(ready), ready.base.digest, weights) + (WITH_FISHER if fisher else "")
    measure_into(folder, {"key": key, "weights": weights}, scoring(ready), ready.setting.load, model, fisher)


def measure_into(
    folder: Path,
    made: Mapping[str, str],
    asked: Scoring,
    load: "Callable[[], nn.Module]",
    model: "nn.Module",
    fisher: Callable[[], Fisher | None] | None = None,
) -> None:
    """Write drift.parquet of a model into its folder; where memory is short, a row that says so.

    made    what it is made from: its key, and the digest of the model's weights
    load    the base, newly loaded in fp32: it stands beside the model
    fisher  the diagonal Fisher of the base, by parameter name
    """
    with unchanged(model):
        table = _measured(asked, load, model, fisher)
    path = folder / DRIFT
    with writing(path) as beside:
        table.to_parquet(beside, index=False)
    write_json(path.with_suffix(".json"), {**made, "sha256": file_digest(path)})


def _measured(
    asked: Scoring, load: "Callable[[], nn.Module]", model: "nn.Module", fisher: Callable[[], Fisher | None] | None
) -> "pd.DataFrame":
    device = next(model.parameters()).device
    size = sum(p.numel() * p.element_size() for p in model.parameters())
    if (free := _free(device)) < ROOM * size:
        return skipped(f"the base beside the model takes {ROOM * size / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free")
    try:
        weights = _had(fisher) if fisher else None  # before the base is loaded: it loads one of its own
        gc.collect()
        base = load().to(device)
        rows = Result(asked.folder / "base", None, None).scores
        return measure(base, model, texts(base, asked.tokenizer, asked.suites, rows, asked.bos), weights)
    except Exception as error:
        if not out_of_memory(error):
            raise
        return skipped("memory ran out with the base beside the model")


def _had(fisher: Callable[[], Fisher | None]) -> Fisher | None:
    """A Fisher; None where it cannot be had, as its own arm will say."""
    try:
        return fisher()
    except Exception as error:
        if out_of_memory(error):
            raise
        return None


def _free(device: torch.device) -> int:
    """Bytes that a device can still give, those included that torch holds and does not use."""
    if device.type != "cuda":
        return free_memory()
    return torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def _has_fisher(ready: "Ready") -> bool:
    return any(overrides(strategy, "fisher") for strategy in ready.strategies.values())


def _fisher(ready: "Ready", seed: int) -> Fisher | None:
    """The first that the plan's arms know of: kept by content, so that it is made once for this and for their own set-up."""
    from harness.train import device

    engine, place = ready.setting.budget.engine, device()
    origin = ready.setting.origin(seed, place, partial(autocast, engine, place))
    knowing = (part for s in ready.strategies.values() for part in parts(s) if overrides(part, "fisher"))
    return next(knowing).fisher(origin)
