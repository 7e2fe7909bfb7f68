"""What a model says after prompts: many at once, each ended by its own stop string, in the words of lm-eval's HFLM alone.

Prompts are encoded in one call, sorted by length and cut into batches by tokens; a row ends as soon as a stop string or EOS is
said, a batch when all its rows have ended. Draws of sampled text come from the request and not from the batch, so that base
and arms draw alike in whatever order.
"""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs
from transformers import LogitsProcessor, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList
from transformers.generation.logits_process import (
    MinPLogitsWarper,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from harness.errors import HarnessError
from harness.score_encode import encode, prefix_token

Base: Any = HFLM  # lm-eval's registry hides the type

TOKENS = {"cpu": 2**14, "cuda": 2**17}
"""Largest number of tokens of one batch, prompts and what may be said, by device; halved where memory runs out."""
ROOM = 8  # tokens beyond the bytes of a stop string that are looked back on: special tokens may decode to nothing
WARPERS = {"top_k": TopKLogitsWarper, "top_p": TopPLogitsWarper, "min_p": MinPLogitsWarper}
Tell = Callable[[float, int], None]
"""(prompts done, prompts in all); of one that is under way the share of the tokens that it may say."""


@dataclass(frozen=True)
class Prompt:
    """Tokens to go on from, and the seed of what is drawn after them."""

    tokens: list[int]
    seed: int = 0


@dataclass(frozen=True)
class Way:
    """How prompts are continued: at most so many tokens, to the first of these strings, by these options of `generate`."""

    most: int
    stops: tuple[str, ...] = ()
    options: Mapping[str, Any] | None = None


class Ends(StoppingCriteria):
    """Marks each row as ended once it says a stop string or EOS: `ends` holds how many tokens it has said by then."""

    def __init__(self, tokenizer: Any, way: Way, eos: set[int], start: int, tell: Callable[[float], None]) -> None:
        self.tokenizer, self.way, self.eos, self.start, self.tell = tokenizer, way, eos, start, tell
        self.look = max((len(stop.encode()) for stop in way.stops), default=0) + ROOM
        self.ends: dict[int, int] = {}

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        said = input_ids.shape[1] - self.start
        tails = input_ids[:, -min(said, self.look) :].tolist()
        going = [row for row in range(len(tails)) if row not in self.ends]
        for row, text in zip(going, self.tokenizer.batch_decode([tails[row] for row in going]), strict=True):
            if tails[row][-1] in self.eos or any(stop in text for stop in self.way.stops):
                self.ends[row] = said
        self.tell(len(self.ends) + (len(tails) - len(self.ends)) * said / self.way.most)
        return torch.tensor([row in self.ends for row in range(len(tails))], device=input_ids.device)


class Drawn(LogitsProcessor):
    """Leaves each row the one token that its own generator draws."""

    def __init__(self, seeds: Sequence[int]) -> None:
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        odds = scores.double().softmax(-1).cumsum(-1)  # (B, V)
        draws = torch.tensor([[torch.rand((), generator=own, dtype=torch.float64)] for own in self.generators])
        chosen = torch.searchsorted(odds, draws.to(odds.device) * odds[:, -1:], right=True)  # (B, 1)
        return torch.full_like(scores, -torch.inf).scatter(1, chosen.clamp(max=scores.shape[1] - 1), 0.0)


class Broken(LogitsProcessor):
    """Stops at what is no number: a likeliest token would be taken of it all the same, and look like a wrong answer."""

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        if bool(scores.isnan().any()):
            raise HarnessError("what is to be said next cannot be told: the model gave nan; its weights are broken")
        return scores


class Writer:
    """One model that continues prompts; nothing of it is changed."""

    def __init__(self, model: Any, tokenizer: Any, tell: Tell | None = None) -> None:
        self.model, self.tokenizer, self.tell = model, tokenizer, tell or (lambda done, total: None)
        self.most = TOKENS["cuda" if model.device.type == "cuda" else "cpu"]
        self.pad = prefix_token(tokenizer) if tokenizer.pad_token_id is None else int(tokenizer.pad_token_id)
        stop = model.generation_config.eos_token_id
        self.eos = {tokenizer.eos_token_id, *(stop if isinstance(stop, list) else [stop])} - {None}
        self._pads: bool | None = None

    def write(self, prompts: Sequence[Prompt], way: Way, after: int = 0, total: int | None = None) -> list[str]:
        """What follows each prompt, in their order; `after` of `total` prompts were continued before these."""
        order = sorted(range(len(prompts)), key=lambda i: (-len(prompts[i].tokens), prompts[i].tokens))
        found, at, total = {}, 0, len(prompts) if total is None else total
        while at < len(order):
            batch = order[at : at + self._rows([prompts[i] for i in order[at:]], way.most)]
            try:
                texts = self._batch([prompts[i] for i in batch], way, lambda done, at=at: self.tell(after + at + done, total))
            except torch.OutOfMemoryError:
                if len(batch) == 1:
                    raise
                self.most //= 2
                continue
            found |= dict(zip(batch, texts, strict=True))
            at += len(batch)
        return [found[i] for i in range(len(prompts))]

    def _rows(self, prompts: Sequence[Prompt], most: int) -> int:
        """How many of these prompts, longest first, go through the model together."""
        longest = len(prompts[0].tokens)
        rows = max(1, self.most // (longest + most))
        if self._pads is None and len(prompts[:rows][-1].tokens) < longest:
            self._pads = self._hides_padding(prompts[0].tokens)
        lengths = [len(prompt.tokens) for prompt in prompts]
        return min(rows, lengths.count(longest) if self._pads is False else len(prompts))

    def _hides_padding(self, tokens: list[int]) -> bool:
        """Whether a prompt is read the same beside a longer one: some architectures count padding as text, silently."""
        rows = [tokens[: max(1, len(tokens) // 2)], tokens]
        alone, beside = self._first(rows[:1])[0], self._first(rows)[0]  # (V,)
        near = 1e-3 if alone.dtype == torch.float32 else 0.1
        return bool((alone - beside).abs().max() <= near * alone.float().std())

    def _first(self, rows: list[list[int]]) -> Any:
        """Logits of the first token after each row."""
        ids, mask = self._padded(rows)
        made = self.model.generate(
            input_ids=ids, attention_mask=mask, max_new_tokens=1, do_sample=False, pad_token_id=self.pad,
            output_logits=True, return_dict_in_generate=True,
        )  # fmt: skip
        return made.logits[0]  # (B, V)

    def _padded(self, rows: list[list[int]]) -> tuple[Any, Any]:
        """Rows padded on the left, and the mask that hides the padding; both (B, T)."""
        width = max(map(len, rows))
        ids = [[self.pad] * (width - len(row)) + row for row in rows]
        mask = [[0] * (width - len(row)) + [1] * len(row) for row in rows]
        return torch.tensor(ids, device=self.model.device), torch.tensor(mask, device=self.model.device)

    @torch.no_grad()
    def _batch(self, prompts: Sequence[Prompt], way: Way, tell: Callable[[float], None]) -> list[str]:
        ids, mask = self._padded([prompt.tokens for prompt in prompts])
        ends = Ends(self.tokenizer, way, self.eos, ids.shape[1], tell)
        options, chosen = _sampling(way.options or {}, [prompt.seed for prompt in prompts])
        made = self.model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=way.most,
            do_sample=False,
            pad_token_id=self.pad,
            use_cache=True,
            stopping_criteria=StoppingCriteriaList([ends]),
            logits_processor=LogitsProcessorList([Broken(), *chosen]),
            **options,
        )
        said = [row[: ends.ends.get(i)] for i, row in enumerate(made[:, ids.shape[1] :].tolist())]
        return [_cut(text, way.stops) for text in self.tokenizer.batch_decode(said, skip_special_tokens=True)]


def _sampling(options: Mapping[str, Any], seeds: Sequence[int]) -> tuple[dict[str, Any], LogitsProcessorList]:
    """Options without those of sampling, and what does the sampling instead: transformers would draw a batch from one state."""
    rest = {name: value for name, value in options.items() if name not in ("do_sample", "temperature", *WARPERS)}
    if not options.get("do_sample"):
        return rest, LogitsProcessorList()
    given = {"top_k": 50, **options}  # transformers' own default where text is sampled
    steps: list[LogitsProcessor] = [TemperatureLogitsWarper(float(options.get("temperature", 1.0)))]
    steps += [make(given[name]) for name, make in WARPERS.items() if given.get(name)]
    return rest, LogitsProcessorList([*steps, Drawn(seeds)])


def _cut(text: str, stops: Sequence[str]) -> str:
    """The text before the first stop string."""
    for stop in stops:
        text = text.split(stop)[0] if stop else text
    return text


class Generates(Base):
    """HFLM that generates by a Writer; `told` is called with the prompts done and their number."""

    told: Tell | None = None

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """What follows each request's context, in the requests' order."""
        writer = Writer(self.model, self.tokenizer, self.told)
        contexts = encode(self.tokenizer, [request.args[0] for request in requests], self.add_bos_token)
        found: dict[int, str] = {}
        for way, members in self._ways(requests):
            room = self.max_length - way.most
            if room < 1:
                raise HarnessError(
                    f"task {requests[members[0]].task_name} lets a model say {way.most} tokens, and this one reads "
                    f"{self.max_length} with its prompt; leave the task out"
                )
            seeds = _seeds([requests[i] for i in members])
            prompts = [
                Prompt(contexts[i][-room:] or [self.prefix_token_id], seed) for i, seed in zip(members, seeds, strict=True)
            ]
            found |= dict(zip(members, writer.write(prompts, way, len(found), len(requests)), strict=True))
        return [found[i] for i in range(len(requests))]

    def _ways(self, requests: list[Any]) -> Iterator[tuple[Way, list[int]]]:
        """Requests that are continued alike, by their positions."""
        groups: dict[str, list[int]] = defaultdict(list)
        for number, request in enumerate(requests):
            groups[json.dumps(request.args[1], sort_keys=True, default=str)].append(number)
        eos = self.tokenizer.decode([self.eot_token_id])
        for members in groups.values():
            options: dict[str, Any] = dict(normalize_gen_kwargs(requests[members[0]].args[1], self.max_gen_toks))
            stops = handle_stop_sequences(options.pop("until"), eos=eos)
            yield Way(options.pop("max_gen_toks"), tuple(stop for stop in stops if stop), options), members


def _seeds(requests: Sequence[Any]) -> list[int]:
    """A seed a request, from its words and how often they were asked before: neither order nor batch enter."""
    seen: Counter[str] = Counter()
    seeds = []
    for request in requests:
        words = json.dumps(request.args, sort_keys=True, default=str)
        seeds.append(int.from_bytes(hashlib.sha256(f"{seen[words]} {words}".encode()).digest()[:7], "big"))
        seen[words] += 1
    return seeds
