"""The filter `code_quality`: source code that somebody wrote, and that can be parsed.

Source: Chen et al. 2021, Evaluating Large Language Models Trained on Code, arXiv:2107.03374, 3.1 (longest line 1,000, mean
line 100, generated files); Li et al. 2023, StarCoder, arXiv:2305.06161, 3.1 (a quarter of letters and digits; comments at most
80 %).
"""

import ast
import re
import warnings
from typing import Annotated, Literal

from pydantic import Field

Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
COMMENT = re.compile(r"\s*(?:#(?!include|define|if|endif|else|pragma|undef)|//|/\*|\*(?:\s|/|$)|--\s|<!--)")
GENERATED = re.compile(
    r"@generated\b|\b(?:do not|don't|never) (?:edit|modify|change)\b|\bauto-?(?:matically)?[ -]?generated\b"
    r"|\b(?:code|file|module|script) (?:was |is |has been )?generated\b|^\W*generated (?:by|from|with|on|using)\b",
    re.IGNORECASE | re.MULTILINE,
)
HEAD = 10
"""Lines, of those that are not blank, in which a file says that it is generated."""
ALPHANUMERIC = 0.25


def code_quality(
    text: str,
    language: Literal["python", "other"] = "python",
    minimum: Count = 100,
    longest_line: Count = 1000,
    mean_line: Count = 100,
    comments: Share = 0.8,
) -> bool:
    """Keep files of code that are neither generated, minified, commented out nor, as Python, broken.

    A file is generated where one of its first 10 lines says so (`@generated`, `do not edit`), and data or minified where its
    lines are long or fewer than a quarter of its characters are letters and digits.

    Parameters:
        language: python: what Python 3 cannot parse goes; other: nothing is parsed
        minimum: characters at least
        longest_line: characters of the longest line at most
        mean_line: characters of a line at most, on average over lines that are not blank
        comments: largest share of lines that are comments or, in Python, docstrings
    """
    lines = [line for line in text.splitlines() if line.strip()]
    if len(text) < minimum or not lines:
        return False
    if max(map(len, lines)) > longest_line or sum(map(len, lines)) > mean_line * len(lines):
        return False
    if sum(map(str.isalnum, text)) < ALPHANUMERIC * len(text) or GENERATED.search("\n".join(lines[:HEAD])):
        return False
    remarks = sum(bool(COMMENT.match(line)) for line in lines)
    if language == "python":
        if (tree := _parsed(text)) is None:
            return False
        remarks += _docstrings(tree)
    return remarks <= comments * len(lines)


def _parsed(text: str) -> ast.Module | None:
    """The file's tree; None where it is no Python 3, or nested deeper than Python reads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def _docstrings(tree: ast.Module) -> int:
    """Lines of the docstrings of a module, its classes and functions, and theirs."""
    found = 0
    owners: list[ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef] = [tree]
    while owners:
        body = owners.pop().body
        owners += [node for node in body if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)]
        first = body[0] if body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            found += sum(bool(line.strip()) for line in first.value.value.splitlines())
    return found
