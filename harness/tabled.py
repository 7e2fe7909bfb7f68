"""The tables of a run folder: what they are called, and their columns."""

SCORE_COLUMNS: dict[str, str] = {
    "suite": "str",
    "task": "str",
    "item": "str",  # identity of the document within the task: what is paired
    "cluster": "str",  # items of one cluster are not independent
    "split": "str",  # validation: may be chosen on; test: what is reported where something was
    "pool": "int64",  # items that the task has; fewer were scored where --limit drew some of them
    "document_hash": "str",
    "prompt_hash": "str",
    "target_hash": "str",
    "value": "float64",  # the item's metric: 1 or 0 for a choice, exact match; bits per byte for a text
    "loglikelihoods": "object",  # nats, one an option; one number for a text
    "option_bytes": "object",  # UTF-8 bytes of every option; of the text
    "option_characters": "object",  # characters of every option, by which acc_norm divides; of the text
    "option_tokens": "object",  # tokens of every option, -1 where unknown; predicted tokens of the text
    "choice": "Int64",  # option chosen under the task's metric
    "answer": "Int64",  # option that is right
    "prompt": "str",  # what was asked, shortened; empty for texts and for sensitive suites
    "options": "object",  # what could be answered, shortened
}
"""Columns of scores/<suite>.parquet: one row an item. Aggregates are computed from rows, never stored alone."""
PATHS = "paths"
"""What a score table's metadata say beside its rows: task -> how the model read its requests, packed, or plain and why."""


DRIFT = "drift.parquet"
DRIFT_COLUMNS: dict[str, str] = {
    "kind": "str",  # text: a document; tensor: a tensor; predicted: the rise of the loss that a Fisher predicts; skipped
    "task": "str",  # of a document
    "item": "str",  # of a document; the name of a tensor; why drift was not measured
    "cluster": "str",
    "tokens": "Int64",  # predicted tokens of a document
    "bytes": "Int64",
    "forward": "float64",  # nats, K(base || arm) over a document; nats per token of a predicted rise
    "reverse": "float64",  # nats, K(arm || base) over a document
    "before": "float64",  # nats, loss of the base over a document
    "after": "float64",  # nats, loss of the arm over a document
    "moved": "float64",  # ||theta - theta_base|| of a tensor
    "whole": "float64",  # ||theta_base|| of a tensor
    "entries": "Int64",  # of a tensor
    "changed": "float64",  # share of them that changed
}
"""Columns of drift.parquet: how far the weights that were scored have drifted from the base's; see harness/drift.py."""


CONTAMINATION = "contamination.parquet"
CONTAMINATION_COLUMNS: dict[str, str] = {
    "suite": "str",
    "task": "str",
    "item": "str",
    "source": "str",  # of the plan: new, old, task; of several texts that are mixed, `new: name`
    "words": "int64",  # of question and answer
    "n": "int64",  # words of an n-gram; 0: the item is too short to be judged
    "share": "float64",  # of its n-grams that the source holds; not a number where it is too short
    "question": "float64",  # of those that lie in the question alone; not a number where there is none
    "answer": "float64",  # of those that reach into the answer; not a number where there is none
    "document": "str",  # id of the first document that holds one of them; empty where none does
}
"""Columns of contamination.parquet: one row an item and source of the plan, and no text; see harness/contamination.py."""


TRAJECTORY = "trajectory.parquet"
"""What a trial's few fixed items cost at its milestones: one row a milestone and item.

update, tokens          updates done, tokens read
task, item, cluster     as in SCORE_COLUMNS
kind, weight            text with its bytes, or answer with weight 1
before, after           bits of the base, and of the weights at that update: of the whole text, or of the right answer
"""
