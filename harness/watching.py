"""A run as somebody at a terminal sees it: two bars with time left; one line a trial where there is no terminal."""

import time
from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from harness.run import Watch


class Terminal(Watch):
    """Bars for the plan and for the trial in hand; when a trial ends, a line that stays."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.began = time.monotonic()
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.plan = self.progress.add_task("plan", total=None, note="")
        self.trial = self.progress.add_task("", total=None, note="", visible=False)
        self.trials = self.finished = 0

    def begin(self, trials: int, finished: int) -> None:
        self.trials, self.finished = trials, finished
        self.progress.update(self.plan, total=trials + 1, completed=finished)
        if finished:
            self.console.print(f"{finished} of {trials} trials were finished before", highlight=False)

    def stage(self, name: str, what: str) -> None:
        self.progress.reset(self.trial, total=None, description=f"{name} is being {what}", visible=True, note="")

    def step(self, done: int, total: int, logged: Mapping[str, float]) -> None:
        note = f"loss {logged['loss']:.3f}" if "loss" in logged else ""
        self.progress.update(self.trial, completed=done, total=total, note=note)

    def note(self, sentence: str) -> None:
        self.console.print(f"note: {sentence}", style="yellow", markup=False, highlight=False)

    def end(self, name: str, error: str | None, seconds: float) -> None:
        self.progress.advance(self.plan)
        self.progress.update(self.trial, visible=False)
        line = f"{name}: {error}" if error else f"{name}: done in {seconds:.0f} s"
        self.console.print(line, style="red" if error else None, markup=False, highlight=False)

    def __enter__(self) -> "Terminal":
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()
