"""The columns of the frames that `harness.load` gives: what a row is, and what stands in it, in which unit.

docs/data.md is made from here. A number that is not known, or does not apply, is missing (NaN, an empty cell, null).
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

TEXT, NUMBER, COUNT, FLAG = "str", "float64", "Int64", "boolean"
Columns = Mapping[str, tuple[str, str]]
"""Name -> its type in pandas, and what it says."""


@dataclass(frozen=True)
class Frame:
    """A table: what one of its rows is, and its columns."""

    row: str
    columns: Columns

    def of(self, rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
        """Rows as a data frame with these columns, in this order and of these types."""
        found = pd.DataFrame(list(rows), columns=list(self.columns))
        found = found.astype({name: kind for name, (kind, _) in self.columns.items()})
        numbers = [name for name, (kind, _) in self.columns.items() if kind == NUMBER]
        return found.assign(**found[numbers].replace([math.inf, -math.inf], math.nan))  # pyright: ignore[reportArgumentType]


ARM: Columns = {"arm": (TEXT, "the arm as typed")}
ROLE: Columns = {"role": (TEXT, "control, old text alone (`old_only`), or arm: what competes")}
SEED: Columns = {"seed": ("Int64", "training seed")}
EVIDENCE: Columns = {
    "low": (NUMBER, "lower end of the two-sided 95 % interval; missing where a single cluster gives none"),
    "high": (NUMBER, "its upper end"),
    "lower": (NUMBER, "one-sided 95 % lower bound"),
    "upper": (NUMBER, "one-sided 95 % upper bound: below a margin, a change of that size is ruled out"),
    "p": (NUMBER, "two-sided p of the value against 0, not corrected"),
    "layers": (TEXT, "what the interval contains: items, seeds, or items and seeds"),
    "seeds": (COUNT, "trainings behind the value; with one it is of this checkpoint"),
    "n": (COUNT, "items"),
    "clusters": (COUNT, "groups of items that are not independent"),
}
FRAMES: dict[str, Frame] = {
    "claims": Frame(
        "an arm whose forgetting can be read",
        ARM
        | ROLE
        | {
            "answer": (TEXT, "forgotten, not forgotten, or not enough evidence"),
            "relation": (TEXT, "to the control: better, worse, trades, same or unsettled; empty for what does not compete"),
            "keeps": (TEXT, "more, as much, less or unclear, against the control's end"),
            "learns": (TEXT, "the same of what is learned"),
            "keeps_at_own": (TEXT, "the same of what is kept, against the control at the arm's own adaptation"),
            "p_keeps": (NUMBER, "p of the difference in what is kept, corrected by Holm over all comparisons of the page"),
            "p_keeps_at_own": (NUMBER, "the same at the arm's own adaptation"),
            "unit": (TEXT, "bpb, or points where no unrehearsed text was scored"),
            "margin": (NUMBER, "the change that does not matter, set before the run"),
            "forgetting": (NUMBER, "what is claimed on; above 0 is bad"),
            "forgetting_low": (NUMBER, "lower end of its two-sided 95 % interval"),
            "forgetting_high": (NUMBER, "its upper end"),
            "adaptation": (NUMBER, "above 0 is good"),
            "adaptation_low": (NUMBER, "lower end of its two-sided 95 % interval"),
            "adaptation_high": (NUMBER, "its upper end"),
            "adaptation_unit": (TEXT, "bpb or points"),
            "layers": EVIDENCE["layers"],
            "seeds": EVIDENCE["seeds"],
        },
    ),
    "figures": Frame(
        "an arm, measure, scope and unit, over all of the arm's seeds",
        ARM
        | ROLE
        | {
            "measure": (TEXT, "forgetting (above 0 is bad), adaptation (above 0 is good), retention, or avoided"),
            "against": (TEXT, "base, or control: the arm's value minus the control's, paired"),
            "scope": (TEXT, "general: all that is to be kept; domain: all that is to be learned; suite; task"),
            "name": (TEXT, "of the suite or task; empty for general and domain"),
            "source": (TEXT, "of what is to be kept: other than that of the old text, or the same (rehearsed)"),
            "unit": (TEXT, "bpb (bits per byte), points (of accuracy), bits (an answer), percent"),
            "value": (NUMBER, "in that unit, the mean over tasks with equal weights"),
        }
        | EVIDENCE,
    ),
    "tasks": Frame(
        "an arm, seed, task and set of items, as in results.csv; a trial that failed or is missing is a row that says so",
        ARM
        | SEED
        | {
            "suite": (TEXT, "its suite"),
            "task": (TEXT, "its name"),
            "measures": (TEXT, "keep, gain, probe or change"),
            "source": (TEXT, "of what is to be kept: same as the old text's, or other"),
            "metric": (TEXT, "the metric that counts"),
            "unit": (TEXT, "bits per byte, or share (of 1)"),
            "base": (NUMBER, "of the base"),
            "value": (NUMBER, "of the arm"),
            "change": (NUMBER, "value minus base, in the task's own direction"),
            "low": (NUMBER, "lower end of the change's 95 % interval, which contains items and not seeds"),
            "high": (NUMBER, "its upper end"),
            "items": (TEXT, "all, or test and validation apart where the plan keeps some for choosing"),
            "n": (COUNT, "items that were scored"),
            "pool": (COUNT, "items that the task has"),
            "clusters": EVIDENCE["clusters"],
            "flagged": (COUNT, "of the n, those that training text holds; missing where not looked for"),
            "change_unflagged": (NUMBER, "the change of the others"),
            "chance": (NUMBER, "expected accuracy by guessing"),
            "answer_bits_base": (NUMBER, "-log2 p of the right answer under the base, mean over items"),
            "answer_bits": (NUMBER, "the same under the arm"),
            "status": (TEXT, "done, failed or missing"),
            "error": (TEXT, "why it failed"),
        },
    ),
    "prices": Frame(
        "an arm and seed, finished or not",
        ARM
        | ROLE
        | SEED
        | {
            "status": (TEXT, "done, failed or missing"),
            "error": (TEXT, "why it failed"),
            "shared_with": (TEXT, "the arm whose training it was made from, without one of its own"),
            "new_tokens": (COUNT, "of new text, as read"),
            "tokens": (COUNT, "of all text, as read"),
            "setup_tokens": (COUNT, "that passed through a model before training, each pass counted"),
            "beside_tokens": (COUNT, "that passed through a model beside training"),
            "updates": (COUNT, "optimizer steps"),
            "rate_area": (NUMBER, "sum of learning rates over updates"),
            "flops": (NUMBER, "floating-point operations, set-up included"),
            "setup_flops": (NUMBER, "of these, before training"),
            "setup_seconds": (NUMBER, "wall time before training"),
            "train_seconds": (NUMBER, "wall time of the training"),
            "score_seconds": (NUMBER, "wall time of the scoring"),
            "peak_memory_bytes": (COUNT, "most memory that was held"),
            "stored_bytes": (COUNT, "bytes that the strategy keeps beside the model: reference weights, a Fisher, averages"),
            "trained_parameters": (COUNT, "weights that were trained"),
        },
    ),
    "items": Frame(
        "an item, arm and seed, in the unit that its task is scored in; and of choice questions once more in bits an answer",
        ARM
        | SEED
        | {
            "suite": (TEXT, "its suite"),
            "task": (TEXT, "its task"),
            "measures": (TEXT, "keep, gain, probe or change"),
            "source": (TEXT, "of what is to be kept: same as the old text's, or other"),
            "item": (TEXT, "identity within the task: what is paired"),
            "cluster": (COUNT, "equal within a task for items that are not independent"),
            "unit": (TEXT, "bits (of the whole text), right (1 or 0), or answer bits (-log2 p of the right answer)"),
            "weight": (NUMBER, "bytes of a text, else 1: a figure is sum of changes by sum of weights"),
            "before": (NUMBER, "of the base"),
            "after": (NUMBER, "of the arm"),
            "flagged": (FLAG, "whether training text holds the item; missing where not looked for"),
        },
    ),
    "trajectory": Frame(
        "an arm, seed, milestone and item that was asked there",
        ARM
        | SEED
        | {
            "update": (COUNT, "updates done"),
            "tokens": (COUNT, "tokens read"),
            "task": (TEXT, "its task"),
            "item": (TEXT, "identity within the task"),
            "cluster": (TEXT, "equal for items that are not independent"),
            "kind": (TEXT, "text, or answer"),
            "weight": (NUMBER, "bytes of a text, else 1"),
            "before": (NUMBER, "bits of the base: of the whole text, or of the right answer"),
            "after": (NUMBER, "bits at that milestone"),
        },
    ),
    "stages": Frame(
        "an arm of the last run, a model on its way (stage 0: the base), and the text of a stage; runs that follow each other",
        ARM
        | {
            "stage": (COUNT, "after which training: 0 is the base of the first run"),
            "run": (TEXT, "the run that trained it; empty for the base"),
            "text": (COUNT, "stage whose own held-out text is read"),
            "value": (NUMBER, "performance R: minus bits per byte, the mean over the arm's seeds; missing where not scored"),
            "seeds": EVIDENCE["seeds"],
        },
    ),
    "transfer": Frame(
        "an arm of the last run of several that follow each other; means over its seeds, in bits per byte, higher is better",
        ARM
        | {
            "seeds": EVIDENCE["seeds"],
            "ACC": (NUMBER, "mean of R over all stages' texts, after the last"),
            "BWT": (
                NUMBER,
                "backward transfer: after the last stage minus after its own, earlier texts; below 0 is loss",
            ),
            "FWT": (NUMBER, "forward transfer: before its own stage minus the base, later texts"),
            "F": (NUMBER, "Chaudhry's forgetting of earlier stages' texts: best before minus last, the base among the former"),
            "F_general": (NUMBER, "the same of unrehearsed text that is to be kept"),
            "ID": (NUMBER, "mean of R over each stage's own text, just after the stage"),
            "Bwd": (NUMBER, "mean of R over the texts of earlier stages, after every stage"),
            "Fwd": (NUMBER, "mean of R over the texts of stages still to come, after every stage"),
        },
    ),
}
"""Name -> the frame of that name."""
