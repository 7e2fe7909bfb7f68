"""Whether a checkpoint's own tokenizer makes the tokens of the base's: what either model is asked would differ otherwise."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.errors import InputError
from harness.model import load_tokenizer

TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json", "vocab.txt", "merges.txt")
"""Files of which any is a tokenizer of a checkpoint's own."""


def _has_tokenizer(folder: Path) -> bool:
    return any((folder / name).is_file() for name in TOKENIZER)


def other_size(arm: str, folder: Path, base: Path) -> Iterator[str]:
    """What is said of a model that may have been trained on other tokens, and brings no tokenizer that tells."""
    own, other = (json.loads((each / "config.json").read_text(encoding="utf-8")).get("vocab_size") for each in (folder, base))
    if own != other and not _has_tokenizer(folder):
        yield f"{arm}: it has {own} embeddings, the base {other}, and holds no tokenizer; it is asked the base's tokens"


def other_tokens(arm: str, word: str, folder: Path, tokenizer: Any, code: bool) -> list[str]:
    """What is said of a tokenizer that is not the base's; an error where it cuts text otherwise."""
    if not _has_tokenizer(folder):
        return []
    own = load_tokenizer(folder, code)
    one, other = _rules(own), _rules(tokenizer)
    cut = ("normalizer", "pre_tokenizer", "model")
    if any(one.get(key) != other.get(key) for key in cut) or not other["added"].items() <= one["added"].items():
        raise InputError(
            f"the tokenizer of {word} cuts text into other tokens than the base's: what either model is asked would "
            "differ; give the base that it was trained from"
        )
    notes = []
    if more := len(one["added"]) - len(other["added"]):
        notes.append(f"{arm}: its tokenizer knows {more} tokens more than the base's, which no prompt uses")
    if one.get("post_processor") != other.get("post_processor") or own.bos_token_id != tokenizer.bos_token_id:
        notes.append(
            f"{arm}: its own tokenizer begins or ends texts otherwise than the base's (a BOS that "
            "fine-tuning added, say); every model is asked as the base is, and this one may be scored below what it can"
        )
    return notes


def _rules(tokenizer: Any) -> dict[str, Any]:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    rules = json.loads(backend.to_str()) if backend is not None else {"model": tokenizer.get_vocab()}
    return {**rules, "added": tokenizer.get_added_vocab()}
