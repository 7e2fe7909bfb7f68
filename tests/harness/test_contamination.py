"""Items in training text: planted copies are found, near misses are not, and shares are those of the definition."""

import math
import random
import string
from collections.abc import Sequence
from typing import Any

import pytest

from harness import contamination
from harness.contamination import LONGEST, SHORTEST, Item, Overlap, words
from harness.corpus import Document

WORDS = [f"w{i}" for i in range(400)]


def item(question: str, answer: str = "", name: str = "1") -> Item:
    return Item("suite", "task", name, question, answer)


def look(items: Sequence[Item], *texts: str) -> list[dict[str, Any]]:
    return Overlap(items).look(Document(f"d{i}", text) for i, text in enumerate(texts)).to_dict("records")


def drawn(seed: int, count: int) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=count))


def by_definition(asked: Item, texts: Sequence[str]) -> tuple[float, float, float, str]:
    """Share of n-grams, of those in the question alone, of those that reach into the answer, and the first document."""
    question, answer = words(asked.question), words(asked.answer)
    both = question + answer
    n = min(LONGEST, len(both))
    documents = [words(text) for text in texts]
    held = [{tuple(d[i : i + n]) for i in range(len(d) - n + 1)} for d in documents]
    grams = [tuple(both[i : i + n]) for i in range(len(both) - n + 1)]
    found = [any(gram in each for each in held) for gram in grams]
    inside = [hit for i, hit in enumerate(found) if i + n <= len(question)]
    reaching = [hit for i, hit in enumerate(found) if i + n > len(question)]
    first = next((f"d{k}" for k, each in enumerate(held) if any(gram in each for gram in grams)), "")
    mean = [sum(hits) / len(hits) if hits else math.nan for hits in (found, inside, reaching)]
    return mean[0], mean[1], mean[2], first


def test_shares_are_those_of_the_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    """Items of 8 to 60 words against documents that hold pieces of them, in batches of any size."""
    draw = random.Random(0)
    items = [item(drawn(i, draw.randint(4, 40)), drawn(1000 + i, draw.randint(4, 20)), str(i)) for i in range(60)]
    texts = []
    for one in items:
        both = words(f"{one.question} {one.answer}")
        start, end = sorted(draw.sample(range(len(both) + 1), 2))
        texts.append(" ".join([drawn(draw.randint(5000, 9000), 9), *both[start:end], drawn(draw.randint(5000, 9000), 9)]))
    wanted = [by_definition(one, texts) for one in items]
    assert len({round(share, 2) for share, *_ in wanted}) > 10, "planted pieces of every size"
    for together in (1, 700, 2**22):
        monkeypatch.setattr(contamination, "TOGETHER", together)
        for row, (share, question, answer, first) in zip(look(items, *texts), wanted, strict=True):
            assert [row["share"], row["question"], row["answer"]] == pytest.approx([share, question, answer], nan_ok=True)
            assert row["document"] == first


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "{} and more",
        "before it {}",
        "“{}”",
        "<p>{}</p>",
    ],
)
@pytest.mark.parametrize("change", [str, str.upper, lambda s: s.replace(" ", "\n"), lambda s: s.replace(" ", ", ")])
def test_a_copy_is_found_whatever_stands_around_it_and_however_it_is_written(text: str, change: Any) -> None:
    question, answer = "Which gland of the neck takes up iodine and makes thyroxine from it?", "the thyroid gland"
    (row,) = look([item(question, answer)], text.format(change(f"{question} {answer}")))
    assert (row["share"], row["question"], row["answer"], row["document"]) == (1, 1, 1, "d0")


def test_a_near_miss_is_not_found() -> None:
    """Every tenth word another one: no 13 words stand together. Words in another order neither."""
    text = drawn(1, 200)
    changed = " ".join("other" if i % 10 == 5 else word for i, word in enumerate(text.split()))
    shuffled = text.split()
    random.Random(2).shuffle(shuffled)
    (row,) = look([item("", text)], changed, " ".join(shuffled))
    assert (row["share"], row["document"]) == (0, "")


def test_words_do_not_join_over_the_end_of_a_document() -> None:
    (row,) = look([item(drawn(3, 20))], *[" ".join(drawn(3, 20).split()[i : i + 10]) for i in (0, 10)])
    assert row["share"] == 0


@pytest.mark.parametrize("count", [1, SHORTEST - 1, SHORTEST, LONGEST, LONGEST + 1])
def test_an_item_of_few_words_is_one_ngram_and_below_eight_is_not_judged(count: int) -> None:
    text = drawn(4, count)
    (row,) = look([item(text)], f"so {text} so")
    judged = count >= SHORTEST
    assert (row["n"], row["words"]) == (min(count, LONGEST) if judged else 0, count)
    assert row["share"] == 1 if judged else math.isnan(row["share"])


def test_the_answer_behind_the_question_is_told_from_the_question_alone() -> None:
    question = "the capital of the land that lies between the two great rivers of the north is"
    asked = [item(question, "Aldon")]
    (alone,), (right,), (wrong,) = (look(asked, question + end) for end in ("", " Aldon.", " Corm."))
    assert (alone["question"], alone["answer"]) == (wrong["question"], wrong["answer"]) == (1, 0)
    assert (right["question"], right["answer"]) == (1, 1)


def test_scripts_without_spaces_are_compared_by_characters_and_forms_are_one() -> None:
    text = "東京都は日本の首都であり人口が最も多い"
    assert words("Ｔｏｋｙｏ 東京!") == ["tokyo", "東", "京"]
    (row,) = look([item(text)], f"むかし{text}でした")
    assert row["share"] == 1
    (row,) = look([item("caf\u00e9 " * 10)], "cafe\u0301 " * 12)
    assert row["share"] == 1


def test_nothing_to_look_for_and_nothing_to_read() -> None:
    assert look([], "text") == []
    assert [row["n"] for row in look([item("", "")], "text")] == [0]
    assert look([item(drawn(5, 30))])[0]["share"] == 0
    assert look([item(drawn(5, 30))], "", string.punctuation)[0]["share"] == 0


def test_words_that_no_item_has_are_no_wildcards() -> None:
    (row,) = look([item(drawn(6, 13))], drawn(6, 13).replace(drawn(6, 13).split()[6], "unheard", 1))
    assert row["share"] == 0


def test_a_copy_among_much_text_is_found_with_its_document() -> None:
    texts = [drawn(100 + i, 3000) for i in range(200)]
    planted = drawn(7, 40)
    texts[137] += f" {planted} "
    heard: list[int] = []
    table = Overlap([item("", planted)]).look((Document(f"d{i}", text) for i, text in enumerate(texts)), heard.append)
    assert table["document"].tolist() == ["d137"]
    assert heard[-1] == sum(map(len, texts))


@pytest.mark.parametrize("unseen", ["\u00ad", "\u200b", "\u200d", "\u200f", "\ufeff"])
def test_what_nobody_sees_hides_no_copy(unseen: str) -> None:
    assert words(f"Hyper{unseen}tension, {unseen}twice") == ["hypertension", "twice"]
