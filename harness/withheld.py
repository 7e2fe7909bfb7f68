"""What stands in the place of sensitive text: its length, and a digest that nobody can make who has not got the text around it.

A plain digest of a short answer is found by trying words. Digests are keyed (HMAC-SHA-256) by the documents that the text
belongs to: equal texts of equal documents have equal digests in every run, and without the documents none can be tried.
"""

import hashlib
import hmac
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from harness import hiding
from harness.corpus import Corpus
from harness.suite import Suite

READ = 16
"""Documents of a sensitive text that a key is made of."""


def guarded(suites: Sequence[Suite], corpora: Iterable[Corpus], shown: bool) -> list[Suite]:
    """Suites that keep sensitive texts where that was asked; else nothing that may quote one is repeated from now on."""
    tasks = [task for suite in suites for task in suite.tasks]
    hiding.quote(shown or not any(each.sensitive for each in (*suites, *tasks, *corpora)))
    return [replace(suite, shown=shown) for suite in suites]


def reciting(corpora: Iterable[Corpus]) -> str:
    """The key under which what arms write is withheld, where they train on sensitive text and may recite it; "": nowhere."""
    kept = [corpus for corpus in corpora if corpus.sensitive]
    return secret(found.text for corpus in kept for found in islice(corpus.read("train"), READ)) if kept else ""


def secret(documents: Iterable[Any]) -> str:
    """A key made from documents: their fields, in their order."""
    found = hashlib.sha256()
    for document in documents:
        found.update(json.dumps(document, sort_keys=True, default=str).encode() + b"\n")
    return found.hexdigest()


def keyed(text: str, key: str) -> str:
    """The digest of a text under a key."""
    return hmac.new(key.encode(), text.encode(errors="surrogatepass"), "sha256").hexdigest()


def withheld(text: str, key: str) -> str:
    """What is written instead of a text; nothing instead of nothing."""
    return f"[withheld: {len(text):,} characters, {keyed(text, key)[:12]}]" if text else ""
