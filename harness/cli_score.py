"""`harness score`: words to models that were trained elsewhere. Part of the command line, which alone prints."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli_ends import command, end, say
from harness.errors import InputError
from harness.stopping import heeded

if TYPE_CHECKING:
    from harness.comparison import Words


def _option(help_: str) -> Any:
    return typer.Option(help=help_)


def score(
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="MODEL", help="folders, hub names (owner/name@revision) or peft adapters; NAME=MODEL names one"),
    ] = None,
    base: Annotated[str | None, _option("the model that they were trained from: as MODEL, or a registered name")] = None,
    suites: Annotated[str | None, _option("registered suites, suite files, or lm-eval tasks (general)")] = None,
    manifest: Annotated[
        Path | None, _option("CSV of models: path, arm, seed, step, tokens, lr, role (one is the control)")
    ] = None,
    lm_eval_samples: Annotated[
        list[Path] | None, _option("folders that lm-eval's --log_samples wrote, instead of models; --base is one of them")
    ] = None,
    limit: Annotated[int | None, _option("items a task, a seeded random subset, the same for every model")] = None,
    mirrors: Annotated[str | None, _option("mirrors.yaml: what stands for data sets and models of the hub")] = None,
    trust_remote_code: Annotated[
        bool,
        typer.Option("--trust-remote-code", help="run Python files of models named as owner/name@ and a commit's 40 digits"),
    ] = False,
    allow_code_execution: Annotated[
        bool, typer.Option("--allow-code-execution", help="run what models wrote, without network or files (humaneval, mbpp)")
    ] = False,
    show_text: Annotated[bool, typer.Option("--show-text", help="keep and show the texts of sensitive suites")] = False,
    output: Annotated[Path | None, _option("run folder")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would be done and what it costs; score nothing")] = False,
) -> None:
    """Score models that were trained elsewhere as a run scores its arms, and write the page that compares them."""
    # one parameter a flag: that is how typer reads a command; they become one `Words` at once
    from harness.comparison import Words

    with heeded():
        if lm_eval_samples:
            if models or manifest or limit or dry_run:
                raise InputError(
                    "--lm-eval-samples brings rows that are scored already; leave models, manifest, limit and dry run out"
                )
            _import(tuple(lm_eval_samples), base, suites, output, show_text)
        elif base is None and (manifest or len(models or ()) != 1):
            raise InputError("say with --base which model they were trained from: every difference is taken against it")
        else:
            against = base or "".join(models or ())  # a model alone is a base: what it can show is known once it is scored
            given = Words(
                against,
                tuple(models or ()) if base else (),
                manifest,
                suites or "general",
                limit,
                mirrors,
                output,
                trust_remote_code,
                allow_code_execution,
                show_text,
            )
            _score(given, dry_run)


def _import(folders: tuple[Path, ...], base: str | None, suites: str | None, output: Path | None, shown: bool) -> None:
    from harness.imported import take

    folder = take(folders, base, suites, output, command(), shown)
    end(folder, [], "model", shown)


def _score(words: "Words", dry_run: bool) -> None:
    from rich.console import Console

    from harness.announce import about, several
    from harness.comparison import compare, stored
    from harness.gathered import settle
    from harness.scoring import price, run
    from harness.watching import Terminal

    one = compare(words)
    settle(one.folder, stored(one, command()))
    named = ", ".join(key.folder for key in one.trainings)
    say(f"base {one.base.name}; " + (f"{several(len(one.models), 'checkpoint')}: {named}" if named else "no checkpoint"))
    for note in (*one.notes, *(suite.note for suite in one.how.suites if suite.note)):
        say(f"note: {note}")
    cost = price(one)
    wait = f", {about(cost.seconds)}" if cost.models else ""
    say(f"to do: {several(cost.models, 'model')}, {several(cost.items, 'item')} each{wait}")
    if not dry_run:
        with Terminal(Console()) as watch:
            failed = run(one, command(), watch)
        end(one.folder, failed, "model", words.show_text)
