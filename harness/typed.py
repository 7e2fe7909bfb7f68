"""What is typed: arms in one line, and the values in them."""

import math
import re
from typing import Any

from harness.errors import InputError
from harness.plan import Arm, Part, spell


def number(text: str) -> bool | int | float | str:
    """A typed value: true and false, whole numbers with k, M or B behind them, decimals; anything else stays a word."""
    if text in ("true", "false"):
        return text == "true"
    if match := re.fullmatch(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)([kMB]?)", text):
        value = float(match[1]) * {"": 1, "k": 1e3, "M": 1e6, "B": 1e9}[match[2]]
        plain = re.fullmatch(r"[+-]?\d+", match[1]) or match[2]
        return int(value) if plain and value.is_integer() else value
    return text


def parse_arms(text: str) -> tuple[Arm, ...]:
    """`kl,replay:share=0.01/0.05` to arms: a comma separates arms, `a/b` makes one arm a value.

    >>> [arm.name for arm in parse_arms("kl,replay:share=0.01/0.05+ewc:lr=0.5")]
    ['kl', 'replay:share=0.01+ewc:lr=0.5', 'replay:share=0.05+ewc:lr=0.5']
    """
    arms: list[Arm] = []
    for word in text.split(","):
        if not word.strip():
            raise InputError(f"an arm is empty in {text!r}; type names separated by single commas, as in kl,ewc,replay")
        choices: list[tuple[tuple[Part, ...], dict[str, float]]] = [((), {})]
        for piece in re.split(r"\+(?!\d)", word.strip()):  # 1e+06 is a number
            choices = [
                ((*before, part), _once(word, whole, more))
                for before, whole in choices
                for part, more in _parse_part(piece, word)
            ]
        arms += [Arm(parts, **whole) for parts, whole in choices]
    return tuple(arms)


OF_THE_ARM = {"lr": "multiple of the peak rate", "steps": "multiple of the plan's updates"}


def _once(word: str, first: dict[str, float], second: dict[str, float]) -> dict[str, float]:
    if twice := first.keys() & second.keys():
        key = min(twice)
        raise InputError(f"{key} stands twice in the arm {word!r}; {key} belongs to the whole arm, give it once")
    return first | second


def _parse_part(piece: str, word: str) -> list[tuple[Part, dict[str, float]]]:
    """`name:key=a/b:lr=c` to one part a combination of values, and what belongs to the arm."""
    name, *settings = piece.split(":")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise InputError(f"{name!r} in the arm {word!r} is no name of a strategy; names are lower-case words such as kl")
    found: list[tuple[Part, dict[str, float]]] = [(Part(name), {})]
    seen: set[str] = set()
    for setting in settings:
        key, equals, values = setting.partition("=")
        if not equals or not key or not values or "" in values.split("/"):
            raise InputError(f"{setting!r} in the arm {word!r} is no setting; type name=value, as in {name}:lr=0.3")
        if key in seen:
            raise InputError(f"{key} stands twice in the arm {word!r}; give it once")
        seen.add(key)
        options = [number(value) for value in values.split("/")]
        found = [_set(part, whole, key, value, word) for part, whole in found for value in options]
    return found


def _set(part: Part, whole: dict[str, float], key: str, value: Any, word: str) -> tuple[Part, dict[str, float]]:
    if key not in OF_THE_ARM:
        return Part(part.name, (*part.given, (key, value))), whole
    if isinstance(value, bool | str) or not 0 < value < math.inf:
        raise InputError(f"{key}={spell(value)} in the arm {word!r} is no {OF_THE_ARM[key]}; give a number above 0")
    return part, {**whole, key: float(value)}
