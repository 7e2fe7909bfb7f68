"""Cleaners of characters (`unicode`) and of blanks (`spaces`), and the filter of length (`length`)."""

import re
from typing import Annotated, Literal

from pydantic import Field

from harness.letters import normal

Count = Annotated[int, Field(ge=0)]

LINE_ENDS = re.compile(r"\r\n?|[\v\f\x1c-\x1e\x85\u2028]")
UNSEEN = re.compile(
    "[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff"
    "\ufff9-\ufffb\ufffe\uffff\ud800-\udfff]"
    # joiners shape Arabic, Indic and Mongolian letters and emoji; elsewhere they are not seen
    "|(?<![\u0590-\u08ff\u0900-\u109f\u1780-\u18af\ufb50-\ufdff\ufe0f\ufe70-\ufefc\u2190-\u2bff\U0001f000-\U0001faff])[\u200c\u200d]"
)


def unicode(text: str, form: Literal["NFC", "NFKC"] = "NFC") -> str:
    """Write equal characters equally, and take out those that nobody sees.

    Control characters, zero-width ones, soft hyphens, marks of direction and halves of surrogate pairs go; line ends of any
    system become \\n. Letters that were decoded wrongly are not mended: what guesses at them guesses wrong at times.

    Parameters:
        form: NFC joins letters and their accents and keeps µ, ², ½ and full-width letters; NFKC writes those as μ, 2, 1⁄2 too
    """
    text = LINE_ENDS.sub("\n", text).replace("\u2029", "\n\n")
    return normal(form, UNSEEN.sub("", normal(form, UNSEEN.sub("", text))))


def spaces(text: str, code: bool = False) -> str:
    """One blank between words, none at the end of a line, one empty line at most between paragraphs; paragraphs stay.

    Parameters:
        code: keep blanks within lines, indentation too, and two empty lines; else runs of blanks, tabs and no-break spaces
            become one, and those at the beginning of a line none
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if code:
        lines = "\n".join(line.rstrip() for line in text.split("\n"))
        return re.sub(r"\n{4,}", "\n\n\n", lines).strip("\n")
    lines = "\n".join(" ".join(line.split()) for line in text.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", lines).strip()


def length(
    text: str,
    minimum: Count = 0,
    maximum: Count | None = None,
    minimum_words: Count = 0,
    maximum_words: Count | None = None,
) -> bool:
    """Keep documents of so many characters and words.

    Parameters:
        minimum: characters at least
        maximum: characters at most; none: no limit
        minimum_words: words between blanks at least
        maximum_words: words at most; none: no limit
    """
    if (maximum is not None and maximum < minimum) or (maximum_words is not None and maximum_words < minimum_words):
        raise ValueError("the maximum lies below the minimum; nothing would be kept")
    words = len(text.split())
    return (
        minimum <= len(text)
        and minimum_words <= words
        and (maximum is None or len(text) <= maximum)
        and (maximum_words is None or words <= maximum_words)
    )
