"""`harness prepare`: raw documents to a file that can be trained on. Part of the command line, which alone prints."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli_ends import say
from harness.stopping import heeded

if TYPE_CHECKING:
    from harness.prepare_job import Job

EVERY = 10.0
"""Seconds between two lines where there is no terminal."""


def _option(help_: str) -> Any:
    return typer.Option(help=help_)


def prepare(
    sources: Annotated[
        str,
        typer.Argument(metavar="SOURCE[,SOURCE...]", help="files, folders, hub datasets, registered corpora: as for --new"),
    ],
    domain: Annotated[str, _option("recipe of cleaners and filters: medical, code, or a YAML file")],
    output: Annotated[Path, _option("file to write: .jsonl, .jsonl.gz, .jsonl.zst or .parquet")],
    max_documents: Annotated[int | None, _option("documents read of each source, the first ones")] = None,
    workers: Annotated[int | None, _option("processes; as many as there are cores")] = None,
    model: Annotated[str | None, _option("whose tokenizer counts tokens; the embedded base's")] = None,
    mirrors: Annotated[str | None, _option("mirrors.yaml: what stands for data sets and models of the hub")] = None,
    show_text: Annotated[
        bool, typer.Option("--show-text", help="show examples of sensitive text, made anonymous, in the table")
    ] = False,
) -> None:
    """Clean, filter and deduplicate documents, and say what each step took."""
    # one parameter a flag: that is how typer reads a command; they become one `Words` at once
    from harness import hiding
    from harness import mirrors as mirrored
    from harness.prepare import prepare as made
    from harness.prepare import prepared
    from harness.prepare_job import Words, ready

    with heeded():
        mirrored.use(mirrors)
        job = ready(Words(sources, domain, output, max_documents, workers, model, show_text))
        hiding.quote(show_text or not job.sensitive)  # a fault of our own is printed at the very end
        if found := prepared(job):
            say(f"{output} is there already, prepared from this text by this recipe; nothing was done")
        else:
            _announce(job)
            with Bars(job) as bars:
                found = made(job, bars)
        _tell(found, job)


def _announce(job: "Job") -> None:
    named = ", ".join(job.sources)
    steps = ", ".join(step.name for step in job.recipe.steps)
    say(f"{named} through {job.recipe.name} ({steps}) to {job.output}, {job.workers} processes")


def _tell(found: dict[str, Any], job: "Job") -> None:
    """The table, some examples, and where both stand."""
    from rich.console import Console

    from harness.prepare_table import examples, markdown

    say(markdown(found))
    console = Console()
    for line in examples(found):
        console.print(line, style="dim", markup=False, highlight=False, soft_wrap=True)
    kept = found["kept"]
    say(f"{job.output}: {kept['documents']:,} documents, {kept['tokens']:,} tokens; the table: {job.note}")


class Bars:
    """A bar for the pass under way, with time left; where there is no terminal a line now and then."""

    def __init__(self, job: "Job") -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self.console, self.workers = Console(), job.workers
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self.progress = Progress(
            *columns,
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self.task = self.progress.add_task("", total=None)
        self.what, self.total, self.said = "", None, 0.0

    def begin(self, what: str, total: int | None, done: int) -> None:
        """A pass begins."""
        self.what, self.total, self.said = what, total, time.monotonic()
        self.progress.reset(self.task, description=what, total=total, completed=done)

    def step(self, done: int) -> None:
        """Documents of it are done."""
        self.progress.update(self.task, completed=done)
        if not self.console.is_terminal and time.monotonic() - self.said > EVERY:
            self.said = time.monotonic()
            say(f"{self.what}: {done:,}" + (f" of {self.total:,}" if self.total else "") + " documents")

    def note(self, sentence: str) -> None:
        """A line that stays."""
        self.console.print(f"note: {sentence}", style="yellow", markup=False, highlight=False, soft_wrap=True)

    def __enter__(self) -> "Bars":
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()
