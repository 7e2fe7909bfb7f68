"""Numbers and names as a reader meets them: units, signs, intervals, and text from elsewhere made harmless to layout."""

import math
import re
import unicodedata
from typing import Any

from harness import figures
from harness.forgetting import UNITS, Kind, Study
from harness.statistics import Estimate

UNIT: dict[Kind, str] = {**UNITS, "accuracy": "points"}
SCALE: dict[Kind, float] = {kind: factor for kind, (_, factor) in figures.UNITS.items()}
"""From what is stored to what is read: a point is a hundredth of a share."""
PLACES: dict[Kind, int] = {"text": 3, "accuracy": 1, "answer": 2}
NOTHING = "–"
NUMBER = re.compile(r"[^\d+−.-]{0,3}([+−-]?(?:\d[\d,]*\.?\d*|\.\d+)(?:e[+-]?\d+)?)(?: ([kMB]))?(?![\w.])")
PREFIX = {"": 1.0, "k": 1e3, "M": 1e6, "B": 1e9}
BIDI = {"\u061c", "\u200e", "\u200f", *map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A)), "\ufeff"}


def clean(text: str) -> str:
    """Text without what turns lines around or hides: bidi marks, control characters, lone surrogates."""
    return "".join(_clean(character) for character in text)


def _clean(character: str) -> str:
    if character in "\n\t":
        return character
    if character in "\u2028\u2029":
        return "\n"
    if character in BIDI:
        return ""
    return "\ufffd" if unicodedata.category(character) in ("Cc", "Cs") else character


def short(text: str, limit: int = 160) -> str:
    """At most so many characters, and a sign where some were left out."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def fixed(value: float, places: int, signed: bool = False) -> str:
    """A number with a true minus; no minus before zero."""
    if math.isinf(value) or math.isnan(value):
        return NOTHING
    text = f"{abs(value):.{places}f}"
    sign = "−" if value < 0 else "+" if signed else ""
    return (sign if float(text) else "") + text


def amount(value: float, kind: Kind, signed: bool = False) -> str:
    """A figure in its unit's own scale, without the unit: 0.031 bits, 4.2 points."""
    return fixed(value * SCALE[kind], PLACES[kind], signed)


NO_INTERVAL = "no interval, a single cluster"


def between(found: Estimate, kind: Kind, signed: bool = False) -> str:
    """The 95 % interval: `0.024 to 0.038`; says so where there is none."""
    if math.isinf(found.error):
        return NO_INTERVAL
    return f"{amount(found.low, kind, signed)} to {amount(found.high, kind, signed)}"


def interval(found: Estimate, kind: Kind, signed: bool = False) -> str:
    """The same with what it contains: `95 % interval 0.024 to 0.038, items and seeds`."""
    if math.isinf(found.error):
        return NO_INTERVAL
    return f"95 % interval {between(found, kind, signed)}, {found.layers}"


def intervals(study: Study) -> str:
    """What the intervals of a run's arms are: `95 % intervals of items and seeds`."""
    counts = {len({trial.seed for trial in study.done if trial.name == arm}) > 1 for arm in study.arms}
    layers = {True: "items and seeds", False: "items"}
    kinds = " (of items alone where an arm has one seed)" if len(counts) > 1 else ""
    return f"95 % intervals of {layers[any(counts)]}{kinds}"


def percent(share: Estimate) -> str:
    """A share: 25 %."""
    return f"{fixed(100 * share.value, 0)} %"


def percents(share: Estimate) -> str:
    """Its interval, and what that contains."""
    return NO_INTERVAL if math.isinf(share.error) else f"95 % interval {ends(share)} %, {share.layers}"


def ends(share: Estimate) -> str:
    """The ends of a share's interval, per cent: `60 to 67`; says so where there is none."""
    if math.isinf(share.error):
        return NO_INTERVAL
    low, high = (fixed(100 * value, 0) for value in share.interval())
    return f"{low} to {high}"


def number(text: str) -> float | None:
    """What words are sorted by: the number that they begin with, a prefix beside it included; None where there is none."""
    found = NUMBER.match(text)
    if not found:
        return None
    return float(found[1].replace("−", "-").replace(",", "")) * PREFIX[found[2] or ""]


def cell(found: Estimate | None, kind: Kind, signed: bool = False) -> str:
    """A figure and its interval for a table."""
    if found is None:
        return NOTHING
    return f"{amount(found.value, kind, signed)} [{between(found, kind, signed)}]"


def count(value: Any) -> str:
    """A count: 950, 307 k, 1.2 M, 3.1 B."""
    if value is None:
        return NOTHING
    number = float(value)
    for size, letter in ((1e9, " B"), (1e6, " M"), (1e3, " k")):
        if abs(number) >= 0.9995 * size:  # 999.6 k is said as 1 M
            return f"{number / size:.3g}{letter}"
    return f"{number:g}"


def quantity(value: Any, unit: str) -> str:
    """A measured amount with a decimal prefix: 1.93 TFLOP, 812 MB."""
    if value is None:
        return NOTHING
    number = float(value)
    for size, letter in ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= 0.9995 * size:  # 999.6 k is said as 1 M
            return f"{number / size:.3g} {letter}{unit}"
    return f"{number:g} {unit}"


def duration(seconds: Any) -> str:
    """Wall time: 8 s, 1 min 12 s, 3 h 5 min."""
    if seconds is None:
        return NOTHING
    whole = round(float(seconds))
    if whole < 60:
        return f"{float(seconds):.1f} s" if whole < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def times(ratio: float) -> str:
    """A multiple, without a power of ten: 0.67, 1.2, 45, 118."""
    return f"{ratio:.2g}" if ratio < 99.5 else f"{ratio:,.0f}"


def several(number: int, noun: str) -> str:
    """`1 seed`, `3 seeds`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def listing(words: list[str]) -> str:
    """`a, b and c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""
