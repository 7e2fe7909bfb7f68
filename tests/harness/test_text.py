"""Packing loses and doubles nothing, orders are permutations that any process can continue, mixtures are exact."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from harness.arithmetic import positions
from harness.borders import Borders, borders
from harness.corpus import Document
from harness.errors import InputError
from harness.pretrain import train_tokenizer
from harness.rows import Cache
from harness.score_encode import encode as scored
from harness.score_encode import prefix_token
from harness.text import encode, mix, order, pack, rows_at, shared_out, tokenizer_digest

SHARED = Path(os.environ.get("HARNESS_SHARED", Path(__file__).parents[2].parent / "shared"))
TEXTS = ["The river runs by the old town.", "Ångström & Söhne — 1,000 €\n", "def f(x):\n    return x + 1", "<|endoftext|> </s>"]
SMALL = settings(deadline=None, max_examples=60)
texts = st.lists(st.one_of(st.text(min_size=1, max_size=60), st.sampled_from(TEXTS)), max_size=40)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    """Byte-level BPE of 300 tokens; 0 is its only special token."""
    return train_tokenizer(TEXTS * 3, 300)


def documents(texts: list[str]) -> Iterator[Document]:
    return (Document(str(i), text) for i, text in enumerate(texts))


def stream(tokenizer: Any, texts: list[str]) -> list[int]:
    """What packing must keep, document by document and in the plainest way."""
    core = tokenizer.backend_tokenizer
    core.encode_special_tokens = True
    return [token for text in texts for token in [0, *core.encode(text, add_special_tokens=False).ids]]


@SMALL
@given(texts=texts, length=st.integers(1, 50))
def test_rows_and_tail_are_the_stream(tokenizer: Any, texts: list[str], length: int) -> None:
    """No token is lost, doubled or moved, and what the facts say of them is so."""
    rows, whole = pack(tokenizer, documents(texts), length), stream(tokenizer, texts)
    assert rows.array.reshape(-1).tolist() == whole[: len(rows) * length]
    assert len(rows) == len(whole) // length
    assert (rows.facts.tokens, rows.facts.tail) == (len(rows) * length, len(whole) % length)
    assert (rows.facts.documents, rows.facts.bytes) == (len(texts), sum(len(t.encode()) for t in texts))
    assert rows.facts.whole


@SMALL
@given(texts=texts, limit=st.integers(0, 300))
def test_a_limit_gives_the_first_rows_and_reads_no_further(tokenizer: Any, texts: list[str], limit: int) -> None:
    """The limited table is the head of the whole one; documents, tokens and tail still add up."""
    whole, some = pack(tokenizer, documents(texts), 7), pack(tokenizer, documents(texts), 7, limit_tokens=limit)
    assert some.array.tolist() == whole.array[: limit // 7].tolist()
    read = texts[: some.facts.documents]
    assert some.facts.tokens + some.facts.tail == len(stream(tokenizer, read))
    assert some.facts.whole == (len(read) == len(texts))
    assert len(stream(tokenizer, read[:-1])) < limit // 7 * 7 or not read


def test_a_text_that_spells_a_special_token_stays_text(tokenizer: Any) -> None:
    """Documents cannot end themselves; the tokenizer reads special tokens as before afterwards."""
    before = tokenizer("a<|endoftext|>").input_ids
    ((ids, size),) = encode(tokenizer, [Document("1", "a<|endoftext|>")])
    assert ids[0] == 0
    assert 0 not in ids[1:]
    assert tokenizer.decode(ids[1:]) == "a<|endoftext|>"
    assert size == 14
    assert tokenizer("a<|endoftext|>").input_ids == before == [*before[:-1], 0]


def test_tokens_are_int64_rows_by_number(tokenizer: Any) -> None:
    """Rows come in the order asked for, as often as asked for."""
    rows = pack(tokenizer, documents(TEXTS * 5), 8)
    found = rows.tokens([2, 0, 2])
    assert str(found.dtype) == "torch.int64"
    assert found.tolist() == [rows.array[i].tolist() for i in (2, 0, 2)]


def words(bos: str | None, eos: str | None, front: str | None) -> Any:
    """A tokenizer of words with these special tokens, which puts `front` before a text."""
    core = Tokenizer(models.WordLevel({"<s>": 0, "</s>": 1, "a": 2, "?": 3}, unk_token="?"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    if front:
        core.post_processor = processors.TemplateProcessing(single=f"{front} $A", special_tokens=[(front, 0)])
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token=bos, eos_token=eos)


@pytest.mark.parametrize(
    ("bos", "eos", "front", "expected"),
    [
        ("<s>", "</s>", "<s>", 0),  # Llama: BOS in front
        ("<s>", "</s>", None, 1),  # BLOOM: a BOS that is named but not added
        (None, "</s>", None, 1),  # Qwen
        ("<s>", None, None, 0),
        ("<s>", "<s>", None, 0),  # GPT-NeoX: one token is both
    ],
)
def test_documents_begin_as_the_tokenizer_shows(bos: str | None, eos: str | None, front: str | None, expected: int) -> None:
    """Where nothing is known of the base; training and scoring alike."""
    tokenizer = words(bos, eos, front)
    assert borders(tokenizer) == Borders(expected)
    assert prefix_token(tokenizer) == expected
    assert pack(tokenizer, documents(["a a", "a"]), 5).array.tolist() == [[expected, 2, 2, expected, 2]]


@pytest.mark.parametrize(
    ("bos", "eos", "front", "known", "expected"),
    [
        ("<s>", "</s>", None, {"bos": True}, Borders(0)),  # TinyLlama: BOS alone
        ("<s>", "</s>", "<s>", {"bos": True, "eos": True}, Borders(0, 1)),  # both between documents
        ("<s>", "</s>", "<s>", {"bos": False}, Borders(1)),  # a tokenizer that adds what pre-training had not
        (None, "</s>", None, {"bos": True}, Borders(1)),  # the embedded world: its EOS stands for both
        ("<s>", None, None, {"bos": False, "eos": True}, Borders(0)),
        ("<s>", "<s>", None, {"bos": True, "eos": True}, Borders(0)),  # never the same token twice
    ],
)
def test_what_is_known_of_a_base_comes_first(
    bos: str | None, eos: str | None, front: str | None, known: dict[str, bool], expected: Borders
) -> None:
    tokenizer = words(bos, eos, front)
    assert borders(tokenizer, known) == expected
    assert prefix_token(tokenizer, known["bos"]) == expected.start
    around = [expected.start], [] if expected.end is None else [expected.end]
    stream = [token for text in ([2, 2], [2]) for token in (*around[0], *text, *around[1])]
    found = pack(tokenizer, documents(["a a", "a"]), len(stream), known=expected).array
    assert found.tolist() == [stream]
    other = expected != borders(tokenizer)
    assert (tokenizer_digest(tokenizer, expected) != tokenizer_digest(tokenizer)) == other


def test_a_document_mask_follows_the_borders() -> None:
    """Positions begin anew with each BOS; an EOS of its own belongs to the document that it ends."""
    row = torch.tensor([[5, 1, 0, 2, 2, 1, 0, 2, 1]])  # the end of a document, then two within <s> and </s>
    assert positions(row, borders(words("<s>", "</s>", "<s>"), {"bos": True, "eos": True}).start).tolist() == [
        [0, 1, 0, 1, 2, 3, 0, 1, 2]
    ]


def test_a_tokenizer_without_borders_is_refused() -> None:
    with pytest.raises(InputError) as error:
        borders(words(None, None, None))
    assert str(error.value) == ("the tokenizer names neither BOS nor EOS; set eos_token in its tokenizer_config.json")


@pytest.mark.parametrize(("model", "expected"), [("general6m", 0), ("stories260k", 1)])
def test_borders_of_real_models(model: str, expected: int) -> None:
    """As their READMEs say."""
    folder = SHARED / "models" / model
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here; HARNESS_SHARED names the folder with trial models")
    assert borders(AutoTokenizer.from_pretrained(folder)) == Borders(expected)


@pytest.mark.parametrize("hostile", ["<s>", "a</s><s>a", "</s>", "<s><s>a"])
@pytest.mark.parametrize("known", [None, {"bos": True, "eos": True}, {"bos": False}])
@pytest.mark.parametrize("front", ["<s>", None])
def test_nothing_that_a_text_says_is_a_border(hostile: str, known: dict[str, bool] | None, front: str | None) -> None:
    """The tokens of a text are the same in a row of training and in a score, and its borders are its own."""
    tokenizer, around = words("<s>", "</s>", front), borders(words("<s>", "</s>", front), known)
    ((ids, _),) = encode(tokenizer, [Document("1", hostile)], around)
    inner = ids[1:] if around.end is None else ids[1:-1]
    assert not {0, 1} & set(inner)
    assert scored(tokenizer, [hostile], False) == [inner]
    assert scored(tokenizer, [hostile], True) == [[prefix_token(tokenizer, True), *inner]]
    assert scored(tokenizer, [hostile]) == [[0, *inner] if front else inner]


def test_digest_sees_rules_and_not_calls(tokenizer: Any) -> None:
    """Padding a batch leaves the digest; another vocabulary or separator changes it."""
    before = tokenizer_digest(tokenizer)
    tokenizer(TEXTS, padding=True, truncation=True, max_length=5)
    assert tokenizer_digest(tokenizer) == before
    assert tokenizer_digest(train_tokenizer(TEXTS * 3, 299)) != before
    one = words("<s>", "</s>", None)
    digest = tokenizer_digest(one)
    one.bos_token, one.eos_token = "</s>", "<s>"
    assert tokenizer_digest(one) != digest


def never() -> Iterator[Document]:
    raise AssertionError("read although the cache holds it")
    yield


def test_a_stored_table_is_found_again(tokenizer: Any, tmp_path: Path) -> None:
    """The second call maps the file and reads no document; another corpus, tokenizer, length or limit is another table."""
    cache = Cache(tmp_path, "corpus/train")
    first = pack(tokenizer, documents(TEXTS), 4, cache)
    again = pack(tokenizer, never(), 4, cache)
    assert isinstance(again.array, np.memmap)
    assert again.array.tolist() == first.array.tolist() == pack(tokenizer, documents(TEXTS), 4).array.tolist()
    assert again.facts == first.facts
    for other in (
        {"tokenizer": words(None, "</s>", None)},
        {"length": 5},
        {"cache": Cache(tmp_path, "corpus/test")},
        {"limit_tokens": 8},
    ):
        with pytest.raises(AssertionError, match="read although"):
            pack(**{"tokenizer": tokenizer, "documents": never(), "length": 4, "cache": cache} | other)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("kind", ["tokens", "json"])
@pytest.mark.parametrize(
    "damage",
    [flip, lambda path: os.truncate(path, 5), lambda path: os.truncate(path, 0), Path.unlink],
    ids=["flipped", "cut", "emptied", "deleted"],
)
def test_a_damaged_table_is_made_again(tokenizer: Any, tmp_path: Path, kind: str, damage: Any) -> None:
    """Whatever happens to either file, the rows are right, and whole files lie there afterwards."""
    cache = Cache(tmp_path, "k")
    right = pack(tokenizer, documents(TEXTS), 4, cache).array.tolist()
    (path,) = tmp_path.glob(f"*.{kind}")
    damage(path)
    assert pack(tokenizer, documents(TEXTS), 4, cache).array.tolist() == right
    assert pack(tokenizer, never(), 4, cache).array.tolist() == right


def test_a_failed_packing_leaves_no_table(tokenizer: Any, tmp_path: Path) -> None:
    """Documents that end in an error leave nothing that could be taken for a table."""

    def broken() -> Iterator[Document]:
        yield Document("1", "a b c d e f g")
        raise InputError("notes.jsonl:2: no JSON")

    with pytest.raises(InputError):
        pack(tokenizer, broken(), 2, Cache(tmp_path, "k"))
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]


PACKER = """
import os, sys, time
from pathlib import Path
from types import SimpleNamespace
from harness.corpus import Document
from harness.rows import Cache
from harness.text import pack

folder, how = Path(sys.argv[1]), sys.argv[2]

class Letters:  # a tokenizer that takes no seconds to import
    bos_token_id, eos_token_id = None, 0
    def get_vocab(self):
        return {chr(code): code for code in range(128)}
    def __call__(self, texts, **_):
        return SimpleNamespace(input_ids=[[ord(letter) for letter in text] for text in texts])

def documents():
    (folder / f"read-by-{os.getpid()}").touch()
    for number in range(600):
        yield Document(str(number), f"{number} is a number and the river runs by the old town")
        if how == "killed" and number == 400:
            os.kill(os.getpid(), 9)
        time.sleep(0.001)

if how == "limited":
    import resource, signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    rows = pack(Letters(), documents(), 8, Cache(folder / "rows", "medical/notes"))
except OSError as error:
    print(error)
else:
    print(len(rows), int(rows.array.sum()))
"""


def packing(folder: Path, how: str) -> Any:
    return subprocess.Popen([sys.executable, "-c", PACKER, str(folder), how], stdout=subprocess.PIPE, text=True)


def test_processes_that_pack_the_same_at_once_pack_it_once(tmp_path: Path) -> None:
    """Whoever was first; one that was killed on the way is nobody, and leaves nothing behind that stays."""
    assert packing(tmp_path, "killed").wait(60) == -9
    assert len(list((tmp_path / "rows").glob(".*.tmp"))) == 1
    (read,) = tmp_path.glob("read-by-*")
    read.unlink()
    both = [packing(tmp_path, "whole") for _ in range(2)]
    said = [process.communicate(timeout=60)[0] for process in both]
    assert said[0] == said[1] != ""
    assert len(list(tmp_path.glob("read-by-*"))) == 1
    assert sorted(path.suffix for path in (tmp_path / "rows").iterdir()) == [".json", ".lock", ".tokens"]


def test_a_disk_that_is_full_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    """The same packing with room for it gives the rows."""
    said = packing(tmp_path, "limited").communicate(timeout=60)[0]
    assert "cannot be written: [Errno 27] File too large" in said
    assert [path.suffix for path in (tmp_path / "rows").iterdir()] == [".lock"]
    assert packing(tmp_path, "whole").communicate(timeout=60)[0].split()[0] == "3811"


def test_another_tokenizer_in_the_same_folder_is_another_table(tmp_path: Path) -> None:
    """A tokenizer goes by what it does, and not by where it lies."""
    for texts in (TEXTS, ["zebra zebra zebra"] * 9):
        train_tokenizer(texts * 3, 300).save_pretrained(tmp_path / "tokenizer")
        known = AutoTokenizer.from_pretrained(tmp_path / "tokenizer")
        found = pack(known, documents(TEXTS), 4, Cache(tmp_path / "rows", "k"))
        assert found.array.tolist() == pack(known, documents(TEXTS), 4).array.tolist()
    assert len(list((tmp_path / "rows").glob("*.tokens"))) == 2


def test_an_empty_table_is_stored_too(tokenizer: Any, tmp_path: Path) -> None:
    """Fewer tokens than a row: no rows, all tokens in the tail."""
    for found in (documents(["a"]), never()):
        rows = pack(tokenizer, found, 50, Cache(tmp_path, "k"))
        assert (len(rows), rows.length, rows.facts.tail) == (0, 50, 2)


@SMALL
@given(seed=st.integers(0, 2**40), epoch=st.integers(0, 99), n=st.integers(1, 300))
def test_every_epoch_is_a_permutation(seed: int, epoch: int, n: int) -> None:
    """Every row once an epoch."""
    assert sorted(order(seed, "new", epoch, n).tolist()) == list(range(n))


def test_orders_differ_and_stay() -> None:
    """By seed, source and epoch; and these rows are read on every machine, for ever."""
    orders = [order(0, "new", 0, 50), order(1, "new", 0, 50), order(0, "old", 0, 50), order(0, "new", 1, 50)]
    assert len({tuple(found.tolist()) for found in orders}) == 4
    assert rows_at(0, "new", range(150), 50) == [row for epoch in range(3) for row in order(0, "new", epoch, 50).tolist()]
    assert order(0, "new", 0, 12).tolist() == [4, 8, 7, 6, 5, 9, 10, 11, 2, 3, 1, 0]
    assert order(7, "new", 3, 12).tolist() == [5, 3, 0, 9, 11, 10, 8, 4, 2, 6, 7, 1]


@SMALL
@given(n=st.integers(1, 40), start=st.integers(0, 200), sizes=st.lists(st.integers(0, 30), max_size=8))
def test_positions_can_be_asked_for_in_any_pieces(n: int, start: int, sizes: list[int]) -> None:
    """A training that stopped anywhere reads on as if it had not stopped."""
    end = start + sum(sizes)
    whole = rows_at(3, "new", range(end), n)
    pieces, at = [], start
    for size in sizes:
        pieces += rows_at(3, "new", range(at, at + size), n)
        at += size
    assert pieces == whole[start:]
    assert rows_at(3, "new", [end - 1, 0][:end], n) == [whole[i] for i in ([end - 1, 0][:end])]
    for epoch in range(end // n):
        assert sorted(whole[epoch * n : (epoch + 1) * n]) == list(range(n))


def run(shares: dict[str, float], batch: int, steps: int) -> list[dict[str, int]]:
    """Counts of every step."""
    found, carry = [], {}
    for _ in range(steps):
        counts, carry = mix(shares, batch, carry)
        found.append(counts)
    return found


@pytest.mark.parametrize(
    ("batch", "share", "expected"),
    [
        (8, 0.3, [2, 2, 3, 2, 3, 2, 2, 3, 2, 3]),
        (8, 0.05, [0, 0, 1, 0, 1, 0, 0, 1, 0, 1]),
        (4, 0.25, [1] * 10),
        (10, 0.1, [1] * 10),
        (8, 0.0, [0] * 10),
        (8, 1.0, [8] * 10),
    ],
)
def test_mixture_vectors(batch: int, share: float, expected: list[int]) -> None:
    """Error diffusion as in the formula: floor of what is owed."""
    counts = run({"old": share}, batch, 10)
    assert [step["old"] for step in counts] == expected
    assert [step["new"] for step in counts] == [batch - rows for rows in expected]


@st.composite
def shares(draw: st.DrawFn) -> dict[str, float]:
    """Shares of 1 to 6 sources that leave something or nothing for new text."""
    weights = draw(st.lists(st.floats(0, 1), min_size=2, max_size=7).filter(lambda found: sum(found) > 0.1))
    named = weights if draw(st.booleans()) and len(weights) < 7 else weights[:-1]
    return {f"source{i}": weight / sum(weights) * (1 - 1e-12) for i, weight in enumerate(named)}


@SMALL
@given(shares=shares(), batch=st.integers(1, 70), steps=st.integers(1, 120))
def test_realised_shares_lie_within_one_row(shares: dict[str, float], batch: int, steps: int) -> None:
    """Of batch x share x steps after every step, for every source, new text too; every batch is full."""
    realised = dict.fromkeys([*shares, "new"], 0)
    for step, counts in enumerate(run(shares, batch, steps), 1):
        assert sum(counts.values()) == batch
        assert min(counts.values()) >= 0
        for name, share in (shares | {"new": 1 - sum(shares.values())}).items():
            realised[name] += counts[name]
            assert abs(realised[name] - batch * share * step) < 1 + 1e-6
            assert share or not realised[name]


@given(path=st.lists(st.floats(0, 1), min_size=1, max_size=80), batch=st.integers(1, 40))
def test_a_share_that_moves_is_followed_within_one_row(path: list[float], batch: int) -> None:
    """A curriculum reads what it asked for in sum."""
    carry, read = {}, 0
    for step, share in enumerate(path, 1):
        counts, carry = mix({"old": share}, batch, carry)
        read += counts["old"]
        assert -1e-6 < batch * sum(path[:step]) - read < 1 + 1e-6


@st.composite
def schedules(draw: st.DrawFn) -> list[dict[str, float]]:
    """Shares of 2 to 5 sources, update by update: any that sum to 1 at most, zeros and ones among them."""
    names = [f"source{i}" for i in range(draw(st.integers(2, 5)))]
    found = []
    for _ in range(draw(st.integers(1, 60))):
        weights = draw(st.lists(st.sampled_from([0.0, 0.0, 0.05, 0.3, 1.0, 2.5]), min_size=len(names), max_size=len(names)))
        whole = max(1.0, sum(weights)) * (1 + 1e-12)
        found.append({name: weight / whole for name, weight in zip(names, weights, strict=True)})
    return found


@settings(deadline=None, max_examples=300)
@given(path=schedules(), batch=st.integers(1, 9), hold=st.integers(1, 20))
def test_shares_that_move_are_followed_within_one_row_by_any_number_of_sources(
    path: list[dict[str, float]], batch: int, hold: int
) -> None:
    """Of the sum of batch x share over the updates so far, at every update, new text too; each blend is held for a while."""
    moving = [shares for shares in path for _ in range(hold)]
    realised, owed = Counter[str](), Counter[str]()
    for shares, rows in zip(moving, shared_out(lambda u: moving[u - 1], len(moving), batch), strict=False):
        assert sum(rows.values()) == batch
        assert min(rows.values()) >= 0
        realised.update(rows)
        for name, share in (shares | {"new": 1 - sum(shares.values())}).items():
            owed[name] += batch * share  # pyright: ignore
            assert abs(realised[name] - owed[name]) < 1 + 1e-6, name


def test_mix_leaves_its_arguments_and_keeps_other_debts() -> None:
    """A source that is not asked for this time is still owed what it was owed."""
    carry = {"old": 0.5, "task": 0.25}
    assert mix({"old": 0.5}, 1, carry) == ({"old": 1, "new": 0}, {"old": 0.0, "task": 0.25})
    assert carry == {"old": 0.5, "task": 0.25}


@pytest.mark.parametrize(
    ("shares", "sentence"),
    [
        ({"old": -0.1}, "the share of old is -0.1; a share lies between 0 and 1"),
        ({"old": 1.5}, "the share of old is 1.5; a share lies between 0 and 1"),
        ({"old": float("nan")}, "the share of old is nan; a share lies between 0 and 1"),
        ({"old": 0.7, "task": 0.5}, "the shares of old, task sum to 1.2; they may sum to 1 at most"),
        ({"new": 0.5}, "a mixture names new; new gets what the other sources leave, give the shares of those"),
    ],
)
def test_impossible_shares(shares: dict[str, float], sentence: str) -> None:
    """Refused in one sentence."""
    with pytest.raises(InputError) as error:
        mix(shares, 8, {})
    assert str(error.value) == sentence
