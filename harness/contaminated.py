"""Contamination in a run: the items of its suites against every text that is trained on, before anything is trained.

What was looked for once is found again in another run folder, by the text, how much of it is read, and the items.
"""

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.contamination import Item, Overlap
from harness.corpus import Corpus
from harness.errors import HarnessError, said
from harness.files import cache, read_table, write_json, writing
from harness.plan import digest, file_digest
from harness.resolve import Ready
from harness.score_rows import Scored
from harness.score_state import quiet
from harness.score_tasks import build, subset
from harness.sources import parts
from harness.suite import Suite, Task
from harness.tabled import CONTAMINATION, CONTAMINATION_COLUMNS
from harness.tables import kept

if TYPE_CHECKING:
    import pandas as pd

Show = Callable[[float, int], None]


@dataclass(frozen=True)
class Source:
    """Text that is trained on: a corpus, how many documents of it are read, and their bytes."""

    corpus: Corpus
    documents: int
    size: int


def keep(ready: Ready, show: Show) -> None:
    """Write contamination.parquet where it is not as it should be; `show` hears of megabytes read, and of how many in all."""
    sources = dict(_sources(ready))
    with quiet():
        asked = list(items(ready.suites, ready.limit))
    marked = _marked(asked)
    keys = {name: digest([source.corpus.key, source.documents, marked]) for name, source in sources.items()}

    def make() -> "pd.DataFrame":
        import pandas as pd

        overlap, found = Overlap(asked), []
        for name, source in sources.items():
            path = cache() / "contamination" / f"{keys[name]}.parquet"
            _store(path, keys[name], partial(_look, overlap, source, show))
            found.append(read_table(path).assign(source=name))
        return pd.concat(found).reindex(columns=list(CONTAMINATION_COLUMNS)).astype(CONTAMINATION_COLUMNS)

    _store(ready.folder / CONTAMINATION, digest(keys), make)


def _sources(ready: Ready) -> Iterator[tuple[str, Source]]:
    """Every text of the plan by its part in it; of several that are mixed, each with its own name behind."""
    for role, facts in ready.plan.sources.items():
        for corpus, each in zip(parts(ready.corpora[role]), facts.get("parts", [facts]), strict=True):
            name = f"{role}: {corpus.name}" if "parts" in facts else role
            yield name, Source(corpus, each["documents"], each["bytes"])


def _look(overlap: Overlap, source: Source, show: Show) -> "pd.DataFrame":
    whole = math.ceil(source.size / 1e6)
    read = islice(source.corpus.read("train"), source.documents)
    return overlap.look(read, lambda characters: show(min(characters / 1e6, whole), whole))


def _store(path: Path, key: str, make: "Callable[[], pd.DataFrame]") -> None:
    """Write a table where it is missing, damaged, or was made from something else."""
    if not kept(path, key):
        with writing(path) as beside:
            make().to_parquet(beside, index=False)
        write_json(path.with_suffix(".json"), {"key": key, "sha256": file_digest(path)})


def items(suites: Iterable[Suite], limit: int | None) -> Iterator[Item]:
    """The items that are scored, as the scorer asks them."""
    for suite in suites:
        for task in suite.tasks:
            built = build(task)
            chosen = subset(built, limit)
            for name, leaf in built.items():
                scored = Scored(suite, task, name, leaf, {})
                for place in range(len(leaf.eval_docs)) if chosen is None else chosen.get(name, ()):
                    document = leaf.eval_docs[place]
                    item = scored.identity({"doc": document, "doc_id": place})
                    yield Item(suite.name, task.name, item, *_spelled(scored, document))


def _spelled(scored: Scored, document: Any) -> tuple[str, str]:
    """Question and right answer of a document, without examples."""
    try:
        return _text(scored.task, scored, document)
    except Exception as error:  # definitions and documents are not ours
        raise HarnessError(
            f"task {scored.task.name} cannot be asked: {said(error)}; look at its documents and examples"
        ) from error


def _text(task: Task, scored: Scored, document: Any) -> tuple[str, str]:
    leaf = scored.built
    if leaf.OUTPUT_TYPE == "loglikelihood_rolling":
        return "", str(leaf.doc_to_target(document))
    if leaf.OUTPUT_TYPE == "multiple_choice":
        choices = leaf.doc_to_choice(document)
        right = scored.answer(document, choices, -1)
        option = "" if right is None else str(choices[right])
        return (option, str(leaf.doc_to_target(document))) if leaf.multiple_input else (str(leaf.doc_to_text(document)), option)
    target = document[task.reference] if task.reference else leaf.doc_to_target(document)
    first = next(iter(target), "") if isinstance(target, list | tuple) else target
    return str(leaf.doc_to_text(document)), str(first)


def _marked(asked: Iterable[Item]) -> str:
    """sha256 of items and of how they are looked for."""
    found = hashlib.sha256()
    for maker in ("contamination.py", "duplicates.py"):
        found.update(file_digest(Path(__file__).with_name(maker)).encode())
    for item in asked:
        for part in vars(item).values():
            found.update(f"{len(part)}:{part}".encode(errors="surrogatepass"))
    return found.hexdigest()
