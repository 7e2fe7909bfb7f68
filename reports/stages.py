"""What is left of every stage after the last one? Runs that follow each other: the matrix of stages, and what it says."""

import numpy as np

from harness import forgetting as fg
from harness.chained import MEASURES, Matrix
from harness.statistics import Estimate
from reports import words
from reports.section import Block, Cell, Section, Table, Text, Warnings

QUESTION = "What is left of every stage after the last one?"
NAMES = {
    "ACC": "ACC, all texts at the end",
    "BWT": "BWT, earlier texts since their stage",
    "FWT": "FWT, later texts before theirs",
}
NAMES |= {"F": "F, earlier texts below their best", "F_general": "F, unrehearsed general text below its best"}
NAMES |= {"ID": "ID, own texts just after their stage", "Bwd": "Bwd, earlier texts", "Fwd": "Fwd, texts still to come"}


def section(study: fg.Study) -> Section:
    """The measures of every arm of the last run, then its matrix."""
    record = study.record
    if not record.earlier:
        return Section("stages", QUESTION, "This run follows no other.")
    matrix = Matrix((*record.earlier, record))
    found = {arm: matrix.measures(arm) for arm in matrix.last}
    if not found:
        return Section("stages", QUESTION, "No arm of the last run has been trained and scored yet.", (run_table(matrix),))
    blocks: list[Block] = [run_table(matrix), measure_table(found)]
    blocks += [matrix_table(matrix, arm) for arm in matrix.last]
    if missing := tuple(matrix.missing()):
        blocks.append(Warnings(missing))
    blocks.append(
        Text("The other sections of this page are of the last run alone, whose base is what the run before it trained.")
    )
    return Section("stages", QUESTION, answer(found), tuple(blocks))


def answer(found: dict[str, dict[str, Estimate | None]]) -> str:
    """How far the text of earlier stages fell back, arm by arm; nobody is ranked, because no arm is tested against another."""
    known = {arm: value for arm, measures in found.items() if (value := measures["BWT"])}
    if not known:
        return "What later stages did to the text of earlier ones was not scored, so nothing can be said of it."
    changes = words.listing([f"{_said(value)} under {arm}" for arm, value in known.items()])
    single = any(value.seeds == 1 for value in known.values())
    whose = "; with one seed this is of these checkpoints" if single else ""
    return f"Since their own stages, earlier texts changed by {changes} (bits per byte, below 0 is forgetting{whose})."


def _said(found: Estimate) -> str:
    return words.amount(found.value, "text", True)


def run_table(matrix: Matrix) -> Table:
    """The stages in their order, and what each handed on."""
    handed = [f"{trial.name}, seed {trial.seed}" for trial in matrix.path]
    names = [", ".join(text.task for text in texts) or words.NOTHING for texts in matrix.texts]
    rows = tuple(
        (str(place), str(record.folder), name, handed[place - 1] if place <= len(handed) else "its arms, below")
        for place, (record, name) in enumerate(zip(matrix.records, names, strict=True), 1)
    )
    return Table(
        "The stages, each on what the one before it handed on", ("stage", "run", "its own text", "handed on"), rows, words=4
    )


def measure_table(found: dict[str, dict[str, Estimate | None]]) -> Table:
    """ACC, BWT, FWT and F of every arm."""
    shown = [name for name in MEASURES if any(measures[name] for measures in found.values())]
    rows = tuple((arm, *(_cell(measures[name]) for name in shown)) for arm, measures in found.items())
    caption = (
        "Minus bits per byte, so that higher is better, but for F, where lower is; t intervals over seeds of the last stage "
        "below, which say nothing of other seeds of the stages before it. F takes the best of noisy models and so lies high."
    )
    return Table(caption, ("arm", *(NAMES[name] for name in shown)), rows, wide=True)


def _cell(found: Estimate | None) -> Cell | str:
    if found is None:
        return words.NOTHING
    under = "one seed, this checkpoint" if found.seeds == 1 else words.between(found, "text", True)
    return Cell(words.amount(found.value, "text", True), under=under)


def matrix_table(matrix: Matrix, arm: str) -> Table:
    """R of an arm: after which stage, on whose text; the mean over its seeds."""
    stages = [matrix.stages(arm, seed).scores for seed in matrix.last[arm]]
    mean = np.mean(stages, axis=0)
    rows = tuple(
        ("the base" if stage == 0 else f"after stage {stage}", *(words.amount(float(value), "text") for value in line))
        for stage, line in enumerate(mean)
    )
    head = ("", *(f"text of stage {place}" for place in range(1, len(matrix.records) + 1)))
    return Table(f"R of {arm}: minus bits per byte, after each stage (rows) on the text of each", head, rows)
