"""A run as CSV or JSON: the frames of `harness.load`, for programs and spreadsheets. docs/data.md says what stands in them."""

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from harness import __version__
from harness.frames import Frames, small
from harness.unfinished import unfinished
from reports.cautions import warnings

SCHEMA = 1
"""Of the JSON: grows where a reader of the earlier one would be misled."""
FORMULA = ("=", "+", "-", "@", "\t", "\n")
"""What makes a spreadsheet run a cell."""


def csv(frame: pd.DataFrame) -> str:
    """A frame as CSV; words that a spreadsheet would run as a formula begin with an apostrophe."""
    texts = [name for name in frame.columns if str(frame[name].dtype) in ("str", "object", "string")]
    return frame.assign(**{name: frame[name].map(_harmless, na_action="ignore") for name in texts}).to_csv(index=False)


def _harmless(text: Any) -> str:
    line = str(text).replace("\r\n", "\n").replace("\r", "\n")
    return f"'{line}" if line.startswith(FORMULA) else line


def described(made: Frames, frames: Mapping[str, pd.DataFrame] | None = None) -> dict[str, Any]:
    """The run as an object for JSON: what it is, whether it is whole, and frames (else all small ones) as lists of rows."""
    plan, left = made.study.record.plan, unfinished(made.study)
    return {
        "schema": SCHEMA,
        "harness": __version__,
        "runs": plan.get("runs") or [str(made.study.record.folder)],
        "base": {name: plan["base"].get(name) for name in ("name", "digest")},
        "complete": left.complete,
        "status": left.said,
        "resume": {"commands": list(left.commands), "seconds": left.seconds} if not left.complete else None,
        "warnings": warnings(made.study),
        "frames": {name: rows(frame) for name, frame in (dict(small(made)) if frames is None else frames).items()},
    }


def rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """A frame's rows; null where nothing is known."""
    plain = frame.astype(object)
    return plain.where(plain.notna(), None).to_dict("records")  # pyright: ignore[reportReturnType]


def dumped(value: Mapping[str, Any], indent: int | None = 1) -> str:
    """JSON, in which neither NaN nor infinity is a number."""
    return json.dumps(value, allow_nan=False, ensure_ascii=False, indent=indent) + "\n"
