"""`harness report`: one run, or several that are comparable, as a page, as Markdown, CSV or JSON; with gates for CI."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli_ends import fail, say
from harness.errors import HarnessError, InputError

if TYPE_CHECKING:
    from harness.frames import Frames
    from harness.gates import Gate

LONGEST = 100
"""Characters of a page's name."""
OWN = ("plan.yaml", "results.csv", "search.jsonl", "contamination.json", "contamination.parquet")
"""What a run itself writes into its folder."""


class Format(StrEnum):
    """What a report is written as."""

    html = "html"
    md = "md"
    csv = "csv"
    json = "json"


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="run folders; several are put on one page")],
    format_: Annotated[Format, typer.Option("--format", help="a page, Markdown for pull requests, figures as CSV, or JSON")] = (
        Format.html
    ),
    output: Annotated[
        Path | None, typer.Option(help="file; else a page is written into the run folder, and the rest is printed")
    ] = None,
    fail_if: Annotated[
        list[str] | None, typer.Option(help="exit 1 where it is shown: 'forgetting(general.bpb) > 0.02'; several times")
    ] = None,
    fail_unless: Annotated[
        list[str] | None, typer.Option(help="exit 1 unless it is shown: 'forgetting(general.bpb) < 0.02'; several times")
    ] = None,
    show_text: Annotated[bool, typer.Option("--show-text", help="with the sensitive texts that the run kept")] = False,
) -> None:
    """Build the page of a run anew, or of several that are comparable; a run that is not finished has a page too."""
    from harness.frames import load
    from harness.gates import parse

    runs = list({run.resolve(): run for run in reversed(runs)}.values())[::-1]  # a run that is named twice is one
    gates = [*(parse(text, False) for text in fail_if or ()), *(parse(text, True) for text in fail_unless or ())]
    made = load(runs, show_text)
    _write(made, runs, format_, output)
    _judge(gates, made, aside=format_ is not Format.html and output is None)


def _write(made: "Frames", runs: list[Path], format_: Format, output: Path | None) -> None:
    """Write what was asked for, or print it."""
    from harness.files import write_text

    text = _text(made, format_)
    if output is None and format_ is not Format.html:
        print(text, end="")
        return
    path = output or (runs[0] / "report.html" if len(runs) == 1 else _beside(runs))
    if path.is_dir():
        raise InputError(f"{path} is a folder; give --output a file, as in {path / f'report.{format_}'}")
    _refuse_results(path, format_)
    try:
        if path.exists() and not path.is_file():  # a pipe or a device is written into, and not replaced by a file
            path.write_text(text, encoding="utf-8")
        else:
            write_text(path, text)
    except OSError as error:
        reason = error.strerror or error.__cause__ or error
        raise HarnessError(f"{path} cannot be written ({reason}); give --output a file elsewhere") from error
    what = "page" if format_ is Format.html else str(format_)
    several = "" if len(runs) == 1 else f" of {len(runs)} runs"
    say(f"{what}{several}: {path.resolve()}")


def _refuse_results(path: Path, format_: Format) -> None:
    """What a run wrote is not written over by what is read from it: in its folder only new files and reports are written."""
    place = path.resolve()
    run = next((parent for parent in place.parents if (parent / "plan.yaml").is_file()), None)
    if run and place.is_file() and (place.parent != run or place.name in OWN):
        raise InputError(f"{path} is a file of the run {run}; give --output another, as in {run / f'report.{format_}'}")


def _text(made: "Frames", format_: Format) -> str:
    from reports import exports, markdown, page

    if format_ is Format.html:
        return page.render(made.study)
    if format_ is Format.md:
        return markdown.rendered(made.study)
    return exports.csv(made.figures) if format_ is Format.csv else exports.dumped(exports.described(made))


def _beside(runs: list[Path]) -> Path:
    """Where the page of several runs goes: beside the first."""
    name = "+".join(run.resolve().name for run in runs)
    name = name if len(name) <= LONGEST else f"{runs[0].resolve().name}+{len(runs) - 1}-more"
    return runs[0].resolve().parent / f"{name}.html"


def _judge(gates: "list[Gate]", made: "Frames", aside: bool) -> None:
    """A line a gate and arm; exit code 1 where one does not hold. `aside`: not among what is printed."""
    from harness.gates import check

    verdicts = [verdict for gate in gates for verdict in check(gate, made)]
    for verdict in verdicts:
        typer.echo(verdict.line, err=aside)
    failed = list(dict.fromkeys(verdict.gate.text for verdict in verdicts if not verdict.passed))
    if failed:
        fail(f"{len(failed)} of {len(gates)} gates failed: {'; '.join(failed)}", 1)
