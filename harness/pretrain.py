"""A base model from a recipe: tokenizer, small model, corpus, budget.

The same recipe, corpus, machine and number of threads give the same bytes.
"""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from harness.corpus import Corpus
from harness.errors import InputError
from harness.keys import read_keys
from harness.plan import cosine, digest

if TYPE_CHECKING:
    from harness.text import Rows

END = "<|endoftext|>"
BYTES = 256  # the alphabet that every byte-level vocabulary holds

Show = Callable[[int, int, float], None]
"""Progress of a training: update, updates in all, loss in nats a token."""
Count = Annotated[int, Field(gt=0)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]


class Recipe(BaseModel):
    """All that decides what a base model becomes.

    corpus               name of the registered corpus, file or folder it reads (the split `train`)
    vocabulary           tokens of the byte-level BPE, the 256 bytes and <|endoftext|> included
    layers .. tied       a Llama model: width of the hidden states, attention heads, width inside the feed-forward,
                         longest context in tokens, whether input and output embeddings are one matrix
    steps, batch, length optimizer updates, rows a step, tokens a row
    peak, warmup, floor  learning rate, warm-up as a share of the steps, last rate as a share of the peak (cosine)
    weight_decay         decoupled, on matrices
    tokenizer_documents  documents, from the first, that the tokenizer is trained on; all where it is not given
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    corpus: str
    vocabulary: Annotated[int, Field(gt=BYTES)] = 2048
    layers: Count = 4
    width: Count = 128
    heads: Count = 4
    feed_forward: Count = 344
    context: Count = 256
    tied: bool = True
    steps: Count
    batch: Count = 16
    length: Annotated[int, Field(ge=2)] = 128
    peak: Positive
    warmup: Share = 0.03
    floor: Share = 0.1
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.1
    seed: Annotated[int, Field(ge=0)] = 0
    tokenizer_documents: Count | None = None

    @model_validator(mode="after")
    def _fits(self) -> "Recipe":
        if self.width % (2 * self.heads):
            raise ValueError(f"width {self.width} gives {self.heads} heads no even number of features each")
        if self.length > self.context:
            raise ValueError(f"length {self.length} is more than the context of {self.context} tokens")
        return self


def read_recipe(path: Path) -> Recipe:
    """A recipe from a YAML file."""
    return recipe(read_keys(path, "recipe"), str(path))


def recipe(values: Any, where: str) -> Recipe:
    """A recipe from keys and values; what is wrong with them is said in one sentence."""
    if not isinstance(values, Mapping):
        raise InputError(f"{where} holds no recipe; write `key: value` lines, keys {', '.join(Recipe.model_fields)}")
    try:
        return Recipe.model_validate(dict(values))
    except ValidationError as error:
        raise InputError(f"{where}: " + "; ".join(_complaint(found) for found in error.errors())) from error


def _complaint(found: Any) -> str:
    key = ".".join(map(str, found["loc"]))
    if found["type"] == "extra_forbidden":
        return f"{key} is no key of a recipe; keys are {', '.join(Recipe.model_fields)}"
    if found["type"] == "missing":
        return f"{key} is missing"
    message = found["msg"].removeprefix("Value error, ")
    return f"{key} is {found['input']!r}: {message[0].lower()}{message[1:]}" if key else message


def pretrain(recipe: Recipe, corpus: Corpus, folder: Path, show: Show | None = None) -> dict[str, str]:
    """Make the base model that a recipe describes; sha256 by file name, and of the corpus."""
    from harness.files import write_json, write_text
    from harness.plan import file_digest
    from harness.text import pack

    with _staged(folder) as beside:
        texts = (document.text for document in corpus.read("train"))
        tokenizer = train_tokenizer(islice(texts, recipe.tokenizer_documents), recipe.vocabulary)
        rows = pack(tokenizer, corpus.read("train"), recipe.length)
        if not len(rows):
            raise InputError(f"{corpus.name} has {rows.facts.tail} tokens, fewer than one row of {recipe.length}")
        model = new_model(recipe, tokenizer)
        _train(model, recipe, rows, show)
        model.save_pretrained(beside)
        tokenizer.save_pretrained(beside)
        write_text(beside / "recipe.yaml", yaml.safe_dump(recipe.model_dump(), sort_keys=False))
        digests = {path.name: file_digest(path) for path in sorted(beside.iterdir())}
        digests |= {"corpus": corpus.key, "recipe": digest(recipe.model_dump())}
        write_json(beside / "digests.json", digests)
    return digests


@contextmanager
def _staged(folder: Path) -> Iterator[Path]:
    """A folder beside `folder` to write to; whole and flushed when it takes its name."""
    from harness.files import flush_folder

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} holds something already; give another folder, or delete it")
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    beside.mkdir()
    try:
        yield beside
        for path in beside.iterdir():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        flush_folder(beside)
        beside.replace(folder)
        flush_folder(folder.parent)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> Any:
    """Byte-level BPE; <|endoftext|> is token 0 and serves as BOS, EOS, padding and unknown; none is added by itself."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(texts, trainer)
    names = dict.fromkeys(("bos_token", "eos_token", "pad_token", "unk_token"), END)
    return PreTrainedTokenizerFast(tokenizer_object=core, clean_up_tokenization_spaces=False, **names)


def new_model(recipe: Recipe, tokenizer: Any) -> Any:
    """A Llama model with random weights that depend on the recipe alone."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    end = tokenizer.eos_token_id
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=recipe.width,
        intermediate_size=recipe.feed_forward,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.heads,
        max_position_embeddings=recipe.context,
        tie_word_embeddings=recipe.tied,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
        dtype="float32",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        return LlamaForCausalLM(config)


def _train(model: Any, recipe: Recipe, rows: "Rows", show: Show | None) -> None:
    """AdamW on the model's own loss; leaves the model in eval mode."""
    import torch

    from harness.text import rows_at

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model.to(device).train()
    matrices = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=recipe.peak, betas=(0.9, 0.95), fused=True)
    rate = cosine(recipe.steps, recipe.warmup, recipe.floor)
    for update in range(1, recipe.steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = recipe.peak * rate(update)
        positions = range((update - 1) * recipe.batch, update * recipe.batch)
        tokens = rows.tokens(rows_at(recipe.seed, "pretrain", positions, len(rows))).to(device)  # (B, T)
        loss = model(input_ids=tokens, labels=tokens).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0, error_if_nonfinite=True)
        optimizer.step()
        optimizer.zero_grad()
        if show:
            show(update, recipe.steps, loss.item())
    model.to("cpu").eval()
