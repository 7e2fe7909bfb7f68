"""The README tells the truth: its tables are the registry's, its example keeps the laws, its commands exist."""

import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def module(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    found = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def test_made_parts_are_as_the_code_makes_them() -> None:
    made = module(ROOT / "tests" / "readme.py")
    assert made.renewed(README) == README, "run: python tests/readme.py"
    data = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    assert made.renewed(data, made.frames) == data, "run: python tests/readme.py"


def test_the_example_keeps_the_laws() -> None:
    from harness.testing import check_strategy

    check_strategy(module(ROOT / "examples" / "gentle.py").Gentle)


def test_the_first_commands_are_the_two_that_set_up() -> None:
    block = re.search(r"```\n(.*?)```", README, re.DOTALL)
    assert block is not None
    assert [line.split("#")[0].strip() for line in block[1].splitlines()] == ["make run", "make test"]


@pytest.mark.parametrize("line", re.findall(r"^harness (?:run|report|list|show|pretrain|score).*$", README, re.MULTILINE))
def test_flags_of_the_commands_exist(line: str) -> None:
    from typer.main import get_command

    from harness.cli import app

    commands = get_command(app).commands  # pyright: ignore
    known = {option for command in commands.values() for parameter in command.params for option in parameter.opts}
    assert set(re.findall(r"--[a-z-]+", line.split("#")[0])) <= known
