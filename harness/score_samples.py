"""What lm-eval's `--log_samples` wrote, read back: the rows that scoring would have made, without the model.

A folder of a model holds `samples_<task>_<date>.jsonl`, one sample a line, and `results_<date>.json`. Arguments were renamed
and responses turned into words when they were written; both are put back, and `Scored` makes the rows.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import Any, TypeVar

from harness.errors import HarnessError, InputError, said
from harness.score_rows import HASHES, Row, Scored, chosen_option
from harness.suite import Suite, Task
from harness.withheld import secret

FILE = re.compile(r"samples_(.+)_(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(?:\.\d+)?)\.jsonl")
NEEDED = ("doc_id", "doc", "target", "arguments", "resps", "filter", "metrics", "doc_hash", "prompt_hash", "target_hash")
Told = TypeVar("Told")
MEANS = ("acc", "acc_norm", "exact_match", "bits_per_byte")
"""Metrics that can count where nobody said which does."""


def files(folder: Path) -> dict[str, Path]:
    """Task -> its newest file of samples."""
    found: dict[str, Path] = {}
    for path in sorted(folder.glob("samples_*.jsonl"), key=lambda path: (FILE.fullmatch(path.name) or [""] * 3)[2]):
        if match := FILE.fullmatch(path.name):
            found[match[1]] = path
    return found


def totals(folder: Path) -> dict[str, int]:
    """Task -> items that it has, of which some were asked, as the newest results say; empty where they do not."""
    return _told(folder, "n-samples", lambda each: int(each["original"]))


def versions(folder: Path) -> dict[str, str]:
    """Task -> version of its definition, as the newest results say; empty where they do not."""
    return _told(folder, "versions", str)


def _told(folder: Path, key: str, read: Callable[[Any], Told]) -> dict[str, Told]:
    """What results say of tasks, the newest last."""
    found: dict[str, Told] = {}
    for path in sorted(folder.glob("results_*.json")):
        try:
            facts = json.loads(path.read_text(encoding="utf-8")).get(key) or {}
            found |= {str(task): read(each) for task, each in facts.items()}
        except (ValueError, AttributeError, KeyError, TypeError) as error:
            raise InputError(f"{path} is no results file of lm-eval ({error})") from error
    return found


def rows(suite: Suite, task: Task, path: Path, pool: int | None) -> list[Row]:
    """The rows of one task's file; `pool`: items that the task has."""
    samples = list(_samples(path))
    first = task.filter or samples[0]["filter"]
    kept = [sample for sample in samples if sample["filter"] == first]
    if not kept:
        raise InputError(f"{path} has no answers of the filter {first}; it has {', '.join({s['filter'] for s in samples})}")
    task = replace(task, metric=_metric(task, kept[0], path))
    found: list[Row] = []
    key = secret(sorted(json.dumps(sample["doc"], sort_keys=True) for sample in kept))
    for sample in kept:
        scored = Scored(suite, task, task.name, Saved(sample, task.metric), {}, key)
        try:
            found += [row | {"split": "test", "pool": pool or len(kept)} for row in scored.rows([sample])]
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise InputError(f"{path}: item {sample['doc_id']} cannot be read ({said(error)})") from error
    return found


def metric(task: Task, path: Path) -> str:
    """The metric that counts: the task's own, or the first of the file's that is a mean over items."""
    return _metric(task, next(_samples(path)), path)


def _metric(task: Task, sample: Mapping[str, Any], path: Path) -> str:
    has = list(sample["metrics"])
    found = next((name for name in (task.metric, *MEANS) if name in has), None)
    if found is None:
        raise InputError(f"{path} has no metric that can count ({', '.join(has)}); it should have one of {', '.join(MEANS)}")
    return found


def _samples(path: Path) -> Iterator[dict[str, Any]]:
    """Samples as lm-eval holds them in memory; a line that is none is named."""
    empty = True
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            sample = json.loads(line)
            lacks = [name for name in NEEDED if name not in sample]
            json.dumps(sample, ensure_ascii=False).encode()  # half a character cannot be kept
        except (ValueError, TypeError) as error:
            raise InputError(f"{path}:{number} is no JSON ({error})") from error
        if lacks:
            raise InputError(f"{path}:{number} is no sample of lm-eval's --log_samples: it has no {lacks[0]}")
        if unpaired := [
            name for name in NEEDED if name.endswith("_hash") and not (isinstance(sample[name], str) and sample[name])
        ]:
            raise InputError(f"{path}:{number}: {unpaired[0]} is {sample[unpaired[0]]!r}; items are paired by it")
        empty = False
        try:
            yield _restored(sample)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            raise InputError(f"{path}:{number} cannot be read ({said(error)})") from error
    if empty:
        raise InputError(f"{path} holds no samples")


def _restored(sample: dict[str, Any]) -> dict[str, Any]:
    """A sample before it was written: arguments in their order, log-likelihoods as numbers."""
    given = sample["arguments"]
    if isinstance(given, Mapping):
        given = [[each[f"arg_{j}"] for j in range(len(each))] for each in (given[f"gen_args_{i}"] for i in range(len(given)))]
    asked = [tuple(each) for each in given]
    if len(sample["resps"]) != len(asked):
        raise ValueError(f"{len(asked)} requests, {len(sample['resps'])} answers")
    if len(asked[0]) == 2 and isinstance(asked[0][1], str):  # log-likelihoods; what was generated stays as it is
        sample["resps"] = [[(float(answer[0][0]), str(answer[0][1]) == "True")] for answer in sample["resps"]]
    return sample | {"arguments": asked, "metrics": [str(name) for name in sample["metrics"]]}


@dataclass(frozen=True)
class Saved:
    """What rows ask of a task object, from the sample alone."""

    sample: Mapping[str, Any]
    metric: str
    multiple_input: bool = False

    @property
    def OUTPUT_TYPE(self) -> str:
        """The kind of its requests."""
        asked = self.sample["arguments"]
        if len(asked[0]) == 1:
            return "loglikelihood_rolling"
        if not isinstance(asked[0][1], str):
            return "generate_until"
        return "multiple_choice" if len(asked) > 1 else "loglikelihood"

    def doc_to_choice(self, _: Any) -> list[str]:
        """The options: continuations without the space before them; where only contexts differ, what differs of these."""
        asked = [pair for pair in self.sample["arguments"] if pair[0]] or self.sample[
            "arguments"
        ]  # without mutual information's
        options = [continuation for _, continuation in asked]
        if len(set(options)) == 1 < len(asked):
            contexts = [context for context, _ in asked]
            common = sum(1 for _ in takewhile(lambda letters: len(set(letters)) == 1, zip(*contexts, strict=False)))
            return [context[common:] for context in contexts]
        spaced = all(option.startswith(" ") for option in options)
        return [option[1:] if spaced else option for option in options]

    def doc_to_target(self, document: Any) -> list[int]:
        """The right option, as the target says (lm-eval reads digits as a place), or by whether the choice was right."""
        choices = self.doc_to_choice(document)
        target = str(self.sample["target"])
        placed = [int(target)] if target.isdecimal() and int(target) < len(choices) else []
        found = placed + [choices.index(name) for name in (target, target.removeprefix(" ")) if name in choices]
        if found:
            return [next(filter(self._agrees, found), found[0])]
        chosen = self._chosen(self.metric)
        if self.sample[self.metric] == 1:
            return [chosen]
        return [1 - chosen] if len(choices) == 2 else []

    def _agrees(self, option: int) -> bool:
        """Whether an answer is right under every metric that was written just where it is this option."""
        written = [name for name in ("acc", "acc_norm") if name in self.sample]
        return all((self._chosen(name) == option) == (self.sample[name] == 1) for name in written)

    def _chosen(self, metric: str) -> int:
        choices = self.doc_to_choice(None)
        return chosen_option([float(answer[0][0]) for answer in self.sample["resps"][: len(choices)]], choices, metric)


def unlike(before: Sequence[Row], after: Sequence[Row]) -> list[str]:
    """Items whose document, prompt or target differs, or that one side alone has."""
    one, other = (
        {row["item"]: [*(row[name] for name in HASHES), len(row["loglikelihoods"])] for row in each} for each in (before, after)
    )
    if len(one) < len(before) or len(other) < len(after):
        raise HarnessError(f"task {before[0]['task']}: an item stands twice; one run of lm-eval appended to another's file")
    return [item for item in dict.fromkeys([*one, *other]) if one.get(item) != other.get(item)]
