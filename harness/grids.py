"""Grids: what a sweep makes of every arm as typed, the control included, and where a setting lies on an arm's strength.

A sweep gives each arm SETTINGS settings: STRENGTHS values of its strength at three learning rates; more rates where a strategy
declares fewer values, and rates alone where it has no strength. An arm's strength is the first parameter that its strategies
declare in `sweep` and that was not typed. Arms of unequal grids could not be compared: more points reach further by luck alone.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness import matching, registry
from harness.arms import CONTROL, Extra, plain, rate, with_value
from harness.errors import InputError
from harness.matching import TOLERANCE, TRAININGS, Search, Spot
from harness.plan import Arm
from harness.settings import BUILT_IN, Settings
from harness.typed import parse_arms

SETTINGS, STRENGTHS = 15, 5
RATES = (1.0, 0.3, 3.0, 0.56, 1.8, 0.18, 5.6, 0.75, 1.3, 0.42, 2.4, 0.24, 4.2, 0.13, 7.5)
"""Multiples of the rate that an arm has anyway, about 1.33 apart; as many as are needed are taken from the front."""
LEAST = 0.75
"""Share of what the best-adapting setting of the control learns, from which a setting may be chosen."""
RULE = (
    f"on validation items, of an arm's settings that learn at least {LEAST:.0%} of what the control's best-adapting setting "
    "learns the one that forgets least; where none does, the one that learns most"
)


@dataclass(frozen=True)
class Grid:
    """The settings of a plan, and by what one of each arm is chosen.

    families    arm as typed -> names of its settings; empty where every arm is one setting
    kept        settings that are trained under every seed, the others under the first alone; None: all
    chosen_by   sweep or match -> what the plan tells of it
    """

    families: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    kept: tuple[str, ...] | None = None
    chosen_by: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def words(self, typed: Sequence[str]) -> tuple[str, ...]:
        """The arms that are trained; a setting that stands in two families is trained once."""
        return tuple(dict.fromkeys(name for names in self.families.values() for name in names)) or tuple(typed)


@dataclass(frozen=True)
class Strength:
    """An arm's strength: parameter `key` of the part at `place`, with the values worth trying in rising order.

    stronger    the end that is farther from plain training, 0 the first value and 1 the last
    """

    place: int
    key: str
    values: tuple[float, ...]
    stronger: float = 1.0

    def at(self, share: float) -> float:
        """The value so far along the declared ones, 0 the first and 1 the last: between two of them by their ratio."""
        along = share * (len(self.values) - 1)
        low = min(int(along), len(self.values) - 2)
        first, second, rest = self.values[low], self.values[low + 1], along - low
        value = first * (second / first) ** rest if first > 0 else first + (second - first) * rest
        return round(value) if all(isinstance(each, int) for each in self.values) else rounded(value)


def rounded(value: float) -> float:
    """Three significant digits: settings are typed by people too."""
    return float(f"{value:.3g}")


def swept(asked: Settings, extra: Extra) -> Grid:
    """The grid of a sweep."""
    arms = dict.fromkeys([CONTROL, *(parse_arms(",".join(asked.strategies)) if asked.strategies else ())])
    families = {arm.name: tuple(each.name for each in settings(arm, extra)) for arm in arms}
    assert {len(found) for found in families.values()} == {SETTINGS}
    return Grid(families, None, {"sweep": {"settings": SETTINGS, "least": LEAST, "rule": RULE}})


def planned(asked: Settings, extra: Extra) -> Grid:
    """The settings that a plan begins with."""
    check(asked)
    if asked.match:
        return trying(asked, searches(asked, extra))
    return swept(asked, extra) if asked.sweep else Grid()


def check(asked: Settings) -> None:
    """Refuse what does not go with choosing one of several settings."""
    if asked.sweep and asked.match:
        raise InputError("sweep and match are both given; a sweep holds every strength already, so give one of them")
    if not (asked.sweep or asked.match):
        return
    how = "sweep" if asked.sweep else "match"
    if asked.items == "all":
        raise InputError(f"{how} chooses by a fifth of the items, which are then not reported; leave out items, or give test")
    if asked.controls:
        raise InputError(f"{how} compares arms at equal adaptation, over settings; leave out controls, or leave out {how}")


def items(asked: Settings) -> str:
    """The items that figures are made of: where a setting is chosen, those that it was not chosen by."""
    return "test" if asked.sweep or asked.match else asked.items or BUILT_IN["items"][0]


def told_of(asked: Settings) -> tuple[str, ...]:
    """What the plan says of how a setting is chosen."""
    chooses = bool(asked.sweep or asked.match)
    return ("one setting of every arm is chosen by validation items, a fifth of all, and reported on the others",) * chooses


def searches(asked: Settings, extra: Extra) -> dict[str, Search]:
    """Arm as typed -> its search; the control is none: its own curve is read at what an arm learns."""
    found: dict[str, Search] = {}
    for arm in parse_arms(",".join(asked.strategies)) if asked.strategies else ():
        if arm == CONTROL:
            continue
        knob = strength(arm, extra)

        def name(spot: Spot, arm: Arm = arm, knob: Strength | None = knob) -> str:
            value = knob.at(spot[0]) if knob and spot[0] is not None else None
            return setting(arm, extra, knob, value, rounded(math.exp(spot[1]))).name

        stronger = knob.stronger if knob else 1.0
        found[arm.name] = Search(asked.match or 1.0, knob is not None, arm.lr is None, name, stronger)
    return found


def trying(asked: Settings, found: Mapping[str, Search], kept: tuple[str, ...] = ()) -> Grid:
    """What searches have tried, without what failed, and what they try next; all under the first seed but what is kept."""
    tried = {arm: [name for name, share in each.shares.items() if share is not None] for arm, each in found.items()}
    more = {arm: [each.name(each.next)] if each.next else [] for arm, each in found.items()}
    families = {CONTROL.name: (CONTROL.name,)} | {arm: (*tried[arm], *more[arm]) for arm in found}
    first = (asked.seeds or BUILT_IN["seeds"][0])[0]
    facts = {"target": asked.match, "tolerance": TOLERANCE, "trainings": TRAININGS, "seed": first, "rule": matching.RULE}
    return Grid(families, kept, {"match": facts})


def settings(arm: Arm, extra: Extra) -> list[Arm]:
    """The SETTINGS settings of an arm: what was typed of it stays as it is."""
    found = strength(arm, extra)
    values = _values(arm, found)
    turns = [SETTINGS // len(values) + (i < SETTINGS % len(values)) for i in range(len(values))]
    made = [
        setting(arm, extra, found, value, multiple)
        for value, count in zip(values, turns, strict=True)
        for multiple in sorted(RATES[:count] if arm.lr is None else (1.0,))
    ]
    if len(set(made)) < SETTINGS:
        raise InputError(
            f"{arm.name} leaves {len(set(made))} of the {SETTINGS} settings that every arm of a sweep has; "
            f"type the arm without its lr, or leave it out"
        )
    return made


def _values(arm: Arm, found: Strength | None) -> list[float | None]:
    """The strengths of a grid: STRENGTHS of them or as many as are declared; SETTINGS where the rate was typed."""
    if found is None:
        return [None]
    if arm.lr is not None:
        return [found.at(i / (SETTINGS - 1)) for i in range(SETTINGS)]
    count = min(STRENGTHS, len(found.values))
    return [found.values[round(i * (len(found.values) - 1) / max(1, count - 1))] for i in range(count)]


def strength(arm: Arm, extra: Extra) -> Strength | None:
    """The first declared parameter that is free: numbers, not typed, and not in the way of what was typed."""
    for place, part in enumerate(arm.parts):
        cls = registry.usable(registry.find("strategies", part.name, extra))
        for key, declared in cls.sweep.items():
            values = sorted(value for value in declared if isinstance(value, int | float) and not isinstance(value, bool))
            if len(values) < 2 or key in dict(part.given):
                continue
            plain_ = (cls.neutral or {}).get(key, values[0])
            found = Strength(place, key, tuple(values), 0.0 if plain_ >= values[-1] else 1.0)
            if _can_be(with_value(arm, place, key, values[-1]), extra):
                return found
    return None


def _can_be(arm: Arm, extra: Extra) -> bool:
    try:
        registry.arm(arm, extra)
    except InputError:  # ewc:weight=10 has no room for `relative`: both set the strength
        return False
    return True


def setting(arm: Arm, extra: Extra, found: Strength | None, value: float | None, multiple: float) -> Arm:
    """The arm at a strength, and at a multiple of the rate that it has anyway."""
    if found is not None:
        arm = with_value(arm, found.place, found.key, value)
    if multiple == 1:
        return arm
    return replace(arm, lr=plain(rate(arm, registry.arm(arm, extra)) * multiple))
