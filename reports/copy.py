"""Which numbers can I take with me? The page's own data as CSV and JSON, where the items lie, and how to cite this."""

from collections.abc import Mapping

import pandas as pd

from harness import __version__
from harness import forgetting as fg
from harness.columns import FRAMES
from harness.frames import Frames, small
from reports import exports, words
from reports.section import Block, Code, Copy, Section, Table, Text

QUESTION = "Which numbers can I take with me?"
LARGE = ("tasks",)
"""Frames that are given once, as CSV."""
DIGITS = 6


def section(study: fg.Study) -> Section:
    """The small frames, the files of the run folder, a line for a notebook, a line for a bibliography."""
    made = Frames(study)
    found = {name: rounded(frame) for name, frame in small(made)}
    copies: list[Block] = [
        Copy(f"{name}.csv", f"{words.several(len(frame), 'row')}: {FRAMES[name].row}", exports.csv(frame))
        for name, frame in found.items()
    ]
    if found:
        whole = {name: frame for name, frame in found.items() if name not in LARGE}
        told = f"{words.listing(list(whole))}, for programs"
        copies.append(Copy("run.json", told, exports.dumped(exports.described(made, whole), indent=None)))
    blocks = (
        *copies,
        Text(f"Numbers have {DIGITS} digits here; harness report --format csv|json and harness.load give all of them."),
        files(study),
        Code("In a notebook", f"import harness\nrun = {made.name}\nrun.figures"),
        Code("To cite the program and this run", citation(study)),
    )
    return Section("copy", QUESTION, answer(study, found), blocks)


def rounded(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame whose numbers have DIGITS digits: enough to read, and half the page."""
    numbers = frame.select_dtypes("float64")
    return frame.assign(**numbers.map(lambda value: float(f"{value:.{DIGITS}g}")))  # pyright: ignore[reportArgumentType]


def answer(study: fg.Study, found: Mapping[str, pd.DataFrame]) -> str:
    """What is here, and what lies elsewhere."""
    items = sum(len(sample.items) for sample in study.samples.values())
    trials = len(study.done)
    lie = (
        f"the rows of {words.several(items, 'item')} under the base and {words.several(trials, 'trial')} lie in the run folder"
    )
    if not found:
        return f"None yet; {lie}."
    return f"All figures of this page stand below as CSV and JSON ({words.listing(list(found))}); {lie}."


def files(study: fg.Study) -> Table:
    """Where the rows lie behind every number, below the run folder."""
    suites = words.listing(list(dict.fromkeys(facts["suite"] for facts in study.record.tasks.values())))
    rows = (
        ("base/scores/<suite>.parquet", f"every item of the base: log-likelihoods, choice, hashes; suites {suites}"),
        ("<arm>/seed-<n>/scores/<suite>.parquet", "the same items after training"),
        ("<arm>/seed-<n>/trajectory.parquet", "a few fixed items at milestones of the training"),
        ("<arm>/seed-<n>/training.jsonl", "loss, terms, norms and rates, a line an update"),
        ("contamination.parquet", "which items stand in which training text"),
        ("results.csv", "one row an arm, seed and task"),
        ("plan.yaml", "all that was asked, resolved, with versions and digests"),
    )
    return Table("Where the rows behind these numbers lie, below the run folder", ("file", "what it holds"), rows, words=2)


def citation(study: fg.Study) -> str:
    """BibTeX of the program in this version, and which run is meant; digits and hexadecimals alone come from the run."""
    plan = study.record.plan
    year = "".join(character for character in str(plan.get("created") or "")[:4] if character.isdigit())
    digests = [str(plan.get("fingerprint", ""))[:16], str(plan["base"].get("digest", ""))[:16]]
    mark, base = ("".join(c for c in each if c in "0123456789abcdef") for each in digests)
    lines = ["@software{forgetting_harness,", "  title   = {The forgetting harness},", f"  version = {{{__version__}}},"]
    lines += [f"  year    = {{{year}}},"] if year else []
    return "\n".join([*lines, f"  note    = {{run of plan {mark} on base {base}}}", "}"])
