"""What does each arm keep, learn and cost? The table to choose from."""

from collections.abc import Callable
from statistics import fmean
from typing import Any

from harness import forgetting as fg
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
        "Kept and learned, 95 % intervals below. Text in bits per byte; retention is what is left of the accuracy above chance."
    )
    return _table(caption, study, columns)


def prices(study: fg.Study) -> Table:
    """What an arm spends, as the mean over its seeds."""
    shared_ = partners(study)

    def mark(arm: str, text: str) -> str:
        return f"{text} †" if arm in shared_ and text != words.NOTHING else text

    columns: list[tuple[str, Callable[[str], str | Cell]]] = [
        ("trainings", lambda a: mark(a, _trainings(study, a))),
        ("new tokens", lambda a: mark(a, words.count(_mean(study, a, lambda t: _tokens(t, "new"))))),
        ("all tokens", lambda a: mark(a, words.count(_mean(study, a, _read)))),
        ("set-up tokens", lambda a: words.count(_fact(study, a, "setup_tokens"))),
        ("tokens beside", lambda a: words.count(_fact(study, a, "beside_tokens"))),
        ("updates", lambda a: mark(a, words.count(_fact(study, a, "steps")))),
        ("rate area", lambda a: mark(a, f"{_fact(study, a, 'learning_rate_area') or 0:.3g}")),
        ("compute", lambda a: mark(a, words.quantity(_fact(study, a, "flops"), "FLOP"))),
        ("of it set-up", lambda a: words.quantity(_fact(study, a, "setup_flops"), "FLOP")),
        ("set-up", lambda a: words.duration(_mean(study, a, lambda t: seconds(t, "setup")))),
        ("training", lambda a: mark(a, words.duration(_mean(study, a, lambda t: seconds(t, "train"))))),
        ("scoring", lambda a: words.duration(_mean(study, a, lambda t: seconds(t, "score")))),
        ("peak memory", lambda a: words.quantity(_fact(study, a, "peak_memory_bytes"), "B")),
        ("trained parameters", lambda a: words.count(_fact(study, a, "parameters_trained"))),
    ]
    caption = (
        "Prices, each the mean over the arm's seeds. Set-up tokens passed through a model before training, tokens beside "
        "while training and beside the text read, each pass counted; neither is deducted from what arms share. "
        "Rate area is the sum of learning rates over updates."
    )
    if shared_:
        told = words.listing([f"{arm} is made from the training of {other}" for arm, other in shared_.items()])
        caption += f" † {told}: that training was run once and is paid once."
    return _table(caption, study, columns)


def _table(caption: str, study: fg.Study, columns: list[tuple[str, Callable[[str], str | Cell]]]) -> Table:
    """One row an arm; columns in which nothing was measured are left out."""
    made = [(title, [make(arm) for arm in study.arms]) for title, make in columns]
    shown = [(title, cells) for title, cells in made if set(cells) - {words.NOTHING, Cell(words.NOTHING)}]
    rows = tuple((arm, *(cells[i] for _, cells in shown)) for i, arm in enumerate(study.arms))
    return Table(caption, ("arm", *(title for title, _ in shown)), rows, wide=True)


def _trials(study: fg.Study, arm: str) -> list[Result]:
    return [trial for trial in study.done if trial.name == arm]


def _trainings(study: fg.Study, arm: str) -> str:
    asked = sum(trial.name == arm for trial in study.record.trials)
    return f"{len(_trials(study, arm))} of {asked}"


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
