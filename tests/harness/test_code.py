"""What is kept for an arm is kept for its code: another line of it is another key, though no version changed."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.asking import ask
from harness.code import code
from harness.resolve import resolve

FILES = {
    "__init__.py": "",
    "tether.py": "from mine_alone import pulls\nfrom mine_alone.rates import RATE\nimport json",
    "pulls.py": "def pull():\n    from . import deep\n",
    "rates.py": "RATE = 1",
    "deep.py": "",
    "stranger.py": "",
}


@pytest.fixture
def changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], bool]]:
    """Whether another line in a file of a package changes the key of mine_alone.tether."""
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / "mine_alone"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text)

    def change(name: str) -> bool:
        before = code("mine_alone.tether")
        with (folder / name).open("a") as file:
            file.write("\n# other\n")
        return code("mine_alone.tether") != before

    yield change
    for name in [name for name in sys.modules if name.startswith("mine_alone")]:
        del sys.modules[name]


@pytest.mark.parametrize(("name", "matters"), [(name, name != "stranger.py") for name in FILES])
def test_its_own_file_and_those_of_its_package_that_it_imports(
    name: str, matters: bool, changed: Callable[[str], bool]
) -> None:
    assert changed(name) is matters


def test_what_has_no_file_and_the_harness_have_none() -> None:
    assert code("sys") == code("no_such_module.at_all") == code("harness.strategy") == ""


def test_a_trial_of_other_code_is_another_trial(
    model_folder: Path, text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))
    asked = {"model": str(model_folder), "new": str(text_file), "strategies": "kl,ewc", "length": 16, "batch": 4}

    def fingerprints() -> dict[str, str]:
        plan = resolve(ask(None, asked | {"old": str(text_file)})).plan
        return {trial.arm.name: plan.trial_fingerprint(trial) for trial in plan.trials if trial.seed == 1}

    before = fingerprints()
    monkeypatch.setattr("harness.spelled.code", lambda module: "edited" if module == "strategies.ewc" else code(module))
    after = fingerprints()
    assert before.keys() == after.keys()
    assert {arm for arm in before if before[arm] != after[arm]} == {"ewc"}
