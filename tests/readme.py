"""The parts of README and docs/data.md that the code makes: `python tests/readme.py` renews them, a test compares them."""

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
EXAMPLES = ("gentle.py", "clinic.yaml", "mirrors.yaml")


def parts() -> dict[str, str]:
    """Marker to text."""
    from harness import strategy
    from harness.describe import table

    loop = (inspect.getdoc(strategy) or "").split("This is the whole loop:\n\n")[1]
    example, suite, mirrors = ((ROOT / "examples" / name).read_text("utf-8") for name in EXAMPLES)
    return {
        "strategies": table(),
        "loop": f"```\n{inspect.cleandoc(loop)}\n```",
        "example": f"```python\n{example}```",
        "suites": suites(),
        "corpora": corpora(),
        "suite file": f"```yaml\n{suite}```\n\n{keys()}",
        "mirrors file": f"```yaml\n{mirrors}```",
    }


def suites() -> str:
    """The registered suites but the world's: what each task is, in short."""
    from harness.registry import installed

    rows = ["| suite | measures | tasks: metric, chance |", "|---|---|---|"]
    for name, entry in installed("suites").items():
        made = entry.load()()
        told = ", ".join(f"`{task.name}` {_short(task)}" for task in made.tasks)
        if not name.startswith("world_"):
            rows.append(f"| `{name}` | {made.tasks[0].measures} | {told} |")
    return "\n".join(rows)


def corpora() -> str:
    """The public corpora: where they lie, how large they are, what they may be used for."""
    from harness.corpus import Published
    from harness.registry import installed

    rows = ["| corpus | what it is | on the hub | size | licence |", "|---|---|---|---|---|"]
    for name, entry in installed("corpora").items():
        made = entry.load()()
        if isinstance(made, Published):
            place = (
                "no: `harness show` says how to make files of it" if made.recipe else f"`{made.label}`" + ", gated" * made.gated
            )
            marks = " (sensitive)" * made.sensitive
            rows.append(f"| `{name}` | {made.about}{marks} | {place} | {made.size} | {made.licence} |")
    return "\n".join(rows)


def _short(task: Any) -> str:
    shots = f" with {task.fewshot} examples" if task.fewshot else ""
    return f"({task.metric}{shots}{'' if task.chance is None else f', {task.chance:.2g}'}{', runs code' * task.unsafe})"


def keys() -> str:
    """The keys of a suite file."""
    from suites.file import SuiteEntry, TaskEntry, TextEntry

    rows = ["| key | what it says |", "|---|---|"]
    for model, before in ((SuiteEntry, ""), (TaskEntry, "tasks: "), (TextEntry, "tasks: text: ")):
        for name, field in model.model_fields.items():
            needed = " (needed)" if field.is_required() else ""
            rows.append(f"| {before}`{name}`{needed} | {field.description} |")
    return "\n".join(rows)


def frames() -> dict[str, str]:
    """The parts of docs/data.md."""
    from harness.columns import FRAMES

    kinds = {"str": "text", "float64": "number", "Int64": "whole number", "boolean": "true or false"}
    found: list[str] = []
    for name, frame in FRAMES.items():
        found += [f"### {name}", "", f"A row: {frame.row}.", "", "| column | type | what it says |", "|---|---|---|"]
        found += [f"| `{column}` | {kinds[kind]} | {about} |" for column, (kind, about) in frame.columns.items()]
        found.append("")
    return {"frames": "\n".join(found).rstrip()}


def renewed(text: str, made: Callable[[], dict[str, str]] = parts) -> str:
    """The README, or another page, with these parts as they are now."""
    for name, part in made().items():
        pattern = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
        assert re.search(pattern, text, re.DOTALL), f"the page has no place for {name}"
        text = re.sub(pattern, lambda found, part=part: f"{found[1]}{part}\n{found[2]}", text, flags=re.DOTALL)
    return text


if __name__ == "__main__":
    for page, made in (("README.md", parts), ("docs/data.md", frames)):
        path = ROOT / page
        path.write_text(renewed(path.read_text(encoding="utf-8"), made), encoding="utf-8")
