"""General knowledge and language: what a model should keep while it learns a domain.

Chance is the expected share of right guesses: 1 / options, also where options vary (ARC has a few questions with three
or five). Which metric counts was fixed before anything was trained: `acc_norm` where options differ in length as whole
sentences, `acc` elsewhere, as those who publish these tasks report them. MMLU is asked in cloze form, whose figures move
less from seed to seed than those of its letters (Madaan et al. 2024, arXiv:2406.10229).
"""

from harness.suite import MEMBER, Suite, Task, Text
from suites.stock import suite, text

C4 = Text(
    "allenai/c4",
    split="validation",
    file="en/c4-validation.00000-of-00008.json.gz",
    revision="1588ec454efa1a09f29cd18ddd04fe05fc8653a2",
)
TASKS = (
    Task(
        "hellaswag", metric="acc_norm", chance=0.25, items=10042, cluster="activity_label", about="the likeliest end of a scene"
    ),
    Task("arc_easy", metric="acc_norm", chance=0.25, items=2376, about="school science, easy questions"),
    Task("arc_challenge", metric="acc_norm", chance=0.25, items=1172, about="school science, hard questions"),
    Task("piqa", metric="acc_norm", chance=0.5, items=1838, about="everyday physical sense"),
    Task("winogrande", metric="acc", chance=0.5, items=1267, about="which noun a pronoun stands for"),
    Task("lambada_openai", metric="acc", chance=0.0, items=5153, about="the last word of a passage"),
    Task("sciq", metric="acc_norm", chance=0.25, items=1000, about="science questions with a supporting passage"),
    Task("boolq", metric="acc", chance=0.5, items=3270, cluster="passage", about="yes or no, after a passage"),
    Task("openbookqa", metric="acc_norm", chance=0.25, items=500, about="elementary science facts, applied"),
    Task("blimp", metric="acc", chance=0.5, items=67000, cluster=MEMBER, about="grammar in minimal pairs, 67 paradigms"),
    Task(
        "mmlu_continuation",
        metric="acc_norm",
        chance=0.25,
        items=14042,
        cluster=MEMBER,
        about="MMLU in cloze form, 57 subjects",
    ),
    Task("wikitext", metric="bits_per_byte", items=62, about="Wikipedia articles, whole"),
    text("c4_text", "pages of the web, held out of C4", C4),
    Task("uncheatable_eval_bbc_news", metric="bits_per_byte", about="news of July 2026, after most bases were trained"),
)


def general() -> Suite:
    """HellaSwag, ARC, PIQA, WinoGrande, LAMBADA, SciQ, BoolQ, OpenBookQA, BLiMP, MMLU and three kinds of text, to be kept."""
    return suite(
        "general",
        "general knowledge and language, to be kept",
        TASKS,
        "The capital of France is",
        "Once upon a time, there was a",
        "Water boils when",
        "The opposite of hot is",
        "In the year 1969, the first man",
    )
