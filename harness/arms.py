"""Which arms a plan has: the control, those typed, those they are made from, and those they are measured against."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness import registry
from harness.errors import InputError, TrialError
from harness.plan import Arm, Part
from harness.strategy import OLD, Broken, Combined, Strategy, after_training, parts
from harness.typed import parse_arms

CONTROL = Arm((Part("none"),))
OLD_ONLY = Arm((Part("old_only"),))
"""The control of old text: what it changes that learns nothing new."""
SWEEP = "sweep"
"""Typed as a value: every value that the strategy declares worth trying."""
Extra = dict[str, registry.Entry]


@dataclass(frozen=True)
class Arms:
    """The arms of a plan.

    arms        in the order in which they are trained, the control first
    strategies  arm name -> strategy
    controls    arm as typed -> names of the arms that isolate what it does, whether the plan has them or not
    notes       why arms that nobody typed are there
    """

    arms: tuple[Arm, ...]
    strategies: Mapping[str, Strategy]
    controls: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...]


def gather(words: Sequence[str], extra: Extra, matched: bool, equal: str) -> Arms:
    """The arms typed, with those that they need; with `matched` their own controls too."""
    parsed = parse_arms(",".join(words)) if words else ()
    typed = _once([arm for written in parsed for arm in _swept(written, extra)])
    typed = _once([_short(arm, registry.arm(arm, extra)) for arm in typed])
    strategies = {arm.name: _built(arm, extra) for arm in typed}
    wanted = {arm: _controls(arm, strategies, extra, matched, equal) for arm in typed}
    arms, notes = list(typed), []
    for arm, controls in wanted.items() if matched else ():
        for control in controls:
            if control.name not in strategies:
                arms.append(control)
                strategies[control.name] = _built(control, extra)
                notes.append(f"the arm {control.name} was added: {arm.name} is measured against it")
    arms, strategies, parents = _with_parents(arms, strategies, extra)
    arms, strategies, reading = _with_old_only(arms, strategies, extra)
    names = {arm.name: tuple(control.name for control in controls) for arm, controls in wanted.items()}
    return Arms(arms, strategies, names, tuple(notes + parents + reading))


def _built(arm: Arm, extra: Extra) -> Strategy:
    """An arm as a strategy that says what it needs and what it is measured against, or that fails when its turn comes."""
    return sound(registry.arm(arm, extra), lambda strategy: (strategy.needed(), strategy.controls()))


def sound(strategy: Strategy, ask: Callable[[Strategy], object]) -> Strategy:
    """The strategy of an arm; in its place, if it fails when it is asked, one that says so when the arm's turn comes."""
    try:
        ask(strategy)
    except TrialError as error:
        broken = [Broken(str(error)) for _ in parts(strategy)]
        return broken[0] if len(broken) == 1 else Combined(tuple(broken))
    return strategy


def broken(strategies: Mapping[str, Strategy]) -> tuple[str, ...]:
    """What the plan says at once of arms whose strategies cannot be used."""
    found = [
        f"the arm {name} will fail: {part.cause}"
        for name, strategy in strategies.items()
        for part in parts(strategy)
        if isinstance(part, Broken)
    ]
    return tuple(dict.fromkeys(found))


def _once(typed: Sequence[Arm]) -> tuple[Arm, ...]:
    """The control first, then the arms in the order typed; one that stands twice is refused."""
    names = [arm.name for arm in typed]
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"the arm {doubled[0]} stands twice; give each arm once")
    if long := [name for name in names if len(name.encode()) > 200]:
        raise InputError(f"the arm {long[0][:40]}... is too long to name a folder; at most 200 bytes")
    return (CONTROL, *(arm for arm in typed if arm != CONTROL))


def _swept(arm: Arm, extra: Extra) -> list[Arm]:
    """An arm in which a value is the word `sweep`, as one arm for each value worth trying; others as they are."""
    found = [arm]
    for i, part in enumerate(arm.parts):
        for key, value in part.given:
            if value == SWEEP:
                values = registry.sweep(part.name, key, extra)
                found = [with_value(each, i, key, tried) for each in found for tried in values]
    return found


def with_value(arm: Arm, place: int, key: str, value: Any) -> Arm:
    """The arm with a value of a parameter of one of its parts, in the place of the one it has."""
    part = arm.parts[place]
    given = tuple({**dict(part.given), key: value}.items())
    return replace(arm, parts=(*arm.parts[:place], Part(part.name, given), *arm.parts[place + 1 :]))


def _short(arm: Arm, strategy: Strategy) -> Arm:
    """An arm whose typed lr is what it would take without it, without it."""
    return replace(arm, lr=None) if arm.lr == rate(replace(arm, lr=None), strategy) else arm


def rate(arm: Arm, strategy: Strategy) -> float:
    """The arm's multiple of the peak: as typed, else what its strategies ask for."""
    return math.prod(part.lr for part in parts(strategy)) if arm.lr is None else arm.lr


def _controls(arm: Arm, typed: Mapping[str, Strategy], extra: Extra, must: bool, equal: str) -> list[Arm]:
    """The arms that isolate what an arm does, named as typed where they were; where they must, they can be built."""
    found: dict[str, Arm] = {}
    for place, part in enumerate(parts(typed[arm.name])):
        for word in part.controls():
            try:
                for control in parse_arms(word):
                    if equal == "flops":  # computes as much as the arm already
                        control = replace(control, steps=1.0)
                    within = _within(arm, typed[arm.name], place, control, extra)
                    named = _known(within, typed, extra, must)
                    found |= {} if named.name == arm.name else {named.name: named}
            except InputError as error:
                raise InputError(f"{arm.name} names the control {word}, which cannot be trained: {error}") from error
    return list(found.values())


def _within(arm: Arm, strategy: Strategy, place: int, control: Arm, extra: Extra) -> Arm:
    """A part's control in that part's place, its updates times the arm's and its rate times the arm's.

    Not where the part has a rate of its own: that is no measure of its control's. Where the other parts do not go with the
    control, it stands alone.
    """
    lr = control.lr
    if parts(strategy)[place].lr == 1 and (arm.lr, lr) != (None, None):
        lr = plain(rate(arm, strategy) * (1.0 if lr is None else lr))
    alone = replace(control, lr=lr, steps=plain(arm.steps * control.steps))
    others = (*arm.parts[:place], *(control.parts if control.parts != CONTROL.parts else ()), *arm.parts[place + 1 :])
    within = replace(alone, parts=others or CONTROL.parts)
    try:
        registry.arm(within, extra)
    except InputError:
        return alone
    return within


def plain(product: float) -> float:
    """0.1 * 3 as it is typed: 0.3."""
    return float(f"{product:.12g}")


def _known(control: Arm, typed: Mapping[str, Strategy], extra: Extra, must: bool) -> Arm:
    """A control as the arm typed that is the same training, if there is one; else as short as it can be named."""
    try:
        strategy = registry.arm(control, extra)
    except InputError:
        if must:
            raise
        return control
    for name, other in typed.items():
        arm = parse_arms(name)[0]
        if (other, rate(arm, other), arm.steps) == (strategy, rate(control, strategy), control.steps):
            return arm
    return _short(control, strategy)


def _with_parents(
    arms: Sequence[Arm], strategies: Mapping[str, Strategy], extra: Extra
) -> tuple[tuple[Arm, ...], dict[str, Strategy], list[str]]:
    """Arms that end in strategies without a training of their own are made from another arm's, which comes before them."""
    found: dict[str, Arm] = {}
    built, notes = dict(strategies), []
    for arm in arms:
        parent = parent_arm(arm, strategies[arm.name])
        if parent and parent.name not in built:
            built[parent.name] = registry.arm(parent, extra)
            notes.append(f"the arm {parent.name} was added: {arm.name} is made from its training")
        found |= {each.name: each for each in (parent, arm) if each}
    return tuple(found.values()), built, notes


def _with_old_only(
    arms: tuple[Arm, ...], strategies: dict[str, Strategy], extra: Extra
) -> tuple[tuple[Arm, ...], dict[str, Strategy], list[str]]:
    """Where an arm reads old text, what that text alone does is measured too."""
    readers = [arm.name for arm in arms if OLD in strategies[arm.name].needed()]
    if not readers or OLD_ONLY in arms:
        return arms, strategies, []
    who = f"{', '.join(readers)} read{'s' * (len(readers) == 1)} old text"
    note = f"the arm {OLD_ONLY.name} was added: {who}, and what that text alone changes is measured"
    return (*arms, OLD_ONLY), {**strategies, OLD_ONLY.name: registry.arm(OLD_ONLY, extra)}, [note]


def parent_arm(arm: Arm, strategy: Strategy) -> Arm | None:
    """The arm whose training this one shares: without the strategies at its end that only act after training."""
    kept = list(zip(arm.parts, parts(strategy), strict=True))
    while kept and after_training(kept[-1][1]):
        kept.pop()
    if len(kept) == len(arm.parts):
        return None
    return Arm(tuple(part for part, _ in kept) or CONTROL.parts, arm.lr, arm.steps)


def parts_after(strategy: Strategy, arm: Arm, parent: Arm) -> Strategy:
    """The parts of an arm that act after its parent's training, as one strategy; all where the parent is the bare control."""
    trained = len(parent.parts) if arm.parts[: len(parent.parts)] == parent.parts else 0
    kept = parts(strategy)[trained:]
    return kept[0] if len(kept) == 1 else Combined(kept)
