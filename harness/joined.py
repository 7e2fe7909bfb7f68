"""Several runs as one, where they are comparable: what differs otherwise is named, and nothing is compared.

An arm under other seeds joins as seeds. A trial that stands in two runs is taken once, where it is the same training.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import pandas as pd

from harness.errors import InputError
from harness.record import Record, Result

OPTIONS = {"margin": "margins", "limit": "limits", "items": "items", "scored_at": "scored checkpoints", "length": "windows"}
"""Options of a plan that decide what its figures mean, and what they are called."""
HASHES = ("document_hash", "prompt_hash", "target_hash")


def join(records: Sequence[Record]) -> Record:
    """Runs as one record; the first run's folder, and the first base that was scored, stand for all."""
    first = records[0]
    if len(records) == 1:
        return first
    for one, other in combinations(records, 2):
        if why := next(_differences(one, other), None):
            raise InputError(f"{one.folder} and {other.folder} cannot stand on one page: {why}")
    common = [task for task in first.tasks if all(task in record.tasks for record in records)]
    trials = _trials([_reading(record, common) for record in records])
    scored = next((record for record in records if record.base.status == "done"), first)
    base = _only(scored.base, scored, common)
    return replace(first, plan=_plan(records, common, trials), base=base, trials=tuple(trials))


def _reading(record: Record, common: Sequence[str]) -> Record:
    """A run whose trials are read on the common tasks alone."""
    return replace(record, trials=tuple(_only(trial, record, common) for trial in record.trials))


def _only(result: Result, record: Record, common: Sequence[str]) -> Result:
    return replace(result, without=frozenset(record.tasks) - frozenset(common))


def _trials(records: Sequence[Record]) -> list[Result]:
    """Every trial once, in the order of the runs; a finished one before one that is not."""
    found: dict[tuple[str, int | None], Result] = {}
    for trial in (trial for record in records for trial in record.trials):
        before = found.get((trial.name, trial.seed))
        if before is None or before.status != "done":
            found[trial.name, trial.seed] = trial if before is None or trial.status != "missing" else before
    return list(found.values())


def _plan(records: Sequence[Record], common: Sequence[str], trials: Sequence[Result]) -> dict[str, Any]:
    """The first plan with the arms, seeds and commands of all, and what a reader must know of them."""
    plans = [record.plan for record in records]
    first = plans[0]
    both: dict[str, Any] = {
        name: {key: value for plan in reversed(plans) for key, value in (plan.get(name) or {}).items()}
        for name in ("strategies", "trainings", "suites", "suite_notes")
    }
    families = [plan.get("families") or {} for plan in plans]
    both["families"] = {
        arm: list(dict.fromkeys(name for each in families for name in each.get(arm, ())))
        for arm in dict.fromkeys(arm for each in families for arm in each)
    }
    commands = [plan.get("commands") or [plan.get("command")] for plan in plans]
    left = [trial.folder for trial in trials if trial.status != "done"]
    partial = [any(folder.is_relative_to(record.folder) for folder in left) for record in records]
    models = [model for plan in plans for model in plan.get("models") or ()]
    return {
        **first,
        **{name: value for name, value in both.items() if value},
        **({"models": models} if models else {}),
        "arms": list(dict.fromkeys(arm for plan in plans for arm in plan["arms"])),
        "seeds": sorted({seed for plan in plans for seed in plan["seeds"]}),
        "tasks": {task: first["tasks"][task] for task in common},
        "prompts": list(dict.fromkeys(prompt for plan in plans for prompt in plan.get("prompts") or ())),
        "commands": [command for each in commands for command in each if command],
        "resume": [each[-1] for each, more in zip(commands, partial, strict=True) if more and each[-1]],
        "notes": list(dict.fromkeys(note for plan in plans for note in plan.get("notes") or ())),
        "runs": [str(record.folder) for record in records],
        "joined": list(_told(records, common)),
    }


def _told(records: Sequence[Record], common: Sequence[str]) -> Iterator[str]:
    """What a reader of several runs on one page must know."""
    names = ", ".join(str(record.folder) for record in records)
    yield f"This page is of {len(records)} runs: {names}."
    for record in records:
        if left := [task for task in record.tasks if task not in common]:
            yield f"Not all of the runs were scored on {', '.join(left)} of {record.folder}: left out here."
    versions = [record.plan.get("versions") or {} for record in records]
    for name in versions[0]:
        if len(had := dict.fromkeys(str(each.get(name)) for each in versions)) > 1:
            yield f"The runs were made with different {name} ({', '.join(had)}): their arms may differ by that too."
    sizes = dict.fromkeys(str(record.plan.get("micro_batch")) for record in records)
    if len(sizes) > 1:
        yield f"The runs were made with different micro-batches ({', '.join(sizes)} rows): their arms differ by rounding too."


def _differences(one: Record, other: Record) -> Iterator[str]:
    """Why two runs are not comparable, the most telling first."""
    yield from _of_bases(one.plan, other.plan)
    yield from _of_texts(one.plan, other.plan)
    for section, name in (("budget", "budget"), ("engine", "arithmetic")):
        yield from _of_values(f"their {name} differs", one.plan.get(section) or {}, other.plan.get(section) or {})
    yield from _of_conventions(one.plan, other.plan)
    yield from _of_tasks(one, other)
    yield from _of_arms(one, other)


def _of_bases(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[str]:
    if ("models" in one) != ("models" in other):
        yield "the arms of one were trained there, the models of the other elsewhere; a page of each shows both"
    first, second = one["base"], other["base"]
    if first.get("digest") != second.get("digest"):
        yield f"their bases differ, {_base(first)} and {_base(second)}; every difference is taken against one base"
    if first.get("tokenizer") != second.get("tokenizer"):
        yield f"their tokenizers differ ({_short(first.get('tokenizer'))} and {_short(second.get('tokenizer'))}) on one base"


def _base(facts: Mapping[str, Any]) -> str:
    return f"{facts.get('name') or 'unnamed'} ({_short(facts.get('digest'))})"


def _of_texts(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[str]:
    first, second = one.get("sources") or {}, other.get("sources") or {}
    for role in dict.fromkeys([*first, *second]):
        here, there = first.get(role), second.get(role)
        if here is None or there is None:
            yield f"one has {role} text, {(here or there or {})['name']}, and the other has none"
        elif here["key"] != there["key"]:
            same = "of one name, with other contents or splits, " if here["name"] == there["name"] else ""
            yield f"their {role} text differs: {same}{_text(here)} and {_text(there)}"


def _text(facts: Mapping[str, Any]) -> str:
    return f"{facts['name']} ({facts['key'][-12:]})"


def _of_values(what: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[str]:
    for key in dict.fromkeys([*one, *other]):
        if one.get(key) != other.get(key):
            yield f"{what}: {str(key).replace('_', ' ')} {_spelt(one.get(key))} and {_spelt(other.get(key))}"


def _of_conventions(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[str]:
    yield from _of_values("what their arms share differs", {"equal": one.get("equal")}, {"equal": other.get("equal")})
    for option, name in OPTIONS.items():
        first, second = ((plan.get("options") or {}).get(option) or None for plan in (one, other))
        if first != second:
            yield f"their {name} differ: {_spelt(first)} and {_spelt(second)}"
    if _control(one) != _control(other):
        yield f"their controls differ: {_control(one) or 'none'} and {_control(other) or 'none'}"
    for how in ("sweep", "match"):
        yield from _of_values(f"how settings were chosen ({how}) differs", one.get(how) or {}, other.get(how) or {})
    if bool(one.get("shown")) != bool(other.get("shown")):
        yield "one keeps sensitive texts (--show-text), and the other withholds them"


def _control(plan: Mapping[str, Any]) -> str:
    return plan["control"] if "control" in plan else plan["arms"][0]


def _of_tasks(one: Record, other: Record) -> Iterator[str]:
    """Tasks that both have must be one task: the same question, metric and items."""
    common = [task for task in one.tasks if task in other.tasks]
    if not common:
        yield "no task was scored in both; give both the same --suites"
    for task in common:
        first, second = ({k: v for k, v in record.tasks[task].items() if k != "about"} for record in (one, other))
        yield from _of_values(f"the task {task} differs", first, second)
    if one.base.status == other.base.status == "done":
        here, there = (
            record.base.scores.drop_duplicates(["task", "item"]).set_index(["task", "item"]) for record in (one, other)
        )
        for task in common:
            yield from _of_items(task, *(rows.loc[[task]] if task in rows.index else rows.iloc[:0] for rows in (here, there)))


def _of_items(task: str, here: pd.DataFrame, there: pd.DataFrame) -> Iterator[str]:
    if len(here) != len(there) or not here.index.isin(there.index).all():
        yield f"the task {task} was scored on other items ({len(here):,} and {len(there):,})"
        return
    there = there.loc[here.index]
    for column in (*HASHES, "split"):
        if here[column].tolist() != there[column].tolist():
            yield f"the items of the task {task} are not the same: they differ in {column.replace('_', ' ')}"


def _of_arms(one: Record, other: Record) -> Iterator[str]:
    """An arm of both must be one way to train, and a trial of both one training."""
    for arm in (arm for arm in one.plan["arms"] if arm in other.plan["arms"]):
        for section in ("strategies", "trainings"):
            first, second = ((record.plan.get(section) or {}).get(arm) or {} for record in (one, other))
            yield from _of_values(f"the arm {arm} is not the same in both", _flat(first), _flat(second))
    there = {(trial.name, trial.seed): trial for trial in other.trials}
    for trial in one.trials:
        twin = there.get((trial.name, trial.seed))
        made = ("fingerprint", "weights") if "models" in one.plan else ("fingerprint",)
        if twin and trial.facts and twin.facts and any(trial.facts.get(key) != twin.facts.get(key) for key in made):
            rows = " and ".join(str(record.plan.get("micro_batch")) for record in (one, other))
            yield f"{trial.name}, seed {trial.seed}, stands in both and is not the same training (micro-batches {rows})"


def _flat(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of an arm, those of its parts by name."""
    found: dict[str, Any] = {}
    for key, value in facts.items():
        found |= {f"{key} {name}": each for name, each in value.items()} if isinstance(value, Mapping) else {key: value}
    return found


def _short(value: Any) -> str:
    return str(value)[:8] if value else "unknown"


def _spelt(value: Any) -> str:
    return "none" if value is None else "on" if value is True else "off" if value is False else f"{value}"[:60]
