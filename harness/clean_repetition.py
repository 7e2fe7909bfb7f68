"""The filter `repetition`: documents that say the same again and again.

Source: Rae et al. 2021, Scaling Language Models: Methods, Analysis & Insights from Training Gopher, arXiv:2112.11446, table A1:
the rules and their thresholds. n-grams are of words between blanks; those of two words to four count where they stand twice.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

Share = Annotated[float, Field(ge=0, le=1)]


def repetition(
    text: str,
    lines: Share = 0.3,
    paragraphs: Share = 0.3,
    characters: Share = 0.2,
    top: Annotated[Sequence[Share], Field(max_length=10)] = (0.20, 0.18, 0.16),
    repeated: Annotated[Sequence[Share], Field(max_length=10)] = (0.15, 0.14, 0.13, 0.12, 0.11, 0.10),
) -> bool:
    """Keep documents that repeat themselves no more than running text does.

    Parameters:
        lines: largest share of lines that stood before
        paragraphs: largest share of paragraphs that stood before
        characters: largest share of characters in such lines, and in such paragraphs
        top: largest share of characters in the most frequent 2-gram, 3-gram, 4-gram
        repeated: largest share of characters in 5-grams, 6-grams, ... 10-grams that stood before
    """
    for parts, most in ((text.split("\n\n"), paragraphs), (text.split("\n"), lines)):
        again, among, length, total = _again([part.strip() for part in parts if part.strip()])
        if again > most * among or length > characters * total:
            return False
    words = text.split()
    total = sum(map(len, words))
    if any(_top(words, n) > most * total for n, most in enumerate(top, 2)):
        return False
    for n, most in enumerate(repeated, 5):
        if (found := _repeated(words, n)) > most * total:
            return False
        if not found:  # then no longer n-gram stands twice
            break
    return True


def _again(parts: list[str]) -> tuple[int, int, int, int]:
    """How many parts stood before, of how many, and the same in characters."""
    counts = Counter(parts)
    again = sum(count - 1 for count in counts.values())
    length = sum((count - 1) * len(part) for part, count in counts.items())
    return again, len(parts), length, sum(map(len, parts))


def _top(words: list[str], n: int) -> int:
    """Characters in the most frequent n-gram, wherever it stands; of equally frequent ones the longest."""
    counts = Counter(zip(*(words[i:] for i in range(n)), strict=False))
    most = max(counts.values(), default=0)
    return 0 if most < 2 else most * max(sum(map(len, gram)) for gram, count in counts.items() if count == most)


def _repeated(words: list[str], n: int) -> int:
    """Characters of words within n-grams that stood before, each word once."""
    seen: set[tuple[str, ...]] = set()
    total = end = 0
    for i, gram in enumerate(zip(*(words[j:] for j in range(n)), strict=False)):
        if gram in seen:
            total += sum(map(len, words[max(i, end) : i + n]))
            end = i + n
        seen.add(gram)
    return total
