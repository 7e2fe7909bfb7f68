"""What is registered, in words: lists, one thing in full, and the defaults with their reasons."""

import contextlib
import inspect
import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from harness import clean_told, registry
from harness.clean_told import described
from harness.corpus import Published
from harness.errors import InputError, did_you_mean
from harness.plan import Part, spell
from harness.settings import BUILT_IN
from harness.strategy import FAMILIES, HOOKS, OLD, TASK, Strategy, overrides
from harness.suite import Suite, Task

KINDS: tuple[registry.Kind, ...] = ("strategies", "suites", "corpora", "models", "filters", "recipes")


def lines(kind: str) -> list[str]:
    """One line a registered name of a kind: name, and what it is; strategies under their families, the core first."""
    if kind not in KINDS:
        raise InputError(f"there is no list of {kind!r}; {did_you_mean(kind, KINDS)}")
    if kind in ("filters", "recipes"):
        return clean_told.filters() if kind == "filters" else clean_told.recipes()
    entries = registry.installed(kind)
    width = max(map(len, entries), default=0)
    if kind == "suites":
        return [line for entry in entries.values() for line in _suite_lines(entry.load()())]
    if kind != "strategies":
        return [f"{name:{width}}  {_told(kind, entry.load()()).splitlines()[0]}" for name, entry in entries.items()]
    found, shown = [], ""
    for heading, name, about in (*((_heading(cls), name, _about(cls)) for name, cls in ordered().items()), *_unusable()):
        found += [] if heading == shown else [*([""] if shown else []), f"{heading}:"]
        found.append(f"  {name:{width}}  {about}")
        shown = heading
    return found


def _suite_lines(suite: Suite) -> list[str]:
    """A suite and its tasks: what each measures, metric with direction, chance, items, cluster, source, what it asks."""
    rows = [_task_words(task) for task in suite.tasks]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    told = ["  ".join(f"{word:{width}}" for word, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [f"{suite.name}: {suite.about}", *(f"  {line}" for line in told)]


def _task_words(task: Task) -> tuple[str, ...]:
    """A task in words: name, what it measures, metric, chance, items, cluster, source, what it asks."""
    metric = f"{task.metric} {'↑' if task.higher_is_better else '↓'}"
    shots = f", {task.fewshot} examples" if task.fewshot else ""
    count = task.items if task.documents is None else sum(1 for _ in task.documents())
    items = "items unknown" if count is None else f"{count:,} items"
    clusters = f"by {(task.cluster or 'item').strip('()')}"
    marks = [f"{task.source} source" if task.source else "", "sensitive" * task.sensitive, "runs code" * task.unsafe]
    chance = "" if task.chance is None else f"chance {task.chance:.3g}"
    return (task.name, task.measures, metric + shots, chance, items, clusters, ", ".join(filter(None, marks)), task.about)


def ordered() -> dict[str, type[Strategy]]:
    """The registered strategies that can be used: the core by family, then the experimental ones."""
    usable: dict[str, type[Strategy]] = {}
    for name, entry in registry.installed("strategies").items():
        with contextlib.suppress(registry.PluginError):
            usable[name] = registry.usable(entry)
    return dict(sorted(usable.items(), key=lambda item: (item[1].experimental, _place(item[1].family), item[0])))


def _place(family: str) -> int:
    return FAMILIES.index(family) if family in FAMILIES else len(FAMILIES)


def _heading(cls: type[Strategy]) -> str:
    return "experimental (laws and formula tests only)" if cls.experimental else cls.family


def _unusable() -> list[tuple[str, str, str]]:
    """Heading, name and cause of what is registered and cannot be used."""
    found = []
    for name, entry in registry.installed("strategies").items():
        try:
            registry.usable(entry)
        except registry.PluginError as error:
            found.append(("cannot be used", name, str(error)))
    return found


def _about(cls: type[Strategy]) -> str:
    """The first sentence of what a strategy says of itself."""
    return (inspect.getdoc(inspect.getmodule(cls)) or inspect.getdoc(cls) or "").split("\n")[0]


def _told(kind: str, made: Any) -> str:
    """What something says of itself; a model is told by its recipe."""
    if kind == "models":
        return "{layers} layers of width {width}, trained on {corpus}".format(**made.recipe)
    return str(made.about)


def table() -> str:
    """The registered strategies as a Markdown table: what the README shows."""
    rows, shown = ["| family | strategy | what it does | parameters | needs |", "|---|---|---|---|---|"], ""
    for name, cls in ordered().items():
        settings = ", ".join(f"`{f.name}={spell(f.default)}`" for f in fields(cls)) or "none"
        about = _about(cls).replace("|", "\\|")
        family = "*experimental*" if cls.experimental else cls.family
        rows.append(
            f"|{f' {family}' if family != shown else ''} | `{name}` | {about} | {settings} | {_needs(cls) or 'nothing'} |"
        )
        shown = family
    return "\n".join(rows)


NEEDS = {
    OLD: "old text",
    TASK: "task text",
    "reference": "a reference model",
    "instruct": "an instruction-tuned model",
    "peak": "the base's peak rate",
}


def _needs(cls: type[Strategy]) -> str:
    return ", ".join([NEEDS.get(need, need) for need in cls.needs] + ([f"the library `{cls.extra}`"] if cls.extra else []))


def page(name: str) -> str:
    """One registered thing in full; `defaults`: every default with its reason."""
    if name == "defaults":
        return _defaults()
    if found := [_page(kind, name) for kind in KINDS if name in registry.installed(kind)]:
        return "\n\n".join(found)
    known = [known for kind in KINDS for known in registry.installed(kind)]
    raise InputError(f"nothing is registered as {name!r}; {did_you_mean(name, known)}")


def _page(kind: registry.Kind, name: str) -> str:
    """A suite and a recipe may have one name: both are shown."""
    if kind in ("filters", "recipes"):
        return clean_told.step_page(name) if kind == "filters" else clean_told.recipe_page(name)
    found = registry.find(kind, name).load()
    return _strategy(name, found) if kind == "strategies" else _thing(kind, name, found())


def _defaults() -> str:
    shown = [
        (key, f"{value[0]:g}" if isinstance(value[0], float) else str(value[0]), value[1]) for key, value in BUILT_IN.items()
    ]
    widths = [max(len(row[i]) for row in shown) for i in range(2)]
    return "\n".join(f"{key:{widths[0]}}  {value:{widths[1]}}  {why}" for key, value, why in shown)


def _strategy(name: str, cls: type[Strategy]) -> str:
    """Idea, source and cost; equation; parameters; then what follows from the class."""
    module = inspect.getdoc(inspect.getmodule(cls)) or ""
    equation = re.split(r"^Parameters:", inspect.getdoc(cls) or "", flags=re.MULTILINE)[0].strip()
    neutral = "always: it is the control" if cls.neutral == {} else _spelled(cls.neutral or {}) or f"none: {cls.reason}"
    built = registry.strategy(Part(name))
    facts = {
        "family": cls.family + (", experimental: laws and formula tests only" if cls.experimental else ""),
        "neutral": neutral,
        "sweep": "; ".join(f"{key}={'/'.join(map(spell, values))}" for key, values in cls.sweep.items()) or "nothing to sweep",
        "controls": ", ".join(built.controls()) or "none beyond the control",
        "rate": f"lr={spell(cls.lr)} where the arm gives none",
        "needs": _needs(cls) or "nothing beyond new text",
        "hooks": ", ".join(hook for hook in HOOKS if overrides(built, hook)) or "none",
    }
    told = "\n".join(f"{key:9} {value}" for key, value in facts.items())
    return "\n\n".join(part for part in (name, module, equation, _parameters(cls), told) if part)


def _parameters(cls: type[Strategy]) -> str:
    """A line each: default, and what the docstring says of unit and range."""
    text = (inspect.getdoc(cls) or "").partition("Parameters:")[2]
    found = [f"{f.name}={spell(f.default)}\n    {' '.join(described(text, f.name).split())}" for f in fields(cls)]
    return "\n".join(["Parameters, with their defaults:", *found]) if found else "Parameters: none."


def _published(found: Any) -> list[str]:
    """Where a public corpus lies, and what is to be known before it is read."""
    if not isinstance(found, Published):
        return []
    files = f", files in {found.folder}" if found.folder else ""
    told = {
        "recipe": found.recipe,
        "hub": "" if found.recipe else f"{found.dataset}, {found.configuration or 'no configuration'}{files}",
        "mirror": f"datasets.{found.label}",
        "commit": "" if found.recipe else found.revision or "the newest at the first read, which the plan of the run names",
        "columns": found.columns,
        "size": found.size,
        "gated": "yes: agree to its terms on the hub and set HF_TOKEN" if found.gated else "",
        "facts": f"from {found.source}",
    }
    return [f"{key}: {value}" for key, value in told.items() if value]


def _spelled(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={spell(value)}" for key, value in values.items())


def _thing(kind: str, name: str, found: Any) -> str:
    told = [f"{registry.SINGULAR[kind]} {name}", _told(kind, found)]
    if kind == "suites":
        told += _suite_lines(found)[1:]
        told += [found.note] if found.note else []
    if kind == "corpora":
        told += _published(found)
        told += [f"licence: {found.licence}", f"sensitive: {'yes' if found.sensitive else 'no'}"]
    if kind == "models":
        told += [f"folder: {found.folder}", *(f"  {key}: {value}" for key, value in dict(found.recipe).items())]
    return "\n".join(told)
