"""What a preparation took, step by step: figures for the note beside the output, and as a table to read or paste.

Tokens are those of a document as it stood when a step took it, or as it was written; so what is taken and what is kept add up
to what came in. What cleaners change is counted in documents and characters.
"""

from typing import Any

import numpy as np

from harness import __version__
from harness.clean_told import typed
from harness.prepare_job import Job
from harness.prepare_work import Progress

Array = np.ndarray[Any, Any]
KINDS = [f"{kind} {where}" for kind in ("exact", "near") for where in ("within", "across")]
FIELDS = ("taken", "tokens", "changed", "characters")
HEAD = ("step", "documents in", "taken", "share", "tokens in", "taken", "share", "given, and what else it did")


def report(job: Job, progress: Progress, facts: Array) -> dict[str, Any]:
    """All that the note holds but the digest of the output; `facts` of the documents that are kept."""
    counts = progress.counts
    kept = {"documents": len(facts), "tokens": int(facts["tokens"].sum())}
    taken = sum(counts[f"{step.name} tokens"] for step in job.recipe.steps)
    found = {"documents": counts["in documents"], "characters": counts["in characters"], "tokens": kept["tokens"] + taken}
    sources = []
    for number, source in enumerate(progress.known["sources"]):
        own = facts["tokens"][facts["source"] == number]
        sources.append(source | {"kept_documents": len(own), "kept_tokens": int(own.sum())})
    return {
        "harness": __version__,
        "key": job.key,
        "output": job.output.name,
        "sources": sources,
        "limit": job.limit,
        "recipe": {"name": job.recipe.name, "about": job.recipe.about, "sensitive": job.sensitive},
        "tokenizer": job.counted_by,
        "in": found,
        "steps": _steps(job, progress, found),
        "kept": kept,
        "marks": dict(sorted(progress.marks.items())),
        "examples": progress.examples,
    }


def _steps(job: Job, progress: Progress, left: dict[str, int]) -> list[dict[str, Any]]:
    """A row a step, in their order: what reached it and what it took."""
    counts, rows, (documents, tokens) = progress.counts, [], (left["documents"], left["tokens"])
    for step in job.recipe.steps:
        of = {field: counts[key] for field in (*FIELDS, *KINDS) if (key := f"{step.name} {field}") in counts}
        row = {"step": step.name, "kind": step.kind, "given": dict(step.given), "parameters": step.values}
        row |= {"documents": documents, "tokens": tokens}
        row |= {"taken": of.pop("taken", 0), "taken_tokens": of.pop("tokens", 0), **of}
        documents, tokens = documents - row["taken"], tokens - row["taken_tokens"]
        rows.append(row)
    return rows


def markdown(note: dict[str, Any]) -> str:
    """The table as it can be pasted into a page."""
    kept, told = note["kept"], "; ".join(f"{source['name']}: {source['kept_documents']:,}" for source in note["sources"])
    rows = [HEAD, *(_cells(row) for row in note["steps"])]
    rows.append(("kept", f"{kept['documents']:,}", "", "", f"{kept['tokens']:,}", "", "", told))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    ruler = [f"{'-' * (width - 1)}:" if 0 < i < 7 else "-" * width for i, width in enumerate(widths)]
    lines = [
        " | ".join(_padded(i, cell, width) for i, (cell, width) in enumerate(zip(row, widths, strict=True))) for row in rows
    ]
    lines = [f"| {line.rstrip()} |" for line in (lines[0], " | ".join(ruler), *lines[1:])]
    marks = ", ".join(f"{count:,} {name}" for name, count in note["marks"].items()) or "none"
    said = f"{note['in']['characters']:,} characters came in; tokens are those of {note['tokenizer']}; marks put in: {marks}."
    return "\n".join([*lines, "", said])


def _padded(column: int, cell: str, width: int) -> str:
    """Figures to the right; the last column is as long as it is."""
    return f"{cell:>{width}}" if 0 < column < 7 else cell if column == 7 else f"{cell:{width}}"


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    documents, taken, tokens, taken_tokens = (row[name] for name in ("documents", "taken", "tokens", "taken_tokens"))
    figures = (f"{documents:,}", f"{taken:,}", _share(taken, documents), f"{tokens:,}", f"{taken_tokens:,}")
    return (f"`{row['step']}`", *figures, _share(taken_tokens, tokens), _told(row))


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else ""


def _told(row: dict[str, Any]) -> str:
    """What else is known of a step."""
    told = [f"{key} {typed(value)}" for key, value in row["given"].items()]
    if "changed" in row:
        told.append(f"{row['changed']:,} documents changed, {row['characters']:,} characters fewer")
    told += [f"{row[kind]:,} {kind} sources" for kind in KINDS if row.get(kind)]
    return "; ".join(told)


def examples(note: dict[str, Any]) -> list[str]:
    """A few of what each step took, a line each."""
    lines = []
    for row in note["steps"]:
        for one in note["examples"].get(row["step"], []):
            like = f", like {one['like']}" if "like" in one else ""
            lines.append(f"{row['step']} took {one['id']} ({one['characters']:,} characters{like}): {one['text']}")
    return lines
