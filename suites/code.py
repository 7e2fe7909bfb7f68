"""Programming: what a model should gain from code.

HumanEval and MBPP run what the model wrote against unit tests (`unsafe`); they are refused where the program forbids that.
"""

from harness.suite import Suite, Task, Text
from suites.stock import suite, text

PYTHON = Text("codeparrot/codeparrot-clean-valid", "train", "content")
TASKS = (
    text("python_text", "Python files of public repositories", PYTHON, measures="gain", source=None),
    Task("humaneval", "gain", "exact_match", 0.0, None, items=164, about="functions from a docstring", unsafe=True),
    Task("mbpp", "gain", "exact_match", 0.0, None, items=500, about="basic Python problems", unsafe=True),
)


def code() -> Suite:
    """Python text, and HumanEval and MBPP, which run model-written code: to be gained."""
    return suite(
        "code",
        "programming, to be gained",
        TASKS,
        "def fibonacci(n):\n",
        "import os\n\ndef read_lines(path):\n",
    )
