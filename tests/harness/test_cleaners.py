"""The cleaners `html`, `unicode`, `spaces` and `presidio`: what must go, with what must not be touched beside it."""

import json
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import clean_presidio
from harness.clean_html import html
from harness.clean_presidio import presidio
from harness.clean_text import spaces, unicode
from harness.errors import InputError

SHARED = Path(os.environ.get("HARNESS_SHARED") or Path(__file__).parents[3] / "shared")
SMALL = settings(deadline=None)

PAGES = {
    "<p>p < 0.05 and BMI > 30, a<b && c</p><p>next</p>": "p < 0.05 and BMI > 30, a<b && c\n\nnext",
    "a<br>b<br/>c": "a\nb\nc",
    "<div class='x'>a<script>var x='</div>'</script><style>p{}</style><!-- <b>c</b> --> b</div>": "a b",
    "<html><head><title>T</title></head><body><h1>H</h1>B</body></html>": "T\n\nH\n\nB",
    "<ul><li>one<li>two</ul><table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>": "one\ntwo\n\na b\nc",
    "<pre>def f():\n    return 1\n</pre><p>x   y</p>": "def f():\n    return 1\n\nx y",
    "<p>one</p>\n\n\n<p>two</p>\n<div><p>three</p></div>": "one\n\ntwo\n\nthree",
    "We saw <i>E. coli</i>\nin 10<sup>9</sup> cells, H<sub>2</sub>O, Ca<sup>2+</sup>, x<sup>a</sup>": (
        "We saw E. coli\nin 10⁹ cells, H₂O, Ca²⁺, xa"
    ),
    "p &lt; 0.05 &amp; n &gt; 3, 5&nbsp;mg, &micro;g &#8805; &#x2265;": "p < 0.05 & n > 3, 5\xa0mg, µg ≥ ≥",
    "&lt;p&gt;mark-up&amp;nbsp;that was escaped&lt;/p&gt;": "mark-up\xa0that was escaped",
    '<a href="http://x.y/?a=1&amp;b=2" title="a > b">link</a> <img src=x.png alt=\'5 < 6\'>x': "link x",
    "<o:p>word</o:p> <jats:sec id='s'>part</jats:sec>": "word part",
    "Text.<p>Next<p>Third": "Text.\n\nNext\n\nThird",
    "<!DOCTYPE html><p>x": "x",
    "<p>x?a=1&copy=2 AT&T</p>": "x?a=1&copy=2 AT&T",
    "<b>bold</b> and <i>it": "bold and it",  # broken, as pages are
    "<p>a</div></p></b>b": "a\n\nb",
    "<p>a\x00b\ud800c</p>": "abc",
    "<p><![CDATA[x < y]]></p>": "x < y",
    "<p>List<int> and std::vector<std::string> x</p>": "List<int> and std::vector<std::string> x",
}
NO_PAGES = [
    "p < 0.05 and BMI > 30",
    "age <65 years; 22.3%, >65: 5.5%, n<p.adj",
    "List<int> x; Map<K, V> y; Option<B> and List<A>; std::vector<std::string> v",
    "cp <source> <target>; use <title>, <code> and <select>; if a <b and c> d: x",
    "AT&T, R&D, x&copy=1&y=2, &nosuch; &#0; a && b",
    "import os\nimport html\n\ndef bold(text):\n    return '<b>' + html.escape(text) + '</b> &amp; <br>'\n",
    'function f() {\n  return "<p>" + x + "</p>";\n}\nvar y = f();\n',
    '#include <stdio.h>\n#include <b>\nint main() { puts("<b>x</b>"); }\n',
    "<?php echo '<b>x</b>'; ?>",
    "one\n\n\n  two  \t three <",
    "",
    "  ",
    "</b",
    "I <3 you </3",
]


@pytest.mark.parametrize(("page", "text"), PAGES.items())
def test_of_mark_up_the_text_and_its_paragraphs_are_left(page: str, text: str) -> None:
    assert html(page) == text
    assert html(text) == text


@pytest.mark.parametrize("text", NO_PAGES)
def test_what_is_no_mark_up_stays_as_it_is(text: str) -> None:
    assert html(text) == text


@pytest.mark.parametrize("pattern", ["code/python_*.jsonl", "medical/pubmed_*.jsonl"])
def test_no_program_and_no_abstract_is_taken_for_mark_up(pattern: str) -> None:
    files = sorted((SHARED / "data").glob(pattern))
    if not files:
        pytest.skip(f"{SHARED / 'data'} is not here; HARNESS_SHARED names the folder with trial data")
    for line in (line for file in files for line in file.read_text(encoding="utf-8").splitlines()):
        text = json.loads(line)["text"]
        assert html(text) == text


@pytest.mark.parametrize("tags", ["<div>", "<b><i>", "<ul><li>", "<table><tr><td>"])
def test_no_depth_is_too_much(tags: str) -> None:
    text = f"{tags * 20_000}deep{tags.replace('<', '</') * 20_000}<p>after</p>"
    assert html(text).split() == ["deep", "after"]


ENDLESS = [
    *("<", "<a ", "<a b=", "<a b='", "<p a=b ", "&", "&amp;", "&#38;#38;", "<!--", "<!-- --", "</a>", "<![CDATA[", " ", "\n"),
    *("<p", "if ", "-->", "<script>", "<b>", "a<br>", "<td>", "<x:y ", "{\n", "import a\n "),
]


@pytest.mark.parametrize("unit", ENDLESS)
def test_time_grows_with_length_and_no_faster(unit: str) -> None:
    began = time.process_time()
    html(unit * (100_000 // len(unit)))
    assert time.process_time() - began < 3


PIECES = (
    "<p> </p> <b> </b> <br> < > & &lt; &gt; &amp; &nbsp; <!-- --> <pre> </pre> <script> </script> <sup> </sup> 2 a <td> </td> "
    "<li> <a_href=' '> ; <![CDATA[ ]]> lt #60; <textarea> <!doctype_html>"
)
MARK_UP = st.lists(
    st.sampled_from([piece.replace("_", " ") for piece in PIECES.split()] + [" ", "\n", "\xa0", "\x00"]), max_size=12
).map("".join)


@SMALL
@given(st.text(max_size=60) | MARK_UP)
def test_a_second_time_changes_nothing(text: str) -> None:
    for clean in (html, unicode, spaces, lambda text: spaces(text, code=True), lambda text: unicode(text, "NFKC")):
        assert clean(clean(text)) == clean(text)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("cafe\u0301", "café"),
        ("µg, m², ½, ﬁ, Ａ", "µg, m², ½, ﬁ, Ａ"),
        ("a\u200bb\ufeffc\u00add\x00e\x07f\u202eg", "abcdefg"),
        ("a\r\nb\rc\x0cd\u2028e\u2029f", "a\nb\nc\nd\ne\n\nf"),
        ("\tkept\n", "\tkept\n"),
        ("g\ud800h\ufffe", "gh"),
        ("می\u200cخواهم 👨\u200d👩\u200d👧 ❤\ufe0f\u200d🔥 a\u200db", "می\u200cخواهم 👨\u200d👩\u200d👧 ❤\ufe0f\u200d🔥 ab"),
        ("한글 각", "한글 각"),
    ],
)
def test_characters(text: str, wanted: str) -> None:
    assert unicode(text) == wanted


def test_compatible_forms_are_merged_only_where_asked() -> None:
    assert unicode("µg m² ½ ﬁ", "NFKC") == "μg m2 1⁄2 fi"


@pytest.mark.parametrize(
    ("text", "wanted", "code"),
    [
        ("a  b \t c\xa0d\u3000e  \n\n\n\n  f\r\ng \n", "a b c d e\n\nf\ng", False),
        ("one\n \n\t\ntwo\n\nthree\nfour", "one\n\ntwo\n\nthree\nfour", False),
        ("def f():\n\tx  =  1   \n    y = ' '\n\n\n\n\nz\n", "def f():\n\tx  =  1\n    y = ' '\n\n\nz", True),
        ("\n\n    indented\n", "    indented", True),
    ],
)
def test_blanks(text: str, wanted: str, code: bool) -> None:
    assert spaces(text, code=code) == wanted


class Engine:
    """A stand-in with the interface of presidio_analyzer.AnalyzerEngine."""

    def analyze(self, text: str, language: str, entities: list[str], score_threshold: float) -> list[Any]:
        assert (language, entities) == ("en", ["PERSON", "LOCATION"])
        known = {"PERSON": ("Jane Doe", 0.85), "LOCATION": ("Doe River", 0.6), "NRP": ("Dutch", 0.9)}
        found = [(kind, text.find(word), len(word), score) for kind, (word, score) in known.items() if kind in entities]
        return [
            SimpleNamespace(entity_type=kind, start=at, end=at + length, score=score)
            for kind, at, length, score in found
            if at >= 0 and score >= score_threshold
        ]


def test_presidio_marks_what_it_finds_and_of_what_overlaps_the_surer(monkeypatch: pytest.MonkeyPatch) -> None:
    clean_presidio._analyzer.cache_clear()
    monkeypatch.setitem(sys.modules, "presidio_analyzer", SimpleNamespace(AnalyzerEngine=Engine))
    assert presidio("Dutch: Jane Doe River") == ("Dutch: [PERSON] River", {"PERSON": 1})
    assert presidio("Doe River") == ("[LOCATION]", {"LOCATION": 1})
    assert presidio("Doe River", score=0.7) == ("Doe River", {})
    clean_presidio._analyzer.cache_clear()


def test_presidio_that_is_not_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    clean_presidio._analyzer.cache_clear()
    monkeypatch.setitem(sys.modules, "presidio_analyzer", None)
    with pytest.raises(InputError) as error:
        presidio("x")
    assert str(error.value) == (
        'presidio is not installed; type pip install "forgetting-harness[presidio]" && python -m spacy download en_core_web_lg'
    )
