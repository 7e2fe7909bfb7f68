"""lm-eval's samples to rows: one an item, with the log-likelihood and the lengths of every option, and its split."""

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from harness.errors import HarnessError
from harness.score_code import answered
from harness.suite import MEMBER, Suite, Task
from harness.withheld import keyed, secret, withheld

PROMPT, OPTION = 2000, 300  # characters that are stored
VALIDATION = 0.2
"""Share of the clusters that may be chosen on: of texts, and of tasks without a validation set of their own."""
HASHES = ("document_hash", "prompt_hash", "target_hash")
Row = dict[str, Any]


@dataclass(frozen=True)
class Scored:
    """One leaf of a task with what came out of it.

    leaf       lm-eval's name: the task's own, or a member's where the task is a group
    built      lm-eval's task object
    predicted  arguments of a request -> its scored tokens
    key        of digests of sensitive text; "": made of the task's documents
    """

    suite: Suite
    task: Task
    leaf: str
    built: Any
    predicted: Mapping[tuple[str, ...], int]
    key: str = ""

    def rows(self, samples: Sequence[Mapping[str, Any]]) -> Iterator[Row]:
        """A row a sample; where a task has several filters, the task's own counts, else the first."""
        first = self.task.filter or (samples[0]["filter"] if samples else None)
        for sample in samples:
            if sample["filter"] == first:
                yield self._row(sample)

    def _row(self, sample: Mapping[str, Any]) -> Row:
        kind = self.built.OUTPUT_TYPE
        make = {"multiple_choice": self._choice, "loglikelihood_rolling": self._text, "generate_until": self._generated}
        answers = make.get(kind, self._continuation)(sample)
        item = self.identity(sample)
        bad = [value for value in (answers["value"], *answers["loglikelihoods"]) if not math.isfinite(value)]
        if bad:
            raise HarnessError(f"task {self.leaf}, item {item}: the model gave {bad[0]}; its weights are broken")
        self._refuse_scale(answers["value"], item)
        row = {
            "suite": self.suite.name,
            "task": self.task.name,
            "item": item,
            "cluster": self._cluster(sample, item),
            "document_hash": sample["doc_hash"],
            "prompt_hash": sample["prompt_hash"],
            "target_hash": sample["target_hash"],
            **answers,
        }
        return row | self._guarded(sample, row) if self.suite.sensitive or self.task.sensitive else row

    def _guarded(self, sample: Mapping[str, Any], row: Row) -> Row:
        """What stands otherwise in a row of sensitive text: digests that cannot be guessed; no words, unless they are shown."""
        item, cluster = row["item"], row["cluster"]
        found: Row = {name: keyed(f"{item}\0{row[name]}", self._secret) for name in HASHES}
        if cluster not in (item, self.leaf):  # a field of the document, which may be text
            found["cluster"] = keyed(cluster, self._secret)[:16]
        if not self.suite.shown:
            whole = sample["arguments"][0][0] if row["prompt"] else ""
            found |= {"prompt": withheld(whole, self._secret), "options": []}
        return found

    @cached_property
    def _secret(self) -> str:
        """What digests of sensitive text are keyed by."""
        return self.key or secret(self.built.eval_docs)

    def _refuse_scale(self, value: float, item: str) -> None:
        """Marks, points and margins of what is kept or gained are those of shares."""
        if self.task.metric != "bits_per_byte" and self.task.measures != "probe" and not 0 <= value <= 1:
            raise HarnessError(
                f"task {self.task.name}, item {item}: {self.task.metric} is {value:g}, and what is kept or gained counts in "
                "shares from 0 to 1; give it another metric, or measures: probe, in a suite file"
            )

    def identity(self, sample: Mapping[str, Any]) -> str:
        """What an item is called; with the member's name where the task is a group."""
        own = str(self._field(sample, self.task.identity)) if self.task.identity else str(sample["doc_id"])
        return own if self.leaf == self.task.name else f"{self.leaf}:{own}"

    def _cluster(self, sample: Mapping[str, Any], item: str) -> str:
        """The clustering field; without one the member of a group, or the item itself."""
        if self.task.cluster not in (None, MEMBER):
            return str(self._field(sample, self.task.cluster))
        return item if self.leaf == self.task.name else self.leaf

    def _field(self, sample: Mapping[str, Any], name: str) -> Any:
        document = sample["doc"]
        if name not in document:
            has = ", ".join(map(str, document))
            raise HarnessError(f"task {self.leaf}, document {sample['doc_id']}: no field {name!r}; it has {has}")
        return document[name]

    def _choice(self, sample: Mapping[str, Any]) -> Row:
        choices = self.built.doc_to_choice(sample["doc"])
        arguments = sample["arguments"][: len(choices)]  # mutual information appends unconditional requests
        nats = [float(answer[0][0]) for answer in sample["resps"][: len(choices)]]
        choice = chosen_option(nats, choices, self.task.metric)
        contexts = {context for context, _ in arguments}
        prompt = arguments[0][0] if len(contexts) == 1 else f"...{arguments[0][1]}"
        return {
            "value": float(sample[self.task.metric]),
            "loglikelihoods": nats,
            "option_bytes": [len(option.encode()) for option in choices],
            "option_characters": [len(option) for option in choices],
            "option_tokens": [self.predicted.get(pair, -1) for pair in arguments],
            "choice": choice,
            "answer": self.answer(sample["doc"], choices, choice),
            "prompt": shorten(prompt, PROMPT),
            "options": [shorten(option, OPTION) for option in choices],
        }

    def answer(self, document: Any, choices: Sequence[str], choice: int) -> int | None:
        """The right option; of several right ones the chosen, so that choice == answer wherever it counts as right."""
        gold = self.built.doc_to_text(document) if self.built.multiple_input else self.built.doc_to_target(document)
        right = [choices.index(g) if g in choices else -1 if isinstance(g, str) else int(g) for g in _listed(gold)]
        right = [index for index in right if 0 <= index < len(choices)]
        if not right:
            return None
        return choice if choice in right else right[0]

    def _text(self, sample: Mapping[str, Any]) -> Row:
        """A document: bits per byte, where the bytes are the task's (for WikiText those before detokenising)."""
        nats, count = sample[self.task.metric]
        return {
            "value": -nats / count / math.log(2),
            "loglikelihoods": [float(nats)],
            "option_bytes": [int(count)],
            "option_characters": [len(sample["arguments"][0][0])],
            "option_tokens": [self.predicted.get(tuple(sample["arguments"][0]), -1)],
            "choice": None,
            "answer": None,
            "prompt": "",
            "options": [],
        }

    def _continuation(self, sample: Mapping[str, Any]) -> Row:
        """One continuation, right where greedy decoding would say it."""
        context, continuation = sample["arguments"][0]
        return {
            "value": float(sample[self.task.metric]),
            "loglikelihoods": [float(sample["resps"][0][0][0])],
            "option_bytes": [len(continuation.encode())],
            "option_characters": [len(continuation)],
            "option_tokens": [self.predicted.get((context, continuation), -1)],
            "choice": None,
            "answer": None,
            "prompt": shorten(context, PROMPT),
            "options": [shorten(continuation, OPTION)],
        }

    def _generated(self, sample: Mapping[str, Any]) -> Row:
        """A completion; it stands where options would."""
        return {
            "value": answered(sample, self.task.metric),
            "loglikelihoods": [],
            "option_bytes": [],
            "option_characters": [],
            "option_tokens": [],
            "choice": None,
            "answer": None,
            "prompt": shorten(sample["arguments"][0][0], PROMPT),
            "options": [shorten(str(sample["resps"][0][0]), PROMPT)],
        }


def place(rows: list[Row], leaves: Iterable[Any]) -> None:
    """Say of a task's rows which split they belong to and of how many items they are; `leaves` are lm-eval's task objects."""
    leaves = list(leaves)
    text = all(leaf.OUTPUT_TYPE == "loglikelihood_rolling" for leaf in leaves)  # the axes that arms are chosen by
    own = all(leaf.has_validation_docs() and leaf.has_test_docs() for leaf in leaves)  # then what is scored is all test
    validation = set() if own and not text else chosen_on(row["cluster"] for row in rows)
    pool = sum(len(leaf.eval_docs) for leaf in leaves)
    for row in rows:
        row |= {"split": "validation" if row["cluster"] in validation else "test", "pool": pool}


def chosen_on(clusters: Iterable[str]) -> set[str]:
    """The clusters whose items may be chosen on, by their names alone; none where nothing would be left to report."""
    names = set(clusters)
    found = {name for name in names if _fraction(name) < VALIDATION}
    return set() if found == names else found


def _fraction(name: str) -> float:
    """A name as a number in [0, 1), evenly spread."""
    return int.from_bytes(hashlib.sha256(f"validation:{name}".encode()).digest()[:6]) / 2**48


def chosen_option(nats: Sequence[float], choices: Sequence[str], metric: str) -> int:
    """The option a metric takes: the likeliest; for acc_norm the likeliest a character, as in lm-eval."""
    rates = [n / len(option) for n, option in zip(nats, choices, strict=True)] if metric == "acc_norm" else list(nats)
    return max(range(len(rates)), key=rates.__getitem__)


def _listed(gold: Any) -> list[Any]:
    return list(gold) if isinstance(gold, list | tuple) else [gold]


def shorten(text: str, most: int) -> str:
    """The text, cut in its middle beyond `most` characters: a prompt's end is what was asked."""
    return text if len(text) <= most else f"{text[: most // 2 - 2]} … {text[len(text) - most // 2 + 1 :]}"
