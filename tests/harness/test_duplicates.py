"""Near duplicates: planted ones against the curve that theory gives, any order of documents, and what is no duplicate."""

import json
import os
import random
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import binom

from harness import duplicates
from harness.duplicates import GRAM, SIZE, WORDS, Index, clusters, fingerprint, rows
from tests.harness.peaks import peaks

SHARED = Path(os.environ.get("HARNESS_SHARED") or Path(__file__).parents[3] / "shared")
PUBMED = SHARED / "data" / "medical" / "pubmed_train.jsonl"
PAIRS = 250


def words(draw: random.Random, count: int) -> str:
    return " ".join(f"w{draw.randrange(10**9)}" for _ in range(count))


def pair(draw: random.Random, similarity: float) -> tuple[str, str]:
    """Two texts whose sets of 5-grams have this Jaccard similarity: c common and u own words, (c - 4) / (c - 4 + 2 u)."""
    own = 40
    shared = round(2 * own * similarity / (1 - similarity))
    common = words(draw, shared + GRAM - 1)
    return f"{common} {words(draw, own)}", f"{common} {words(draw, own)}"


def grams(text: str) -> set[tuple[str, ...]]:
    found = WORDS.findall(text.casefold())
    return {tuple(found[i : i + GRAM]) for i in range(max(1, len(found) - GRAM + 1))}


def jaccard(one: str, other: str) -> float:
    return len(grams(one) & grams(other)) / len(grams(one) | grams(other))


@pytest.mark.parametrize("threshold", [0.5, 0.8])
@pytest.mark.parametrize("similarity", [0.3, 0.5, 0.75, 0.8, 0.95])
def test_planted_pairs_are_found_as_often_as_the_curve_says(similarity: float, threshold: float) -> None:
    draw = random.Random(f"{similarity} {threshold}")
    planted = [pair(draw, similarity) for _ in range(PAIRS)]
    assert jaccard(*planted[0]) == pytest.approx(similarity, abs=0.01)
    found = clusters(((f"{i}-{side}", text) for i, both in enumerate(planted) for side, text in enumerate(both)), threshold)
    assert all(key.partition("-")[0] == first.partition("-")[0] for key, first in found.items())  # nothing but what was planted
    width = rows(threshold)
    candidate = 1 - (1 - similarity**width) ** (SIZE // width)
    agrees = float(binom.sf(round(threshold * SIZE) - 1, SIZE, similarity))
    low, high = max(0.0, agrees + candidate - 1), min(agrees, candidate)  # both must hold; they are not independent
    spread = 4 * (high * (1 - high) / PAIRS) ** 0.5 + 1 / PAIRS
    assert low - spread <= len(found) / 2 / PAIRS <= high + spread


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.8, 0.9, 0.95])
def test_bands_lose_one_pair_in_a_hundred_at_the_threshold(threshold: float) -> None:
    assert (1 - threshold ** rows(threshold)) ** (SIZE // rows(threshold)) <= 0.01


def corpus(draw: random.Random) -> list[tuple[str, str]]:
    """Chains (each document like the one before), exact copies in other case and spacing, and texts of their own."""
    found = [words(draw, 120) for _ in range(40)]
    for _ in range(60):
        tokens = draw.choice(found).split()
        at = draw.randrange(len(tokens) - 6)
        tokens[at : at + draw.choice([0, 1, 3, 6])] = words(draw, 2).split()
        found.append(draw.choice([str.upper, str])("  \n".join(tokens)))
    return [(f"d{i}", text) for i, text in enumerate(found)]


def test_clusters_do_not_depend_on_the_order_of_documents() -> None:
    draw = random.Random(1)
    documents = corpus(draw)
    once = clusters(documents)
    assert len(once) > 50
    assert all(once[first] == first == min(key for key in once if once[key] == first) for first in once.values())
    for _ in range(5):
        draw.shuffle(documents)
        assert clusters(documents) == once


def test_a_chain_is_one_cluster_named_by_its_smallest_key() -> None:
    draw = random.Random(2)
    parts = [words(draw, 8) for _ in range(64)]
    chain = [("c", " ".join(parts[:50])), ("a", " ".join(parts[7:57])), ("b", " ".join(parts[14:]))]
    assert jaccard(chain[0][1], chain[2][1]) < 0.6
    assert clusters(chain, 0.7) == {"a": "a", "b": "a", "c": "a"}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("The patient WAS\tseen.", "the patient was seen.", True),
        ("the patient was seen", "the patient was not seen", False),
        ("one two", "two one", False),
        ("!!!", "???", False),
        ("!!!", "!!!", True),
        ("", " \n", True),
        ("\ud800 half", "\ud800 half", True),
        ("患者は昨日退院し、今日は自宅で静かに過ごしている", "患者は昨日退院し、今日は自宅で静かに過ごしている。", True),
        ("患者は昨日退院した", "医者は今日出勤する", False),
        ("a b c d e f g " * 100, "a b c d e f g " * 101, True),
    ],
)
def test_what_is_a_duplicate_and_what_is_not(one: str, other: str, same: bool) -> None:
    assert clusters([("x", one), ("y", other)]) == ({"x": "x", "y": "x"} if same else {})


@pytest.mark.parametrize("documents", [[], [("only", "one text")]])
def test_nothing_and_one_are_no_cluster(documents: list[tuple[str, str]]) -> None:
    assert clusters(documents) == {}


def test_a_fingerprint_is_the_same_in_every_process() -> None:
    code = "from harness.duplicates import fingerprint as f; print(f('Some words of which the case is of no note').hex())"
    seen = {
        subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, text=True,
                       check=True).stdout.strip()
        for seed in "123"
    }  # fmt: skip
    assert seen == {fingerprint("some words of WHICH the case is of no note").hex()}


def test_boilerplate_that_all_documents_share_makes_them_no_duplicates() -> None:
    draw = random.Random(3)
    head = words(draw, 120)
    assert clusters((str(i), f"{head} {words(draw, 80)}") for i in range(3000)) == {}


def test_letters_from_one_template_are_compared_in_time_that_grows_with_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """No letter with all others; those that are near duplicates are found all the same, in any order."""
    draw, compared = random.Random(7), 0
    whole = duplicates._read

    def read(prints: int, numbers: Any) -> Any:
        nonlocal compared
        compared += len(numbers)
        return whole(prints, numbers)

    monkeypatch.setattr(duplicates, "_read", read)
    monkeypatch.setattr(duplicates, "CROWD", 64)
    head = words(draw, 150)
    letters = [(f"{i}", f"{head} {words(draw, 75)}") for i in range(3000)]
    planted = [(f"{key}-again", f"{text} {words(draw, 24)}") for key, text in letters[:150]]
    found = clusters(letters + planted)
    assert jaccard(letters[0][1], planted[0][1]) == pytest.approx(0.9, abs=0.02)
    assert sum(found.get(key) == key.removesuffix("-again") for key, _ in planted) >= 135
    assert all(key.removesuffix("-again") == first for key, first in found.items()), "nothing but what was planted"
    assert compared < 100 * len(letters + planted)
    shuffled = draw.sample(letters + planted, len(letters + planted))
    assert clusters(shuffled) == found


@pytest.mark.skipif(not PUBMED.exists(), reason="the shared PubMed abstracts are not there")
def test_of_real_abstracts_those_are_found_that_overlap() -> None:
    texts = {str(row["id"]): row["text"] for row in map(json.loads, PUBMED.open(encoding="utf-8"))}
    found = clusters(texts.items())
    assert all(jaccard(texts[key], texts[first]) > 0.7 for key, first in found.items())
    some = {key: grams(texts[key]) for key in random.Random(4).sample(sorted(texts), 500)}
    alike = [(a, b) for a, b in combinations(some, 2) if len(some[a] & some[b]) > 0.9 * len(some[a] | some[b])]
    assert all(a in found and found[a] == found.get(b) for a, b in alike)


MEMORY = """
import random
from harness.duplicates import clusters
def documents(count):
    draw = random.Random(1)
    for i in range(count):
        text = " ".join(str(draw.randrange(10**6)) for _ in range(60))
        yield f"{i:09}", text
        if i % 10 == 0:
            yield f"{i:09}x", text + " once more"
assert len(clusters(documents(COUNT))) == COUNT // 5
"""


def test_memory_does_not_grow_with_the_documents(tmp_path: Path) -> None:
    small, large = (peaks(MEMORY.replace("COUNT", str(count)), tmp_path)[0] for count in (2000, 20000))
    assert large - small < 12  # MiB; ten times the documents, of which a tenth is found twice and returned


def test_the_index_names_a_cluster_by_its_first_document_and_marks_copies(tmp_path: Path) -> None:
    draw = random.Random(5)
    documents = corpus(draw)
    draw.shuffle(documents)
    index = Index(tmp_path)
    for _, text in documents:
        index.add(fingerprint(text))
    found = index.find()
    names = [key for key, _ in documents]
    together = clusters(documents)
    for number, name in enumerate(names):
        cluster = [i for i, other in enumerate(names) if together.get(other, other) == together.get(name, name)]
        assert found.first[number] == min(cluster)
        before = {fingerprint(text) for _, text in documents[:number]}
        assert found.copy[number] == (fingerprint(documents[number][1]) in before)
