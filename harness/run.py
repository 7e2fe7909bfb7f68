"""The benchmark as one loop: score the base, then train, score and keep every trial that is missing."""

import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import bos, contaminated, curve, marks, price, results
from harness.arms import parent_arm, parts_after
from harness.drifted import keep_drift, undrifted
from harness.errors import HarnessError, RecordError, TrialError, said, within_memory
from harness.files import owned, read_json, write_facts, write_json
from harness.folder import finished, merged, refuse_foreign, stored_plan, to_be_replaced
from harness.keeping import anew, drop_weights, finished_model, write_weights
from harness.memory import restart_peak
from harness.milestones import Milestones
from harness.plan import Trial, file_digest
from harness.price import Cost
from harness.record import Result, read, write_plan
from harness.resolve import Ready
from harness.sealed import drop
from harness.stopping import insist
from harness.tabled import TRAJECTORY
from harness.tables import SMALLER, fill, scoring, unscored, wanting
from harness.trackers import followed

if TYPE_CHECKING:
    from harness.train import Training


class Watch:
    """What a run tells whoever watches; does nothing by itself."""

    def begin(self, trials: int, work: Mapping[str, float], scoring: float | None) -> None:
        """The run starts: trials in all, the work of those that are missing, seconds of a scoring where one was made."""

    def stage(self, name: str, what: str) -> None:
        """A trial (or the base) is being set up, trained or scored."""

    def step(self, done: float, total: int, logged: Mapping[str, float]) -> None:
        """An update was trained, or a task scored."""

    def note(self, sentence: str) -> None:
        """Something that whoever watches should know, and that stops nothing."""

    def end(self, name: str, error: str | None, seconds: float) -> None:
        """A trial ended."""


def missing(ready: Ready) -> list[Trial]:
    """Trials that are not finished in the run folder; one that belongs to another plan is an error."""
    return [trial for trial in ready.plan.trials if not finished(ready, trial)]


def cost(ready: Ready) -> Cost:
    """What is still to be done."""
    trials = missing(ready)
    trained = [trial for trial in trials if parent_arm(trial.arm, ready.strategies[trial.arm.name]) is None]
    scoring = _scoring(ready)
    count = len(trials) + (scoring is None)
    found = price.cost(ready.plan, ready.setting, {t: ready.strategies[t.arm.name] for t in trained}, count)
    return replace(found, points=curve.count(ready), scoring_seconds=None if scoring is None else count * scoring)


def _scoring(ready: Ready) -> float | None:
    """Seconds that the base's scoring took; None where it was not scored."""
    path = ready.folder / "base" / "result.json"
    return read_json(path)["seconds"]["score"] if path.is_file() else None


def _work(ready: Ready, trial: Trial) -> float:
    """A trial's tokens, each times what its strategy says of the cost of a step; 0 where it shares another's training."""
    strategy, steps = ready.strategies[trial.arm.name], ready.plan.steps[trial.arm.name]
    if parent_arm(trial.arm, strategy) is not None:
        return 0.0
    budget = replace(ready.plan.budget, steps=steps)
    return strategy.cost(budget) * budget.tokens


def run(ready: Ready, command: str, watch: Watch | None = None) -> list[str]:
    """Do what is missing of a plan; the names of trials that failed."""
    folder, watch = ready.folder, watch or Watch()
    refuse_foreign(ready, folder)
    with owned(folder):
        trials = missing(ready)
        _refuse_gone(ready)
        write_plan(folder, merged(folder, stored_plan(ready, command)))
        watch.begin(len(ready.plan.trials), {t.folder: _work(ready, t) for t in trials}, _scoring(ready))
        watch.stage("training text", "compared with what is scored")
        contaminated.keep(ready, partial(watch.step, logged={}))
        _score_base(ready, watch)
        for sentence in marks.keep(scoring(ready), ready.base.digest, ready.plan.options.get("items", "all")):
            watch.note(sentence)
        _rescore(ready, watch)
        failed = curve.keep(ready, watch)
        _drop(ready)
        seen = Milestones(ready) if ready.plan.options.get("milestones") else None
        failed += [name for trial in trials for name in _run_trial(ready, trial, watch, seen)]
        results.write(folder)
    return failed


def _score_base(ready: Ready, watch: Watch) -> None:
    folder = ready.folder / "base"
    if (folder / "result.json").is_file() and not wanting(scoring(ready), ready.base.digest, folder):
        return
    watch.stage("base", "scored")
    began = time.perf_counter()
    model = ready.setting.load()
    seconds = fill(scoring(ready), model, ready.base.digest, folder, partial(watch.step, logged={}))
    facts = {"status": "done", "digest": ready.base.digest, "seconds": {"score": round(seconds, 2)}}
    facts["bos"] = bos.compare(model, ready.tokenizer, bos.openings(ready.suites) or bos.openings([ready.heldout()]))
    write_facts(folder / "result.json", facts)
    watch.end("base", None, time.perf_counter() - began)


def _to_rescore(ready: Ready) -> list[Result]:
    """Finished trials, of earlier commands too, that lack scores of a suite or a setting that joined the plan later."""
    found = [result for result in read(ready.folder).trials if result.status == "done"]
    asked = scoring(ready)
    return [r for r in found if wanting(asked, r.facts["weights"], r.folder) or undrifted(ready, r)]


def _refuse_gone(ready: Ready) -> None:
    """Refuse, before the plan grows, what cannot be scored: trials whose weights were not kept."""
    for result in _to_rescore(ready) if (ready.folder / "plan.yaml").is_file() else ():
        if not (result.folder / "weights").exists():
            suites = ", ".join(suite.name for suite in unscored(scoring(ready), result.facts["weights"], result.folder))
            raise RecordError(
                f"{result.folder} has no scores on {suites or 'the prompts'}, and its weights were not kept; "
                f"leave out what is new, or {anew(result.folder)}"
            )


def _rescore(ready: Ready, watch: Watch) -> None:
    for result in _to_rescore(ready):
        watch.stage(str(result.folder.relative_to(ready.folder)), "scored")
        model = finished_model(result.folder, "scores need")
        fill(scoring(ready), model, result.facts["weights"], result.folder, partial(watch.step, logged={}))
        if undrifted(ready, result):
            keep_drift(ready, model, result.facts["weights"], result.folder, result.seed or 0)


def _run_trial(ready: Ready, trial: Trial, watch: Watch, seen: Milestones | None) -> list[str]:
    """Train, score and keep one trial, and the curve of a control; the names of what failed."""
    from harness.mishaps import free

    folder = ready.folder / trial.folder
    began = time.perf_counter()
    named = {"arm": trial.arm.name, "seed": trial.seed, "fingerprint": ready.plan.trial_fingerprint(trial)}
    error = None
    if to_be_replaced(ready, trial):
        shutil.rmtree(folder)  # nothing of it may be gone on with: its checkpoints are other code's
    try:
        write_json(folder / "trial.json", named)
        facts = _train_and_score(ready, trial, folder, watch, seen)
        write_facts(folder / "result.json", {**named, "status": "done", **facts})
    except (Exception, SystemExit) as problem:  # a trial that fails is a row that says so; the others go on
        insist()
        error = str(problem) if isinstance(problem, HarnessError) else said(problem)
        write_facts(folder / "result.json", {**named, "status": "failed", "error": error})
    insist()
    free()  # before the next one loads its models
    watch.end(trial.folder, error, time.perf_counter() - began)
    failed = curve.keep(ready, watch) if trial in curve.pending(ready) else []
    _drop(ready)
    return [trial.folder] if error else failed


def _drop(ready: Ready) -> None:
    """Delete what finished trials no longer need: checkpoints with their optimizer's state, and weights that are not kept."""
    for trial in ready.plan.trials:
        if finished(ready, trial):
            drop(ready.folder / trial.folder / "checkpoints")
    drop_weights(ready.plan, ready.strategies, ready.folder, curve.pending(ready))


def _train_and_score(ready: Ready, trial: Trial, folder: Path, watch: Watch, seen: Milestones | None) -> dict[str, Any]:
    from harness.saving import held_loss

    restart_peak()
    times: dict[str, float] = {}
    began = time.perf_counter()
    watch.stage(trial.folder, "set up")
    with within_memory("while it was being set up", SMALLER):
        training = _training(ready, trial)
    times["setup"] = time.perf_counter() - began + training.origin.seconds_before
    earlier = read_json(training.shared / "result.json") if training.shared else None
    with within_memory("while it was being trained, beside the micro-batches", SMALLER):
        if earlier is None:
            watch.stage(trial.folder, "trained")
            _train(ready, trial, training, watch, seen)
        else:
            training.finish()
    times["train"] = training.seconds if earlier is None else earlier["seconds"]["train"]
    weights = write_weights(training.model, ready.tokenizer, folder / "weights")
    logs = {path.name: file_digest(path) for path in sorted([*folder.glob("*.jsonl"), *folder.glob(TRAJECTORY)])}
    facts = price.spent(training, earlier) | {"weights": weights, "logs": logs}
    if ready.plan.options.get("keep_weights") == "best":
        facts["held_loss"] = held_loss(training)
    training.release()
    watch.stage(trial.folder, "scored")
    times["score"] = fill(scoring(ready), training.model, facts["weights"], folder, partial(watch.step, logged={}))
    keep_drift(ready, training.model, facts["weights"], folder, trial.seed)
    return facts | {"seconds": {name: round(seconds, 2) for name, seconds in times.items()}}


def _train(ready: Ready, trial: Trial, training: "Training", watch: Watch, seen: Milestones | None) -> None:
    """Train a trial to its end, shown to whoever watches and to the trackers of the plan, evaluated at its milestones."""
    from harness.train import train

    budget, folder = training.setting.budget, ready.folder / trial.folder
    facts = {"seed": trial.seed, "steps": budget.steps, "batch": budget.batch, "length": budget.length, "peak": training.peak}
    with followed(ready.plan.options["trackers"], ready.folder, trial.folder, facts, watch.note) as follow:

        def show(done: int, total: int, row: Mapping[str, Any]) -> None:
            follow(row)
            watch.step(done, total, row)

        train(training, folder, show, watch.note, seen.of(training, folder, watch.note) if seen else None)


def _training(ready: Ready, trial: Trial) -> "Training":
    """A training from the start, or the finished one of the arm that this arm shares it with."""
    from harness.train import Training

    strategy = ready.strategies[trial.arm.name]
    parent = parent_arm(trial.arm, strategy)
    name = trial.arm.name
    setting, lr = ready.setting.with_steps(ready.plan.steps[name]), ready.plan.rates[name]
    if parent is None:
        return Training(strategy, setting, trial.seed, lr)
    shared = ready.folder / Trial(parent, trial.seed).folder
    if not (shared / "result.json").is_file() or read_json(shared / "result.json")["status"] != "done":
        raise TrialError(f"{trial.arm.name} is made from the training of {parent.name}, which failed")
    last = parts_after(strategy, trial.arm, parent)
    made = finished_model(shared, f"{trial.arm.name} is made from")
    return Training(last, setting, trial.seed, lr, made, shared)
