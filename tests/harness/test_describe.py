"""What is registered, in words: complete, one line each, and with the reasons of the defaults."""

import re
from dataclasses import fields
from importlib.metadata import EntryPoint

import pytest

from harness import registry
from harness.describe import NEEDS, lines, ordered, page
from harness.errors import InputError
from harness.plan import Part, spell
from harness.registry import installed
from harness.settings import BUILT_IN
from harness.strategy import FAMILIES


@pytest.mark.parametrize("name", sorted(installed("strategies")))
def test_a_strategy_is_shown_with_its_parameters_source_and_cost(name: str) -> None:
    shown, cls = page(name), installed("strategies")[name].load()
    for word in ("Source:", "Cost:", "Parameters", "family ", "neutral ", "sweep ", "controls ", "needs ", "hooks "):
        assert word in shown
    for f in fields(cls):  # its default, and under it what the docstring says of unit and range
        assert re.search(rf"^{f.name}={re.escape(spell(f.default))}\n    \S", shown, re.MULTILINE), f.name
    for key, values in cls.sweep.items():
        assert f"{key}={'/'.join(map(spell, values))}" in shown
    for need in (*cls.needs, *registry.strategy(Part(name)).controls()):
        assert NEEDS.get(need, need) in shown
    assert ("experimental" in shown.split("family ")[1].splitlines()[0]) is cls.experimental


def test_the_control_says_that_it_is() -> None:
    assert "neutral   always: it is the control" in page("none")
    assert "hooks     none" in page("none")


@pytest.mark.parametrize(("name", "hooks"), [("kl", "setup, observe, loss"), ("ewc", "setup, gradients"), ("wise", "finish")])
def test_the_hooks_are_those_it_has(name: str, hooks: str) -> None:
    assert page(name).splitlines()[-1] == f"hooks     {hooks}"


def test_every_default_stands_with_its_reason() -> None:
    shown = page("defaults").splitlines()
    assert [line.split()[0] for line in shown] == list(BUILT_IN)
    assert all(why in line for (_, why), line in zip(BUILT_IN.values(), shown, strict=True))


def test_strategies_are_listed_by_family_the_core_first_and_experimental_ones_apart() -> None:
    found = [line for line in lines("strategies") if line]
    headings = [line.rstrip(":") for line in found if not line.startswith(" ")]
    core = [heading for heading in headings if not heading.startswith("experimental")]
    assert core == [family for family in FAMILIES if family in core]
    assert headings[: len(core)] == core
    assert found[:2] == ["control:", next(line for line in found if line.split()[0] == "none")]
    names = [line.split()[0] for line in found if line.startswith(" ")]
    assert names == list(ordered())
    assert set(names) == set(installed("strategies"))
    assert [name for name, cls in ordered().items() if cls.experimental] == names[len(names) - len(experimental()) :]


def experimental() -> list[str]:
    return [name for name, entry in installed("strategies").items() if entry.load().experimental]


@pytest.mark.parametrize("name", sorted(installed("strategies")))
def test_every_strategy_of_ours_has_its_family(name: str) -> None:
    cls = installed("strategies")[name].load()
    assert cls.family in FAMILIES[:-1]


def test_what_cannot_be_used_is_listed_with_its_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("gone", "nowhere:Gone", "harness.strategies")
    monkeypatch.setitem(installed("strategies"), "gone", registry.Entry("gone", point, "their 1.0"))
    assert "cannot be used:" in lines("strategies")
    assert lines("strategies")[-1].startswith("  gone ")
    assert lines("strategies")[-1].endswith("cannot be imported: ModuleNotFoundError: No module named 'nowhere'")
    with pytest.raises(InputError, match=r"gone from their 1\.0 cannot be imported"):
        page("gone")


def test_suites_are_listed_with_their_tasks() -> None:
    told = lines("suites")
    assert [line.split(":")[0] for line in told if line[0] != " "] == sorted(installed("suites"))
    named = {line.split()[0]: " ".join(line.split()) for line in told if line[0] == " "}
    assert (
        named["blimp"]
        == "blimp keep acc ↑ chance 0.5 67,000 items by member other source grammar in minimal pairs, 67 paradigms"
    )
    assert named["mmlu"].startswith("mmlu keep acc ↑, 5 examples chance 0.25 14,042 items by member other source")
    assert named["notes_text"] == "notes_text gain bits_per_byte ↓ 200 items by item sensitive clinical notes"
    assert "humaneval gain" in named["humaneval"]
    assert "runs code" in named["humaneval"]
    assert named["world_facts_changed"].startswith("world_facts_changed change acc ↑ chance 0.125 16 items by cluster")


@pytest.mark.parametrize("kind", ["corpora", "models"])
def test_a_list_is_a_line_each(kind: str) -> None:
    assert [line.split()[0] for line in lines(kind)] == sorted(installed(kind))  # type: ignore[arg-type]


def test_what_is_not_there_is_a_sentence_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"there is no list of 'strategy'; did you mean strategies\?"):
        lines("strategy")
    with pytest.raises(InputError, match=r"nothing is registered as 'world_med'; did you mean world_medical"):
        page("world_med")
    with pytest.raises(
        InputError, match=r"nothing is registered as 'medcal'; did you mean medical or world_medical or residual"
    ):
        page("medcal")
