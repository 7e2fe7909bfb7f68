"""Normal forms: those of Python, for any text, however many marks stand behind a letter."""

import time
import unicodedata
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.letters import Form, normal

MARKS = "\u0300\u0315\u0327\u0344\u0f73\u0f75\u302e\u1161\u00b2\u00b5\ufdfa"


@settings(deadline=None)
@given(st.text() | st.text(f"a{MARKS}", min_size=40, max_size=99), st.sampled_from(get_args(Form)))
def test_the_form_is_that_of_python(text: str, form: Form) -> None:
    assert normal(form, text) == unicodedata.normalize(form, text)


@pytest.mark.parametrize("form", get_args(Form))
@pytest.mark.parametrize("marks", ["\u0315\u0300", "\u0f75\u0f73", "\u0344"])
def test_marks_without_end_take_no_time_without_end(form: Form, marks: str) -> None:
    began = time.process_time()
    normal(form, "a" + marks * 50_000 + "".join(sorted(marks, reverse=True)) * 50_000)
    assert time.process_time() - began < 2
