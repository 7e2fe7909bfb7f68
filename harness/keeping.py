"""What a run keeps of its trials: the checkpoint that is scored, and the weights of those that are finished."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.arms import CONTROL, parent_arm
from harness.errors import InputError, TrialError
from harness.files import read_json
from harness.model import load_model
from harness.plan import Plan, Trial, digest, file_digest
from harness.sealed import damage, drop, staged
from harness.settings import BUILT_IN, Settings
from harness.strategy import Strategy

if TYPE_CHECKING:
    from torch import nn


def scored_at(asked: Settings) -> tuple[str, list[str]]:
    """What every arm is scored at where that is not its final step, and what the plan says of it."""
    if asked.score != "best":
        return "", []
    every = BUILT_IN["checkpoint_every"][0] if asked.checkpoint_every is None else asked.checkpoint_every
    if not isinstance(every, int) or not every:
        raise InputError(
            "score=best chooses among the checkpoints of an arm, which are to stand at the same updates whenever it is run; "
            "give --checkpoint-every a number of updates, as in 200"
        )
    note = (
        f"every arm is scored at its best checkpoint of every {every} updates, by its loss on held-out new text, and not at "
        "its final step: arms are stopped at different adaptation, so read what they keep beside what they learn"
    )
    return f"best of every {every} updates", [note]


def few_checkpoints(asked: Settings, steps: Mapping[str, int]) -> list[str]:
    """What the plan says where the best is to be chosen and arms have one checkpoint alone: that of their last update."""
    every: Any = BUILT_IN["checkpoint_every"][0] if asked.checkpoint_every is None else asked.checkpoint_every
    one = [name for name, own in steps.items() if own <= every] if asked.score == "best" else []
    if not one:
        return []
    who, have = ("every arm", "has") if len(one) == len(steps) else (", ".join(one), "has" if len(one) == 1 else "have")
    return [
        f"{who} {have} no more than {every} updates and so one checkpoint, its last: there is no other for --score best to "
        "choose; give a smaller --checkpoint-every"
    ]


def write_weights(model: "nn.Module", tokenizer: Any, folder: Path) -> str:
    """Store a finished model and its tokenizer, whole or not at all; the digest of its weights."""
    saved: Any = model
    with staged(folder) as stage:
        saved.save_pretrained(stage)
        tokenizer.save_pretrained(stage)
    return weights_digest(folder)


def weights_digest(folder: Path) -> str:
    """What scores are keyed by."""
    return digest([file_digest(path) for path in sorted(folder.glob("*.safetensors"))])


def finished_model(trial: Path, who: str) -> "nn.Module":
    """The model of a finished trial's folder, for an arm that needs it."""
    weights = trial / "weights"
    if not weights.exists():
        raise TrialError(f"{who} the weights of {trial}, which were not kept; {anew(trial)}")
    if reason := damage(weights):
        raise TrialError(f"{who} the weights of {trial}, which are damaged: {reason}; {anew(trial)}")
    if weights_digest(weights) != _result(trial)["weights"]:
        raise TrialError(f"{who} the weights of {trial}, which are not those that were trained there; {anew(trial)}")
    return load_model(weights)


def anew(trial: Path) -> str:
    """The end of a sentence about weights that are gone."""
    return f"delete {trial} and type the same command again, which trains it anew"


def finished_control(folder: Path, seed: int) -> "nn.Module":
    """The control's model under a seed; TrialError where it was not finished."""
    trial = folder / Trial(CONTROL, seed).folder
    if _result(trial).get("status") != "done":
        raise TrialError(f"this arm is measured against the control of seed {seed}, which failed or was not trained")
    return finished_model(trial, "this arm is measured against")


def drop_weights(plan: Plan, strategies: Mapping[str, Strategy], folder: Path, needed: Collection[Trial] = ()) -> None:
    """Delete weights of finished trials that the plan does not keep, once no trial that is to be trained may need them.

    needed  trials of which something is still to be scored
    """
    policy = plan.options.get("keep_weights") or BUILT_IN["keep_weights"][0]
    if policy == "all":
        return
    results = {trial: _result(folder / trial.folder) for trial in plan.trials}
    done = [trial for trial in plan.trials if results[trial].get("status") == "done"]
    kept = set(needed)
    for trial in set(plan.trials) - set(done):
        parent = parent_arm(trial.arm, strategies[trial.arm.name])
        kept |= {Trial(CONTROL, trial.seed)} | ({Trial(parent, trial.seed)} if parent else set())
    if policy == "best":
        for arm in plan.arms:
            seeds = [trial for trial in done if trial.arm == arm]
            measured = all("held_loss" in results[trial] for trial in seeds)  # none is, of a run that began by keeping all
            kept |= set(sorted(seeds, key=lambda trial: results[trial]["held_loss"])[:1] if measured else seeds)
    for trial in done:
        if trial not in kept:
            drop(folder / trial.folder / "weights")


def _result(trial: Path) -> dict[str, Any]:
    path = trial / "result.json"
    return read_json(path) if path.is_file() else {}
