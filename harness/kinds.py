"""Kinds of settings: how what was typed, or stands in YAML, becomes a value, and what is refused."""

import math
import re
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator

from harness.typed import number


def _words(value: Any) -> Any:
    """`a,b` or a list of words."""
    return [word.strip() for word in value.split(",")] if isinstance(value, str) else value


def _count(value: Any) -> Any:
    """12, 12k, 3M, 1e6."""
    found = number(value) if isinstance(value, str) else value
    return int(found) if isinstance(found, float) and found.is_integer() else found


def _every(value: Any) -> Any:
    """200 updates; or 90s, 10m, 2h."""
    match = re.fullmatch(r"(\d+\.?\d*)([smh])", value) if isinstance(value, str) else None
    if match is None:
        return number(value) if isinstance(value, str) else value
    seconds = float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]]
    return timedelta(seconds=seconds) if seconds < timedelta.max.total_seconds() else value


def _updates_or_time(value: Any) -> Any:
    """Whole updates, or some time."""
    if isinstance(value, timedelta) and value > timedelta(0):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise ValueError("give a number of updates, as in 200, or a time, as in 90s, 10m or 2h")


def _text(value: Any) -> Any:
    """A text as typed; several as {a.jsonl: 0.7, b.jsonl: 0.3}, or as a list without shares."""
    found: Any = dict.fromkeys(map(str, value)) if isinstance(value, list) else value
    if isinstance(found, str) or (isinstance(found, dict) and all(map(_share, found.values()))):
        return found
    raise ValueError("give a text, or several with their shares, as in {a.jsonl: 0.7, b.jsonl: 0.3}")


def _share(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return value is None or (number and math.isfinite(value))


Text = Annotated[str | dict[str, float | None], PlainValidator(_text)]
Every = Annotated[int | timedelta, PlainValidator(lambda value: _updates_or_time(_every(value)))]
Words = Annotated[tuple[str, ...], BeforeValidator(_words)]
Trackers = Annotated[tuple[Literal["tensorboard", "wandb", "trackio"], ...], BeforeValidator(_words)]
Count = Annotated[int, BeforeValidator(_count), Field(ge=1, strict=True)]


def _rows_or_auto(value: Any) -> Any:
    """Whole rows; None: auto."""
    found = None if value == "auto" else _count(value)
    if found is None or (isinstance(found, int) and not isinstance(found, bool) and found > 0):
        return found
    raise ValueError("give a whole number of rows, 1 or more, or auto")


CountOrAuto = Annotated[int | None, PlainValidator(_rows_or_auto)]


def _seeds(value: Any) -> Any:
    """3: seeds 1, 2 and 3; or a list of seeds."""
    if isinstance(value, bool):
        raise ValueError("give a number, or a list of seeds")
    if isinstance(value, int) and value > 1000:
        raise ValueError("at most 1,000 seeds are trained; give fewer")
    return range(1, value + 1) if isinstance(value, int) else value


def _different(seeds: tuple[int, ...]) -> tuple[int, ...]:
    if not seeds:
        raise ValueError("at least one seed is needed")
    if len(set(seeds)) < len(seeds):
        raise ValueError("a seed stands twice; a second training under one seed is the first again")
    return seeds


Seeds = Annotated[tuple[Annotated[int, Field(ge=0, lt=2**32)], ...], BeforeValidator(_seeds), AfterValidator(_different)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Rate = Annotated[float, Field(gt=0, lt=10, allow_inf_nan=False)]
