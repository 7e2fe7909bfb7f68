"""What must not be written anywhere: passwords in addresses, access tokens, and whatever the environment holds as one."""

import os
import re
from collections.abc import Mapping
from typing import Any

HIDDEN = "***"
_quotes = True
_IN_ADDRESSES = re.compile(r"(?<=://)[^/\s'\"]+@")
_TOKENS = re.compile(r"\bhf_[A-Za-z0-9]{16,}")
_NAMES = re.compile(r"(TOKEN|PASSWORD|PASSWD|SECRET|(API|ACCESS|PRIVATE)_KEY)$")
SHORTEST = 8
"""Characters of a secret: shorter values are words that may stand anywhere."""


def hidden(text: str) -> str:
    """Text without secrets: what stands before the @ of an address, tokens of the hub, secrets of the environment."""
    for name, value in os.environ.items():
        if _NAMES.search(name) and len(value) >= SHORTEST:
            text = text.replace(value, HIDDEN)
    return _TOKENS.sub(HIDDEN, _IN_ADDRESSES.sub(f"{HIDDEN}@", text))


def hidden_in(value: Any) -> Any:
    """A value of which every text, keys included, is without secrets."""
    if isinstance(value, str):
        return hidden(value)
    if isinstance(value, Mapping):
        return {hidden_in(key): hidden_in(one) for key, one in value.items()}
    return [hidden_in(one) for one in value] if isinstance(value, list | tuple) else value


def quote(allowed: bool) -> None:
    """Whether the words of other people's errors may be repeated: they may quote what is read, which may be sensitive."""
    global _quotes
    _quotes = allowed


def quotes() -> bool:
    """Whether they may."""
    return _quotes
