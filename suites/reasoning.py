"""Reasoning in several steps, and knowledge asked with examples: what a model that had them should keep.

The number of examples is part of a task and recorded: five for GSM8K and MMLU, three with their reasoning for BBH, as those
who publish these figures give them. GSM8K counts an answer behind `####` alone, the form that its examples show.
"""

from harness.suite import MEMBER, Suite, Task
from suites.stock import suite

TASKS = (
    Task(
        "gsm8k",
        metric="exact_match",
        filter="strict-match",
        fewshot=5,
        chance=0.0,
        items=1319,
        about="school mathematics in words",
    ),
    Task(
        "bbh",
        metric="exact_match",
        filter="get-answer",
        fewshot=3,
        chance=0.0,
        items=6511,
        cluster=MEMBER,
        about="BIG-bench's 27 hard tasks with worked examples",
    ),
    Task("mmlu", metric="acc", fewshot=5, chance=0.25, items=14042, cluster=MEMBER, about="MMLU by letters, 57 subjects"),
)


def general_reasoning() -> Suite:
    """GSM8K, BBH and MMLU with examples: reasoning, to be kept."""
    return suite(
        "general_reasoning",
        "reasoning and knowledge with examples, to be kept",
        TASKS,
        "Question: Tom has 3 boxes with 4 apples each. How many apples has he?\nAnswer:",
        "If all birds can fly and a robin is a bird, then",
    )
