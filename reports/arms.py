"""What does each arm keep, learn and cost? The table to choose from."""

from collections.abc import Callable
from statistics import fmean
from typing import Any

from harness import forgetting as fg
from harness.choosing import siblings
from harness.record import Result
from harness.typed import parse_arms
from harness.unfinished import seconds, shares, spent
from reports import elsewhere, words
from reports.section import Cell, Section, Table, measured, shared


def section(study: fg.Study) -> Section:
    """Outcomes, then prices."""
    if elsewhere.is_elsewhere(study) and study.arms:
        answer_ = "What each model keeps and learned, against the base; what its training cost is not known here."
        return Section("arms", "What does each model keep?", answer_, (outcomes(study), elsewhere.table(study)))
    question = "What does each arm keep, and at what price?"
    if not study.arms:
        return Section("arms", question, "No arm has been trained and scored yet.")
    return Section("arms", question, answer(study), (outcomes(study), prices(study)))


def answer(study: fg.Study) -> str:
    """The dearest and the cheapest arm in training time, and whether all read the same."""
    times = {arm: _mean(study, arm, lambda t: seconds(t, "train") + seconds(t, "setup")) for arm in study.arms}
    control = times.get(study.control)
    dearest = max(times, key=lambda arm: times[arm])
    sentence = sharing(study)
    if control and dearest != study.control:
        sentence += f"; the dearest, {dearest}, took {words.times(times[dearest] / control)} times the control's training time"
    total = sum(spent(trial) for trial in study.done)
    return f"{sentence}; all trainings took {words.duration(total)} together."


SHARED = {
    "tokens": "Arms read different numbers of tokens",
    "new_tokens": "Arms read as much new text as the control, and their other text on top",
    "flops": "Arms were given the control's FLOPs, by what they say of a step's cost, and read different numbers of tokens",
}


def sharing(study: fg.Study) -> str:
    """What was made equal, and for whom it was not."""
    own = [arm for arm in study.arms if parse_arms(arm)[0].steps != 1]
    same = len({_read(trial) for trial in study.done if trial.name not in own}) == 1
    sentence = "All arms read the same number of tokens" if same else SHARED[study.record.plan.get("equal", "tokens")]
    whose = "their" if len(own) > 1 else "its"
    return f"{sentence}, but for {words.listing(own)}, with updates of {whose} own" if own else sentence


def about(study: fg.Study, arm: str) -> dict[str, Any]:
    """How the plan trains an arm: lr, updates, controls, needs, whether it weighs tokens and is experimental."""
    return (study.record.plan.get("trainings") or {}).get(arm) or {}


def partners(study: fg.Study) -> dict[str, str]:
    """Arm without a training of its own -> the arm that it shares one with."""
    return {trial.name: str(other) for trial in study.done if (other := shares(trial))}


def outcomes(study: fg.Study) -> Table:
    """Rehearsed and unrehearsed apart, bits and points apart."""
    columns: list[tuple[str, Callable[[str], str | Cell]]] = [
        ("forgetting, unrehearsed text", lambda a: measured(study.figure(fg.FORGETTING, a), "text")),
        ("forgetting, rehearsed text", lambda a: measured(study.figure(fg.REHEARSED, a), "text")),
        ("share of control's forgetting avoided", lambda a: shared(study.recovered(a))),
        ("retention, unrehearsed tasks", lambda a: shared(study.retention(a, fg.LOST))),
        ("retention, rehearsed tasks", lambda a: shared(study.retention(a, fg.LOST_REHEARSED))),
        ("learned, new text", lambda a: measured(study.figure(fg.ADAPTATION, a), "text")),
        ("learned, new tasks (points)", lambda a: measured(study.figure(fg.LEARNED, a), "accuracy")),
        ("learned, bits an answer", lambda a: measured(study.figure(fg.ANSWERS, a), "answer")),
    ]
    caption = (
        f"Kept and learned, {words.intervals(study)} below. Text in bits per byte; retention is what is left of the accuracy "
        "above chance."
    )
    return _table(caption, study, columns)


def prices(study: fg.Study) -> Table:
    """What an arm spends, as the mean over its seeds."""
    shared_ = partners(study)

    def price(arm: str, value: float | None, said: Callable[[float], str], own: bool = False) -> Cell:
        """A price, marked where it was paid by another arm; `own`: it never is."""
        if value is None:
            return Cell(words.NOTHING)
        return Cell(said(value) + (" †" if arm in shared_ and not own else ""), value=value)

    def fact(title: str, name: str, said: Callable[[float], str], own: bool = False) -> tuple[str, Callable[[str], Cell]]:
        return title, lambda a: price(a, _fact(study, a, name), said, own)

    def mean(title: str, read: Callable[[Result], float], said: Callable[[float], str], own: bool = False) -> Any:
        return title, lambda a: price(a, _mean(study, a, read), said, own)

    columns: list[tuple[str, Callable[[str], str | Cell]]] = [
        ("trainings", lambda a: _trainings(study, a) + (" †" if a in shared_ else "")),
        mean("new tokens", lambda t: _tokens(t, "new"), words.count),
        mean("all tokens", _read, words.count),
        fact("set-up tokens", "setup_tokens", words.count, True),
        fact("tokens beside", "beside_tokens", words.count, True),
        fact("updates", "steps", words.count),
        fact("rate area", "learning_rate_area", lambda value: f"{value:.3g}"),
        fact("compute", "flops", _flops),
        fact("of it set-up", "setup_flops", _flops, True),
        mean("set-up", lambda t: seconds(t, "setup"), words.duration, True),
        mean("training", lambda t: seconds(t, "train"), words.duration),
        mean("scoring", lambda t: seconds(t, "score"), words.duration, True),
        fact("peak memory", "peak_memory_bytes", _bytes, True),
        fact("stored state", "stored_bytes", _bytes, True),
        fact("trained parameters", "parameters_trained", words.count, True),
    ]
    caption = (
        "Prices, each the mean over the arm's seeds. Set-up tokens passed through a model before training, tokens beside "
        "while training and beside the text read, each pass counted; neither is deducted from what arms share. "
        "Rate area is the sum of learning rates over updates. Stored state is what the strategy keeps beside the model: "
        "reference weights, a Fisher, averages."
    )
    if shared_:
        told = words.listing([f"{arm} is made from the training of {other}" for arm, other in shared_.items()])
        caption += f" † {told}: that training was run once and is paid once."
    return _table(caption, study, columns)


def _flops(value: float) -> str:
    return words.quantity(value, "FLOP")


def _bytes(value: float) -> str:
    return words.quantity(value, "B")


def _table(caption: str, study: fg.Study, columns: list[tuple[str, Callable[[str], str | Cell]]]) -> Table:
    """One row an arm; columns in which nothing was measured are left out."""
    made = [(title, [make(arm) for arm in study.arms]) for title, make in columns]
    shown = [(title, cells) for title, cells in made if set(cells) - {words.NOTHING, Cell(words.NOTHING)}]
    rows = tuple((arm, *(cells[i] for _, cells in shown)) for i, arm in enumerate(study.arms))
    return Table(caption, ("arm", *(title for title, _ in shown)), rows, wide=True)


def _trials(study: fg.Study, arm: str) -> list[Result]:
    return [trial for trial in study.done if trial.name == arm]


def _trainings(study: fg.Study, arm: str) -> str:
    """Finished and planned, of all settings that an arm was chosen from."""
    trials = [trial for trial in study.record.trials if trial.name in siblings(study, arm)]
    return f"{sum(trial.status == 'done' for trial in trials)} of {len(trials)}"


def _mean(study: fg.Study, arm: str, read: Callable[[Result], float]) -> float:
    return fmean(read(trial) for trial in _trials(study, arm))


def _fact(study: fg.Study, arm: str, name: str) -> float | None:
    found: list[Any] = [trial.facts.get(name) for trial in _trials(study, arm)]
    return fmean(found) if found and all(value is not None for value in found) else None


def _tokens(trial: Result, name: str) -> float:
    return float((trial.facts.get("tokens") or {}).get(name) or 0)


def _read(trial: Result) -> float:
    """Tokens of all sources."""
    return float(sum((trial.facts.get("tokens") or {}).values()))
