"""Every test runs without a network, on one thread, and keeps what it computes to itself."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # the processes of a test run share the cores


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What may take longest begins first, so that no process is left with it at the end."""
    patience = {item: mark.args[0] for item in items if (mark := item.get_closest_marker("timeout"))}
    items.sort(key=lambda item: -patience.get(item, 0))


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Packed text and Fisher matrices of the tests, apart from the user's."""
    os.environ["HARNESS_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty folder."""
    return tmp_path / "folder"


TEXT = [f"The {noun} of {place} is {word}." for noun in ("river", "tower", "market") for place in ("Aldon", "Brisk", "Corm")
        for word in ("old", "wide", "quiet", "known to all")]  # fmt: skip


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of two layers with its tokenizer, as save_pretrained writes them."""
    from transformers import LlamaConfig, LlamaForCausalLM

    from harness.pretrain import train_tokenizer

    folder = tmp_path_factory.mktemp("model")
    tokenizer = train_tokenizer(TEXT * 3, 300)
    tokenizer.save_pretrained(folder)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=64, **sizes)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def text_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hundred short documents."""
    path = tmp_path_factory.mktemp("text") / "new.jsonl"
    path.write_text("".join(json.dumps({"text": f"{i}. {' '.join(TEXT[i % 9 :: 9])}"}) + "\n" for i in range(100)))
    return path


@pytest.fixture
def small_run(
    model_folder: Path, text_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """`harness run` of the two, with a plugin beside it and these words: exit code, and what was complained of."""
    from harness import cli

    def typed(*words: Any) -> tuple[int, str]:
        flags = ["--model", model_folder, "--new", text_file, "--length", 16, "--batch", 4, "--plugin", "mine.py", *words]
        monkeypatch.setattr(sys, "argv", ["harness", "run", *map(str, flags)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return int(end.value.code or 0), capsys.readouterr().err

    return typed
