"""Medical knowledge and text: what a model should gain from medical text.

Options are the letters A to D, or yes, no and maybe: `acc` counts. A guess is right in a third of PubMedQA; who always
says yes is right in 55 %, so that a gain from a third to a half may be nothing but that answer. lm-eval names a data set for
PubMedQA that is a program (bigbio/pubmed_qa); where no file or mirror stands for it, all 1,000 labelled questions are read from
the authors' own data set, of which the 500 official test questions are a half.

Text is of three kinds, abstracts, notes and textbooks, in bits per byte; it is held out only where it is not what was
learned. The notes are made from published case reports; their prompts and answers are kept off pages all the same.
"""

from harness.suite import Moved, Suite, Task, Text
from suites.stock import suite, text

SUBJECTS = {
    "anatomy": ("anatomy", 135),
    "clinical_knowledge": ("clinical knowledge", 265),
    "college_biology": ("college biology", 144),
    "college_medicine": ("college medicine", 173),
    "medical_genetics": ("medical genetics", 100),
    "professional_medicine": ("professional medicine", 272),
    "nutrition": ("nutrition", 306),
    "virology": ("virology", 166),
}
"""Subject of MMLU -> what it asks, and its questions."""

PUBMEDQA = Moved(
    "qiaojin/PubMedQA",
    "pqa_labeled",
    "train",
    (("QUESTION", "question"), ("CONTEXTS", "context.contexts"), ("final_decision", "final_decision")),
)
ABSTRACTS = Text("MedRAG/pubmed", "train", "content")
NOTES = Text("AGBonnet/augmented-clinical-notes", "train", "note")
TEXTBOOKS = Text("MedRAG/textbooks", "train", "content")
TASKS = (
    Task("pubmedqa", "gain", "acc", 1 / 3, None, items=1000, moved=PUBMEDQA, about="yes, no or maybe, from an abstract"),
    Task("medmcqa", "gain", "acc", 0.25, None, "subject_name", items=4183, about="Indian medical entrance examinations"),
    Task("medqa_4options", "gain", "acc", 0.25, None, items=1273, about="United States medical licensing examinations"),
    *(
        Task(f"mmlu_{name}", "gain", "acc", 0.25, None, items=items, about=f"MMLU, {about}")
        for name, (about, items) in SUBJECTS.items()
    ),
    text("pubmed_text", "titles and abstracts of PubMed", ABSTRACTS, measures="gain", source=None),
    text("notes_text", "clinical notes", NOTES, measures="gain", source=None, sensitive=True),
    text("textbook_text", "passages of medical textbooks", TEXTBOOKS, measures="gain", source=None),
)


def medical() -> Suite:
    """PubMedQA, MedMCQA, MedQA, the medical subjects of MMLU, and medical text, to be gained."""
    return suite(
        "medical",
        "medical knowledge and text, to be gained",
        TASKS,
        "The most common side effect of aspirin is",
        "Patients with type 2 diabetes are usually treated with",
        "OBJECTIVE: To evaluate the efficacy of",
    )
