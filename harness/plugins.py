"""Strategies and steps of recipes from files that a user names: code, which runs because it was named.

What a file defines stands under the same names and checks as what is installed; see `registry.py`.
"""

import importlib.util
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

from harness.errors import InputError, said
from harness.plan import file_digest
from harness.registry import Entry, PluginError, called, installed
from harness.typed import parse_arms


def from_files(paths: Sequence[str], arms: Sequence[str] = ()) -> dict[str, Entry]:
    """Strategies defined in plugin files, by class name in snake_case; the file is code and runs because it was named.

    Names in arms, as typed, that nobody else has are taken to be those of a file that cannot be imported.
    """
    found: dict[str, Entry] = {}
    unread: list[tuple[str, PluginError]] = []
    for word in paths:
        path = Path(word)
        try:
            strategies = _strategies_in(path)
        except PluginError as error:
            unread.append((_signed(path), error))
            continue
        if not strategies:
            raise InputError(f"{path} defines no strategy; write a dataclass that inherits from harness.strategy.Strategy")
        for cls in strategies:
            name = called(cls)
            if name in found or name in installed("strategies") or name == "base":
                raise InputError(f"{path} defines the strategy {name}, which is taken; rename the class {cls.__name__}")
            found[name] = Entry(name, cls, _signed(path))
    if unread:
        found |= _of_unread(unread[0], arms, found)
    return found


def _of_unread(file: tuple[str, "PluginError"], arms: Sequence[str], known: Mapping[str, Entry]) -> dict[str, Entry]:
    """Entries for the names that only a file that cannot be imported can have; without any, that file is refused."""
    origin, error = file
    typed = parse_arms(",".join(arms)) if arms else ()
    names = {part.name for arm in typed for part in arm.parts} - known.keys() - installed("strategies").keys()
    if not names:
        raise error
    return {name: Entry(name, error, origin) for name in names}


def _signed(path: Path) -> str:
    """A file's name and content, as the origin of what it defines."""
    return f"{path.name} sha256 {file_digest(path)[:16]}"


def _strategies_in(path: Path) -> list[type]:
    from harness.strategy import Strategy

    found = module(path)
    return [
        value
        for value in vars(found).values()
        if isinstance(value, type) and issubclass(value, Strategy) and value.__module__ == found.__name__
    ]


def module(path: Path) -> ModuleType:
    """A file as a module, run now."""
    if path.suffix != ".py" or not path.is_file():
        raise InputError(f"the plugin {path} is no Python file; give the path of a .py file")
    name = f"harness_plugin_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    sys.modules[name] = found
    try:
        spec.loader.exec_module(found)
    except (Exception, SystemExit) as error:  # a plugin may fail in any way
        raise PluginError(f"the plugin {path} cannot be imported: {said(error)}") from error
    return found
