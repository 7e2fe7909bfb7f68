"""Unicode's normal forms, in time that grows with the text and no faster.

Python puts combining marks into their order by insertion: a hundred thousand of them behind one letter take minutes. A long run
of them is put into that order here first, which its normal form does not depend on.
"""

import re
import unicodedata
from itertools import groupby
from typing import Literal

Form = Literal["NFC", "NFKC"]
RUN = re.compile(r"[^\w\s\x00-\x7f]{32,}")
"""What may be a long run of marks: none of them is a letter or a digit."""


def normal(form: Form, text: str) -> str:
    """A text in a normal form of Unicode."""
    if text.isascii():
        return text
    return unicodedata.normalize(form, RUN.sub(lambda found: _in_order(form, found[0]), text))


def _in_order(form: Form, run: str) -> str:
    """Taken apart, marks between two other characters by their classes; those of one class stay as they stand."""
    apart = "".join(unicodedata.normalize("NFD" if form == "NFC" else "NFKD", one) for one in run)
    parts = groupby(apart, key=lambda one: unicodedata.combining(one) > 0)
    return "".join("".join(sorted(part, key=unicodedata.combining) if marks else part) for marks, part in parts)
