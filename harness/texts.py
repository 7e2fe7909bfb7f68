"""From words to corpora: what is registered, what lies on this machine, what the hub has."""

import re
from dataclasses import replace

from harness import hub, mirrors, reading, registry
from harness.corpus import Corpus, Published
from harness.errors import InputError

REGISTERED = re.compile(r"([\w.-]+)(?:/([\w.-]+))?(?:@([\w./-]+))?(?:#(.+))?")
"""NAME, NAME/PART, NAME@COMMIT, NAME#COLUMN of a registered corpus."""


def find_corpus(word: str, seed: int = 0) -> Corpus:
    """A registered corpus, or files, a folder or a hub dataset; text that is not made by this program was looked at."""
    found = unchecked(word, seed)
    return found if isinstance(registered(word), Corpus) else reading.checked(found)


def unchecked(word: str, seed: int = 0) -> Corpus:
    """The same, before anybody looked at its documents."""
    made = registered(word)
    if isinstance(made, Corpus):
        return made
    if made is None:
        return reading.corpus(word, seed)
    typed = re.split("[@#]", word)[0]
    return reading.published(made, typed, typed, seed)


def registered(word: str) -> Corpus | Published | None:
    """What is registered under a word; None: nothing."""
    known, match = registry.installed("corpora"), REGISTERED.fullmatch(word)
    if match is None or match[1] not in known:
        return None
    made = known[match[1]].load()()
    if not isinstance(made, Published):
        return made if word == match[1] else None
    if match[2] and (made := made.of(match[2])) is None:
        raise InputError(f"{match[1]} has no parts, and {word} asks for one; type {match[1]}")
    return replace(made, revision=match[3] or made.revision, text=match[4] or made.text)


def asked_of_hub(word: str) -> Published | None:
    """What the hub would be asked for by a word for text; None: it is made here, or lies on this machine."""
    made = registered(word)
    found = reading.on_hub(word) if made is None else made
    if not isinstance(found, Published) or found.recipe or mirrors.current().dataset(*found.key):
        return None
    return None if hub.known(found) else found
