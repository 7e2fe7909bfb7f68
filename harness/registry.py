"""Names to objects: entry points for what is installed, a file (`plugins.py`) for what is not.

One door for everything: the built-ins stand in `pyproject.toml` under the same four groups that anybody else writes to.
"""

import inspect
import math
import re
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Literal

from harness.errors import InputError, did_you_mean, one_line, said
from harness.plan import spell

if TYPE_CHECKING:
    from harness.plan import Arm, Part
    from harness.strategy import Strategy

Kind = Literal["strategies", "suites", "corpora", "models", "readers", "filters", "recipes"]
SINGULAR: dict[str, str] = {
    "strategies": "strategy",
    "suites": "suite",
    "corpora": "corpus",
    "models": "model",
    "readers": "reader",
    "filters": "filter",
    "recipes": "recipe",
}


class PluginError(InputError):
    """A strategy's code cannot be used; an arm that names it fails, the others go on."""


@dataclass(frozen=True)
class Entry:
    """One registered name: where it comes from, loaded when used."""

    name: str
    target: Any
    origin: str

    def load(self) -> Any:
        """The object; what stands behind an entry point is imported now."""
        if isinstance(self.target, PluginError):
            raise self.target
        if not isinstance(self.target, EntryPoint):
            return self.target
        try:
            return self.target.load()
        except (Exception, SystemExit) as error:  # a plugin may fail in any way
            raise PluginError(f"{self.name} from {self.origin} cannot be imported: {said(error)}") from error


@cache
def installed(kind: Kind) -> dict[str, Entry]:
    """Everything installed of a kind, by name; a name claimed twice is refused."""
    found: dict[str, Entry] = {}
    for point in sorted(entry_points(group=f"harness.{kind}"), key=lambda point: (point.name, point.value)):
        origin = f"{point.dist.name} {point.dist.version}" if point.dist else point.value
        if (first := found.get(point.name)) and first.target.value != point.value:
            raise InputError(
                f"the {SINGULAR[kind]} {point.name} is registered twice, by {first.origin} and {origin}; uninstall one of them"
            )
        found[point.name] = Entry(point.name, point, origin)
    return found


def find(kind: Kind, name: str, extra: dict[str, Entry] | None = None) -> Entry:
    """The entry of that name, or a sentence with the nearest names."""
    known = installed(kind) | (extra or {})
    if name not in known:
        raise InputError(f"unknown {SINGULAR[kind]} {name!r}; {did_you_mean(name, known)}")
    return known[name]


def called(cls: type) -> str:
    """The name that a strategy's class is registered under; of one that is not, its own in snake_case."""
    for name, entry in installed("strategies").items():
        if entry.target.value == f"{cls.__module__}:{cls.__qualname__}":
            return name
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()


def strategy(part: "Part", extra: dict[str, Entry] | None = None) -> "Strategy":
    """A part of an arm as a strategy; one whose code cannot be used is a strategy that fails when its turn comes."""
    from harness.strategy import Broken

    try:
        return _built(part, usable(find("strategies", part.name, extra)))
    except PluginError as error:
        return Broken(str(error))


def _built(part: "Part", cls: type["Strategy"]) -> "Strategy":
    """Parameters checked by name, type and the strategy's own range."""
    known = {f.name: f for f in fields(cls)}
    for key, value in part.given:
        if key not in known:
            raise InputError(f"{part.name} has no parameter {key!r}; {did_you_mean(key, [*known, 'lr'])}")
        default = known[key].default
        if not _fits(value, default):
            raise InputError(f"{part.name}:{key}={spell(value)} is no {_sort(default)}; its default is {spell(default)}")
    try:
        return cls(**{key: _like(value, known[key].default) for key, value in part.given})
    except ValueError as error:
        raise InputError(f"{part.name}: {error}") from error
    except Exception as error:  # a plugin may fail in any way
        raise PluginError(f"{part.name} failed in __post_init__: {said(error)}") from error


def usable(entry: Entry) -> type["Strategy"]:
    """The class behind a name, if it is a strategy whose hooks take what the loop gives them."""
    from harness.strategy import ASKED, HOOKS, Strategy

    cls = entry.load()
    if not (isinstance(cls, type) and issubclass(cls, Strategy)):
        raise PluginError(f"{entry.name} from {entry.origin} is no strategy; it must inherit from harness.strategy.Strategy")
    if "__dataclass_params__" not in vars(cls) or not vars(cls)["__dataclass_params__"].frozen:
        raise PluginError(
            f"{entry.name} from {entry.origin} is no frozen dataclass; put @dataclass(frozen=True) above its class"
        )
    if bare := [f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING]:
        raise PluginError(f"{entry.name} from {entry.origin} has a parameter without a default: {', '.join(bare)}")
    if isinstance(cls.lr, bool) or not isinstance(cls.lr, int | float) or not 0 < cls.lr < math.inf:
        raise PluginError(f"{entry.name} from {entry.origin} has lr = {one_line(repr(cls.lr))}; it must be a number above 0")
    if not isinstance(cls.extra, str) or "." in cls.extra:
        raise PluginError(f"{entry.name} from {entry.origin} has extra = {one_line(repr(cls.extra))}; name one package")
    for hook in (*HOOKS, *ASKED):
        _check_signature(entry, hook, getattr(cls, hook), getattr(Strategy, hook))
    return cls


def _check_signature(entry: Entry, hook: str, found: Any, wanted: Any) -> None:
    """Refuse a hook that does not take what the loop gives it."""
    given = inspect.signature(wanted).parameters
    if not callable(found):
        raise PluginError(f"{entry.name} from {entry.origin} has a {hook} that is no method; it must take ({', '.join(given)})")
    try:
        inspect.signature(found).bind(*given)
    except TypeError:
        raise PluginError(
            f"{entry.name} from {entry.origin} has the hook {hook}{_bare(found)}; the loop calls {hook}({', '.join(given)})"
        ) from None


def _bare(function: Any) -> str:
    return f"({', '.join(inspect.signature(function).parameters)})"


def sweep(name: str, key: str, extra: dict[str, Entry] | None = None) -> "Sequence[Any]":
    """The values of a strategy's parameter that are worth trying."""
    known = usable(find("strategies", name, extra)).sweep
    if key not in known:
        swept = f"it declares values for {', '.join(known)}" if known else "it declares no values worth trying"
        raise InputError(f"{name}:{key}=sweep cannot be swept: {swept}; type the values, as in {name}:{key}=1/2/3")
    return known[key]


def arm(arm: "Arm", extra: dict[str, Entry] | None = None) -> "Strategy":
    """A whole arm as one strategy."""
    from harness.strategy import Combined

    built = [strategy(part, extra) for part in arm.parts]
    if len(built) == 1:
        return built[0]
    try:
        return Combined(tuple(built))
    except InputError as error:  # said with the names that were typed
        said = str(error)
        for part, strategy_ in zip(arm.parts, built, strict=True):
            said = said.replace(type(strategy_).__name__, part.name)
        raise InputError(said) from None


def _sort(default: Any) -> str:
    return {bool: "true or false", int: "whole number", float: "number", str: "word"}.get(type(default), "value")


def _fits(value: Any, default: Any) -> bool:
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(value, bool) and isinstance(default, bool)
    if isinstance(default, int):
        return isinstance(value, int)
    if isinstance(default, float):
        return isinstance(value, int | float)
    return not isinstance(default, str) or isinstance(value, str)


def _like(value: Any, default: Any) -> Any:
    return float(value) if isinstance(default, float) and isinstance(value, int) else value
