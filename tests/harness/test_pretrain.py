"""A recipe becomes the same base model every time, whole or not at all."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from harness.corpus import Corpus, Document, Split
from harness.errors import InputError
from harness.files import read_json
from harness.plan import cosine
from harness.pretrain import Recipe, new_model, pretrain, read_recipe, recipe, train_tokenizer
from harness.text import pack, rows_at

SMALL = {
    "corpus": "towns", "vocabulary": 280, "layers": 1, "width": 16, "heads": 2, "feed_forward": 24, "context": 16,
    "steps": 2, "batch": 4, "length": 16, "peak": 0.01,
}  # fmt: skip
TOWNS = [f"The town of {name} lies by the river {river}." for name in "ABCDEFG" for river in ("Orn", "Tiss", "Ulm")]


def read(split: Split) -> Iterator[Document]:
    return (Document(text, text) for text in (TOWNS if split == "train" else []))


TOWN = Corpus("towns", "towns by rivers", read, "key of the towns")


def small(**changes: Any) -> Recipe:
    return recipe(SMALL | changes, "small.yaml")


def test_the_same_recipe_gives_the_same_bytes(tmp_path: Path) -> None:
    """All files, whatever the random state before; and another recipe gives other weights."""
    torch.manual_seed(1)
    first = pretrain(small(), TOWN, tmp_path / "a")
    torch.manual_seed(2)
    assert pretrain(small(), TOWN, tmp_path / "b") == first
    for change in ({"seed": 1}, {"steps": 3}, {"peak": 0.02}, {"weight_decay": 0.0}, {"floor": 0.5}):
        other = pretrain(small(**change), TOWN, tmp_path / str(change))
        assert other["model.safetensors"] != first["model.safetensors"]
        assert other["tokenizer.json"] == first["tokenizer.json"]


def test_what_lies_in_the_folder(tmp_path: Path) -> None:
    """A model and tokenizer that load as any other, the recipe, and the digests of all that."""
    digests = pretrain(small(), TOWN, tmp_path / "base")
    files = {path.name: path for path in (tmp_path / "base").iterdir()}
    assert list(tmp_path.iterdir()) == [tmp_path / "base"]
    assert read_json(files.pop("digests.json")) == digests
    assert {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()} == {
        name: value for name, value in digests.items() if name not in ("corpus", "recipe")
    }
    assert {"model.safetensors", "tokenizer.json", "config.json", "recipe.yaml"} < set(files)
    assert digests["corpus"] == "key of the towns"
    assert read_recipe(files["recipe.yaml"]) == small()
    model, tokenizer = AutoModelForCausalLM.from_pretrained(tmp_path / "base"), AutoTokenizer.from_pretrained(tmp_path / "base")
    assert (model.dtype, model.config.vocab_size, model.config.max_position_embeddings) == (torch.float32, len(tokenizer), 16)
    assert model.config.tie_word_embeddings
    assert model.config.eos_token_id == model.config.bos_token_id == tokenizer.eos_token_id == 0


def test_it_learns_and_shows_it(tmp_path: Path) -> None:
    """Every update is shown; the loss falls from that of guessing."""
    shown: list[tuple[int, int, float]] = []
    pretrain(small(steps=60), TOWN, tmp_path / "base", lambda *progress: shown.append(progress))
    assert [update for update, _, _ in shown] == list(range(1, 61))
    assert {total for _, total, _ in shown} == {60}
    assert 5.4 < shown[0][2] < 5.8  # ln 280 = 5.63
    assert shown[-1][2] < 3


def test_the_training_by_hand(tmp_path: Path) -> None:
    """Three updates written out: rows in their order, mean cross-entropy, clipping, decay on matrices alone, cosine."""
    plan = small(steps=3, weight_decay=0.5)
    pretrain(plan, TOWN, tmp_path / "base")
    tokenizer = train_tokenizer(TOWNS, 280)
    rows, model = pack(tokenizer, read("train"), 16), new_model(plan, tokenizer)
    first, second = ({name: torch.zeros_like(p) for name, p in model.named_parameters()} for _ in range(2))
    for update in (1, 2, 3):
        tokens = rows.tokens(rows_at(0, "pretrain", range(4 * (update - 1), 4 * update), len(rows)))
        logits = model(tokens).logits[:, :-1]
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        names, values = zip(*model.named_parameters(), strict=True)
        gradients = torch.autograd.grad(loss, values)
        norm = torch.sqrt(sum((g**2).sum() for g in gradients))
        rate = plan.peak * cosine(3, 0.03, 0.1)(update)
        for name, value, gradient in zip(names, values, gradients, strict=True):
            gradient = gradient * min(1.0, 1 / float(norm))
            first[name] = 0.9 * first[name] + 0.1 * gradient
            second[name] = 0.95 * second[name] + 0.05 * gradient**2
            step = first[name] / (1 - 0.9**update) / ((second[name] / (1 - 0.95**update)).sqrt() + 1e-8)
            with torch.no_grad():
                value.mul_(1 - rate * 0.5 * (value.ndim == 2)).sub_(rate * step)
    made = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    for name, value in made.named_parameters():
        torch.testing.assert_close(value, model.get_parameter(name), atol=2e-5, rtol=1e-4)


def test_random_state_stays(tmp_path: Path) -> None:
    """Making a base draws nothing from the generator of whoever makes it."""
    torch.manual_seed(123)
    before = torch.get_rng_state()
    pretrain(small(), TOWN, tmp_path / "base")
    assert torch.equal(torch.get_rng_state(), before)


def test_tokenizer_reads_any_bytes_and_adds_nothing() -> None:
    """Token 0 is the only special one; any text comes back as it was."""
    tokenizer = train_tokenizer(TOWNS, 280)
    assert (tokenizer.convert_ids_to_tokens(0), tokenizer.all_special_ids, len(tokenizer)) == ("<|endoftext|>", [0], 280)
    for text in ("The town", "  two  spaces\n\ttab", "한국어 ☤ \x00 é", "a"):
        ids = tokenizer(text).input_ids
        assert tokenizer.decode(ids) == text
        assert 0 not in ids


def test_tokenizer_documents_limits_the_tokenizer_alone(tmp_path: Path) -> None:
    """The first documents make the vocabulary; the model reads all."""
    one, all_ = (pretrain(small(tokenizer_documents=n), TOWN, tmp_path / str(n)) for n in (1, None))
    assert one["tokenizer.json"] != all_["tokenizer.json"]
    some = AutoTokenizer.from_pretrained(tmp_path / "1").backend_tokenizer.get_vocab()
    assert some == train_tokenizer(TOWNS[:1], 280).backend_tokenizer.get_vocab()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"wdith": 8}, f"small.yaml: wdith is no key of a recipe; keys are {', '.join(Recipe.model_fields)}"),
        ({"steps": 0}, "small.yaml: steps is 0: input should be greater than 0"),
        ({"peak": "fast"}, "small.yaml: peak is 'fast': input should be a valid number, unable to parse string as a number"),
        ({"peak": float("inf")}, "small.yaml: peak is inf: input should be a finite number"),
        ({"warmup": 1.5}, "small.yaml: warmup is 1.5: input should be less than or equal to 1"),
        ({"vocabulary": 256}, "small.yaml: vocabulary is 256: input should be greater than 256"),
        ({"heads": 3}, "small.yaml: width 16 gives 3 heads no even number of features each"),
        ({"length": 17}, "small.yaml: length 17 is more than the context of 16 tokens"),
    ],
)
def test_recipes_that_cannot_be(changes: dict[str, Any], sentence: str) -> None:
    """One sentence with key, value and what is allowed."""
    with pytest.raises(InputError) as error:
        small(**changes)
    assert str(error.value) == sentence


def test_recipe_files(tmp_path: Path) -> None:
    """YAML with the recipe's keys; 1e-3 is a number; what is none is said."""
    path = tmp_path / "r.yaml"
    path.write_text("corpus: towns\nsteps: 10\npeak: 1e-3\n")
    assert (read_recipe(path).peak, read_recipe(path).tied) == (0.001, True)
    for content, sentence in (
        ("corpus: towns\npeak: 1\n", f"{path}: steps is missing"),
        ("- a\n", f"the recipe {path} holds no `key: value` lines"),
        ("corpus: a\nsteps: 1\nsteps: 2\n", f"{path}:3: the key 'steps' stands twice"),
    ):
        path.write_text(content)
        with pytest.raises(InputError) as error:
            read_recipe(path)
        assert str(error.value) == sentence
    path.write_text("a: [")
    with pytest.raises(InputError, match=r"r\.yaml:1: expected"):
        read_recipe(path)
    with pytest.raises(InputError, match=r"^the recipe .*other\.yaml cannot be read: No such file"):
        read_recipe(tmp_path / "other.yaml")


def test_nothing_is_left_of_a_failure(tmp_path: Path) -> None:
    """An error at any time leaves no folder; an existing one is not touched."""

    def stop(update: int, total: int, loss: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pretrain(small(), TOWN, tmp_path / "base", stop)
    with pytest.raises(InputError, match=r"^towns has 301 tokens, fewer than one row of 10000$"):
        pretrain(small(context=10_000, length=10_000), TOWN, tmp_path / "base")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match=r"holds something already; give another folder, or delete it$"):
        pretrain(small(), TOWN, tmp_path / "base")
    assert [path.name for path in (tmp_path / "base").iterdir()] == ["mine.txt"]
