"""A recipe's YAML file to steps, checked when it is named: what is unknown or does not fit is a sentence with its place."""

import typing
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from harness.clean import EXAMPLE, Kind, Marked, Recipe, Step, annotated, hints, parameters
from harness.errors import HarnessError, InputError, did_you_mean, one_line, said
from harness.keys import read_keys
from harness.registry import installed
from harness.typed import number


class Content(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", description="what the recipe is called")
    about: str = Field("", description="what it is for, in words")
    sensitive: bool = Field(False, description="keep texts that it prepared off pages, exports and trackers")
    steps: list[str | dict[str, dict[str, Any] | None]] = Field(
        min_length=1, description="a name, or {name: {parameter: value}}"
    )


def read(path: Path) -> Recipe:
    """The recipe that a file describes."""
    values = read_keys(path, "recipe")
    try:
        content = Content.model_validate(values)
    except ValidationError as error:
        raise InputError(f"{path}: {_first(error, Content)}") from error
    steps: list[Step] = []
    for place, entry in enumerate(content.steps, 1):
        where = f"{path}: step {place}"
        word, given = _entry(where, entry)
        steps.append(_step(where, word, given, [step.name for step in steps], path.parent))
    return Recipe(content.name, content.about, content.sensitive, tuple(steps))


def _first(error: ValidationError, model: type[BaseModel]) -> str:
    """The first fault in words."""
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"][:1])) or "the file"
    if first["type"] == "extra_forbidden":
        return f"unknown key {place!r}; {did_you_mean(place, model.model_fields)}"
    if place == "steps" and len(first["loc"]) > 1:
        return f"step {int(first['loc'][1]) + 1} is neither a name nor {{name: {{parameter: value}}}}"
    return f"{place}: {one_line(repr(first['input']))}: {first['msg'][0].lower()}{first['msg'][1:]}"


def _entry(where: str, entry: str | dict[str, dict[str, Any] | None]) -> tuple[str, dict[str, Any]]:
    if isinstance(entry, str):
        return entry, {}
    if len(entry) != 1:
        raise InputError(f"{where} names {len(entry)} steps ({', '.join(entry)}); write each after a dash of its own")
    ((word, given),) = entry.items()
    return word, given or {}


def _step(where: str, word: str, given: dict[str, Any], taken: list[str], folder: Path) -> Step:
    """A step whose name is known, whose parameters fit, and that an example text goes through."""
    if ":" in word:
        file, _, name = word.rpartition(":")
        word = f"{(folder / Path(file).expanduser()).resolve()}:{name}"
    elif word not in installed("filters"):
        raise InputError(f"{where}: unknown step {word!r}; {did_you_mean(word, installed('filters'))}")
    short = word.rpartition("/")[2]
    where = f"{where}, {short}"
    checked = _checked(where, word, given)
    same = sum(name.partition(" ")[0] == short for name in taken)
    return Step(f"{short} {same + 1}" if same else short, word, _kind(where, word, checked), checked)


def _checked(where: str, word: str, given: dict[str, Any]) -> dict[str, Any]:
    """Parameters of the types that the function says, as it will get them."""
    known = parameters(word)
    for name in given:
        if name not in known:
            raise InputError(f"{where}: unknown parameter {name!r}; {did_you_mean(name, known) if known else 'it takes none'}")
    if missing := [name for name, one in known.items() if one.default is one.empty and name not in given]:
        raise InputError(f"{where}: the parameter {missing[0]} has no default; give it, as in {missing[0]}: 3")
    made = {name: _fitting(where, name, value, hints(word).get(name, LIMITS.get(name, Any))) for name, value in given.items()}
    if annotated(word) == "scorer" and (made.get("maximum") is None) == (made.get("quantile") is None):
        raise InputError(f"{where}: give it either a maximum, as in maximum: 500, or a quantile, as in quantile: 0.9")
    return made


LIMITS: dict[str, Any] = {"maximum": float | None, "quantile": typing.Annotated[float | None, Field(gt=0, lt=1)]}
"""What the limits of a scorer may be."""


def _fitting(where: str, name: str, value: Any, kind: Any) -> Any:
    """The value, if it is of the kind."""
    try:
        return TypeAdapter(kind, config=ConfigDict(strict=True, arbitrary_types_allowed=True)).validate_python(
            _number(value, kind)
        )
    except ValidationError as error:
        said = error.errors()[0]["msg"]
        raise InputError(f"{where}: {name} = {one_line(repr(value))}: {said[0].lower()}{said[1:]}") from error


def _number(value: Any, kind: Any) -> Any:
    """1e-4, which YAML takes for a word, where no word is meant."""
    return number(value) if isinstance(value, str) and "str" not in str(kind) and "Literal" not in str(kind) else value


def _kind(where: str, word: str, given: dict[str, Any]) -> Kind:
    """What the step is: by its annotation, else by what it makes of an example text. One that cannot run is refused now."""
    kind = annotated(word)
    if kind == "corpus":
        return kind
    try:
        made = Step(word, word, kind or "filter", given).call([] if kind == "scorer" else EXAMPLE)
    except HarnessError:
        raise
    except ValueError as error:
        raise InputError(f"{where}: {one_line(str(error))}") from error
    except (Exception, SystemExit) as error:  # a step of the user's own may fail in any way
        raise InputError(f"{where}: it failed on the text {EXAMPLE!r}: {said(error)}") from error
    if kind is None and not isinstance(made, str | bool | Marked):
        raise InputError(f"{where}: it returned {one_line(repr(made))}; it must return bool (True keeps) or str (cleaned text)")
    return kind or ("filter" if isinstance(made, bool) else "cleaner")
