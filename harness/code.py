"""Whose code made something: a digest of a module's file and of those of its own package that it imports."""

import ast
import sys
from collections.abc import Iterator
from importlib.util import find_spec, resolve_name
from pathlib import Path

from harness.plan import digest, file_digest


def code(module: str) -> str:
    """Another one as soon as a line of it changes, also where the version does not: of an editable installation.

    Empty for what has no file, and for the harness itself, whose version stands in every key.
    """
    own, found, waiting = module.partition(".")[0], dict[str, str](), [module]
    while waiting:
        name = waiting.pop()
        path = _file(name)
        if own == "harness" or name in found or path is None:
            continue
        found[name] = file_digest(path)
        waiting += [other for other in _imported(path, name) if other.partition(".")[0] == own]
    return digest(found)[:16] if found else ""


def _file(module: str) -> Path | None:
    """The Python file of a module, which need not have been imported."""
    loaded = sys.modules.get(module)
    try:
        spec = None if loaded else find_spec(module)
    except (ImportError, ValueError):  # a name within a module, as in `from package.module import name`
        return None
    place = getattr(loaded, "__file__", None) or (spec.origin if spec else None)
    return Path(place) if place and place.endswith(".py") and Path(place).is_file() else None


def _imported(path: Path, name: str) -> Iterator[str]:
    """Every module that a file may import, those inside functions included."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = "." * node.level + (node.module or "")
            origin = resolve_name(origin, package) if node.level and package else origin
            yield origin
            yield from (f"{origin}.{alias.name}" for alias in node.names)
