"""Which old text is read where none was given: what the run has, the base's own, a web sample, or text drawn from the base.

It is decided where an arm reads old text, said in the notes of the plan, and kept in the plan: a continued run reads the same.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness import lookup
from harness.arms import OLD_ONLY
from harness.borders import borders
from harness.corpus import Corpus
from harness.drawn import Drawing, name, rows_of
from harness.errors import InputError
from harness.model import Base, load_tokenizer
from harness.record import read_plan
from harness.settings import BUILT_IN, Settings
from harness.sources import Say
from harness.strategy import NEW, OLD, Strategy
from harness.texts import asked_of_hub, find_corpus

WEB = "fineweb_edu"
"""The web sample: public, English, of one licence, and part of what many small bases read."""
DRAWN = re.compile(r"drawn:(\d+)x(\d+)")


def with_old(
    asked: Settings, base: Base, found: Mapping[str, Corpus], strategies: Mapping[str, Strategy], say: Say
) -> dict[str, Corpus]:
    """Corpora by source, old text among them where an arm reads it, or where the run to be continued has it.

    The notes of one that was chosen say why.
    """
    if OLD in found:
        return dict(found)
    readers = [arm for arm, strategy in strategies.items() if OLD in strategy.needed()]
    readers = [arm for arm in readers if arm != OLD_ONLY.name] or readers
    reading = f"{', '.join(readers) or 'no arm'} read{'s' * (len(readers) < 2)} old text"
    begun = f"{reading}, and no --old was given: "
    seed = BUILT_IN["split_seed"][0] if asked.split_seed is None else asked.split_seed
    kept = _kept(asked, base, found[NEW], reading if readers else "")
    if word := kept.get("word"):
        drawing = DRAWN.fullmatch(word)
        size = (int(drawing[1]), int(drawing[2])) if drawing else None
        old = _drawn(asked, base, found, size, say) if size else find_corpus(word, seed)
        say(f"{begun}it is {old.name}, as in the plan of this run")
        return {**found, OLD: replace(_told(old, word), notes=tuple(kept.get("notes", old.notes)))}
    if not readers:
        return dict(found)
    whys: list[str] = []
    for word, what in _candidates(base):
        say(f"no --old was given; looking for {what}, {word}")
        old = _tried(word, seed, whys)
        if old is not None:
            tail = f" ({'; '.join(whys)})" if whys else ""
            return {**found, OLD: _told(old, word, f"{begun}it is {what}, {word}{tail}")}
    old = _drawn(asked, base, found, None, say)
    own = f"text of the base's own distribution, {old.name}: {old.about}"
    return {**found, OLD: _told(old, "", f"{begun}it is {own} ({'; '.join(whys)})")}


def _told(corpus: Corpus, word: str, *why: str) -> Corpus:
    """With the word by which a continued run finds it again."""
    return replace(corpus, word=corpus.word or word, notes=(*why, *corpus.notes))


def folder(asked: Settings, base: Base, new: Corpus) -> Path:
    """The run folder."""
    return Path(asked.output or f"runs/{Path(base.name).name}-{Path(new.name).name}")


def _kept(asked: Settings, base: Base, new: Corpus, reading: str) -> Mapping[str, Any]:
    """What the plan of this run says of its old text; `reading` says who reads some, where anybody does.

    Refused before any is looked for: a run without old text cannot be given some, and of a file only its name is known.
    """
    place = folder(asked, base, new)
    if not (place / "plan.yaml").is_file():
        return {}
    sources = read_plan(place).get("sources", {})
    if reading and OLD not in sources:
        raise InputError(f"{place} was begun without old text, and {reading}; give --output another folder, or delete it")
    known = sources.get(OLD, {})
    if known and not known.get("word"):
        raise InputError(f"{place} has the old text {known['name']}; give it again with --old, or --output another folder")
    return known


def _candidates(base: Base) -> list[tuple[str, str]]:
    own = base.facts.get("text")
    return [*([(own, "text that the base was trained on")] if own else []), (WEB, "a web sample")]


def _tried(word: str, seed: int, whys: list[str]) -> Corpus | None:
    """The corpus of a word, or why it cannot be had; a hub that does not answer is not asked again."""
    remote = asked_of_hub(word)
    if remote and any("cannot be reached" in why for why in whys):
        whys.append(f"nor can {word}")
        return None
    try:
        found = find_corpus(word, seed)
    except InputError as error:
        if not remote:
            raise
        whys.append(f"{word} cannot be reached: {_reason(error)}")
        return None
    return found


def _reason(error: Exception) -> str:
    """What the hub or the network said."""
    match = re.search(r"cannot be read \((.*)\); check", str(error))
    return match[1][:100] if match else str(error).split("; ")[0]


def _drawn(asked: Settings, base: Base, found: Mapping[str, Corpus], size: tuple[int, int] | None, say: Say) -> Corpus:
    """Text drawn from the base: found, drawn now, or in a dry run the new text in its place."""
    drawing = _drawing(asked, base, found, size)
    seed = BUILT_IN["split_seed"][0] if asked.split_seed is None else asked.split_seed
    if not drawing.path.is_file():
        if asked.dry_run:
            about = f"{drawing.cost}, not drawn in a dry run, where figures of old text are those of the new"
            return replace(found[NEW], name=name(base), about=about, notes=())
        say(f"drawing old text from {base.name}: {drawing.cost}")
        drawing.draw(say)
    return drawing.corpus(seed)


def _drawing(asked: Settings, base: Base, found: Mapping[str, Corpus], size: tuple[int, int] | None) -> Drawing:
    from transformers import AutoConfig

    tokenizer: Any = load_tokenizer(base.folder)
    known = borders(tokenizer, base.facts)
    ends = frozenset({known.start, *({tokenizer.eos_token_id} - {None})})
    if size is None:
        config = AutoConfig.from_pretrained(base.folder, trust_remote_code=False)
        length = lookup.row_length(asked, base, config.get_text_config())
        table = None if asked.tokens else lookup.pack_all(asked, tokenizer, {NEW: found[NEW]}, length, known)[NEW]
        size = (rows_of(lookup.trained(asked, table), length), length)
    return Drawing(base, tokenizer, known.start, ends, *size)
