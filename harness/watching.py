"""A run as somebody at a terminal sees it: two bars with time left; one line a trial where there is no terminal."""

from collections.abc import Mapping
from datetime import timedelta

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
from rich.text import Text

from harness.forecast import Forecast
from harness.run import Watch


class Left(ProgressColumn):
    """Time left of the plan, or of the trial in hand with its scoring."""

    def __init__(self, forecast: Forecast) -> None:
        super().__init__()
        self.forecast = forecast

    def render(self, task: Task) -> Text:
        seconds = self.forecast.plan() if task.description == PLAN else self.forecast.trial()
        return Text("-:--:--" if seconds is None else str(timedelta(seconds=round(seconds))), style="progress.remaining")


PLAN = "plan"


class Terminal(Watch):
    """Bars for the plan and for the trial in hand; when a trial ends, a line that stays."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.forecast = Forecast()
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[count]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            Left(self.forecast),
            TextColumn("{task.fields[note]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.plan = self.progress.add_task(PLAN, total=None, note="", count="")
        self.trial = self.progress.add_task("", total=None, note="", count="", visible=False)
        self.trials = self.finished = 0
        self.ended = 0.0

    def begin(self, trials: int, work: Mapping[str, float], scoring: float | None) -> None:
        finished = trials - len(work)
        self.trials, self.finished = trials, finished
        self.forecast.begin(work, scoring)
        self.progress.update(self.plan, total=sum(map(_weight, work.values())), count=f"{finished}/{trials} trials")
        if finished:
            self.console.print(f"{finished} of {trials} trials were finished before", highlight=False)

    def stage(self, name: str, what: str) -> None:
        self.forecast.stage(name, what)
        self.progress.reset(self.trial, total=None, description=f"{name} is being {what}", visible=True, note="", count="")

    def step(self, done: float, total: int, logged: Mapping[str, float]) -> None:
        note = f"loss {logged['loss']:.3f}" if "loss" in logged else ""
        self.forecast.step(done, total)
        self.progress.update(self.trial, completed=done, total=total, note=note, count=f"{done:g}/{total}")
        self.progress.update(self.plan, completed=self.ended + self.forecast.done)

    def note(self, sentence: str) -> None:
        self.console.print(f"note: {sentence}", style="yellow", markup=False, highlight=False, soft_wrap=True)

    def end(self, name: str, error: str | None, seconds: float) -> None:
        if name in self.forecast.work:
            self.ended += _weight(self.forecast.work[name])
            self.finished += 1
        self.forecast.end(name)
        self.progress.update(self.plan, completed=self.ended, count=f"{self.finished}/{self.trials} trials")
        self.progress.update(self.trial, visible=False)
        line = f"{name}: {error}" if error else f"{name}: done in {seconds:.0f} s"
        self.console.print(line, style="red" if error else None, markup=False, highlight=False, soft_wrap=True)

    def __enter__(self) -> "Terminal":
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()


def _weight(work: float) -> float:
    """What a trial counts in the plan's bar: its work, and a token for its scoring, so that what is only scored moves it."""
    return work + 1
