"""From words to what they name: corpora and their packed rows, suites, other models, prompts."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from harness import mirrors, registry, sources
from harness.borders import Borders
from harness.corpus import Corpus, Split
from harness.errors import InputError
from harness.files import cache
from harness.model import Base, load_tokenizer, locate, shapes
from harness.settings import BUILT_IN, Settings
from harness.strategy import NEW, OLD, TASK
from harness.suite import Suite, Task
from harness.texts import asked_of_hub, find_corpus, registered

TEXT = "text"


def corpora(asked: Settings) -> dict[str, Corpus]:
    """New text, and old and task text where they were given."""
    if not asked.new:
        raise InputError(
            "there is no text to learn; give it with --new (a file, a folder, a hub dataset or a registered corpus)"
        )
    seed = BUILT_IN["split_seed"][0] if asked.split_seed is None else asked.split_seed
    return {name: find_source(name, typed, seed) for name in (NEW, OLD, TASK) if (typed := getattr(asked, name))}


def find_source(name: str, typed: sources.Typed, seed: int) -> Corpus:
    """The text of a source, of one corpus or of several."""
    words, shares = sources.read(name, typed)
    return sources.mixed(name, [find_corpus(word, seed) for word in words], shares)


def read_how(found: Mapping[str, Corpus]) -> list[str]:
    """What a reader must know of how texts were read."""
    return list(dict.fromkeys(note for corpus in found.values() for one in sources.parts(corpus) for note in one.notes))


def row_length(asked: Settings, base: Base, config: Any) -> int:
    """Tokens of a row: as asked, if the base (its text configuration) was built for it."""
    context = int(getattr(config, "max_position_embeddings", None) or 2048)
    length = asked.length or min(BUILT_IN["length"][0], context)
    if length > context:
        raise InputError(f"rows of {length} tokens are longer than the {context} that {base.name} was built for; give --length")
    return length


def pack_all(asked: Settings, tokenizer: Any, found: Mapping[str, Corpus], length: int, known: Borders) -> dict[str, Any]:
    """The training rows of every source; of a stream as many as a training reads."""
    tables, tokens = dict[str, Any](), asked.tokens
    for name in sorted(found, key=lambda name: name != NEW):
        if name == NEW and tokens is None and asked.epochs is None:
            _refuse_endless(found[name])
        tables[name] = _table(name, tokenizer, found[name], length, tokens, known)
        if tokens is None and name == NEW:
            tokens = trained(asked, tables[name])
    return {name: tables[name] for name in found}


def trained(asked: Settings, table: Any) -> int:
    """Tokens that an arm trains on: as asked, or passes over the new text."""
    from harness.mixture import epoch

    return asked.tokens or int(epoch(table) * table.facts.tokens / len(table) * (asked.epochs or BUILT_IN["epochs"][0]))


def _refuse_endless(corpus: Corpus) -> None:
    """Refuse to read a stream to an end that may be terabytes away."""
    if streamed := next((one.name for one in sources.parts(corpus) if one.key.startswith("hub:")), None):
        raise InputError(f"{streamed} is streamed; say how much of it is read, as in --tokens 100M, or all with --epochs 1")


def _table(name: str, tokenizer: Any, corpus: Corpus, length: int, tokens: int | None, known: Borders) -> Any:
    """The training rows of a source: each corpus packed on its own."""
    packed = []
    for one in sources.parts(corpus):
        limit = tokens if one.key.startswith("hub:") else None
        packed.append(_packed(tokenizer, one, "train", length, known, limit))
        if not len(packed[-1]):
            raise InputError(
                f"the {name} text {one.name} has {packed[-1].facts.tail:,} tokens, fewer than one row of {length}; "
                f"give more text, or a smaller --length"
            )
    return _together(corpus, packed)


def _packed(tokenizer: Any, corpus: Corpus, split: Split, length: int, known: Borders, limit: int | None = None) -> Any:
    from harness.text import Cache, pack

    kept = Cache(cache() / "rows", f"{corpus.key}/{split}")
    return pack(tokenizer, corpus.read(split), length, kept, limit, known=known)


def _together(corpus: Corpus, packed: list[Any]) -> Any:
    """The rows of all parts of a source as one table."""
    from harness.mixture import Mixture

    if not isinstance(corpus, sources.Mixed):
        return packed[0]
    return Mixture([part.name for part in corpus.parts], packed, corpus.shares)


def held(tokenizer: Any, corpus: Corpus, length: int, known: Borders) -> Any:
    """Packed rows of new text that no arm trains on: its validation split; of several corpora in their shares."""
    packed = [_packed(tokenizer, one, "validation", length, known) for one in sources.parts(corpus)]
    found = _together(corpus, packed)
    return found.in_turn() if len(packed) > 1 else found


def named(asked: Settings, more: Sequence[str] = ()) -> list[Suite]:
    """The suites asked for by a word each, where all that they, the models (and `more`) and the texts need is to be had."""
    mirrors.use(asked.mirrors)
    known = [_score().completed(suite) for suite in _named_suites([word for word in asked.suites or () if word != TEXT])]
    made = [_score().permitted(suite, asked.allow_code_execution) for suite in known]
    words = [word for name in (NEW, OLD, TASK) for word in sources.words(getattr(asked, name))]
    texts = {word: hub for word in words if (hub := asked_of_hub(word))}
    _score().refuse_missing(made, filter(None, (asked.model, asked.reference, asked.instruct, *more)), texts)
    return made


def suites(asked: Settings, found: Mapping[str, Corpus], made: list[Suite]) -> tuple[tuple[Suite, ...], list[str]]:
    """The suites of a plan, and what to say of them; text that is not registered brings its own held-out documents."""
    notes, made = told(made), rehearsed(made, found.get(OLD))
    brought = any(not isinstance(registered(word), Corpus) for word in sources.words(asked.new))
    if brought or not asked.suites or TEXT in asked.suites:
        _refuse_untestable(asked, found)
        made.append(replace(heldout(found), shown=asked.show_text))
    if not any(task.measures == "keep" and task.source == "other" for suite in made for task in suite.tasks):
        notes.append(
            "no suite measures keeping on text or tasks of another source than the old text, so forgetting cannot be claimed; "
            "add suites, as in --suites general"
        )
    return ready(made), notes


def rehearsed(made: Sequence[Suite], old: Corpus | None) -> list[Suite]:
    """Suites whose tasks say where they score the data set that arms may read as old text: a text of it, or its stock task."""
    read = {one.published for one in sources.parts(old) if one.published} if old else set()
    names = {dataset.rpartition("/")[2] for dataset in read}

    def marked(task: Task) -> Task:
        same = task.source == "other" and (task.name in names or (task.text is not None and task.text.dataset in read))
        return replace(task, source="same") if same else task

    return [replace(suite, tasks=tuple(map(marked, suite.tasks))) if read else suite for suite in made]


def told(made: Sequence[Suite]) -> list[str]:
    """What a reader must know of where suites come from: code that is run, mirrors that stand for the hub."""
    notes = [f"{suite.about}: they are code, and are run" for suite in made if any(task.folder for task in suite.tasks)]
    path = mirrors.current().path
    return notes + ([f"data sets and models that {path} names are read from this machine"] if path else [])


def ready(made: Sequence[Suite]) -> tuple[Suite, ...]:
    """Suites whose names tell them apart, built: what is missing is said before anything is scored."""
    if doubled := _doubled([suite.name for suite in made]):
        raise InputError(f"two suites are called {doubled}; rename one of them")
    if doubled := _doubled([task.name for suite in made for task in suite.tasks]):
        raise InputError(f"the task {doubled} stands in two suites; leave one of them out")
    _score().prepare(*made)
    return tuple(made)


def heldout(found: Mapping[str, Corpus]) -> Suite:
    """Documents of the plan's own text that no arm reads."""
    return _score().documents_suite(TEXT, found[NEW], found.get(OLD), found.get(TASK))


def _score() -> Any:
    from harness import score

    return score


def _doubled(names: Sequence[str]) -> str | None:
    return next((name for name in sorted(names) if names.count(name) > 1), None)


def _refuse_untestable(asked: Settings, found: Mapping[str, Corpus]) -> None:
    """Refuse text of which nothing can be held out."""
    for name in (NEW, OLD):
        parts = sources.parts(found[name]) if name in found else ()
        for word, one in zip(sources.words(getattr(asked, name)) or [part.name for part in parts], parts, strict=True):
            if next(iter(one.read("test")), None) is None:
                raise InputError(f"--{name} {word} has too few documents to hold one out for scoring; give three at least")


def _named_suites(words: Sequence[str]) -> list[Suite]:
    """Registered suites, suite files, folders of task files (code: the path is spelt), and lm-eval's tasks by their names."""
    known, loose, made = registry.installed("suites"), [], []
    for word in words:
        if word in known:
            made.append(known[word].load()())
        elif word.endswith((".yaml", ".yml")):
            made.append(registry.find("readers", "suite").load()(word))
        elif word.startswith((".", "/", "~")) or word.endswith("/"):
            made.append(_score().folder_suite(word))
        else:
            loose.append(word)
    for word in loose:
        if near := get_close_matches(word, known, n=1, cutoff=0.85):
            raise InputError(f"unknown suite {word!r}; did you mean {near[0]}?")
    return made + [registry.find("readers", "tasks").load()(word) for word in loose]


def other_models(asked: Settings, base: Base, tokenizer: Any) -> dict[str, Base]:
    """The other models of the plan, each with the base's own tokenizer; one made from the base has its tensors."""
    from harness.text import tokenizer_digest

    found = {}
    for name in ("reference", "instruct"):
        if word := getattr(asked, name):
            found[name] = locate(word)
            if tokenizer_digest(load_tokenizer(found[name].folder)) != tokenizer_digest(tokenizer):
                raise InputError(f"--{name} {word} has another tokenizer than {base.name}; arms compare token by token")
    if (made := found.get("instruct")) and (odd := _odd(shapes(made.folder), shapes(base.folder))):
        raise InputError(f"--instruct {made.name} was not made from {base.name}: they differ in {odd}; give one that was")
    return found


def _odd(one: Mapping[str, Any], other: Mapping[str, Any]) -> str | None:
    """A tensor that two models do not share; a tied head is stored by some and left out by others."""
    names = sorted({**one, **other})
    lone = [name for name in names if (name in one) != (name in other)]
    unlike = [name for name in names if name not in lone and one[name] != other[name]]
    return next(iter(unlike or lone[1:]), None)


def prompts(asked: Settings) -> tuple[str, ...]:
    """The user's own prompts, one a line of their file."""
    if not asked.prompts:
        return ()
    try:
        lines = Path(asked.prompts).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the prompts {asked.prompts} cannot be read: {error}") from error
    if not (found := tuple(line for line in lines if line.strip())):
        raise InputError(f"{asked.prompts} holds no prompt; write one a line")
    return found
