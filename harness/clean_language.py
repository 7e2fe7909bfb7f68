"""The filter `language`."""

import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Literal

from harness.errors import InputError

Backend = Literal["langdetect", "lingua"]
UNKNOWN = "und"
LETTERS = 20
"""Fewer say too little: the language of a shorter text is und."""
CHARACTERS = 4000
"""As much is read of a text."""


def language(text: str, keep: Sequence[str] = ("en",), backend: Backend = "langdetect") -> bool:
    """Keep documents in one of the languages.

    A text of fewer than 20 letters, or of none, is `und`, as is one that the detector says nothing of. The first 4,000
    characters are read. The same text is the same language in every process.

    Parameters:
        keep: codes of ISO 639-1, as in [en, ko]; with und also documents of no known language
        backend: langdetect, or lingua (pip install "forgetting-harness[lingua]"), which is surer on short text
    """
    if wrong := [code for code in keep if not re.fullmatch(r"[a-z]{2}|und", code)]:
        raise ValueError(f"{wrong[0]!r} is no code of a language; give two letters of ISO 639-1, as in en or ko, or und")
    return detect(text, backend) in keep


def detect(text: str, backend: Backend = "langdetect") -> str:
    """The code of a text's language, or `und`; for Chinese zh, simplified or not."""
    beginning = text[:CHARACTERS]
    if sum(map(str.isalpha, beginning)) < LETTERS:
        return UNKNOWN
    return _detector(backend)(beginning)


@cache
def _detector(backend: Backend) -> Callable[[str], str]:
    return _lingua() if backend == "lingua" else _langdetect()


def _langdetect() -> Callable[[str], str]:
    from langdetect import DetectorFactory, LangDetectException, detect

    DetectorFactory.seed = 0  # it draws at random; seeded anew for every text

    def found(text: str) -> str:
        try:
            return detect(text).partition("-")[0]
        except LangDetectException:
            return UNKNOWN

    return found


def _lingua() -> Callable[[str], str]:
    try:
        from lingua import LanguageDetectorBuilder  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise InputError('lingua is not installed; type pip install "forgetting-harness[lingua]"') from None
    detector = LanguageDetectorBuilder.from_all_languages().build()

    def found(text: str) -> str:
        language = detector.detect_language_of(text)
        return language.iso_code_639_1.name.lower() if language else UNKNOWN

    return found
