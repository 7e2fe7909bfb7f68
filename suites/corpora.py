"""Public corpora by a word each: where they lie, what their columns are called, how large they are, what they may be used for.

Facts are those that the sources named beside them state; what none states is unknown. A commit is named where a suite reads the
same data set at it; elsewhere the newest one is taken at the first read, and the plan of the run names it. Nothing is fetched
before it is asked for, and none needs code that comes with its data.
"""

import re
from collections.abc import Iterable, Iterator

from harness.corpus import Published, Row

CARD = "the data set's card on the hub"


def pubmed() -> Published:
    """Abstracts of PubMed."""
    return Published(
        "MedRAG/pubmed",
        "abstracts of PubMed",
        text="content",
        size="23.9M abstracts",
        licence="not stated; the National Library of Medicine claims no right in abstracts, publishers may",
        source=f"{CARD}; arXiv 2402.13178, table of corpora",
    )


def clinical_notes() -> Published:
    """Clinical notes of published case reports."""
    return Published(
        "AGBonnet/augmented-clinical-notes",
        "clinical notes: summaries of patients in case reports of PubMed Central (PMC-Patients)",
        text="note",
        id="idx",
        size="30,000 notes",
        licence="MIT",
        sensitive=True,
        source=CARD,
    )


def medical_textbooks() -> Published:
    """Medical textbooks in snippets."""
    return Published(
        "MedRAG/textbooks",
        "18 medical textbooks that students of the United States' licensing examination use, in snippets",
        text="content",
        size="125,847 snippets of at most 1,000 characters",
        licence="not stated; the books are under copyright",
        source=CARD,
    )


def the_stack() -> Published:
    """Source code of public repositories; the_stack/java: another language."""
    return Published(
        "bigcode/the-stack-dedup",
        "source files of public repositories under permissive licences, near duplicates removed; Python, or the_stack/java",
        folder="data/python",
        part="python",
        text="content",
        id=None,
        size="Python: 12,962,249 files, 67 GB",
        gated=True,
        licence="that of each file's repository, and the terms of use that the card asks to be agreed to",
        source=f"{CARD}; size as public notebooks print it",
    )


def wikitext() -> Published:
    """Good and featured articles of Wikipedia."""
    return Published(
        "Salesforce/wikitext",
        "good and featured articles of the English Wikipedia, a document an article; wikitext/wikitext-2-raw-v1: the small one",
        configuration="wikitext-103-raw-v1",
        folder="wikitext-103-raw-v1",
        id=None,
        gather=articles,
        size="103M words",
        licence="CC BY-SA (Wikipedia)",
        source="Merity et al. 2016, arXiv 1609.07843",
    )


def c4() -> Published:
    """English web pages, cleaned by rules."""
    return Published(
        "allenai/c4",
        "English web pages of Common Crawl, April 2019, cleaned by rules; c4/de: another language",
        configuration="en",
        folder="en",
        revision="1588ec454efa1a09f29cd18ddd04fe05fc8653a2",
        id=None,
        size="364,868,892 documents of train, 364,608 of validation",
        licence="ODC-BY",
        source=CARD,
    )


def fineweb_edu() -> Published:
    """English web pages with an educational value."""
    return Published(
        "HuggingFaceFW/fineweb-edu",
        "English web pages of Common Crawl that a classifier holds for educational; fineweb_edu/sample-100BT: a larger sample",
        configuration="sample-10BT",
        folder="sample/10BT",
        size="10B tokens (of GPT-2's tokenizer)",
        licence="ODC-BY",
        source=CARD,
    )


def mimic_notes() -> Published:
    """Discharge summaries of an American hospital, for those who may read them."""
    return Published(
        "physionet/mimic-iv-note",
        "discharge summaries of Beth Israel Deaconess Medical Center, 2008 to 2019, without names (MIMIC-IV-Note 2.2)",
        text="text",
        id="note_id",
        size="331,794 discharge summaries of 145,915 patients",
        licence="PhysioNet Credentialed Health Data License 1.5.0",
        sensitive=True,
        recipe="it is given to credentialed users of physionet.org/content/mimic-iv-note, after training and an agreement, and "
        'not to be passed on; fetch note/discharge.csv.gz there and type python -c "import pandas as p; p.read_csv('
        "'discharge.csv.gz', usecols=['note_id', 'text']).to_parquet('discharge.parquet')\"",
        source="physionet.org/content/mimic-iv-note/2.2",
    )


TITLE = re.compile(r" = (?!=).*[^=\s] = ?\n?")
"""A line that begins an article: ` = Title = `; its sections have more signs."""


def articles(rows: Iterable[Row]) -> Iterator[Row]:
    """Lines to articles, each under the number of its first line; what stands before the first title is one too."""
    first, lines, blank = 0, list[str](), True
    for number, row in rows:
        line = row.get("text")
        if not isinstance(line, str):
            yield number, row  # refused as what it is
            continue
        if blank and TITLE.fullmatch(line) and "".join(lines).strip():
            yield first, {"text": "".join(lines)}
            lines = []
        first = first if lines else number
        lines.append(line)
        blank = not line.strip()
    if "".join(lines).strip():
        yield first, {"text": "".join(lines)}
