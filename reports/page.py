"""A run folder to one page: report.html opens from disk, asks no network, and runs no script but its own two.

Everything from models, data, plugins and paths is text: escaped by the template, cleaned of marks that turn lines around, and
shut out of execution by a policy that names the digests of the two scripts.
"""

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from harness import choosing, files, record, sensitive
from harness.forgetting import Study
from reports import (
    arms,
    copy,
    corpora,
    data,
    drift,
    elsewhere,
    figure,
    items,
    prompts,
    provenance,
    stages,
    suites,
    sweeps,
    tasks,
    tradeoff,
    training,
    trajectories,
    verdict,
    words,
)
from reports.section import Cell

SECTIONS = (
    *(verdict, stages, tradeoff, arms, suites, tasks, corpora, trajectories, drift, items, prompts, training, data),
    *(sweeps, provenance, copy),
)
TEMPLATE = Path(__file__).parent / "template"


def write(folder: Path, shown: bool = False) -> Path:
    """Write report.html of a run folder, finished or not, and return its path; `shown`: with sensitive texts that it kept."""
    path = folder / "report.html"
    files.write_text(path, render(Study(record.read(folder), shown=shown)))
    return path


def render(study: Study) -> str:
    """The page's HTML."""
    scripts = [plotly(), (TEMPLATE / "page.js").read_text(encoding="utf-8")]
    return (
        environment()
        .get_template("page.html.j2")
        .render(
            title=title(study),
            status=status(study),
            notice=sensitive.notice(study),
            facts=facts(study),
            sections=[module.section(study) for module in sections(study)],
            marks=figure.marks(study),
            legend=study.arms,
            style=Markup((TEMPLATE / "page.css").read_text(encoding="utf-8")),
            scripts=[Markup(script) for script in scripts],
            policy=policy(scripts),
        )
    )


def sections(study: Study) -> list[Any]:
    """The questions that the run can answer: of models trained elsewhere, none about how."""
    kept = [each for each in SECTIONS if each is not stages or study.record.earlier]
    if not elsewhere.is_elsewhere(study):
        return kept
    left = {trajectories: "trajectory", drift: "drift"}
    absent = [each for each, name in left.items() if not any(len(getattr(t, name)) for t in study.record.trials)]
    return [each for each in kept if each not in (training, sweeps) and each not in absent]


def environment() -> jinja2.Environment:
    """Escaping on for every file name, undefined names an error, every string cleaned where it is printed."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: words.clean(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"embedded": embedded, "ranked": ranked, "tied": lambda text: text.replace(" %", "\u00a0%")}
    return made


def ranked(value: str | Cell) -> Markup:
    """The attribute by which a table's cell is sorted: its value, or the number that its words begin with."""
    given = None if isinstance(value, str) else value.value
    found = words.number(value if isinstance(value, str) else value.text) if given is None else given
    return Markup("" if found is None else f' data-value="{found:.9g}"')


def embedded(value: Any) -> Markup:
    """JSON that cannot end its own script block."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


@cache
def plotly() -> str:
    """plotly.js as it is inlined, once a page."""
    from plotly.offline import get_plotlyjs

    return get_plotlyjs().replace("\r\n", "\n").replace("\r", "\n")


def policy(scripts: list[str]) -> str:
    """No network at all, and no script but these."""
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def title(study: Study) -> str:
    """The page's question, with the names of base and text."""
    plan = study.record.plan
    if elsewhere.is_elsewhere(study):
        return elsewhere.title(_last(plan["base"].get("name") or "the base"))
    new = ((plan.get("sources") or {}).get("new") or {}).get("name", "new text")
    return f"What does {_last(plan['base'].get('name') or 'the base')} forget while it learns {_last(new)}?"


def _cost(study: Study) -> str:
    """Wall time and FLOPs of all that was trained and scored."""
    seconds = sum(float(s) for t in (study.record.base, *study.done) for s in (t.facts.get("seconds") or {}).values())
    flops = sum(float(t.facts.get("flops") or 0) for t in study.done)
    return ", ".join([words.duration(seconds), *([words.quantity(flops, "FLOP")] if flops else [])]) if seconds else ""


def runs(study: Study) -> tuple[str, str]:
    """The run folder's name; of several runs on one page, and of runs that follow each other, all of them."""
    given = study.record.plan.get("runs") or [each.folder for each in (*study.record.earlier, study.record)]
    names = [Path(each).resolve().name for each in given]
    return ("run" if len(names) == 1 else "runs", (", then " if study.record.earlier else ", ").join(names))


def _size(base: Mapping[str, Any]) -> list[str]:
    return [f"{words.count(base['parameters'])} parameters"] if base.get("parameters") else []


def _last(name: str) -> str:
    """The last part of a path or hub name; the whole of it stands under provenance."""
    return str(name).rstrip("/").rpartition("/")[2] or str(name)


def status(study: Study) -> tuple[str, str]:
    """Complete or partial, and the count behind it."""
    counts = Counter(trial.status for trial in study.record.trials)
    total = len(study.record.trials)
    what, done = ("model", "") if elsewhere.is_elsewhere(study) else ("trial", "finished and ")
    going = choosing.searching(study.record.plan)
    if counts["done"] == total and study.record.base.status == "done" and not going:
        return "complete", f"Complete: {words.several(total, what)} {done}scored."
    parts = [_counted(study, kind) for kind in ("done", "failed", "missing") if counts[kind]]
    base = "" if study.record.base.status == "done" else "; the base has not been scored"
    what = "model" if elsewhere.is_elsewhere(study) else "training"
    search = "; the search is not over" if going else ""
    return "partial", f"Partial: of {words.several(total, what)}, {words.listing(parts)}{base}{search}."


def _counted(study: Study, kind: str) -> str:
    """How many trials stand so, and which where that is told in a few words."""
    names = [f"{trial.name} (seed {trial.seed})" for trial in study.record.trials if trial.status == kind]
    return f"{len(names)} {kind}" + (f": {words.listing(names)}" if kind != "done" and len(names) <= NAMED else "")


NAMED = 3
"""Trials that failed or are missing that the status names."""


def facts(study: Study) -> list[tuple[str, str]]:
    """What identifies the run, at a glance."""
    plan = study.record.plan
    budget: Mapping[str, Any] = plan.get("budget") or {}
    tokens = budget.get("steps", 0) * budget.get("batch", 0) * budget.get("length", 0)
    about = [
        runs(study),
        ("base", ", ".join([_last(plan["base"].get("name") or "unnamed"), *_size(plan["base"])])),
        ("digest of the base", str(study.record.base.facts.get("digest") or plan["base"].get("digest") or "")[:12]),
        ("harness", str((plan.get("versions") or {}).get("forgetting-harness") or "")),
    ]
    made = ("made", str(plan.get("created") or "")[:10])
    if elsewhere.is_elsewhere(study):
        return [*about, *elsewhere.facts(study), made]
    found = [
        *about,
        ("training", f"{words.count(tokens)} tokens in {budget.get('steps', '?')} steps"),
        ("seeds", words.listing([str(seed) for seed in plan["seeds"]])),
        ("old text", ((plan.get("sources") or {}).get("old") or {}).get("name") or "none"),
        ("cost", _cost(study)),
        made,
    ]
    return [(name, value) for name, value in found if value]
