"""Conditions for continuous integration: `forgetting(general.bpb) < 0.02`, tested on a bound and never on a value.

    gate     = measure "(" scope "." unit [ "," arm ] ")" ( "<" | ">" ) number
    measure  = forgetting | adaptation | retention
    scope    = general | domain | a suite | a task
    unit     = bpb | points | bits | percent

`--fail-if` fails where the statement is shown: the two-sided 95 % interval lies wholly on its side. `--fail-unless` fails where
it is not shown: its one-sided 95 % bound is not on its side. They are the bounds by which the page says "forgotten" and "not
forgotten" (harness/statistics.py), so gate and page cannot disagree. What was not measured passes neither.
"""

import math
import re
from dataclasses import dataclass
from typing import Any

import pandas as pd

from harness.errors import InputError, did_you_mean
from harness.figures import WHOLE, role
from harness.forgetting import Study
from harness.frames import Frames

UNITS = {"forgetting": ("bpb", "points"), "adaptation": ("bpb", "points", "bits"), "retention": ("percent",)}
"""Measure -> what it is told in."""
NEEDS = {"forgetting": "keep", "adaptation": "gain", "retention": "keep"}
"""Measure -> what its tasks are scored for."""
SPELT = {"bpb": "bits per byte", "points": "points", "bits": "bits an answer", "percent": "%"}
EXAMPLE = "as in 'forgetting(general.bpb) > 0.02'"


@dataclass(frozen=True)
class Gate:
    """A statement about a figure, and whether it must be shown (`unless`) or must not (`if`)."""

    text: str
    unless: bool
    measure: str
    scope: str
    unit: str
    arm: str | None
    above: bool
    bound: float

    @property
    def flag(self) -> str:
        """What was typed before it."""
        return "--fail-unless" if self.unless else "--fail-if"

    @property
    def column(self) -> tuple[str, str]:
        """The bound that is tested: its column, and what it is called."""
        if self.unless:
            return ("lower", "one-sided 95 % lower bound") if self.above else ("upper", "one-sided 95 % upper bound")
        return ("low", "lower end of the 95 % interval") if self.above else ("high", "upper end of the 95 % interval")


@dataclass(frozen=True)
class Verdict:
    """What a gate says of an arm."""

    gate: Gate
    arm: str
    passed: bool
    why: str

    @property
    def line(self) -> str:
        """As it is printed."""
        return f"{'pass' if self.passed else 'FAIL'}  {self.gate.flag} {self.gate.text!r}  {self.arm}: {self.why}"


SHAPE = re.compile(r"\s*([^\s()]+)\s*\(([^()]*)\)\s*([^\w\s.+-]*)\s*(\S*)\s*")
"""Measure, what stands between the brackets, operator, number."""
LONGEST = 1000
"""Characters of a gate."""


def parse(text: str, unless: bool) -> Gate:
    """A gate as typed; InputError says what was found and what to type."""
    if len(text) > LONGEST:
        raise InputError(
            f"a gate of {len(text):,} characters ({text[:40]!r}...) is none; type a measure and a bound, {EXAMPLE}"
        )
    found = SHAPE.fullmatch(text)
    if not found:
        raise InputError(f"{text!r} is no gate; type a measure of something and a bound, {EXAMPLE}")
    measure, inside, operator, number = found.groups()
    if measure not in UNITS:
        raise InputError(f"unknown measure {measure!r} in {text!r}; {did_you_mean(measure, UNITS)}")
    of, *arms = (word.strip() for word in inside.split(","))
    if len(arms) > 1 or not all((of, *arms)):
        raise InputError(f"{text!r} is no gate; between the brackets stand a name with its unit and, behind a comma, an arm")
    scope, unit = _split(text, measure, of)
    if operator not in ("<", ">"):
        raise InputError(f"unknown operator {operator!r} in {text!r}; allowed are > and <")
    try:
        bound = float(number)
    except ValueError:
        raise InputError(f"{number!r} in {text!r} is no number; {EXAMPLE}") from None
    if not math.isfinite(bound):
        raise InputError(f"{number!r} in {text!r} bounds nothing; {EXAMPLE}")
    return Gate(text, unless, measure, scope, unit, arms[0] if arms else None, operator == ">", bound)


def _split(text: str, measure: str, of: str) -> tuple[str, str]:
    """Scope and unit; a name without a unit is refused, because bits are not points."""
    scope, dot, unit = (part.strip() for part in of.rpartition("."))
    allowed = UNITS[measure]
    whole = WHOLE[NEEDS[measure]]
    offered = " or ".join(f"{measure}({scope or of}.{each}) for {SPELT[each]}" for each in allowed)
    if not dot or not scope:
        raise InputError(f"{of!r} in {text!r} names no unit; type {offered}")
    if unit not in allowed:
        raise InputError(f"{measure} is not told in {unit!r} ({text!r}); type {offered}")
    if scope in WHOLE.values() and scope != whole:
        raise InputError(f"{measure} is not of what is called {scope} ({text!r}); type {whole}, a suite or a task")
    return scope, unit


def check(gate: Gate, frames: Frames) -> list[Verdict]:
    """What a gate says of every arm that it is about; an arm that was not measured does not pass."""
    study = frames.study
    _refuse_unknown(gate, study)
    arms = _arms(study) if gate.arm is None else [_chosen(study, gate.arm)]
    if not arms:
        return [Verdict(gate, "no arm", False, f"none competes with the control; name one, as in {_with_arm(gate, study)}")]
    return [_verdict(gate, frames, arm) for arm in arms]


def _with_arm(gate: Gate, study: Study) -> str:
    return f"'{gate.measure}({gate.scope}.{gate.unit}, {study.control or 'ARM'}) {'>' if gate.above else '<'} {gate.bound:g}'"


def _chosen(study: Study, arm: str) -> str:
    """An arm's name; of one with several settings that which was chosen."""
    return study.picks[arm].setting if arm in study.picks else arm


def _arms(study: Study) -> list[str]:
    """Arms that compete, those that were not trained included; of one with several settings the chosen one."""
    planned = list(study.record.plan.get("families") or dict.fromkeys(trial.name for trial in study.record.trials))
    return [arm for arm in dict.fromkeys(_chosen(study, name) for name in planned) if role(study, arm) == "arm"]


def _refuse_unknown(gate: Gate, study: Study) -> None:
    """Refuse names that the run does not have, and figures that cannot be had of them."""
    record = study.record
    names = {*(record.plan.get("families") or {}), *(trial.name for trial in record.trials)}
    if gate.arm is not None and gate.arm not in names:
        raise InputError(f"the run has no arm {gate.arm!r} ({gate.text!r}); {did_you_mean(gate.arm, names)}")
    if other := next((pick.setting for typed, pick in study.picks.items() if gate.arm in _settings(study, typed)), None):
        raise InputError(f"{gate.arm} is not the setting that was chosen ({gate.text!r}); type {other}")
    if gate.scope in WHOLE.values():
        return
    tasks = {name: facts for name, facts in record.tasks.items() if gate.scope in (name, facts["suite"])}
    if not tasks:
        known = {*WHOLE.values(), *record.tasks, *(facts["suite"] for facts in record.tasks.values())}
        raise InputError(f"the run scores no suite or task {gate.scope!r} ({gate.text!r}); {did_you_mean(gate.scope, known)}")
    fitting = [facts for facts in tasks.values() if facts["measures"] == NEEDS[gate.measure]]
    if not fitting:
        found = ", ".join(dict.fromkeys(facts["measures"] for facts in tasks.values()))
        raise InputError(
            f"{gate.measure} is of what measures {NEEDS[gate.measure]}, and {gate.scope} measures {found} ({gate.text!r})"
        )
    if not any((facts["metric"] == "bits_per_byte") == (gate.unit == "bpb") for facts in fitting):
        told = "bpb" if gate.unit != "bpb" else " or ".join(unit for unit in UNITS[gate.measure] if unit != "bpb")
        raise InputError(f"{gate.scope} is not told in {gate.unit} ({gate.text!r}), but in {told}")


def _settings(study: Study, typed: str) -> set[str]:
    """The settings of an arm that are not reported, because another of them was chosen."""
    planned = (study.record.plan.get("families") or {}).get(typed, ())
    return {*planned} - {typed, study.picks[typed].setting}


def _verdict(gate: Gate, frames: Frames, arm: str) -> Verdict:
    """Whether an arm passes, and why."""
    trials = [trial for trial in frames.study.record.trials if trial.name == arm]
    wanting = [f"seed {t.seed} {'failed' if t.status == 'failed' else 'is missing'}" for t in trials if t.status != "done"]
    if wanting:
        return Verdict(gate, arm, False, f"not finished ({', '.join(wanting)}), and what is not measured does not pass")
    found = _rows(gate, frames.figures, arm)
    if not found:
        return Verdict(gate, arm, False, f"nothing measures it: no task was scored, or the base is at chance in {gate.scope}")
    row = found[0]
    column, called = gate.column
    if pd.isna(row[column]):
        return Verdict(gate, arm, False, f"{_value(row)}: a single cluster gives no interval")
    shown = row[column] > gate.bound if gate.above else row[column] < gate.bound
    side = "above" if gate.above else "below"
    why = f"{_value(row)}, 95 % interval {row['low']:.4g} to {row['high']:.4g}; the {called}, {row[column]:.4g}, "
    why += f"{'lies' if shown else 'does not lie'} {side} {gate.bound:g}"
    return Verdict(gate, arm, shown == gate.unless, why)


def _rows(gate: Gate, figures: pd.DataFrame, arm: str) -> list[dict[str, Any]]:
    """The figure that is meant, first: of a suite before a task of its name, of what was not rehearsed before what was."""
    wanted = {"arm": arm, "measure": gate.measure, "unit": gate.unit, "against": "base"}
    wanted |= {"scope": gate.scope} if gate.scope in WHOLE.values() else {"name": gate.scope}
    found: Any = figures[(figures[list(wanted)] == pd.Series(wanted)).all(axis=1)]
    rows: list[dict[str, Any]] = found.to_dict("records")
    whole = [row for row in rows if row["scope"] not in WHOLE.values() or row["source"] != "same"]
    return sorted(whole, key=lambda row: (row["scope"] == "task", row["source"] == "same"))


def _value(row: dict[str, Any]) -> str:
    """A figure, what it is of, and what its interval contains."""
    who = "this checkpoint" if row["seeds"] == 1 else f"{row['seeds']} seeds"
    rehearsed = ", rehearsed" if row["source"] == "same" else ""
    return f"{row['value']:.4g} {SPELT[row['unit']]} ({who}, interval over {row['layers']}{rehearsed})"
