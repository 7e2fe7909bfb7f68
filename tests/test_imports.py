"""Imports point one way: a folder means one thing, and what stands lower knows nothing of what stands above."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = [path for name in ("harness", "strategies", "suites", "reports") for path in sorted((ROOT / name).rglob("*.py"))]
HEAVY = {"torch", "transformers", "lm_eval", "accelerate", "datasets", "safetensors"}

# Of harness/, downwards: a file may import files of its own layer and of those below.
LAYERS = [
    ["cli", "__main__", "__init__"],
    ["cli_score", "cli_prepare", "cli_report"],
    ["cli_ends"],
    ["announce", "describe", "new", "watching", "making", "importance"],
    ["scoring", "imported"],
    ["gathered", "comparison", "search"],
    ["run", "curve"],
    ["marks", "drifted", "contaminated"],
    ["tables"],
    ["folder", "price", "milestones"],
    ["resolve"],
    ["prepare", "prepare_job", "prepare_survey", "prepare_table"],
    [
        "spending",
        "spelled",
        "fitting",
        "needs",
        "old_text",
        "lookup",
        "drawn",
        "texts",
        "other_tokens",
        "elsewhere",
        "manifest",
        "keeping",
        "looks",
    ],
    ["testing"],
    ["grids"],
    ["bench", "pretrain", "arms", "asking"],
    [
        "train",
        "train_gradient",
        "distance",
        "stored",
        "drift",
        "saving",
        "mishaps",
        "diagnosis",
        "resume",
        "reading",
        "hub",
        "local",
        "formats",
        "splits",
        "model",
        "clean",
        "prepare_pass",
        "prepare_work",
        "prepare_write",
    ],
    ["reader", "passed"],
    ["origin"],
    ["score", "bos", "checkpoint", "packing", "text", "mixture", "sample", "trackers"],
    ["objective", "frozen", "chunked", "rows", "borders", "arithmetic", "optimizer", "engine"],
    [
        "combined",
        "given",
        "head",
        "hooks",
        "strategy",
        "suite",
        "corpus",
        "sources",
        "registry",
        "plugins",
        "forgetting",
        "items",
        "choosing",
        "frontiers",
        "ranks",
        "matching",
        "claims",
        "crossing",
        "results",
        "frontier",
        "trajectory",
        "course",
        "pairing",
        "once",
        "statistics",
        "power",
        "layers",
        "bootstrap",
        "transitions",
        "stages",
        "flags",
        "sensitive",
        "columns",
        "frames",
        "figures",
        "joined",
        "gates",
        "unfinished",
        "chained",
        "withheld",
        "contamination",
        "duplicates",
        "settings",
        "kinds",
    ],
    ["sealed"],
    ["record"],
    ["tabled"],
    ["files"],
    ["plan", "typed", "sandbox", "code", "keys", "mirrors", "crash", "stopping", "memory", "forecast", "letters"],
    ["errors", "hiding", "jail"],
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
# What a report may see; none of it needs torch.
FIGURES = {
    "record",
    "tabled",
    "forgetting",
    "items",
    "choosing",
    "frontiers",
    "ranks",
    "claims",
    "crossing",
    "results",
    "statistics",
    "power",
    "layers",
    "bootstrap",
    "transitions",
    "stages",
    "frontier",
    "pairing",
    "once",
    "trajectory",
    "flags",
    "sensitive",
    "columns",
    "frames",
    "figures",
    "joined",
    "gates",
    "unfinished",
    "chained",
}
PLAIN = {"plan", "typed", "errors", "files", "hiding"}
"""What those may import in turn."""
# What a package may import of ours, and of others where that is limited.
PACKAGES = {
    "strategies": ({"harness.strategy", "harness.sample"}, {"torch", "peft"}),  # peft: an optional extra, inside hooks
    "suites": ({"harness.suite", "harness.corpus", "harness.clean", "harness.keys", "harness.errors"}, None),
    "reports": ({f"harness.{name}" for name in FIGURES | PLAIN}, None),
}
ONLY = {"lm_eval": "score", "accelerate": "run train trackers score"} | {
    "plotly": "reports", "typer": "cli", "langdetect": "clean",
}  # fmt: skip


def module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported(path: Path) -> set[str]:
    """Every module that a file names, those inside functions and for type checkers included."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = node.module in ("harness", "suites", "reports", "suites.world")
            found |= {f"{node.module}.{alias.name}" for alias in node.names} if whole else {node.module}
    return {name for name in found if not name.endswith(".__version__")}


def layer(name: str) -> int:
    """The layer of a file of harness/; score_x stands where score does, clean_x where clean does."""
    short = name.removeprefix("harness.") if name != "harness" else "__init__"
    return LEVEL[next((door for door in ("score", "clean") if short.startswith(door)), short)]


def ours(names: set[str], *packages: str) -> set[str]:
    return {name for name in names if name.split(".")[0] in packages}


def faults(path: Path) -> list[str]:
    """Sentences about what a file imports and may not."""
    name, names = module(path), imported(path)
    package, _, short = name.partition(".")
    found = [
        (other, f"only {place} may")
        for other, place in ONLY.items()
        if other in {n.split(".")[0] for n in names} and package not in place and not short.startswith(tuple(place.split()))
    ]
    if package == "harness":
        above = set() if short.startswith("cli") else ours(names, "strategies", "suites", "reports")
        found += [(other, "harness alone") for other in above]
        lower = [other for other in ours(names, "harness") if layer(other) < layer(name)]
        found += [(other, "what stands below it: " + " > ".join(" ".join(each) for each in LAYERS)) for other in lower]
        if short in FIGURES:
            figures = {f"harness.{each}" for each in FIGURES | PLAIN}
            found += [(other, "plan, errors and its like") for other in ours(names, "harness") - figures]
            found += [(other, "nothing heavy") for other in ours(names, *HEAVY)]
    elif package in PACKAGES:
        allowed, outside = PACKAGES[package]
        words = ", ".join(sorted(allowed | (outside or set())))
        others = ours(names, "harness", "strategies", "suites", "reports") - ours(names, package)
        found += [(other, words) for other in others - allowed]
        if outside is not None:
            foreign = {other.split(".")[0] for other in names} - set(sys.stdlib_module_names) - outside - {"harness", package}
            found += [(other, words) for other in foreign]
        if package == "reports":
            found += [(other, words) for other in ours(names, *HEAVY)]
    return [f"{name} imports {other}; it may import {allowed}" for other, allowed in sorted(found)]


@pytest.mark.parametrize("path", FILES, ids=module)
def test_imports_point_one_way(path: Path) -> None:
    assert faults(path) == []


def test_every_file_has_a_layer() -> None:
    """A new file of harness/ says where it stands, here."""
    known = {module(path).removeprefix("harness.") for path in FILES if module(path).startswith("harness.")}
    assert {name for name in known if not name.startswith(("score", "clean"))} <= set(LEVEL)


LIGHT = ["harness.cli", "harness.registry", "harness.plan", "harness.settings", "harness.strategy", "harness.describe"]
PAGE = ["harness.record", "harness.forgetting", "harness.statistics", "reports.page"]


@pytest.mark.parametrize("names", [LIGHT, PAGE], ids=["command line", "reports"])
def test_torch_is_loaded_where_work_starts(names: list[str]) -> None:
    code = f"import sys, {', '.join(names)}; print(*sorted({HEAVY} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_a_part_of_an_arm_is_built_by_who_imports_the_registry_alone() -> None:
    code = "from harness import plan, registry; print(registry.strategy(plan.Part('kl')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("KL("), done.stderr
