"""lm-eval's Hugging Face model, on a model in memory: the same requests, the same numbers, less waiting.

Encoding, truncation and windows are HFLM's (`logits_cache=False`). What differs, and why:

- Texts are encoded in one call of the tokenizer instead of two a request.
- Logits are kept from the first scored position on, and the log-softmax runs over scored positions alone; a batch
  shrinks where its logits would pass LOGITS, so that a large vocabulary cannot run out of memory.
- Rows that are fed the same tokens (options of one token each) share one pass.
- Rolling windows of all documents are sorted together. The added BOS stays as context and is never scored: HFLM scores
  P(BOS|BOS) for tokenizers that add one.
"""

import copy
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from lm_eval.models.huggingface import HFLM
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window
from torch.nn import functional

from harness.errors import HarnessError
from harness.score_encode import encode, prefix_token
from harness.score_state import keep_ties

Base: Any = HFLM  # lm-eval's registry hides the type

LOGITS = {"cpu": 2**26, "cuda": 2**28}
"""Largest number of logits of one batch, by device: 256 MiB and 1 GiB in fp32."""


@dataclass(frozen=True)
class Row:
    """Tokens that are fed, and the continuation that is scored after the last of its context."""

    fed: list[int]
    scored: list[int]

    @property
    def start(self) -> int:
        """Position whose logits predict the first scored token."""
        return len(self.fed) - len(self.scored)


class Scorer(Base):
    """HFLM that counts what it predicts: `predicted` maps the arguments of a request to its scored tokens."""

    def __init__(self, model: Any, tokenizer: Any, *, length: int | None, batch: int, bos: bool | None) -> None:
        prefix_token(tokenizer)
        with keep_ties(model):
            super().__init__(
                pretrained=model,
                tokenizer=copy.deepcopy(tokenizer),
                backend="causal",
                max_length=length,
                batch_size=batch,
                add_bos_token=bos,
                logits_cache=False,
            )
        self.predicted: dict[tuple[str, ...], int] = {}
        known = inspect.signature(model.forward).parameters
        self._options = {"use_cache": False} if "use_cache" in known else {}
        self._keeps = "logits_to_keep" in known

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Log-likelihood of each continuation after its context, and whether greedy decoding would say it."""
        pairs = self.encode_pairs([request.args for request in requests])
        for request, (_, continuation) in zip(requests, pairs, strict=True):
            self._refuse(request, len(continuation))
            self.predicted[request.args] = len(continuation)
        return self._loglikelihood_tokens([(None, *pair) for pair in pairs])

    def _refuse(self, request: Any, tokens: int) -> None:
        """A continuation must have a token of its own and fit the window."""
        where = f"task {request.task_name}, item {request.doc_id}: the continuation {request.args[1][:80]!r}"
        if tokens == 0:
            raise HarnessError(f"{where} has no token of its own (empty, or it merges with the end of its prompt)")
        if tokens > self.max_length:
            raise HarnessError(f"{where}... has {tokens} tokens, the model reads {self.max_length}; leave the item out")

    def _refuse_empty(self, request: Any, tokens: list[int]) -> None:
        if not tokens:
            raise HarnessError(f"task {request.task_name}, item {request.doc_id}: the document is empty; leave it out")

    def encode_pairs(self, pairs: Sequence[tuple[str, ...]]) -> list[tuple[list[int], list[int]]]:
        """Contexts and continuations as tokens: encoded together, cut at the length of the context alone."""
        moved = [_move_spaces(context, continuation) for context, continuation in pairs]
        joint = dict.fromkeys(text for context, more in moved if context for text in (context, context + more))
        alone = dict.fromkeys(more for context, more in moved if not context)
        with_context = dict(zip(joint, encode(self.tokenizer, list(joint), self.add_bos_token), strict=True))
        without = dict(zip(alone, encode(self.tokenizer, list(alone), False), strict=True))
        found = []
        for context, more in moved:
            before = with_context[context] if context else [self.prefix_token_id]
            if context:
                found.append((before, with_context[context + more][len(before) :]))
            elif without[more][:1] == before:
                found.append((before, without[more][1:]))
            else:
                found.append((before, without[more]))
        return found

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        """Log-likelihood of every document, in disjoint windows; the first is conditioned on the prefix token."""
        texts = [request.args[0] for request in requests]
        windows: list[tuple[None, list[int], list[int]]] = []
        owners: list[int] = []
        for number, tokens in enumerate(encode(self.tokenizer, texts, False)):
            self._refuse_empty(requests[number], tokens)
            self.predicted[(texts[number],)] = len(tokens)
            cut = self._windows(tokens)
            windows += [(None, *window) for window in cut]
            owners += [number] * len(cut)
        totals = [0.0] * len(texts)
        for owner, (value, _) in zip(owners, self._loglikelihood_tokens(windows), strict=True):
            totals[owner] += value
        return totals

    def windows(self, text: str) -> list[tuple[list[int], list[int]]]:
        """A document's disjoint windows: context, and what is scored after it; the first context is the prefix token."""
        return self._windows(encode(self.tokenizer, [text], False)[0])

    def _windows(self, tokens: list[int]) -> list[tuple[list[int], list[int]]]:
        pairs = get_rolling_token_windows(tokens, self.prefix_token_id, self.max_length, 1)
        return [make_disjoint_window(pair) for pair in pairs]

    def _loglikelihood_tokens(
        self, requests: list[Any], disable_tqdm: bool = False, override_bs: int | None = None
    ) -> list[tuple[float, bool]]:
        rows = [Row((context + scored)[-(self.max_length + 1) :][:-1], scored) for _, context, scored in requests]
        order = sorted(range(len(rows)), key=lambda i: (-len(rows[i].fed), rows[i].fed))
        groups = [list(same) for _, same in groupby(order, key=lambda i: rows[i].fed)]
        batches = self._batches([[rows[i] for i in same] for same in groups])
        found = [result for batch in batches for result in self._score(batch)]
        placed = sorted(zip(order, found, strict=True), key=lambda pair: pair[0])
        return [result for _, result in placed]

    def _batches(self, groups: list[list[Row]]) -> Iterator[list[list[Row]]]:
        """Cut groups of rows that are fed the same, longest first, into batches whose logits stay below LOGITS."""
        most = LOGITS["cuda" if self.device.type == "cuda" else "cpu"]
        vocabulary = self.model.config.get_text_config().vocab_size
        at = 0
        while at < len(groups):
            batch = groups[at : at + int(self.batch_size)]
            width = len(batch[0][0].fed)
            kept = width - (min(row.start for group in batch for row in group) if self._keeps else 0)
            batch = batch[: max(1, most // (kept * vocabulary))]
            yield batch
            at += len(batch)

    @torch.no_grad()
    def _score(self, groups: list[list[Row]]) -> list[tuple[float, bool]]:
        """Sums of log-probabilities over the scored tokens, in float64, and whether all were the likeliest."""
        rows = [row for group in groups for row in group]
        width, first = len(rows[0].fed), min(row.start for row in rows)
        ids = torch.tensor([group[0].fed + [0] * (width - len(group[0].fed)) for group in groups])  # (B, T)
        keep = {"logits_to_keep": width - first} if self._keeps else {}
        logits = self.model(input_ids=ids.to(self.device), **self._options, **keep).logits  # (B, kept, V)
        shift = width - logits.shape[1]
        places = [(i, at - shift) for i, group in enumerate(groups) for row in group for at in range(row.start, len(row.fed))]
        where = torch.tensor(places, device=self.device).T  # (2, n)
        targets = torch.tensor([token for row in rows for token in row.scored], device=self.device)  # (n,)
        picked = logits[where[0], where[1]].float()  # (n, V)
        nats = functional.cross_entropy(picked, targets, reduction="none").neg().cpu().double()
        hits = (picked.argmax(-1) == targets).cpu()
        lengths = [len(row.scored) for row in rows]
        return [
            (float(part.sum()), bool(hit.all())) for part, hit in zip(nats.split(lengths), hits.split(lengths), strict=True)
        ]

    def tok_batch_encode(self, strings: list[str], *given: Any, **named: Any) -> Any:
        """Prompts of generative tasks, with the prefix token spelt out where the base wants one."""
        mark = self.tokenizer.decode([self.prefix_token_id])
        if self.add_bos_token:
            strings = [text if text.startswith(mark) else mark + text for text in strings]
        return super().tok_batch_encode(strings, *given, **named)


def _move_spaces(context: str, continuation: str) -> tuple[str, str]:
    """Spaces at the end of a context belong to the continuation's first token."""
    bare = context.rstrip()
    return bare, context[len(bare) :] + continuation
