"""Tables of a model's scores and completions: which are missing, and each kept beside what it was made from."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import within_memory
from harness.files import read_json, write_json, writing
from harness.folder import prompts
from harness.plan import digest, file_digest
from harness.resolve import Ready

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from harness.suite import Suite

SMALLER = "close what else uses it, or give a smaller --model"
"""What helps where memory is short and the model itself is too large."""
Show = Callable[[int, int], None]
"""(items done, items in all)."""


def fill(ready: Ready, model: "nn.Module", weights: str, folder: Path, show: Show) -> None:
    """Every suite that is missing, and the prompts; `weights` is the digest of the model's."""
    from harness.score import complete, score
    from harness.train import device

    with within_memory(f"while {folder.relative_to(ready.folder)} was being scored", SMALLER):
        model = model.to(device())
        for suite in unscored(ready, weights, folder):
            table = score(model, ready.tokenizer, suite, limit=ready.limit, bos=ready.bos, show=show)
            _keep(table, folder / "scores" / f"{suite.name}.parquet", _score_key(ready, weights, suite))
        if not _completed(ready, weights, folder):
            made = complete(model, ready.tokenizer, prompts(ready), bos=ready.bos)
            _keep(made, folder / "completions.parquet", _completion_key(ready, weights))


def _keep(table: "pd.DataFrame", path: Path, key: str) -> None:
    """Write a table, and beside it what it was made from and the digest of its bytes."""
    with writing(path) as beside:
        table.to_parquet(beside, index=False)
    write_json(path.with_suffix(".json"), {"key": key, "sha256": file_digest(path)})


def _kept(path: Path, key: str) -> bool:
    """Whether a table is there, made from just this, with the bytes that were written."""
    note = path.with_suffix(".json")
    if not (note.is_file() and path.is_file()):
        return False
    stored = read_json(note)
    return stored.get("key") == key and stored.get("sha256") == file_digest(path)


def wanting(ready: Ready, weights: str, folder: Path) -> bool:
    """Whether scores or completions are missing."""
    return bool(unscored(ready, weights, folder)) or not _completed(ready, weights, folder)


def _score_key(ready: Ready, weights: str, suite: "Suite") -> str:
    from harness.score import score_key

    return score_key(weights, ready.tokenizer, suite, {"limit": ready.limit, "bos": ready.bos}, ready.plan.versions)


def unscored(ready: Ready, weights: str, folder: Path) -> list["Suite"]:
    """Suites whose rows are missing, damaged, or were made from other weights, documents or settings."""
    tables = folder / "scores"
    return [s for s in ready.suites if not _kept(tables / f"{s.name}.parquet", _score_key(ready, weights, s))]


def _completion_key(ready: Ready, weights: str) -> str:
    return digest([weights, ready.plan.base["tokenizer"], prompts(ready), ready.bos])


def _completed(ready: Ready, weights: str, folder: Path) -> bool:
    """Whether the prompts were completed by these weights; so they are where there is no prompt."""
    return not prompts(ready) or _kept(folder / "completions.parquet", _completion_key(ready, weights))
