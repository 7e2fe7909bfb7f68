"""lm-eval's Hugging Face model, on a model in memory: the same requests, the same numbers, less waiting.

Encoding and truncation are HFLM's (`logits_cache=False`). What differs, and why:

- Texts are encoded in one call of the tokenizer instead of two a request.
- Requests are packed into rows that share prefixes where the model reads such rows as it reads plain ones (`score_paths`), else
  rows of equal length go together; nothing is padded, and the head runs only where a score is read.
- A document's first token is predicted from the prefix token, which is never scored: HFLM scores P(BOS|BOS) for tokenizers that
  add one. Where the tokenizer declares BOS, every later window begins with it too, as documents did in pre-training; with
  `bos=False` windows are HFLM's, of which only the first does. Windows of all documents are scored together.
"""

import copy
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from harness.errors import HarnessError
from harness.packing import Request, Row, alone, clipped, pack
from harness.score_encode import encode, prefix_token
from harness.score_generate import Generates
from harness.score_passes import Passes
from harness.score_paths import Decision
from harness.score_state import keep_ties


class Scorer(Generates):
    """HFLM that counts what it predicts: `predicted` maps the arguments of a request to its scored tokens.

    path  how the last requests were read: packed, or plain and why
    """

    def __init__(self, model: Any, tokenizer: Any, *, length: int | None, bos: bool | None) -> None:
        prefix = prefix_token(tokenizer, bos)
        with keep_ties(model):
            super().__init__(
                pretrained=model,
                tokenizer=copy.deepcopy(tokenizer),
                backend="causal",
                max_length=length,
                add_bos_token=bos,
                logits_cache=False,
            )
        self.predicted: dict[tuple[str, ...], int] = {}
        self.path = ""
        self.custom_prefix_token_id = prefix
        self._every = prefix == tokenizer.bos_token_id if bos is None else bos

    @cached_property
    def _decision(self) -> Decision:
        return Decision(Passes(self.model))

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
        """The first window is the prefix token and as many as fit; later ones are full, and score what was not yet scored."""
        prefix, found = [self.prefix_token_id], []
        begin = prefix if self._every else []
        start, room = 0, self.max_length
        while start < len(tokens):
            end = min(start + room, len(tokens))
            context = [*begin, *tokens[max(0, end - room - 1) : start]] if start else prefix
            found.append((context, tokens[start:end]))
            start, room = end, self.max_length - len(begin)
        return found

    def _loglikelihood_tokens(
        self, requests: list[Any], disable_tqdm: bool = False, override_bs: int | None = None
    ) -> list[tuple[float, bool]]:
        if not requests:
            return []
        passes, asked = self._decision.passes, [clipped(context, scored, self.max_length) for _, context, scored in requests]
        found = passes.score(passes.batches(self._rows(asked)), asked)
        return [(float(nats.sum()), bool(hits.all())) for nats, hits in found]

    def _rows(self, requests: list[Request]) -> list[Row]:
        """Packed rows, or plain ones where the model does not read packed ones as it should."""
        rows = pack(requests, self._decision.passes.budget)
        why, forked = "", [row for row in rows if row.branches]
        if forked:
            shared = [requests[read.number] for row in forked for read in row.reads]
            longest = max(shared, key=lambda asked: (len(asked.fed), asked.fed))
            why = self._decision.obstacle(longest, max(len(row.tokens) for row in forked))
        self.path = f"plain: {why}" if why else "packed"
        return alone(requests) if why else rows


def _move_spaces(context: str, continuation: str) -> tuple[str, str]:
    """Spaces at the end of a context belong to the continuation's first token."""
    bare = context.rstrip()
    return bare, context[len(bare) :] + continuation
