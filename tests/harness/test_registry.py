"""One door for what is installed and what stands in a file; what cannot be used is a sentence when it is named."""

from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness import registry
from harness.errors import InputError
from harness.plugins import from_files
from harness.registry import Entry, arm, find, installed
from harness.strategy import Broken, Combined
from harness.typed import parse_arms

MINE = """
from dataclasses import dataclass
from harness.strategy import Strategy, within

@dataclass(frozen=True)
class MyPull(Strategy):
    weight: float = 0.5
    rows: int = 4
    shape: str = "round"
    soft: bool = False

    def __post_init__(self):
        within("weight", self.weight, 0, 1)

@dataclass(frozen=True)
class Second(MyPull):
    pass
"""


@pytest.fixture
def mine(tmp_path: Path) -> dict[str, Entry]:
    (tmp_path / "mine.py").write_text(MINE)
    return from_files((str(tmp_path / "mine.py"),))


@pytest.fixture
def points(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[EntryPoint]]:
    """What is installed, replaced."""
    found: list[EntryPoint] = []
    monkeypatch.setattr(registry, "entry_points", lambda group: [point for point in found if point.group == group])
    installed.cache_clear()
    yield found
    installed.cache_clear()


def refused(word: str, extra: dict[str, Entry] | None = None) -> str:
    with pytest.raises(InputError) as found:
        arm(parse_arms(word)[0], extra)
    return str(found.value)


def broken(word: str, extra: dict[str, Entry]) -> str | None:
    """Why an arm will fail; None: it will not."""
    built = arm(parse_arms(word)[0], extra)
    return built.cause if isinstance(built, Broken) else None


def test_the_built_ins_come_by_entry_point() -> None:
    assert set(installed("strategies")) >= {"none", "kl", "ewc", "replay", "curriculum", "low_lr", "constant", "wsd", "wise"}
    assert all(entry.origin.startswith("forgetting-harness ") for entry in installed("strategies").values())


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("ewcc", "unknown strategy 'ewcc'; did you mean ewc?"),
        ("reply", "unknown strategy 'reply'; did you mean replay"),
        ("zzzzzz", "unknown strategy 'zzzzzz'; known: "),
        ("kl:wieght=1", "kl has no parameter 'wieght'; did you mean weight?"),
        ("none:x=1", "none has no parameter 'x'; known: lr"),
        ("kl:weight=-1", "kl: weight=-1 is out of range; it must be at least 0"),
        ("replay:share=1.5", "replay: share=1.5 is out of range; it must be at least 0 and at most 1"),
        ("low_lr:share=0", "low_lr: share=0 is out of range; it must be above 0 and at most 1"),
        ("curriculum:start=2", "curriculum: start=2 is out of range; it must be at least 0 and at most 1"),
        ("constant:share=0", "constant: share=0 is out of range; it must be above 0 and at most 1"),
        ("wise:alpha=1.1", "wise: alpha=1.1 is out of range; it must be at least 0 and at most 1"),
        ("wsd:shape=cubic", "wsd: shape=cubic is unknown; it must be one of linear, sqrt, exponential"),
        ("wsd:shape=2", "wsd:shape=2 is no word; its default is sqrt"),
        ("ewc:tokens=1.5", "ewc:tokens=1.5 is no whole number; its default is 1048576"),
        ("ewc:weight=much", "ewc:weight=much is no number; its default is 100"),
        ("ewc:weight=nan", "ewc:weight=nan is no number; its default is 100"),
        ("kl:weight=true", "kl:weight=true is no number; its default is 0.5"),
        ("kl:weight=1e999", "kl: weight=inf is out of range; it must be at least 0"),
        ("kl+replay:share=2", "replay: share=2 is out of range; it must be at least 0 and at most 1"),
    ],
)
def test_what_cannot_be_meant_is_a_sentence(word: str, sentence: str) -> None:
    assert refused(word).startswith(sentence)


def test_whole_numbers_become_what_the_parameter_is() -> None:
    built = arm(parse_arms("ewc:weight=10:tokens=64k")[0])
    assert (built.weight, type(built.weight), built.tokens) == (10.0, float, 64_000)  # type: ignore[attr-defined]


def test_a_file_brings_its_strategies(mine: dict[str, Entry]) -> None:
    assert sorted(mine) == ["my_pull", "second"]
    built = arm(parse_arms("my_pull:weight=1:rows=2:shape=flat:soft=true+none")[0], mine)
    assert isinstance(built, Combined)
    assert repr(built.parts[0]) == "MyPull(weight=1.0, rows=2, shape='flat', soft=True)"
    assert refused("my_pul", mine) == "unknown strategy 'my_pul'; did you mean my_pull?"
    assert refused("my_pull:soft=1", mine) == "my_pull:soft=1 is no true or false; its default is false"
    assert refused("my_pull:weight=2", mine) == "my_pull: weight=2 is out of range; it must be at least 0 and at most 1"


@pytest.mark.parametrize(
    ("name", "code", "sentence"),
    [
        ("absent.py", None, "the plugin {} is no Python file; give the path of a .py file"),
        ("mine.txt", "", "the plugin {} is no Python file; give the path of a .py file"),
        ("empty.py", "x = 1", "{} defines no strategy; write a dataclass that inherits from harness.strategy.Strategy"),
        ("broken.py", "def f(:", "the plugin {} cannot be imported: SyntaxError: "),
        ("fails.py", "import nowhere", "the plugin {} cannot be imported: ModuleNotFoundError: No module named 'nowhere'"),
        ("taken.py", MINE.replace("MyPull", "KL"), "{} defines the strategy kl, which is taken; rename the class KL"),
    ],
)
def test_a_file_that_cannot_be_used_is_a_sentence(name: str, code: str | None, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if code is not None:
        path.write_text(code)
    with pytest.raises(InputError) as found:
        from_files((str(path),))
    assert str(found.value).startswith(sentence.format(path))


def test_two_files_with_one_strategy_are_refused(tmp_path: Path) -> None:
    for name in ("one.py", "two.py"):
        (tmp_path / name).write_text(MINE)
    with pytest.raises(InputError, match=r"two\.py defines the strategy my_pull, which is taken; rename the class MyPull"):
        from_files((str(tmp_path / "one.py"), str(tmp_path / "two.py")))


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        (dict, "mine from x 1 is no strategy; it must inherit from harness.strategy.Strategy"),
        (Combined, None),
        (type("Loose", (Combined,), {}), "mine from x 1 is no frozen dataclass; put @dataclass(frozen=True) above its class"),
    ],
)
def test_only_frozen_dataclasses_are_strategies(target: type, sentence: str | None) -> None:
    extra = {"mine": Entry("mine", target, "x 1")}
    assert broken("mine", extra) == sentence


def test_a_parameter_without_default_is_refused(tmp_path: Path) -> None:
    """Every parameter has a default: an arm can be typed by its name alone."""
    (tmp_path / "mine.py").write_text(MINE.replace("weight: float = 0.5", "weight: float"))
    extra = from_files((str(tmp_path / "mine.py"),))
    said = broken("my_pull", extra)
    assert said is not None
    assert said.startswith("my_pull from mine.py sha256 ")
    assert said.endswith(" has a parameter without a default: weight")


def test_a_name_claimed_twice_is_refused(points: list[EntryPoint]) -> None:
    for value, name in (("one:A", "first"), ("two:B", "second")):
        point = EntryPoint("pull", value, "harness.strategies")
        vars(point).update(dist=SimpleNamespace(name=name, version="1.0"))
        points.append(point)
    with pytest.raises(InputError) as found:
        installed("strategies")
    assert str(found.value) == ("the strategy pull is registered twice, by first 1.0 and second 1.0; uninstall one of them")


def test_an_entry_point_that_cannot_be_imported_is_named(points: list[EntryPoint]) -> None:
    points.append(EntryPoint("pull", "nowhere.at:All", "harness.strategies"))
    entry = find("strategies", "pull")  # nothing is imported to list or find
    with pytest.raises(InputError, match=r"pull from nowhere\.at:All cannot be imported: ModuleNotFoundError"):
        entry.load()
