"""What arms need, asked before anything is written: text, other models, the base's peak, an architecture, an extra."""

import re
from collections.abc import Mapping
from importlib.metadata import requires
from importlib.util import find_spec
from typing import Any

from harness.arms import sound
from harness.errors import InputError
from harness.model import Base
from harness.plan import Budget
from harness.settings import Settings
from harness.strategy import OLD, TASK, Strategy, parts

WANTED = {
    TASK: "the text of a task; give such text",
    "reference": "a reference model; give one that knows such text",
    "instruct": "an instruction-tuned model made from the base; give one",
}
PEAK = "peak"
KNOWN = (OLD, *WANTED, PEAK)
"""What an arm may need; old text is found where none is given (old_text.py)."""


def check_given(asked: Settings, strategies: Mapping[str, Strategy]) -> None:
    """Refuse arms whose text, models or libraries are not there; loads nothing."""
    needs = {name: strategy.needed() for name, strategy in strategies.items()}
    for name, found in needs.items():
        if unknown := [need for need in found if need not in KNOWN]:
            raise InputError(f"{name} needs {unknown[0]!r}, which no plan has; a plan may have {', '.join(KNOWN)}")
    for need, what in WANTED.items():
        if not getattr(asked, need) and (arms := [name for name, found in needs.items() if need in found]):
            raise InputError(f"{', '.join(arms)} need{'s' * (len(arms) == 1)} {what} with --{need}, or leave it out")
    for name, strategy in strategies.items():
        if lost := [part.extra for part in parts(strategy) if part.extra and find_spec(part.extra) is None]:
            raise InputError(
                f"{name} needs {lost[0]}, which is not installed; type pip install {_with(lost[0])}, or leave it out"
            )


def _with(library: str) -> str:
    """What pip is asked for: the extra of this program that brings a library, else the library itself."""
    for line in requires("forgetting-harness") or ():
        if (extra := re.fullmatch(rf"{library}\b.*; extra == .(\w+).", line)) and extra[1] != "test":
            return f"'forgetting-harness[{extra[1]}]'"
    return library


def check_fits(
    strategies: Mapping[str, Strategy], base: Base, config: Any, budgets: Mapping[str, Budget]
) -> dict[str, Strategy]:
    """Refuse arms that this base (its transformers configuration), or what they may spend, does not fit; the others."""
    found: dict[str, Strategy] = {}
    for name, strategy in strategies.items():
        if PEAK in strategy.needed() and not base.facts.get(PEAK):
            raise InputError(
                f"{name} needs the peak learning rate that {base.name} was pre-trained with, which is unknown; leave it out"
            )
        found[name] = sound(strategy, lambda asked, name=name: _fit(name, asked, base, config, budgets[name]))
    return found


def _fit(name: str, strategy: Strategy, base: Base, config: Any, budget: Budget) -> None:
    try:
        strategy.fits(config, budget)
    except ValueError as error:
        raise InputError(f"{name} cannot train {base.name}: {error}") from error
