"""A plan and the run folder that it goes into: what is stored, what must agree, and how a run grows."""

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.corpus import Corpus
from harness.errors import InputError, RecordError
from harness.files import read_json
from harness.plan import Trial
from harness.record import read_plan
from harness.resolve import Ready
from harness.sources import parts as parts_of
from harness.strategy import overrides, parts
from harness.suite import Suite

CHANGED = "between two commands of this run, what computes it changed:"


def stored_plan(ready: Ready, command: str) -> dict[str, Any]:
    """plan.yaml: the plan, resolved, with what a report needs to know of its tasks."""
    plan = ready.plan
    return {
        "fingerprint": plan.fingerprint(),
        "command": command,
        "commands": [command],
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "arms": [arm.name for arm in plan.arms],
        **({"families": {arm: list(names) for arm, names in plan.families.items()}} if plan.families else {}),
        **({} if plan.kept is None else {"tried": [arm.name for arm in plan.arms if not plan.keeps(arm)]}),
        **{how: dict(facts) for how, facts in plan.chosen_by.items()},
        "seeds": list(plan.seeds),
        "base": dict(plan.base),
        "sources": {name: _source(source, ready.corpora[name]) for name, source in plan.sources.items()},
        "budget": {key: value for key, value in asdict(plan.budget).items() if key != "engine"},
        "engine": asdict(plan.budget.engine),
        "strategies": {
            arm: {f"{i} {part['name']}": {k: v for k, v in part.items() if k != "name"} for i, part in enumerate(found, 1)}
            for arm, found in plan.strategies.items()
        },
        "equal": plan.equal,
        "trainings": {arm.name: _training(ready, arm.name) for arm in plan.arms},
        **described(ready.suites),
        "prompts": list(prompts(ready)),
        "notes": list(plan.notes),
        "versions": dict(plan.versions),
        "micro_batch": plan.micro_batch,
        "plugins": list(plan.plugins),
        "options": {key: value for key, value in plan.options.items() if value and key != "show_text"},
    }


def _source(facts: Mapping[str, Any], corpus: Corpus) -> dict[str, Any]:
    """What is stored of a text: with what a reader is told of it and no result depends on."""
    found = {**facts, "about": corpus.about, "licence": corpus.licence, "notes": list(corpus.notes)}
    if "parts" in facts:
        found["parts"] = [_source(each, part) for each, part in zip(facts["parts"], parts_of(corpus), strict=True)]
    return found


def described(suites: Iterable[Suite]) -> dict[str, Any]:
    """What a report needs to know of suites and their tasks."""
    suites = list(suites)
    tasks = {
        task.name: {
            "suite": suite.name,
            "measures": task.measures,
            "metric": task.metric,
            "chance": task.chance,
            "source": task.source,
            "higher_is_better": task.higher_is_better,
            "about": task.about,
            "sensitive": suite.sensitive or task.sensitive,
        }
        for suite in suites
        for task in suite.tasks
    }
    return {
        "suites": {suite.name: suite.key for suite in suites},
        "tasks": tasks,
        "suite_notes": {suite.name: suite.note for suite in suites if suite.note},
        "sensitive": [suite.name for suite in suites if suite.sensitive],
        "shown": any(suite.shown for suite in suites),
    }


def _training(ready: Ready, arm: str) -> dict[str, Any]:
    """How an arm is trained: its multiple of the peak rate, its updates, and what a reader must know of it."""
    plan, strategy = ready.plan, ready.strategies[arm]
    return {
        "lr": plan.rates[arm],
        "updates": plan.steps[arm],
        "controls": list(plan.controls.get(arm, ())),
        "needs": list(strategy.needed()),
        "weighs": overrides(strategy, "weigh"),
        "experimental": any(part.experimental for part in parts(strategy)),
    }


def prompts(ready: Ready) -> tuple[str, ...]:
    """The prompts that base and arms complete: the user's own, and those of suites that are not sensitive."""
    suites = [suite for suite in ready.suites if not suite.sensitive]
    return tuple(dict.fromkeys([*ready.plan.prompts, *(prompt for suite in suites for prompt in suite.prompts)]))


def merged(folder: Path, plan: dict[str, Any]) -> dict[str, Any]:
    """The plan with the arms, seeds and commands that the folder already holds: a run grows, it never forgets an arm."""
    if not (folder / "plan.yaml").is_file():
        return plan
    before = read_plan(folder)
    return plan | {
        "created": before["created"],
        "commands": [*(command for command in before["commands"] if command != plan["command"]), plan["command"]],
        "arms": plan["arms"] + [arm for arm in before["arms"] if arm not in plan["arms"]],
        "seeds": sorted({*plan["seeds"], *before["seeds"]}),
        **_families(before, plan),
        "strategies": {**before["strategies"], **plan["strategies"]},
        "trainings": {**before.get("trainings", {}), **plan["trainings"]},
        "notes": [*plan["notes"], *_other_versions(before, plan)],
    }


def _families(before: Mapping[str, Any], plan: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of every arm, with those that earlier commands swept or searched; of these, what was only tried."""
    if "families" not in plan:
        return {}
    arms = {**before["families"], **plan["families"]}
    found = {arm: list(dict.fromkeys([*plan["families"].get(arm, ()), *before["families"].get(arm, ())])) for arm in arms}
    tried = [*plan.get("tried", ()), *(name for name in before.get("tried", ()) if name not in plan["arms"])]
    return {"families": found} | ({"tried": tried} if "match" in plan else {})


def _other_versions(before: Mapping[str, Any], plan: Mapping[str, Any]) -> list[str]:
    """What the page says of libraries that changed between the commands of a run."""
    found = [note for note in before.get("notes", ()) if note.startswith(CHANGED)]
    now = plan["versions"]
    others = {name: was for name, was in before.get("versions", {}).items() if was != now.get(name)}
    moved = ", ".join(f"{name} from {was} to {now.get(name)}" for name, was in others.items())
    return [*found, f"{CHANGED} {moved}; trials before and after may differ by that too"] if moved else found


def refuse_foreign(ready: Ready, folder: Path) -> None:
    """Refuse an output folder that belongs to another plan, or holds something else."""
    if (folder / "plan.yaml").is_file():
        _refuse_other_plan(ready, folder, read_plan(folder))
    elif folder.exists() and (not folder.is_dir() or any(not path.name.startswith(".") for path in folder.iterdir())):
        raise InputError(f"{folder} exists and is no run folder; give --output a new or an empty one")


def _refuse_other_plan(ready: Ready, folder: Path, before: Mapping[str, Any]) -> None:
    now, other = stored_plan(ready, ""), "give --output another folder, or delete it"
    scored, at = (plan["options"].get("scored_at", "final step") for plan in (before, now))
    if scored != at:
        raise InputError(f"the arms of {folder} are scored at their {scored}, those of this plan at their {at}; {other}")
    if before["fingerprint"] != now["fingerprint"]:
        raise InputError(f"{folder} belongs to another plan: {_difference(before, now)}; {other}")
    if missing := sorted(set(before["suites"]) - set(now["suites"])):
        raise InputError(f"{folder} was scored on {', '.join(missing)} too; name all of its suites with --suites, or {other}")
    if moved := [task for task, facts in before["tasks"].items() if facts["suite"] != now["tasks"].get(task, facts)["suite"]]:
        raise InputError(f"the task {moved[0]} belongs to another suite in {folder}; {other}")
    if before["options"].get("margin") != now["options"].get("margin"):
        raise InputError(f"the margins of {folder} were set before the run and cannot be changed after it; {other}")
    items, read = (plan["options"].get("items", "all") for plan in (before, now))
    if items != read:
        raise InputError(
            f"{folder} reports {items} items, and what was seen cannot be unseen; give --items {items}, or {other}"
        )
    _refuse_other_choice(folder, before, now)
    if (equal := before.get("equal", "tokens")) != now["equal"]:
        raise InputError(f"the arms of {folder} share {equal}; give --equal {equal}, or {other}")
    if before["micro_batch"] != now["micro_batch"]:
        raise InputError(f"{folder} was trained with --micro-batch {before['micro_batch']}; give the same, or {other}")


def _refuse_other_choice(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse to change, after the run began, how one setting of each arm is chosen."""
    for how, what in (("sweep", "a sweep"), ("match", "a search for equal gain")):
        was, asked = before.get(how) or {}, now.get(how) or {}
        if bool(was) != bool(asked):
            raise InputError(
                f"{folder} {'was made by' if was else 'is not'} {what}, and this plan {'asks for' if asked else 'is not'} one; "
                f"give --output another folder, or type the command as it was"
            )
        if changed := [key for key in was if was[key] != asked[key]]:
            key = changed[0]
            raise InputError(f"{folder} was made by {what} with {key} {was[key]}, this plan has {asked[key]}; give the same")


def _difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The first thing in which two plans differ, named."""
    for section in ("base", "sources", "budget", "engine"):
        earlier = before.get(section) or {}
        for key in sorted({**earlier, **now[section]}):
            first, second = earlier.get(key), now[section].get(key)
            if first != second:
                return f"its {section} has {key} = {_short(first)}, this plan {_short(second)}"
    return "its fingerprint differs"


def _short(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    text = str(value.get("name", value) if isinstance(value, dict) else value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def finished(ready: Ready, trial: Trial) -> bool:
    """Whether a trial was finished; a folder that holds another trial is an error, unless that one failed."""
    folder = ready.folder / trial.folder
    if to_be_replaced(ready, trial):
        return False
    wanted = ready.plan.trial_fingerprint(trial)
    for name in ("trial.json", "result.json"):
        if (folder / name).is_file() and read_json(folder / name).get("fingerprint") != wanted:
            raise RecordError(
                f"{folder} holds another trial than {trial.arm.name} with seed {trial.seed} of this plan "
                f"(other parameters, or other code of its strategy); delete that folder, or give --output another one"
            )
    return (folder / "result.json").is_file() and read_json(folder / "result.json")["status"] == "done"


def to_be_replaced(ready: Ready, trial: Trial) -> bool:
    """Whether a trial's folder holds a failure of another one: of code that was mended since, as a rule."""
    path = ready.folder / trial.folder / "result.json"
    if not path.is_file():
        return False
    result = read_json(path)
    return result["status"] == "failed" and result.get("fingerprint") != ready.plan.trial_fingerprint(trial)
