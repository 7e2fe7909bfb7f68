"""Steps and recipes in words: what `harness list filters` and `harness show` print."""

import inspect
import re

from harness.clean import Recipe, Step, annotated, function, parameters, recipe
from harness.errors import InputError
from harness.plan import spell
from harness.registry import installed


def filters() -> list[str]:
    """One line a step: its name, what it is, what it does."""
    rows = [_row(name) for name in installed("filters")]
    widths = [max(len(row[i]) for row in rows) for i in range(2)]
    return [f"{name:{widths[0]}}  {kind:{widths[1]}}  {about}" for name, kind, about in rows]


def _row(name: str) -> tuple[str, str, str]:
    try:
        return name, annotated(name) or "unknown", _about(name)
    except InputError as error:  # of another package
        return name, "unknown", f"cannot be used: {error}"


def recipes() -> list[str]:
    """One line a recipe: its name, and what it is for."""
    width = max(map(len, installed("recipes")), default=0)
    return [f"{name:{width}}  {recipe(name).about}" for name in installed("recipes")]


def step_page(name: str) -> str:
    """A step in full: idea and source, what it does, its parameters with their defaults."""
    whole = inspect.getdoc(inspect.getmodule(function(name))) or ""
    module = whole if f"`{name}`" in whole.split("\n\n")[0] else ""
    told, _, parameters_told = (inspect.getdoc(function(name)) or "").partition("Parameters:")
    known = parameters(name)
    shown = [f"{key}={typed(p.default)}\n    {' '.join(described(parameters_told, key).split())}" for key, p in known.items()]
    listed = "\n".join(["Parameters, with their defaults:", *shown]) if known else "Parameters: none."
    return "\n\n".join(part for part in (f"{annotated(name)} {name}", module, told.strip(), listed) if part)


def recipe_page(name: str) -> str:
    """A recipe in full: what it is for, and its steps with their parameters."""
    found: Recipe = recipe(name)
    width = max(len(_called(step)) for step in found.steps)
    steps = [f"  {step.kind:7}  {_called(step):{width}}  {_about(step.word)}".rstrip() for step in found.steps]
    sensitive = f"sensitive: {'yes' if found.sensitive else 'no'}"
    return "\n".join([f"recipe {name}", found.about, sensitive, "steps:", *steps])


def _about(word: str) -> str:
    return (inspect.getdoc(function(word)) or "").split("\n")[0]


def _called(step: Step) -> str:
    return " ".join([step.name, *(f"{key}={typed(value)}" for key, value in step.given.items())])


def described(text: str, parameter: str) -> str:
    """What a Parameters section says of one of them: up to the next, or its end."""
    found = re.search(rf"^( *){parameter}: (.*(?:\n\1 +\S.*)*)", text, re.MULTILINE)
    return found[2] if found else ""


def typed(value: object) -> str:
    """A parameter's value as it is typed in a recipe."""
    if value is None:
        return "none"
    return f"[{', '.join(map(spell, value))}]" if isinstance(value, list | tuple) else spell(value)
