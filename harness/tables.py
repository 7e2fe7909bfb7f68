"""Tables of a model's scores and completions: which are missing, and each kept beside what it was made from.

What was made once is found again in another run folder too: see harness/score_cache.py.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import within_memory
from harness.files import read_json, write_json, writing
from harness.folder import prompts
from harness.lookup import cache
from harness.plan import digest, file_digest
from harness.resolve import Ready
from harness.score_cache import recall, remember
from harness.suite import Suite
from harness.withheld import reciting, withheld

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

SMALLER = "close what else uses it, or give a smaller --model"
"""What helps where memory is short and the model itself is too large."""
Show = Callable[[float, int], None]
"""(tasks done, tasks in all); parts of a task where it generates."""


@dataclass(frozen=True)
class Scoring:
    """How every model of a run folder is scored, the base and whatever is compared with it.

    length    tokens that a model reads at once; None: what its configuration says, which is the same for all
    reciting  what trained models write is withheld, as they may recite sensitive text: the key of its digests; "": it is kept
    """

    folder: Path
    tokenizer: Any
    suites: tuple[Suite, ...]
    prompts: tuple[str, ...]
    limit: int | None
    bos: bool | None
    versions: Mapping[str, str]
    length: int | None = None
    reciting: str = ""

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of `score`."""
        return {"limit": self.limit, "bos": self.bos} | ({"length": self.length} if self.length else {})

    def score_key(self, weights: str, suite: Suite) -> str:
        """What a suite's rows are made from."""
        from harness.score import score_key

        found = score_key(weights, self.tokenizer, suite, self.settings, self.versions)
        return digest([found, self.reciting]) if self.reciting else found

    def completion_key(self, weights: str) -> str:
        """What completions are made from."""
        from harness.text import tokenizer_digest

        made = [weights, tokenizer_digest(self.tokenizer), self.prompts, self.bos, dict(self.versions)]
        return digest([*made, self.reciting] if self.reciting else made)


def scoring(ready: Ready) -> Scoring:
    """How a run's models are scored."""
    plan = ready.plan
    known = (ready.folder, ready.tokenizer, ready.suites, prompts(ready), ready.limit, ready.bos, plan.versions)
    return Scoring(*known, reciting="" if plan.options["show_text"] else reciting(ready.corpora.values()))


def fill(asked: Scoring, model: "nn.Module", weights: str, folder: Path, show: Show) -> float:
    """Every suite that is missing, and the prompts; `weights` is the digest of the model's. Seconds that all of it took."""
    from harness.score import complete, score
    from harness.train import device

    recited = "" if folder == asked.folder / "base" else asked.reciting
    with within_memory(f"while {folder.relative_to(asked.folder)} was being scored", SMALLER):
        model = model.to(device())
        for suite in unscored(asked, weights, folder):

            def rows(suite: Suite = suite) -> "pd.DataFrame":
                return unspoken(score(model, asked.tokenizer, suite, show=show, **asked.settings), recited)

            _keep(rows, model, folder / "scores" / f"{suite.name}.parquet", asked.score_key(weights, suite), weights)
        if not _completed(asked, weights, folder):

            def said() -> "pd.DataFrame":
                return unspoken(complete(model, asked.tokenizer, asked.prompts, bos=asked.bos), recited)

            _keep(said, model, folder / "completions.parquet", asked.completion_key(weights), weights)
    notes = [folder / "scores" / f"{suite.name}.json" for suite in asked.suites] + [folder / "completions.json"]
    return sum(read_json(note).get("seconds", 0.0) for note in notes if note.is_file())


def unspoken(table: "pd.DataFrame", key: str) -> "pd.DataFrame":
    """A table of scores or completions in which what the model wrote is withheld, where a key is given."""
    if key and "completion" in table:
        return table.assign(completion=[withheld(text, key) for text in table["completion"]])
    if key:
        generated = [len(nats) == 0 for nats in table["loglikelihoods"]]
        said = [
            [withheld(text, key) for text in options] if wrote else options
            for options, wrote in zip(table["options"], generated, strict=True)
        ]
        return table.assign(options=said)
    return table


def _keep(make: "Callable[[], pd.DataFrame]", model: "nn.Module", path: Path, key: str, weights: str) -> None:
    """Write a table, made or found again, and beside it what it was made from, its seconds, and the digest of its bytes."""
    from harness.score import shared_key

    shared, kept = shared_key(key, model), cache() / "scores"
    seconds = recall(kept, shared, path)
    if seconds is None:
        began = time.perf_counter()
        table = make()
        with writing(path) as beside:
            table.to_parquet(beside, index=False)
        seconds = round(time.perf_counter() - began, 2)
        remember(kept, shared, path, seconds)
    facts = {"key": key, "weights": weights, "sha256": file_digest(path), "seconds": seconds}
    write_json(path.with_suffix(".json"), facts)


def kept(path: Path, key: str) -> bool:
    """Whether a table is there, made from just this, with the bytes that were written."""
    note = path.with_suffix(".json")
    if not (note.is_file() and path.is_file()):
        return False
    stored = read_json(note)
    return stored.get("key") == key and stored.get("sha256") == file_digest(path)


def wanting(asked: Scoring, weights: str, folder: Path) -> bool:
    """Whether scores or completions are missing."""
    return bool(unscored(asked, weights, folder)) or not _completed(asked, weights, folder)


def unscored(asked: Scoring, weights: str, folder: Path) -> list[Suite]:
    """Suites whose rows are missing, damaged, or were made from other weights, documents or settings."""
    tables = folder / "scores"
    return [s for s in asked.suites if not kept(tables / f"{s.name}.parquet", asked.score_key(weights, s))]


def _completed(asked: Scoring, weights: str, folder: Path) -> bool:
    """Whether the prompts were completed by these weights; so they are where there is no prompt."""
    return not asked.prompts or kept(folder / "completions.parquet", asked.completion_key(weights))
