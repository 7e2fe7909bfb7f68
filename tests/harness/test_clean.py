"""Recipes: what a file may say, steps of the user's own, and a document's way through them."""

import json
import os
import pickle
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import clean_told, registry
from harness.clean import Outcome, Recipe, recipe, through
from harness.describe import lines, page
from harness.errors import InputError
from harness.registry import installed

SHARED = Path(os.environ.get("HARNESS_SHARED") or Path(__file__).parents[3] / "shared")
SMALL = settings(deadline=None)
RECIPES = {name: recipe(name) for name in installed("recipes")}


def written(folder: Path, steps: str, more: str = "") -> Path:
    path = folder / "clinic.yaml"
    path.write_text(f"name: clinic\n{more}steps: {steps}\n", encoding="utf-8")
    return path


def each(found: Recipe) -> list[Any]:
    return [step for step in found.steps if step.each]


def test_the_recipes_of_a_domain() -> None:
    assert set(RECIPES) == {"medical", "code"}
    assert RECIPES["medical"].sensitive
    assert not RECIPES["code"].sensitive
    assert {"html", "unicode", "anonymise", "length", "duplicates"} <= {step.name for step in RECIPES["medical"].steps}
    assert "html" not in {step.name for step in RECIPES["code"].steps}


def test_a_file_says_what_is_done_in_its_order(tmp_path: Path) -> None:
    found = recipe(
        str(
            written(tmp_path, "[html, {length: {minimum: 5}}, spaces, {length: {maximum: 9}}, duplicates]", "sensitive: true\n")
        )
    )
    assert (found.name, found.about, found.sensitive) == ("clinic", "", True)
    assert [(step.name, step.kind) for step in found.steps] == [
        ("html", "cleaner"),
        ("length", "filter"),
        ("spaces", "cleaner"),
        ("length 2", "filter"),
        ("duplicates", "corpus"),
    ]
    assert found.steps[1].values == {"minimum": 5, "maximum": None, "minimum_words": 0, "maximum_words": None}
    assert through(each(found), "<p>a</p>") == Outcome(None, "length", {})
    assert through(each(found), "<p>abc  def</p>") == Outcome("abc def", None, {})
    assert through(each(found), "<p>abc def ghi</p>") == Outcome(None, "length 2", {})
    assert through(each(found), "<p> </p>") == Outcome(None, "html", {})


FAULTS = {
    "[htlm]": "step 1: unknown step 'htlm'; did you mean html?",
    "[html, {length: {minimun: 5}}]": "step 2, length: unknown parameter 'minimun'; did you mean minimum",
    "[{html: {depth: 3}}]": "step 1, html: unknown parameter 'depth'; it takes none",
    "[{length: {minimum: many}}]": "step 1, length: minimum = 'many': input should be a valid integer",
    "[{length: {minimum: true}}]": "step 1, length: minimum = True: input should be a valid integer",
    "[{length: {minimum: -1}}]": "step 1, length: minimum = -1: input should be greater than or equal to 0",
    "[{length: {minimum: 9, maximum: 3}}]": "step 1, length: the maximum lies below the minimum; nothing would be kept",
    "[{length: 5}]": "step 1 is neither a name nor {name: {parameter: value}}",
    "[5]": "step 1 is neither a name nor {name: {parameter: value}}",
    "[{html: {}, unicode: {}}]": "step 1 names 2 steps (html, unicode); write each after a dash of its own",
    "[]": "steps: []: list should have at least 1 item",
    "[{language: {keep: [english]}}]": "step 1, language: 'english' is no code of a language; give two letters of ISO 639-1",
    "[{language: {keep: en}}]": "step 1, language: keep = 'en': ",
    "[{language: {backend: fasttext}}]": "step 1, language: backend = 'fasttext': input should be 'langdetect' or 'lingua'",
    "[{perplexity: {model: world}}]": "step 1, perplexity: give it either a maximum, as in maximum: 500, or a quantile, as in",
    "[{perplexity: {quantile: 1.5}}]": "step 1, perplexity: quantile = 1.5: input should be less than 1",
    "[{perplexity: {maximum: 9, model: no/where/at/all}}]": "there is no model 'no/where/at/all'",
    "['absent.py:keep']": "is no Python file; give the path of a .py file",
}


@pytest.mark.parametrize(("steps", "said"), FAULTS.items())
def test_what_cannot_be_meant_is_one_sentence_with_its_place(tmp_path: Path, steps: str, said: str) -> None:
    path = written(tmp_path, steps)
    with pytest.raises(InputError) as error:
        recipe(str(path))
    assert said in str(error.value)
    assert str(path) in str(error.value) or not said.startswith("step")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: a\nsteps: [html]\nstep: [html]\n", "unknown key 'step'; did you mean steps?"),
        ("name: a\n", "steps: "),
        ("steps: [html]\n", "name: "),
        ("name: a\nsensitive: maybe\nsteps: [html]\n", "sensitive: 'maybe': input should be a valid boolean"),
        ("name: a\nname: b\nsteps: [html]\n", ":2: the key 'name' stands twice"),
        ("- html\n", "holds no `key: value` lines"),
    ],
)
def test_a_file_that_is_no_recipe(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as error:
        recipe(str(path))
    assert said in str(error.value)


def test_a_word_that_is_no_recipe() -> None:
    with pytest.raises(InputError, match=r"unknown recipe 'medicall'; did you mean medical\?"):
        recipe("medicall")
    with pytest.raises(InputError, match=r"the recipe none\.yaml cannot be read"):
        recipe("none.yaml")


OWN = '''
import functools

def finished(text: str, mark: str = "DRAFT") -> bool:
    """Keep what is no draft."""
    return mark not in text

def emptied(text: str) -> str:
    return " \\n"

def louder(text):
    return text.upper()

def longer(text, than=3):
    return len(text) > than

def count(text):
    return len(text)

def promised(text: str) -> int:
    return 1

def later(text):
    return None if "odd" in text else text

def broken(text: str) -> bool:
    return bool(text[99])

def fails(text):
    raise KeyError("no")

def strange(text: "Text") -> bool:
    return True

def needy(text, than):
    return len(text) > than

@functools.lru_cache
def kept(text, _than: set = frozenset(), **more) -> bool:
    return True

value = 3
'''


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "ours.py").write_text(OWN, encoding="utf-8")
    return tmp_path


def test_steps_of_the_users_own_are_filters_or_cleaners_by_what_they_return(own: Path) -> None:
    found = recipe(str(written(own, '[{"ours.py:finished": {mark: TODO}}, "ours.py:louder", {"ours.py:longer": {than: 5}}]')))
    assert [(step.name, step.kind) for step in found.steps] == [
        ("ours.py:finished", "filter"),
        ("ours.py:louder", "cleaner"),
        ("ours.py:longer", "filter"),
    ]
    assert through(found.steps, "a DRAFT").text == "A DRAFT"
    assert through(found.steps, "a TODO").taken == "ours.py:finished"
    assert through(found.steps, "short").taken == "ours.py:longer"
    assert through(recipe(str(written(own, '["ours.py:emptied"]'))).steps, "text").taken == "ours.py:emptied"
    (step,) = recipe(str(written(own, '[{"ours.py:kept": {}}]'))).steps
    assert (step.kind, step.values) == ("filter", {"_than": frozenset()})


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("count", "it returned 16; it must return bool (True keeps) or str (cleaned text)"),
        (
            "promised",
            "promised must return bool (True keeps the document) or str (the cleaned text), and says so of neither",
        ),
        ("fails", "it failed on the text 'An example text.': KeyError: 'no'"),
        ("absent", "ours.py defines no function absent; write `def absent(text: str) -> bool`, or -> str"),
        ("value", "ours.py defines no function value"),
        ("strange", "ours.py:strange: what it says of its types cannot be read: NameError: name 'Text' is not defined"),
        ("needy", "step 1, ours.py:needy: the parameter than has no default; give it, as in than: 3"),
    ],
)
def test_a_function_that_is_no_step_is_refused_when_it_is_named(own: Path, name: str, said: str) -> None:
    with pytest.raises(InputError) as error:
        recipe(str(written(own, f'["ours.py:{name}"]')))
    assert said in str(error.value)
    assert str(own / "ours.py") in str(error.value) or f"ours.py:{name}" in str(error.value)


def test_what_goes_wrong_on_a_document_names_it_and_the_step(own: Path) -> None:
    (later,) = recipe(str(written(own, '["ours.py:later"]'))).steps
    with pytest.raises(InputError) as error:
        through([later], "an odd text", "note-17")
    assert str(error.value) == f"{own}/ours.py:later returned None for document 'note-17'; a cleaner returns the text"
    (own / "ours.py").write_text(OWN.replace("text[99]", "text[9]"), encoding="utf-8")
    (broken,) = recipe(str(written(own, '["ours.py:broken"]'))).steps
    with pytest.raises(InputError) as error:
        through([broken], "short", "note-18")
    assert str(error.value) == f"{own}/ours.py:broken failed on document 'note-18': IndexError: string index out of range"


def test_steps_go_to_other_processes(own: Path) -> None:
    found = recipe(str(written(own, '[{"ours.py:longer": {than: 5}}, anonymise]')))
    code = (
        "import pickle, sys; from harness.clean import through; steps = pickle.load(sys.stdin.buffer); "
        "print([through(steps, text, 'k') for text in ('short', 'write a@b.org')])"
    )
    done = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(found.steps), capture_output=True, check=True)
    assert done.stdout.decode().strip() == str([through(found.steps, text, "k") for text in ("short", "write a@b.org")])


def test_a_recipes_key_is_that_of_what_it_does(own: Path) -> None:
    def key(steps: str) -> str:
        return recipe(str(written(own, steps))).key

    assert key("[{length: {minimum: 5}}]") == key("[{length: {minimum: 5, maximum: null}}]") != key("[{length: {minimum: 6}}]")
    assert key("[html, unicode]") != key("[unicode, html]")
    before = key('["ours.py:louder"]')
    (own / "ours.py").write_text(OWN.replace("upper", "lower"), encoding="utf-8")
    assert key('["ours.py:louder"]') != before


@pytest.mark.parametrize(
    ("given", "scores", "limit"),
    [
        ("maximum: 30", [10.0, 50.0], 30),
        ("quantile: 0.5", [4.0, 1.0, 3.0, 2.0], 2.0),
        ("quantile: 0.75", [4.0, 1.0, 3.0, 2.0], 3.0),
        ("quantile: 0.5", [1.0, float("inf"), 2.0, float("nan")], 1.0),
    ],
)
def test_scores_are_kept_up_to_a_maximum_or_their_lowest_share(
    tmp_path: Path, given: str, scores: list[float], limit: float
) -> None:
    (step,) = recipe(str(written(tmp_path, f"[{{perplexity: {{{given}}}}}]"))).steps
    assert step.kind == "scorer"
    assert step.limit(scores) == limit


PIECES = st.sampled_from(
    [
        "<p>",
        "</b>",
        "&lt;",
        "<!--",
        "\x00",
        "\ud800",
        "a@b.org ",
        "900101-1234567 ",
        "환자 ",
        "def f(:\n",
        "    return '",
        "# x\n",
        "(((",
    ]
)
DOCUMENTS = st.text(st.characters(), max_size=300) | st.lists(PIECES | st.text(max_size=9), max_size=30).map("".join)


@pytest.mark.parametrize("name", RECIPES)
@SMALL
@given(text=DOCUMENTS)
def test_no_document_makes_a_recipe_raise_and_what_is_clean_stays(name: str, text: str) -> None:
    steps = each(RECIPES[name])
    out = through(steps, text)
    assert (out.text is None) == (out.taken is not None)
    cleaners = [step for step in steps if step.kind == "cleaner"]
    for step in cleaners:
        once = through([step], text).text
        assert once is None or through([step], once).text == once
    whole = through(cleaners, text * 30).text
    whole is None or whole.encode("utf-8")


@pytest.mark.parametrize("pattern", ["medical/pubmed_valid.jsonl", "general/general_valid.jsonl", "code/python_valid.jsonl"])
def test_real_text_that_is_cut_anywhere_goes_through(pattern: str) -> None:
    if not (path := SHARED / "data" / pattern).is_file():
        pytest.skip(f"{SHARED / 'data'} is not here; HARNESS_SHARED names the folder with trial data")
    texts = [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()][:40]
    for found in RECIPES.values():
        assert (
            sum(through(each(found), text[: 37 * i]).text is not None for i, text in enumerate(texts)) > 0
            or found.name == "code"
        )


def test_a_step_of_another_package_that_cannot_be_used_is_listed_with_its_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = registry.installed("filters") | {
        "gone": registry.Entry("gone", EntryPoint("gone", "no.where:f", ""), "theirs 1.0")
    }
    monkeypatch.setattr(registry, "installed", lambda kind: entries)
    monkeypatch.setattr(clean_told, "installed", lambda kind: entries)
    assert any(
        line.split(None, 2)[:2] == ["gone", "unknown"] and "gone from theirs 1.0 cannot be imported" in line
        for line in lines("filters")
    )


def test_lists_and_pages_tell_what_steps_do() -> None:
    listed = "\n".join(lines("filters"))
    assert "language      filter   Keep documents in one of the languages." in listed
    for name in installed("filters"):
        shown = page(name)
        assert shown.startswith(tuple(f"{kind} {name}" for kind in ("cleaner", "filter", "scorer", "corpus")))
        described = shown.partition("Parameters")[2].splitlines()
        assert all(line.strip() for line in described[1:])
    assert "minimum=0\n    characters at least" in page("length")
    assert "keep=[en]\n    codes of ISO 639-1" in page("language")
    both = page("medical")
    assert "suite medical" in both
    assert "recipe medical" in both
    assert "length minimum=200" in both


def test_the_recipe_of_the_manual_works_as_typed(tmp_path: Path) -> None:
    manual = (Path(__file__).parents[2] / "docs" / "text.md").read_text("utf-8")
    for kind, name in (("yaml", "clinic.yaml"), ("python", "ours.py")):
        (tmp_path / name).write_text(manual.split(f"```{kind}\n")[1].split("```")[0])
    made = recipe(str(tmp_path / "clinic.yaml"))
    assert (made.name, made.sensitive, len(made.steps)) == ("clinic", True, 8)
    assert through(made.steps[-1:], "DRAFT of a letter").taken == "ours.py:no_drafts"
    assert through(made.steps[-1:], "A letter").text == "A letter"
