"""The filters: what they take, with what they must keep beside it."""

import inspect
import math
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.clean_code import code_quality
from harness.clean_language import detect, language
from harness.clean_perplexity import perplexity
from harness.clean_repetition import repetition
from harness.clean_text import length
from harness.errors import InputError

SMALL = settings(deadline=None)

ENGLISH = "The patients were treated with aspirin for three weeks and followed for a year."
KOREAN = "환자는 두통과 어지러움을 호소하여 응급실로 내원하였으며 검사상 특이 소견은 없었다."
GERMAN = "Die Patienten wurden drei Wochen lang mit Aspirin behandelt und ein Jahr lang beobachtet."


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({}, True),
        ({"minimum": 11}, True),
        ({"minimum": 12}, False),
        ({"maximum": 11}, True),
        ({"maximum": 10}, False),
        ({"minimum_words": 2}, True),
        ({"minimum_words": 3}, False),
        ({"maximum_words": 2}, True),
        ({"maximum_words": 1}, False),
    ],
)
def test_length_counts_characters_and_words_with_their_limits(given: dict[str, int], kept: bool) -> None:
    assert length("two\n  words", **given) is kept


BACKENDS = [
    "langdetect",
    pytest.param(
        "lingua", marks=[pytest.mark.slow, pytest.mark.skipif(not find_spec("lingua"), reason="lingua is not installed")]
    ),
]


@pytest.mark.parametrize("backend", BACKENDS)
def test_language_says_what_a_text_is_written_in(backend: Any) -> None:
    assert [detect(text, backend) for text in (ENGLISH, KOREAN, GERMAN)] == ["en", "ko", "de"]
    assert detect("患者因头痛和头晕来院就诊，检查未见明显异常，建议继续观察。", backend) == "zh"
    assert language(KOREAN, keep=["en", "ko"], backend=backend)
    assert not language(GERMAN, keep=["en", "ko"], backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "text", ["", "   ", "ok", "12.5 (0.3-4.8) 1999", "\x00\ud800" * 30, "https://", "----" * 50, "😀" * 40]
)
def test_short_and_letterless_text_is_of_no_known_language(text: str, backend: Any) -> None:
    assert detect(text, backend) == "und"
    assert not language(text, backend=backend)
    assert language(text, keep=["und"], backend=backend)


@SMALL
@given(st.text(max_size=200))
def test_no_text_has_a_language_that_raises(text: str) -> None:
    assert re.fullmatch("[a-z]{2}|und", detect(text))


def test_a_text_has_one_language_in_every_process() -> None:
    """Text between two languages, which the detector calls either as it draws."""
    text = "Otec, matka, syn und doctor happy"
    code = f"from harness.clean_language import detect; detect('draws first ' * 9); print(detect({text!r}))"
    for seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
        assert done.stdout == f"{detect(text)}\n"
    assert len({detect(text) for _ in range(20)}) == 1


def test_a_word_that_is_no_code_of_a_language_is_refused() -> None:
    with pytest.raises(ValueError, match="'english' is no code of a language; give two letters of ISO 639-1"):
        language(ENGLISH, keep=["english"])


def test_lingua_that_is_not_there_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.clean_language import _detector

    _detector.cache_clear()
    monkeypatch.setitem(sys.modules, "lingua", None)
    with pytest.raises(InputError) as error:
        language(ENGLISH, backend="lingua")
    assert str(error.value) == 'lingua is not installed; type pip install "forgetting-harness[lingua]"'
    _detector.cache_clear()


NUMBERED = [" ".join(f"{word}{i}" for word in ("alpha", "beta", "gamma", "delta")) for i in range(40)]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (ENGLISH, True),
        ("\n".join(NUMBERED), True),
        ("\n\n".join(NUMBERED), True),
        ("\n".join([*NUMBERED[:26], *["x"] * 12]), True),  # 11 of 38 lines stood before: 0.29
        ("\n".join([*NUMBERED[:26], *["x"] * 14]), False),  # 13 of 40: 0.33
        ("\n\n".join([*NUMBERED[:26], *["x"] * 14]), False),
        ("\n".join([*NUMBERED[:9], *[NUMBERED[0] * 3] * 2]), False),  # 1 of 11 lines, but 0.2 of the characters
        ("word " * 50, False),
        ("one two " * 20, False),
        (" ".join(f"alpha beta {i} gamma{i}" for i in range(40)), False),  # 9 of 20 characters are one 2-gram
        ("", True),
        ("word", True),
    ],
)
def test_repetition_by_the_rules_of_gopher(text: str, kept: bool) -> None:
    assert repetition(text) is kept


def test_each_threshold_of_repetition_is_the_papers() -> None:
    """Table A1 of arXiv:2112.11446."""
    known = inspect.signature(repetition).parameters
    assert [known[name].default for name in ("lines", "paragraphs", "characters")] == [0.30, 0.30, 0.20]
    assert known["top"].default == (0.20, 0.18, 0.16)
    assert known["repeated"].default == (0.15, 0.14, 0.13, 0.12, 0.11, 0.10)


@pytest.mark.parametrize(("n", "most"), [(5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10)])
def test_words_in_n_grams_that_stood_before_are_a_share_of_all(n: int, most: float) -> None:
    """Different words of one length, and n + 3 of them a second time: four n-grams stood before, whose words count once."""
    rules: dict[str, Any] = {"characters": 1.0, "top": [1.0] * 3, "repeated": [most if i == n else 1.0 for i in range(5, 11)]}
    again = n + 3
    for whole, kept in ((math.ceil(again / most) + 1, True), (math.floor(again / most) - 1, False)):
        words = [f"w{i:04}" for i in range(whole - again)]
        assert repetition(" ".join([*words, *words[:again]]), **rules) is kept


@pytest.mark.parametrize("between", ["\n", "\n\n"])
def test_characters_of_lines_and_paragraphs_that_stood_before_are_a_share_of_all(between: str) -> None:
    """One of twelve stands twice: few lines, but s of 150 + 2 s characters, a fifth where s is 50."""
    rules: dict[str, Any] = {"top": [1.0] * 3, "repeated": [1.0] * 6}
    for size, kept in ((50, True), (51, False)):
        text = between.join([*(f"{i:015}" for i in range(10)), "y" * size, "y" * size])
        assert repetition(text, **rules) is kept


GOOD = '''"""What it is for."""

import os


def read(path):
    # why
    with open(path) as file:
        return file.read()


print(read(os.devnull))
'''
FILES = {
    "good": (GOOD, {}, True),
    "short": ("x = 1\n", {}, False),
    "short is allowed": ("x = 1\n", {"minimum": 0}, True),
    "blank": ("\n" * 200, {}, False),
    "long line": (GOOD + f"data = '{'x' * 1000}'\n", {}, False),
    "long line is allowed": (GOOD + f"data = '{'x' * 1000}'\n", {"longest_line": 2000, "mean_line": 200}, True),
    "long mean": (GOOD + "y = 'word'\n" * 3 + f"z = '{'word ' * 150}'\n" * 4, {}, False),
    "minified": ("function a(){" + "var b=1;" * 200 + "}", {"language": "other"}, False),
    "data": (GOOD + "x = [" + "\n".join("    (-[{}]), ((..)), " for _ in range(60)) + "]\n", {"language": "other"}, False),
    "python 2": (GOOD + "print 'x'\n", {}, False),
    "another language": (GOOD + "print 'x'\n", {"language": "other"}, True),
    "a warning": (GOOD + 'assert (x, "always true")\nprint("\\d" is "\\d")\n', {}, True),
    "nul": (GOOD + "x = '\0'\n", {}, False),
    "half a character": (GOOD + "x = '\ud800'\n", {}, False),
    "nested": (GOOD + "x = " + "(" * 900 + ")" * 90, {"mean_line": 1000}, False),
    "endless": (GOOD + "x = 1" + " + 1" * 200_000, {"mean_line": 10**6, "longest_line": 10**6}, False),
    "generated": ("# Generated by the protocol buffer compiler.  DO NOT EDIT!\n" + GOOD, {}, False),
    "generated, told in its docstring": ('"""This file is automatically generated."""\n' + GOOD, {}, False),
    "@generated": ("// @generated\n" + GOOD, {"language": "other"}, False),
    "generates": ("# The report that is generated by this has a page an arm.\n" + GOOD, {}, True),
    "edits": ("# Users edit this; it does not modify theirs.\n" + GOOD, {}, True),
    "said at the end": (GOOD + "\n".join(f"x{i} = {i}" for i in range(10)) + "\n# do not edit\n", {}, True),
    "comments": (GOOD + "# nothing but words\n" * 60, {}, False),
    "docstrings": ('"""' + "Nothing but words.\n" * 60 + '"""\nx = 1\n', {}, False),
    "comments are allowed": (GOOD + "# nothing but words\n" * 60, {"comments": 1.0}, True),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.filterwarnings("error")
def test_code_quality(name: str) -> None:
    text, given, kept = FILES[name]
    assert code_quality(text, **given) is kept


@SMALL
@given(st.text(max_size=300))
def test_no_text_is_code_that_raises(text: str) -> None:
    assert code_quality(text * 20, minimum=0) in (True, False)
    assert repetition(text * 20) in (True, False)


TEXTS = ["The river of Aldon is old.", "The tower of Brisk is wide. The market of Corm is quiet.", "zq xv", "The river " * 100]


def by_hand(folder: Path, text: str) -> float:
    """exp of the mean negative log-probability of a text's tokens behind the beginning-of-text token, as the model says it."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    start = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    tokens = torch.tensor([[start, *tokenizer(text, add_special_tokens=False).input_ids]])  # (1, T)
    with torch.no_grad():
        logs = AutoModelForCausalLM.from_pretrained(folder)(tokens).logits[0].log_softmax(-1)  # (T, V)
    return math.exp(-float(logs[:-1].gather(1, tokens[0, 1:, None]).mean()))


def test_perplexity_is_that_of_the_models_own_logits(model_folder: Path) -> None:
    found = perplexity(TEXTS[:3], model=str(model_folder))
    assert found == pytest.approx([by_hand(model_folder, text) for text in TEXTS[:3]], rel=1e-5)


def test_perplexity_is_the_same_in_any_batch_and_long_text_has_one(model_folder: Path) -> None:
    together = perplexity(TEXTS, model=str(model_folder))
    assert together == pytest.approx([perplexity([text], model=str(model_folder))[0] for text in TEXTS], rel=1e-5)
    assert together[::-1] == pytest.approx(perplexity(TEXTS[::-1], model=str(model_folder)), rel=1e-5)
    assert math.isfinite(together[3])


def test_perplexity_a_byte_is_of_the_same_sum(model_folder: Path) -> None:
    from transformers import AutoTokenizer

    (token,), (byte,) = (perplexity(TEXTS[:1], model=str(model_folder), per=per) for per in ("token", "byte"))
    count = len(AutoTokenizer.from_pretrained(model_folder)(TEXTS[0], add_special_tokens=False).input_ids)
    assert math.log(byte) * len(TEXTS[0].encode()) == pytest.approx(math.log(token) * count)


def test_blank_text_has_no_perplexity_and_a_model_that_is_not_there_is_a_sentence(model_folder: Path) -> None:
    assert perplexity(["", " \n"], model=str(model_folder)) == [math.inf, math.inf]
    assert perplexity([], model=str(model_folder)) == []
    with pytest.raises(InputError, match="there is no model 'no/where/at/all'"):
        perplexity([], model="no/where/at/all")
