"""How far a model has drifted from its base: on held-out text as a function, and as weights, tensor by tensor.

    forward     K(base || arm) = sum_t sum_v p_0 (log p_0 - log p)     nats of a document, over its predicted tokens
    reverse     K(arm || base), with the roles exchanged
    moved       ||theta - theta_0|| of a tensor; whole: ||theta_0||; changed: share of its entries that differ
    predicted   1/2 d' F d, with a Fisher in nats per token: the rise of the loss on the text of that Fisher

Contexts come from the text, the windows are those of the loss, and logits are made a chunk of positions at a time in fp32 over
the whole vocabulary: no (B, T, V) tensor of either model exists. Shenfeld et al. 2025 (arXiv 2509.04259): forward drift on the
new text predicts forgetting.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.objective import Objective
from harness.score_items import Item, choose
from harness.score_state import unchanged
from harness.suite import Suite
from harness.tabled import DRIFT_COLUMNS

DOCUMENTS, TOKENS = 64, 2**15
"""Of a text, at most: read by both models."""
TOGETHER = 2**12
"""Tokens of a forward pass, unless one window is longer."""
Row = dict[str, Any]


def texts(model: nn.Module, tokenizer: Any, suites: Sequence[Suite], base: pd.DataFrame, bos: bool | None) -> list[Item]:
    """The documents that drift is measured on: of every text of the suites some that the base was scored on, by seeded chance.

    base    the base's rows, with SCORE_COLUMNS
    """
    only = [replace(suite, tasks=tuple(t for t in suite.tasks if t.metric == "bits_per_byte")) for suite in suites]
    left: dict[str, int] = {}
    found = []
    for item in choose(model, tokenizer, only, base, bos, DOCUMENTS):
        left[item.task] = left.get(item.task, TOKENS) - item.tokens
        if left[item.task] >= 0 or not any(other.task == item.task for other in found):  # one, however long it is
            found.append(item)
    return found


@torch.no_grad()
def measure(
    base: nn.Module, model: nn.Module, items: Sequence[Item], fisher: Mapping[str, Tensor] | None = None
) -> pd.DataFrame:
    """Rows with DRIFT_COLUMNS: one a document, one a tensor that both have, and one of the predicted rise where it can be had.

    Neither model is changed; both stand on one device.
    """
    sizes = [each.get_output_embeddings().weight.shape[0] for each in (base, model)]  # pyright: ignore
    if sizes[0] != sizes[1]:
        return skipped(f"the model has {sizes[1]:,} logits, the base {sizes[0]:,}")
    with unchanged(model), unchanged(base):
        rows = [*_documents(base, model, items), *_tensors(base, model), *_predicted(base, model, fisher or {})]
    return pd.DataFrame(rows, columns=list(DRIFT_COLUMNS)).astype(DRIFT_COLUMNS)


def skipped(why: str) -> pd.DataFrame:
    """What stands in the place of rows that could not be measured."""
    return pd.DataFrame([{"kind": "skipped", "item": why}], columns=list(DRIFT_COLUMNS)).astype(DRIFT_COLUMNS)


def _documents(base: nn.Module, model: nn.Module, items: Sequence[Item]) -> Iterator[Row]:
    """Sums over each document, in float64."""
    windows = [(number, *window) for number, item in enumerate(items) for window in item.windows]
    windows.sort(key=lambda window: -len(window[1]) - len(window[2]))
    totals = torch.zeros(len(items), len(SUMS), dtype=torch.float64)
    first, second = Objective(base), Objective(model)
    for batch in _batches(windows):
        owners, sums = _compare(first, second, batch)
        totals.index_add_(0, owners.cpu(), sums.cpu())
    for item, found in zip(items, totals.tolist(), strict=True):
        tokens = sum(len(scored) for _, scored in item.windows)
        facts = {"task": item.task, "item": item.item, "cluster": item.cluster, "tokens": tokens, "bytes": int(item.weight)}
        yield {"kind": "text", **facts, **dict(zip(SUMS, found, strict=True))}


SUMS = ("forward", "reverse", "before", "after")
Window = tuple[int, list[int], list[int]]
"""Number of its document, context, and what is scored after it."""


def _batches(windows: Sequence[Window]) -> Iterator[list[Window]]:
    """Windows, longest first, as many together as TOGETHER allows."""
    at = 0
    while at < len(windows):
        width = len(windows[at][1]) + len(windows[at][2])
        batch = list(windows[at : at + max(1, TOGETHER // width)])
        yield batch
        at += len(batch)


def _compare(base: Objective, model: Objective, batch: Sequence[Window]) -> tuple[Tensor, Tensor]:
    """Owners (n,) of the scored tokens of a batch, and their SUMS (n, 4) in float64."""
    fed = [[*context, *scored][:-1] for _, context, scored in batch]  # a model reads no more than that at once
    width = max(map(len, fed))
    device = next(base.parameters()).device
    tokens = torch.tensor([row + [0] * (width - len(row)) for row in fed], device=device)  # (B, T)
    places = [
        (row, at, owner, target)
        for row, (owner, context, scored) in enumerate(batch)
        for at, target in enumerate(scored, len(context) - 1)
    ]
    where = torch.tensor(places, device=device).T  # (4, n)
    states = [_states(each, tokens)[where[0], where[1]] for each in (base, model)]  # 2 of (n, D)
    parts = zip(*(found.split(base.size) for found in (*states, where[3])), strict=True)
    return where[2], torch.cat([_sums(base, model, *part) for part in parts])


def _states(of: Objective, tokens: Tensor) -> Tensor:
    """(B, T, D) last hidden states; (B, T, V) logits where the head alone does not make them."""
    built: Any = of.model
    if of.bend is None:
        return built(input_ids=tokens, use_cache=False).logits
    return built.base_model(input_ids=tokens, use_cache=False).last_hidden_state


def _sums(base: Objective, model: Objective, first: Tensor, second: Tensor, targets: Tensor) -> Tensor:
    """(n, 4) SUMS of a chunk of positions."""
    p, q = (F.log_softmax(_logits(of, states), dim=-1) for of, states in ((base, first), (model, second)))  # (n, V) each
    losses = [F.nll_loss(each, targets, reduction="none") for each in (p, q)]
    return torch.stack([divergence(p, q), divergence(q, p), *losses], dim=1).double()


def divergence(p: Tensor, q: Tensor) -> Tensor:
    """(n, V) log-probabilities to (n,) K(p || q), in nats.

    The sum of q - p is 0 but for the rounding of the two normalisers, and takes that rounding out of the other sum.
    """
    chances = p.exp()
    return (chances * (p - q) + (q.exp() - chances)).sum(-1)


def _logits(of: Objective, states: Tensor) -> Tensor:
    """(n, V) logits in fp32."""
    if of.bend is None:
        return states.float()
    built: Any = of.model
    return of.bend.logits(built.get_output_embeddings()(states))


def _tensors(base: nn.Module, model: nn.Module) -> Iterator[Row]:
    """Tensor by tensor of those that both have, on the base's scale."""
    now = dict(model.named_parameters())
    for name, before in base.named_parameters():
        after = now.get(name)
        if after is None or after.shape != before.shape:
            continue
        difference = after.float() - before.float()
        sizes = {"moved": float(difference.double().norm()), "whole": float(before.double().norm())}
        yield {
            "kind": "tensor",
            "item": name,
            **sizes,
            "entries": before.numel(),
            "changed": float((difference != 0).double().mean()),
        }


def _predicted(base: nn.Module, model: nn.Module, fisher: Mapping[str, Tensor]) -> Iterator[Row]:
    """Half the move, squared and weighed by the Fisher; nothing where the model has other tensors than the Fisher."""
    before, now = dict(base.named_parameters()), dict(model.named_parameters())
    if not fisher or any(name not in now or now[name].shape != before[name].shape for name in fisher):
        return
    moves = ((now[name].float() - before[name].float(), weight.to(now[name].device)) for name, weight in fisher.items())
    yield {"kind": "predicted", "forward": 0.5 * sum(float((weight * move.square()).double().sum()) for move, weight in moves)}
