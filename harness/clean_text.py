"""Cleaners of characters and blanks, and the filter of length."""

from typing import Annotated

from pydantic import Field

Count = Annotated[int, Field(ge=0)]


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
