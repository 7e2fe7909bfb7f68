"""Programming: what a model should gain from code.

HumanEval and MBPP run what the model wrote against unit tests (`unsafe`): off unless that is allowed. Their metric is the share
of problems that the one answer solves, by the names that lm-eval has for it.
"""

from harness.suite import Suite, Task, Text
from suites.stock import suite, text

PYTHON = Text("codeparrot/codeparrot-clean-valid", "train", "content")
TASKS = (
    text("python_text", "Python files of public repositories", PYTHON, measures="gain", source=None),
    Task(
        "humaneval",
        "gain",
        "pass_at_k",
        0.0,
        None,
        items=164,
        reference="canonical_solution",
        about="functions from a docstring",
        unsafe=True,
    ),
    Task("mbpp", "gain", "pass_at_1", 0.0, None, items=500, reference="code", about="basic Python problems", unsafe=True),
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
