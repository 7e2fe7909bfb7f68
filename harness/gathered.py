"""The plan of models that were not trained here: what is stored of them, and how their folder grows."""

import datetime
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from harness.elsewhere import one_folder
from harness.errors import InputError, RecordError
from harness.files import read_json
from harness.folder import described
from harness.plan import Arm, Part, Trial, digest
from harness.record import read_plan
from harness.resolve import LIBRARIES
from harness.suite import Suite

NO_CONTROL = ""


def versions() -> dict[str, str]:
    """Of what scores depend on."""
    return {name: version(name) for name in LIBRARIES} | {"python": platform.python_version()}


def plan_of(
    base: Mapping[str, Any], models: Sequence[Mapping[str, Any]], suites: Sequence[Suite], more: Mapping[str, Any]
) -> dict[str, Any]:
    """The plan of models that were not trained here."""
    arms = list(dict.fromkeys(model["arm"] for model in models))
    last = {arm: max(model.get("step") or 0 for model in models if model["arm"] == arm) for arm in arms}
    return {
        "fingerprint": digest(["checkpoints", base["digest"]]),
        "commands": [more["command"]],
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "arms": arms,
        "seeds": sorted({model["seed"] for model in models}),
        "base": dict(base),
        "models": [dict(model) for model in models],
        "trainings": {arm: {"updates": updates} for arm, updates in last.items() if updates},
        **described(suites),
        **more,
    }


def settle(folder: Path, plan: dict[str, Any]) -> dict[str, Any]:
    """The plan with the models that the folder already holds; an error where it holds something that cannot stand beside."""
    if not (folder / "plan.yaml").is_file():
        if folder.exists() and (not folder.is_dir() or any(not path.name.startswith(".") for path in folder.iterdir())):
            raise InputError(f"{folder} exists and is no run folder; give --output a new or an empty one")
        return plan
    before, other = read_plan(folder), "give --output another folder, or delete it"
    if "models" not in before:
        raise InputError(f"{folder} holds a run whose arms were trained there; {other}")
    if before["fingerprint"] != plan["fingerprint"]:
        raise InputError(f"the models of {folder} stand against {before['base']['name']}; {other}")
    for key in ("control", "options"):
        if before[key] != plan[key]:
            raise InputError(f"{folder} was scored with {key} {before[key] or 'none'}, now {plan[key] or 'none'}; {other}")
    if missing := sorted(set(before["suites"]) - set(plan["suites"])):
        raise InputError(f"{folder} was scored on {', '.join(missing)} too; name all of its suites with --suites, or {other}")
    return _grown(folder, before, plan)


def _grown(folder: Path, before: Mapping[str, Any], plan: dict[str, Any]) -> dict[str, Any]:
    here = {(model["arm"], model["seed"], model.get("step")): model for model in plan["models"]}
    there = {(model["arm"], model["seed"], model.get("step")): model for model in before["models"]}
    _refuse_mixed(folder, here, there)
    for key in here.keys() & there.keys():
        if here[key]["digest"] != there[key]["digest"] and _scored(folder / trial_folder(*key[:2])):
            raise RecordError(
                f"{folder / trial_folder(*key[:2])} holds scores of other weights than {here[key]['path']} has now; "
                f"delete that folder and {folder / 'plan.yaml'}, name the model otherwise (NAME=PATH), or give another --output"
            )
    models = [*plan["models"], *(model for key, model in there.items() if key not in here)]
    commands = [*(each for each in before["commands"] if each not in plan["commands"]), *plan["commands"]]
    kept = {
        "created": before["created"],
        "commands": commands,
        "notes": list(dict.fromkeys([*plan["notes"], *before["notes"]])),
    }
    arms = plan["arms"] + [arm for arm in before["arms"] if arm not in plan["arms"]]
    seeds = sorted({*plan["seeds"], *before["seeds"]})
    trainings = {**before["trainings"], **plan["trainings"]}
    return plan | kept | {"models": models, "arms": arms, "seeds": seeds, "trainings": trainings}


def _scored(folder: Path) -> bool:
    path = folder / "result.json"
    return path.is_file() and read_json(path)["status"] == "done"


def _refuse_mixed(folder: Path, here: Iterable[tuple[str, int, Any]], there: Iterable[tuple[str, int, Any]]) -> None:
    """Refuse models that would be kept where another one is: of another name, or of a step that is not named now."""
    now = {(one_folder(arm), seed): arm for arm, seed, _ in here}
    for arm, seed, step in there:
        other = now.get((one_folder(arm), seed))
        if other is not None and (other != arm or (arm, seed, step) not in here):
            which = arm if step is None else f"step {step} of {arm}"
            raise InputError(
                f"{folder / trial_folder(arm, seed)} holds {which}, seed {seed}, which is not named now; name all steps of a "
                "training together (--manifest), call the new one otherwise (NAME=PATH), or give another --output"
            )


def trial_folder(arm: str, seed: int) -> str:
    """Where an arm's scores lie."""
    return Trial(Arm((Part(arm),)), seed).folder
