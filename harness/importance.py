"""`harness fisher`: what a method learns of a base from old text, made before any run and found by those that want the same."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from harness import lookup, registry
from harness.asking import ask
from harness.engine import precision
from harness.errors import InputError
from harness.mixture import epoch
from harness.model import load_model, locate
from harness.plan import Budget, Engine
from harness.resolve import content_keys, load
from harness.settings import BUILT_IN
from harness.sources import parts
from harness.spending import decide
from harness.strategy import OLD
from harness.typed import number

ENOUGH = 2**50
"""Tokens of a budget that limits nothing."""


@dataclass(frozen=True)
class Made:
    """Files and whether each was there before, what is said of them, and how long it took."""

    files: Mapping[Path, bool]
    facts: Mapping[str, Any]
    seconds: float


def make(model: str, old: str, given: Mapping[str, Any], length: int | None = None, tokens: str | None = None) -> Made:
    """Set up the strategy that stands behind the word `fisher`, on a base and old text alone.

    `given` are its parameters as typed, None where not given; `tokens` are those of the run that it is for.
    """
    strategy = _strategy(given)
    asked = ask(None, {"model": model, "old": old, "length": length, "tokens": tokens})
    seed = BUILT_IN["split_seed"][0] if asked.split_seed is None else asked.split_seed
    base, corpus = locate(model), lookup.find_source(OLD, old, seed)
    if any(one.key.startswith("hub:") for one in parts(corpus)) and not tokens:
        raise InputError(f"--old {old} is read as far as a run trains; give --budget, the tokens of that run")
    found, length = load(asked, base, {OLD: corpus})
    budget = decide(asked, base, epoch(found.tables[OLD]), length)[0] if tokens else _unlimited(length)
    from harness.arithmetic import autocast
    from harness.reader import Setting
    from harness.train import device

    keys, start, place = content_keys(found, length), found.borders.start, device()
    setting = Setting(budget, partial(load_model, base.folder), found.tables, 1, keys, lookup.cache(), start)
    origin = setting.origin(0, place, partial(autocast, budget.engine, place))
    began = time.perf_counter()
    memory = strategy.setup(origin)
    return Made(origin.files, memory.facts, time.perf_counter() - began)


def _strategy(given: Mapping[str, Any]) -> Any:
    values = {key: number(str(value)) for key, value in given.items() if value is not None}
    for key, value in values.items():
        if not isinstance(value, int):
            raise InputError(f"--{key} {value} is no whole number")
    try:
        return registry.find("readers", "fisher").load()(**values)
    except ValueError as error:
        raise InputError(f"--{error}") from error


def _unlimited(length: int) -> Budget:
    return Budget(steps=math.ceil(ENOUGH / length), batch=1, length=length, peak=1.0, engine=Engine(precision()))
