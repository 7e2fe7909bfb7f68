"""A training followed in TensorBoard, Weights & Biases or Trackio: its numbers, and nothing that is text.

Nothing is imported unless it is asked for. A tracker that fails is let go of, and the training goes on without it.
"""

import contextlib
import importlib.util
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import InputError, said

Row = Mapping[str, Any]
QUIET = {"console": "off", "disable_git": True, "disable_code": True, "x_disable_meta": True}
"""Of wandb: what it would send of itself, such as output, code and the command line with its paths."""
OWN: dict[str, dict[str, Any]] = {"wandb": {"settings": QUIET}, "trackio": {"embed": False}}


def check_trackers(names: Sequence[str]) -> None:
    """Refuse a tracker whose package is missing, before anything is trained."""
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise InputError(f"--trackers {name} needs the package {name}, which is not installed; type: pip install {name}")


@contextlib.contextmanager
def followed(
    names: Sequence[str], run: Path, trial: str, facts: Row, tell: Callable[[str], None]
) -> Iterator[Callable[[Row], None]]:
    """What takes the rows of a training's log, and hands their numbers on.

    facts   numbers of the plan that stand beside the run
    tell    hears of a tracker that failed
    """
    live: dict[str, Any] = {}

    def each(what: Callable[[Any], None]) -> None:
        for name, tracker in list(live.items()):
            try:
                what(tracker)
            except Exception as error:  # of a network, a login, a full disk there: none of it may end a training
                del live[name]
                tell(f"{name} no longer follows {trial}: {said(error)}")

    live |= {name: _made(name, run, trial) for name in names}
    each(lambda tracker: tracker.start())
    each(lambda tracker: tracker.store_init_configuration(numbers(facts)))
    try:
        yield lambda row: each(lambda tracker: tracker.log(numbers(row), step=row["update"]))
    finally:
        each(lambda tracker: tracker.finish())


def numbers(row: Row) -> dict[str, float]:
    """Of a row, what is a number; true and false are 1 and 0."""
    return {name: float(value) for name, value in row.items() if isinstance(value, bool | int | float)}


def _made(name: str, run: Path, trial: str) -> Any:
    """One of accelerate's trackers, not yet started: a project a run, a run a trial."""
    from accelerate import PartialState
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    PartialState()  # they ask which process they are in
    kind: Any = LOGGER_TYPE_TO_CLASS[name]
    if kind.requires_logging_directory:
        return kind(trial, run / name)
    return kind(run.resolve().name, name=trial, **OWN.get(name, {}))
