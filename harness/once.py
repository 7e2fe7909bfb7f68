"""Figures are computed once: what was asked of a frozen object is kept with the object."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def once(ask: Callable[Concatenate[Any, P], T]) -> Callable[Concatenate[Any, P], T]:
    """A method, or a function of a frozen object, that is asked once for the same arguments, which are hashable."""

    @wraps(ask)
    def kept(self: Any, *given: P.args, **named: P.kwargs) -> T:
        found: dict[Any, T] = self.__dict__.setdefault("_once", {})
        key = (ask, given, tuple(named.items()))
        if key not in found:
            found[key] = ask(self, *given, **named)
        return found[key]

    return kept
