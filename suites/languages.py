"""Other languages than English: what a multilingual model should keep while it learns an English domain.

Belebele asks of a passage in each language, and XNLI whether a sentence follows from another; questions that share a passage
or a premise are clusters. Korean has tasks of its own, written in Korean (KoBEST, KMMLU), and text in bits per byte.
"""

from harness.suite import MEMBER, Suite, Task, Text
from suites.stock import suite, text

BELEBELE = {
    "arb_Arab": "Arabic",
    "zho_Hans": "Chinese",
    "fra_Latn": "French",
    "deu_Latn": "German",
    "hin_Deva": "Hindi",
    "jpn_Jpan": "Japanese",
    "kor_Hang": "Korean",
    "spa_Latn": "Spanish",
    "swh_Latn": "Swahili",
}
XNLI = {"ar": "Arabic", "zh": "Chinese", "fr": "French", "de": "German", "hi": "Hindi", "es": "Spanish", "sw": "Swahili"}
KOREAN = Text("wikimedia/wikipedia", "train", config="20231101.ko", revision="b04c8d1ceb2f5cd4588862100d08de323dccfbaa")
TASKS = (
    *(
        Task(f"belebele_{code}", metric="acc", chance=0.25, items=900, cluster="link", about=f"{language}, about a passage")
        for code, language in BELEBELE.items()
    ),
    *(
        Task(f"xnli_{code}", metric="acc", chance=1 / 3, items=2490, cluster="premise", about=f"{language}, what follows")
        for code, language in XNLI.items()
    ),
    Task("kobest_boolq", metric="acc", chance=0.5, items=1404, cluster="paragraph", about="Korean, yes or no, after a passage"),
    Task("kobest_copa", metric="acc", chance=0.5, items=1000, about="Korean, the likelier cause or effect"),
    Task("kobest_hellaswag", metric="acc_norm", chance=0.25, items=500, about="Korean, the likeliest end of a scene"),
    Task("kobest_sentineg", metric="acc", chance=0.5, items=397, about="Korean, praise or blame, with negations"),
    Task(
        "kobest_wic", metric="acc", chance=0.5, items=1260, cluster="word", about="Korean, whether a word means the same twice"
    ),
    Task("kmmlu", metric="acc", chance=0.25, items=35030, cluster=MEMBER, about="Korean examinations, 45 subjects"),
    text("korean_text", "Korean Wikipedia", KOREAN),
)


def general_languages() -> Suite:
    """Belebele, XNLI, KoBEST, KMMLU and Korean text: languages, to be kept."""
    return suite(
        "general_languages",
        "other languages than English, to be kept",
        TASKS,
        "대한민국의 수도는",
        "La capitale de la France est",
        "Die Hauptstadt von Deutschland ist",
    )
