"""Which shares of n-grams tell copies from chance, and how fast text is looked through.

python benchmarks/contamination.py FOLDER      a folder that holds general/, medical/, code/, eval/

Prints, for every training text and every set of items, items that share an n-gram at all, and the largest shares; of pieces of
k words of held-out text, how many stand in training text by chance; what is found of planted copies that were changed; and MB a
second of processor time.

Expected: no unrelated item at FLAG or above; exact copies at 1; 100 MB in a minute or less on one core.
"""

import json
import random
import sys
import time
from pathlib import Path
from typing import Any

from harness.contamination import LONGEST, SHORTEST, Item, Overlap, words
from harness.corpus import Document
from harness.flags import FLAG

TRAIN = {"general": "general/general_train", "pubmed": "medical/pubmed_train", "python": "code/python_train"}
HELD = ("general/general_test", "medical/pubmed_test", "code/python_test", "code/python_valid")
CHARACTERS = 8000


def rows(folder: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def documents(folder: Path, name: str) -> list[Document]:
    return [Document(row["id"], row["text"]) for row in rows(folder, name)]


def items(folder: Path) -> list[Item]:
    """Held-out documents as they are scored, and questions with their right answers."""
    found = [Item("", name, row["id"], "", row["text"][:CHARACTERS]) for name in HELD for row in rows(folder, name)]
    for place, row in enumerate(rows(folder, "eval/hellaswag_validation")):
        question = f"{row['activity_label']}: {row['ctx_a']} {row['ctx_b'].capitalize()}"
        found.append(Item("", "hellaswag", str(place), question, row["endings"][int(row["label"])]))
    for row in rows(folder, "eval/humaneval_test"):
        found.append(Item("", "humaneval", row["task_id"], row["prompt"], row["canonical_solution"]))
    for row in rows(folder, "eval/pubmedqa_test"):
        context = "\n".join(row["CONTEXTS"])
        question = f"Abstract: {context}\nQuestion: {row['QUESTION']}\nAnswer:"
        found.append(Item("", "pubmedqa", str(row["id"]), question, row["final_decision"]))
    for place, row in enumerate(rows(folder, "eval/wikitext2_test")):
        found.append(Item("", "wikitext2", str(place), "", row["page"][:CHARACTERS]))
    return found


def unrelated(folder: Path, asked: list[Item]) -> None:
    overlap = Overlap(asked)
    for name, file in TRAIN.items():
        train = documents(folder, file)
        began = time.process_time()
        table = overlap.look(train)
        spent, size = time.process_time() - began, sum(len(one.text.encode()) for one in train) / 1e6
        print(f"\n{name}: {size:.1f} MB in {spent:.1f} s, {size / spent:.1f} MB/s, {len(asked)} items")
        for task, found in table.groupby("task", sort=False):
            share = sorted(found["share"], reverse=True)
            print(
                f"  {task:22} {len(found):6} items, {sum(s > 0 for s in share):3} share an n-gram, "
                f"largest {', '.join(f'{s:.3f}' for s in share[:3])}; answers {found['answer'].max():.3f}; "
                f"flagged {int((found[['share', 'answer']].max(axis=1) >= FLAG).sum())}"
            )


def by_chance(folder: Path) -> None:
    """Pieces of k words, at random places of held-out text, that stand in training text of the same kind."""
    draw = random.Random(0)
    for train, held in (("general", HELD[0]), ("pubmed", HELD[1])):
        read = [words(one.text) for one in documents(folder, TRAIN[train])]
        asked = [words(one.text) for one in documents(folder, held)]
        shares = []
        for k in (4, 5, 6, 7, SHORTEST, 10, LONGEST):
            grams = {tuple(each[i : i + k]) for each in read for i in range(len(each) - k + 1)}
            pieces = [
                tuple(each[at : at + k]) for each in draw.choices(asked, k=4000) for at in [draw.randrange(len(each) - k)]
            ]
            shares.append(f"{k} words {100 * sum(piece in grams for piece in pieces) / len(pieces):.2f} %")
        print(f"by chance, {held} in {train}: {'; '.join(shares)}")


def changed(item: Item, every: int) -> str:
    """An item as text, one word in so many replaced."""
    text = f"{item.question} {item.answer}".split()
    return " ".join("otherwise" if every and i % every == every - 1 else word for i, word in enumerate(text))


def planted(folder: Path, asked: list[Item]) -> None:
    """What is found of copies of questions that were changed or cut."""
    chosen = random.Random(0).sample([one for one in asked if one.task in ("hellaswag", "pubmedqa", "humaneval")], 300)
    overlap = Overlap(chosen)
    train = documents(folder, TRAIN["general"])
    for name, change in {
        "as it is": lambda one: changed(one, 0),
        "one word in 50 changed": lambda one: changed(one, 50),
        "one word in 20 changed": lambda one: changed(one, 20),
        "one word in 10 changed": lambda one: changed(one, 10),
        "its second half": lambda one: changed(one, 0)[len(changed(one, 0)) // 2 :],
        "its last quarter": lambda one: changed(one, 0)[3 * len(changed(one, 0)) // 4 :],
        "its answer alone": lambda one: one.answer,
    }.items():
        texts = [Document(one.id, f"{one.text} {change(item)}") for one, item in zip(train, chosen, strict=False)]
        table = overlap.look(texts)
        flags = table[["share", "answer"]].max(axis=1) >= FLAG
        print(f"planted, {name}: median share {table['share'].median():.2f}, flagged {100 * flags.mean():.0f} %")


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    asked = items(folder)
    unrelated(folder, asked)
    by_chance(folder)
    planted(folder, asked)
