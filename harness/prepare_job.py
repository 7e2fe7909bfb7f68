"""What a preparation is asked to do, looked up: sources, recipe, tokenizer, and the key of what will come out."""

import inspect
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, count, islice
from pathlib import Path

from harness import __version__
from harness.clean import Recipe, Step, function, recipe
from harness.corpus import SPLITS, Corpus
from harness.errors import InputError
from harness.formats import ID, TEXT, Found, Place, document
from harness.plan import digest, file_digest
from harness.prepare_pass import Row, Work
from harness.prepare_write import refuse_suffix
from harness.splits import Splits
from harness.withheld import READ, secret


@dataclass(frozen=True)
class Words:
    """What was typed."""

    sources: str
    domain: str
    output: Path
    max_documents: int | None = None
    workers: int | None = None
    model: str | None = None
    show_text: bool = False


@dataclass(frozen=True)
class Job:
    """A preparation whose words were all looked up.

    limit      documents that are read of each source
    tokenizer  that tokens are counted with, as its own JSON; `counted_by` names it
    """

    sources: Mapping[str, Corpus]
    recipe: Recipe
    output: Path
    limit: int | None
    workers: int
    tokenizer: str
    counted_by: str
    show_text: bool

    @cached_property
    def key(self) -> str:
        """Of all that decides what comes out: content of sources, steps with code and models, tokenizer, form of the output."""
        here = Path(__file__).parent
        modules = {Path(inspect.getfile(function(step.word))) for step in self.recipe.steps}
        modules |= {*here.glob("clean*.py"), here / "duplicates.py", here / "prepare_pass.py"}
        made_by = [__version__, self.recipe.name, self.recipe.key, _models(self.recipe), *sorted(map(file_digest, modules))]
        keys = [(name, corpus.key) for name, corpus in self.sources.items()]  # in their order
        return digest([keys, self.limit, made_by, self.tokenizer, self.sensitive, self.show_text, self.output.name])

    @property
    def sensitive(self) -> bool:
        """Whether the rows say that they are."""
        return self.recipe.sensitive or any(corpus.sensitive for corpus in self.sources.values())

    @cached_property
    def secret(self) -> str:
        """The key under which examples are withheld, where they are sensitive and were not asked for; "": they are shown."""
        return secret(row.text for row in islice(self.rows(), READ)) if self.sensitive and not self.show_text else ""

    @property
    def note(self) -> Path:
        """The table and the digests of the output, beside it."""
        return self.output.with_name(f"{self.output.name}.prepared.json")

    @property
    def folder(self) -> Path:
        """The work folder."""
        return self.output.with_name(f".{self.output.name}.work")

    def rows(self) -> Iterator[Row]:
        """All documents of all sources; where there are several an id begins with its source."""
        for number, (name, corpus) in enumerate(self.sources.items()):
            prefix = f"{name}/" if len(self.sources) > 1 else ""
            for found in islice(everything(corpus), self.limit):
                yield Row(number, prefix + found.document.id, found.document.text)

    def work(self, one: "Pass") -> Work:
        """What workers do in a pass."""
        prints = one.then is not None and one.then.kind == "corpus"
        return Work(one.steps, self.tokenizer, prints, self.secret)


def _models(found: Recipe) -> list[str]:
    """Digests of the models that score documents: what a word means may change."""
    from harness.model import locate

    return [locate(step.values["model"]).digest for step in found.steps if step.word == "perplexity"]


@dataclass(frozen=True)
class Pass:
    """Steps that look at a document alone, and the one after them that must see all that they leave."""

    steps: tuple[Step, ...]
    then: Step | None


def passes(steps: tuple[Step, ...]) -> list[Pass]:
    """The steps of a recipe as passes over the documents."""
    found: list[Pass] = []
    each: list[Step] = []
    for step in steps:
        if step.each:
            each.append(step)
        else:
            found.append(Pass(tuple(each), step))
            each = []
    return [*found, Pass(tuple(each), None)] if each or not found else found


def everything(corpus: Corpus) -> Iterator[Found]:
    """All documents of all splits; what is not cut yet is read in the order of its files."""
    if isinstance(corpus.read, Splits):
        for source in corpus.read.given.values():
            yield from source()
        return
    for split in SPLITS:
        for number, one in enumerate(corpus.read(split), 1):
            yield document(Place(f"{corpus.name} {split}"), number, {ID: one.id, TEXT: one.text})


def ready(words: Words) -> Job:
    """Look up all that was typed; nothing is written."""
    refuse_suffix(words.output)
    if not words.output.resolve().parent.is_dir():
        raise InputError(f"there is no folder {words.output.parent} for --output {words.output}; make it first")
    for name, value in (("--workers", words.workers), ("--max-documents", words.max_documents)):
        if value is not None and value < 1:
            raise InputError(f"{name} is {value}; give 1 or more")
    made = recipe(words.domain)
    workers = words.workers or _cores()
    return Job(_sources(words), made, words.output, words.max_documents, workers, *_tokenizer(words.model), words.show_text)


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _sources(words: Words) -> dict[str, Corpus]:
    """Every source by a name of its own."""
    from harness import sources
    from harness.texts import unchecked

    found: dict[str, Corpus] = {}
    typed = sources.words(words.sources)
    if ",".join(typed) != words.sources or "" in typed:
        raise InputError(
            f"{words.sources} names no sources; type them with a comma between, without shares: all of each is read"
        )
    for word in typed:
        if words.output.exists() and Path(word).exists() and Path(word).samefile(words.output):
            raise InputError(f"--output {words.output} is a source itself; name another file")
        corpus = unchecked(word)
        if any(other.key == corpus.key for other in found.values()):
            raise InputError(f"{word} holds the documents of a source before it; name each source once")
        names = chain([corpus.name], (f"{corpus.name}-{number}" for number in count(len(found) + 1)))
        found[next(name for name in names if name not in found)] = corpus
    return found


def _tokenizer(model: str | None) -> tuple[str, str]:
    """What tokens are counted with, as JSON, and its name: that of a model, the embedded base where none is named."""
    from harness.model import locate
    from harness.registry import find

    name = model or find("readers", "model").load()().name
    plain = _fast(locate(name).folder, name)
    return plain, f"{name} ({digest(plain)[:12]})"


def _fast(folder: Path, name: str) -> str:
    """A tokenizer's own file; what transformers makes of a folder without one (and loads torch for)."""
    if (own := folder / "tokenizer.json").is_file():
        return own.read_text(encoding="utf-8")
    from harness.model import load_tokenizer

    made = load_tokenizer(folder)
    if getattr(made, "backend_tokenizer", None) is None:
        raise InputError(f"the tokenizer of {name} has no fast version; name another --model to count tokens with")
    return made.backend_tokenizer.to_str()
