"""From what was asked to what will be run: everything looked up, checked and decided before anything is written."""

import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import fitting, lookup, old_text, plugins
from harness.arms import broken, gather, rate, sound
from harness.borders import Borders, borders
from harness.corpus import Corpus
from harness.errors import InputError
from harness.grids import Grid, items, planned, told_of
from harness.keeping import few_checkpoints, finished_control, scored_at, weights_digest
from harness.looks import foreseen
from harness.mixture import epoch
from harness.model import Base, count_parameters, load_model, load_tokenizer, locate
from harness.needs import check_fits, check_given
from harness.passed import told
from harness.plan import Budget, Engine, Plan, digest
from harness.sealed import MANIFEST
from harness.settings import BUILT_IN, Settings
from harness.sources import Say, heard, silent
from harness.spelled import source, spelled
from harness.spending import decide, updates
from harness.strategy import NEW, Strategy
from harness.suite import Suite
from harness.trackers import check_trackers
from harness.withheld import guarded

if TYPE_CHECKING:
    from harness.reader import Setting

LIBRARIES = ("torch", "transformers", "accelerate", "datasets", "lm-eval", "tokenizers", "numpy", "forgetting-harness")


@dataclass(frozen=True)
class Ready:
    """A plan, and the objects that it names."""

    plan: Plan
    base: Base
    tokenizer: Any
    setting: "Setting"
    strategies: Mapping[str, Strategy]
    suites: tuple[Suite, ...]
    folder: Path
    limit: int | None
    bos: bool | None
    heldout: Callable[[], Suite]
    corpora: Mapping[str, Corpus]


@dataclass(frozen=True)
class Found:
    """What the words of a plan name: the base, texts by source and their packed rows, other models."""

    base: Base
    tokenizer: Any
    borders: Borders
    config: Any
    corpora: Mapping[str, Corpus]
    tables: Mapping[str, Any]
    others: Mapping[str, Base]


def resolve(asked: Settings, say: Say = silent, grid: Grid | None = None) -> Ready:
    """Everything looked up, checked and decided; `say` hears of what takes its time; a search brings its grid."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError("a run is one process for now, and this is one of several; start it without a launcher")
    scored, scored_note = scored_at(asked)
    extra, equal = plugins.from_files(asked.plugin, asked.strategies), asked.equal or BUILT_IN["equal"][0]
    grid = grid or planned(asked, extra)
    arms = gather(grid.words(asked.strategies), extra, asked.controls == "matched", equal)
    check_given(asked, arms.strategies)
    check_trackers(asked.trackers)
    prompts = lookup.prompts(asked)
    named = lookup.named(asked)
    base, corpora = locate(asked.model or ""), lookup.corpora(asked)
    folder = old_text.folder(asked, base, corpora[NEW])
    corpora = old_text.with_old(asked, base, corpora, arms.strategies, say)
    suites, suite_notes = lookup.suites(asked, corpora, guarded(named, corpora.values(), asked.show_text))
    found, length = load(asked, base, corpora, say)
    budget, budget_notes = decide(asked, base, epoch(found.tables[NEW]), length)
    budget_notes += read_notes(found, budget)
    suit(found, budget.engine)
    arms = replace(arms, strategies={name: sound(s, lambda asked: asked.cost(budget)) for name, s in arms.strategies.items()})
    steps, equal_note = updates(arms, budget, equal)
    budgets = {name: replace(budget, steps=own) for name, own in steps.items()}
    arms = replace(arms, strategies=check_fits(arms.strategies, base, found.config, budgets))
    looked = BUILT_IN["milestones"][0] if asked.milestones is None else asked.milestones
    short = [*told_of(asked), *(foreseen(suites, budget, asked.limit) if looked else ())]
    setting, described = _setting(asked, budget, found, folder), _base(found)
    rows, rows_note = fitting.choose(asked, setting, arms.strategies.values(), found.config, described["parameters"], folder)
    plan = Plan(
        base=described,
        sources={name: source(corpora[name], table) for name, table in found.tables.items()},
        budget=budget,
        arms=arms.arms,
        strategies={arm.name: spelled(arm, arms.strategies[arm.name], extra, found.others) for arm in arms.arms},
        rates={arm.name: rate(arm, arms.strategies[arm.name]) for arm in arms.arms},
        steps=steps,
        seeds=tuple(asked.seeds or BUILT_IN["seeds"][0]),
        suites={suite.name: suite.key for suite in suites},
        micro_batch=rows,
        equal=equal,
        controls=arms.controls,
        **vars(grid),
        prompts=prompts,
        plugins=asked.plugin,
        options=_options(asked, scored, looked),
        notes=(
            *(*arms.notes, *broken(arms.strategies), *lookup.read_how(corpora), *suite_notes, *budget_notes, *rows_note),
            *(equal_note, *scored_note, *few_checkpoints(asked, steps), *short),
        ),
        versions={name: version(name) for name in LIBRARIES} | {"python": platform.python_version()},
    )
    setting, heldout, bos = replace(setting, micro_batch=rows), partial(lookup.heldout, corpora), base.facts.get("bos")
    return Ready(plan, base, found.tokenizer, setting, arms.strategies, suites, folder, asked.limit, bos, heldout, corpora)


def _options(asked: Settings, scored: str, looked: bool) -> dict[str, Any]:
    return {
        "margin": asked.margin,
        "limit": asked.limit,
        "allow_code_execution": asked.allow_code_execution,
        "items": items(asked),
        "trackers": list(asked.trackers),
        "milestones": looked,
        "curve": BUILT_IN["curve"][0] if asked.curve is None else asked.curve,
        "keep_weights": asked.keep_weights,
        "scored_at": scored,
        "on_nan": asked.on_nan,
        "show_text": asked.show_text,
    }


def load(asked: Settings, base: Base, corpora: Mapping[str, Corpus], say: Say = silent) -> tuple[Found, int]:
    """Tokenizer, rows and other models, and the length of a row: that asked for, if the base was built for it."""
    from transformers import AutoConfig

    tokenizer = load_tokenizer(base.folder)
    config = AutoConfig.from_pretrained(base.folder, trust_remote_code=False)
    text = config.get_text_config()
    if (largest := max(tokenizer.get_vocab().values())) >= text.vocab_size:
        raise InputError(f"{base.name} has {text.vocab_size} embeddings, and its tokenizer makes the token {largest}")
    length = lookup.row_length(asked, base, text)
    known = borders(tokenizer, base.facts)
    tables = lookup.pack_all(asked, tokenizer, {name: heard(corpus, say) for name, corpus in corpora.items()}, length, known)
    return Found(base, tokenizer, known, config, corpora, tables, lookup.other_models(asked, base, tokenizer)), length


def suit(found: Found, engine: Engine) -> None:
    """Refuse a base whose architecture cannot be trained as the engine says; load Liger's kernels before any model."""
    from harness.arithmetic import check, use_liger
    from harness.train import device

    if engine.liger:
        use_liger(found.config.model_type)
    if engine.attention != "sdpa" or engine.document_mask or engine.gradient_checkpointing or engine.compile:
        check(load_model(found.base.folder).to(device()), engine, found.borders.start)


def _setting(asked: Settings, budget: Budget, found: Found, folder: Path) -> "Setting":
    """What all arms of the run share; how many rows go through the model at once is decided with it."""
    from harness.reader import Setting

    length, tokenizer = budget.length, found.tokenizer
    return Setting(
        budget,
        partial(load_model, found.base.folder),
        found.tables,
        budget.batch,
        content_keys(found, length),
        lookup.cache(),
        found.borders.start,
        BUILT_IN["checkpoint_every"][0] if asked.checkpoint_every is None else asked.checkpoint_every,
        {name: partial(load_model, other.folder) for name, other in found.others.items()},
        partial(lookup.held, tokenizer, found.corpora[NEW], length, found.borders),
        partial(finished_control, folder),
        keep_checkpoints=asked.keep_checkpoints or BUILT_IN["keep_checkpoints"][0],
        keep_best=asked.keep_best or asked.score == "best",
        score_best=asked.score == "best",
        on_nan=asked.on_nan or BUILT_IN["on_nan"][0],
    )


def read_notes(found: Found, budget: Budget) -> list[str]:
    """How sources are mixed, and how often the control reads the new text."""
    rows = {NEW: budget.steps * budget.batch}
    return [
        note for name, corpus in found.corpora.items() for note in told(name, corpus, found.tables[name], rows.get(name, 0))
    ]


def content_keys(found: Found, length: int) -> dict[str, str]:
    """By source and model: what a run shares with others that read the same rows and start from the same weights."""
    from harness.text import tokenizer_digest

    tokenizer = tokenizer_digest(found.tokenizer, found.borders)
    rows = {name: digest([found.corpora[name].key, t.facts.rows, length, tokenizer]) for name, t in found.tables.items()}
    return rows | {"base": found.base.digest} | {name: other.digest for name, other in found.others.items()}


def _base(found: Found) -> dict[str, Any]:
    from harness.text import tokenizer_digest

    folder = found.base.folder
    return {
        "name": found.base.name,
        "digest": found.base.digest,
        "parameters": count_parameters(folder),
        "tokenizer": tokenizer_digest(found.tokenizer, found.borders),
        **({"weights": weights_digest(folder)} if (folder / MANIFEST).is_file() else {}),  # a run may have trained it
        **found.base.facts,
    }
