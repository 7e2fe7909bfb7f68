"""Words to a plan; with cli_score.py and cli_ends.py beside it the only file that prints or exits."""

import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from harness import __version__, cli_prepare, cli_report, cli_score
from harness.cli_ends import AGAIN, broken, command, end, fail, say
from harness.errors import HarnessError
from harness.settings import Settings
from harness.stopping import Stopped, heeded

if TYPE_CHECKING:
    from harness.resolve import Ready

app = typer.Typer(
    name="harness",
    help="What does a language model forget while it learns your text, and which way of training keeps most for the price?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)


def main() -> NoReturn:
    """The command `harness`: sentences instead of tracebacks for what the user can mend."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    try:
        code = app(standalone_mode=False)
    except HarnessError as error:
        fail(str(error), error.exit_code)
    except OSError as error:  # a full disk, a path that cannot be
        fail(" ".join(str(error).split()), 1)
    except typer.Exit as stop:
        code = stop.exit_code
    except Stopped as stop:
        fail(f"{stop}{AGAIN}", stop.code)
    except (KeyboardInterrupt, typer.Abort):
        fail(f"interrupted{AGAIN}", 130)
    except Exception as error:
        if type(error).__module__.startswith(("click", "typer")):  # a flag that does not exist, a word too many
            fail(" ".join(str(error.format_message() if hasattr(error, "format_message") else error).split()), 2)  # pyright: ignore
        broken()
    if code == 130:
        fail(f"interrupted{AGAIN}", 130)
    sys.exit(code or 0)


def _version(asked: bool) -> None:
    if asked:
        print(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")] = False,
) -> None:
    pass


def _option(help_: str) -> Any:
    return typer.Option(help=help_)


FLAGS = """
    strategies model new old task split_seed reference instruct suites mirrors seeds tokens epochs batch length learning_rate
    micro_batch precision weights optimizer attention document_mask gradient_checkpointing reference_weights
    offload_reference compile liger
    checkpoint_every keep_checkpoints keep_best score keep_weights on_nan
    equal controls sweep match limit items milestones curve trackers prompts plugin output
    allow_code_execution show_text dry_run
"""
"""The settings that are flags of `harness run`, in their order; a plan file takes all settings."""
KINDS: dict[Any, str] = {
    int: "split_seed seeds batch length keep_checkpoints limit",
    float: "epochs learning_rate match",
    bool: (
        "document_mask gradient_checkpointing offload_reference compile liger keep_best sweep milestones curve "
        "allow_code_execution show_text dry_run"
    ),
    list[str]: "plugin",
}
"""What a flag's word is, where it is more than a word."""


def _with_flags(command: Callable[..., None]) -> Callable[..., None]:
    """A command that takes FLAGS: as the settings describe them, None where not typed."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    kinds = {name: kind for kind, names in KINDS.items() for name in names.split()}
    flags = [
        inspect.Parameter(
            name, keyword, default=None, annotation=Annotated[kinds.get(name, str) | None, _option(_described(name))]
        )
        for name in FLAGS.split()
    ]
    own = inspect.signature(command)
    first = [p for p in own.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    command.__signature__ = own.replace(parameters=[*first, *flags])  # pyright: ignore[reportFunctionMemberAccess]
    return command


def _described(name: str) -> str:
    return Settings.model_fields[name].description or ""


@app.command()
@_with_flags
def run(
    plan: Annotated[Path | None, typer.Argument(help="plan file (YAML); the command line wins over it")] = None, **typed: Any
) -> None:
    """Train one base under each strategy and the control, score all of them, and write a page that compares them."""
    if plan is None:
        _fail_early(typed)
    from harness.asking import ask
    from harness.resolve import resolve

    with heeded():
        asked = ask(plan, {name: value for name, value in typed.items() if value not in (None, [])})
        ready = resolve(asked, say)
        _say_plan(ready, asked)
        if not asked.dry_run:
            _run(ready, asked)


def _fail_early(typed: dict[str, Any]) -> None:
    """A misspelt strategy is answered before anything heavy is loaded."""
    if not typed["plugin"] and typed["strategies"]:
        from harness.registry import find
        from harness.typed import parse_arms

        for arm in parse_arms(typed["strategies"]):
            for part in arm.parts:
                find("strategies", part.name)


def _say_plan(ready: "Ready", asked: "Settings") -> None:
    from harness.announce import announced, proposed
    from harness.folder import refuse_foreign

    refuse_foreign(ready, ready.folder)
    for line in (*announced(ready), *(proposed(ready, asked) if asked.dry_run else ())):
        say(line)


def _run(ready: "Ready", asked: "Settings") -> None:
    from rich.console import Console

    from harness.run import run as run_plan
    from harness.search import search
    from harness.watching import Terminal

    with Terminal(Console()) as watch:
        failed = search(asked, ready, command(), watch) if asked.match else run_plan(ready, command(), watch)
    end(ready.folder, failed, "trial", asked.show_text)


app.command()(cli_score.score)
app.command()(cli_prepare.prepare)
app.command()(cli_report.report)


@app.command()
def pretrain(
    recipe: Annotated[str, typer.Argument(help="a registered model's recipe, or a recipe file (YAML)")],
    output: Annotated[Path, _option("folder for the model")],
) -> None:
    """Make a base model from a recipe: tokenizer, model, corpus, budget."""
    from harness.making import make

    print("reading the text and training the tokenizer", flush=True)
    for name, digest in make(recipe, output, _say_update).items():
        print(f"{name}: {digest}")


def _say_update(update: int, total: int, loss: float) -> None:
    if update % max(1, total // 50) == 0 or update == total:
        print(f"update {update} of {total}: loss {loss:.3f}", flush=True)


@app.command()
def fisher(
    model: Annotated[str, typer.Argument(help="base: a folder, a hub name, or a registered model")],
    old: Annotated[str, _option("text that the base knows; as for `harness run`")],
    tokens: Annotated[str | None, _option("tokens it is estimated on; k, M and B are understood")] = None,
    length: Annotated[int | None, _option("tokens of a row")] = None,
    draw: Annotated[int | None, _option("seed of the drawn labels")] = None,
    budget: Annotated[str | None, _option("tokens an arm of the run trains on, where that limits what is read")] = None,
) -> None:
    """Estimate which weights old text depends on; a later run with the same base, text and tokens finds it."""
    from harness.importance import make

    print("reading the text", flush=True)
    made = make(model, old, {"tokens": tokens, "draw": draw}, length, budget)
    for path, there in made.files.items():
        print(f"{path}: {'was there' if there else 'made'}")
    for name, value in made.facts.items():
        print(f"{name.replace('_', ' ')}: {value:.4g}" if isinstance(value, float) else f"{name.replace('_', ' ')}: {value:,}")
    print(f"seconds: {made.seconds:.1f}")


@app.command("list")
def list_(kind: Annotated[str, typer.Argument(help="strategies, suites, corpora, models, filters or recipes")]) -> None:
    """What is registered, a line each."""
    from harness.describe import lines

    print("\n".join(lines(kind)))


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="a strategy, suite, corpus, model, filter or recipe; or `defaults`")],
) -> None:
    """One of them in full; `harness show defaults` prints every default with its source."""
    from harness.describe import page

    print(page(name))


@app.command()
def new(
    kind: Annotated[str, typer.Argument(help="strategy")],
    name: Annotated[str, typer.Argument(help="its name, a lower-case word: the package is written into ./NAME")],
) -> None:
    """Begin a strategy of your own: a package with its entry point and a test that puts every law to it."""
    from harness.new import write

    made = write(kind, name, Path(name))
    print(f"wrote {', '.join(map(str, made))}")
    print(f"next: pip install -e {name} && pytest {name} && harness run --strategies {name}")
