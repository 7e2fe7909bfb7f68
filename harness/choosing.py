"""Which setting of an arm is reported, where a plan has several: chosen on validation items alone, read on the others.

After a sweep: of an arm's settings that learn at least a share of what the best-adapting setting of the control learns, the one
that forgets least; where none does, the one that learns most. After a search: the one whose gain is nearest to the target.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.forgetting import Reading, Study


@dataclass(frozen=True)
class Choice:
    """The setting of an arm that is reported.

    gain        what it learns on validation items; None where nothing could be chosen by
    share       that, as a share of the control's (of a sweep, of its best-adapting setting)
    reached     whether it learns as much as the plan asks for
    """

    setting: str
    gain: float | None = None
    share: float | None = None
    reached: bool = False


def families(plan: Mapping[str, Any], finished: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Arm as typed -> its finished settings; without families every arm is its own."""
    planned: Mapping[str, Sequence[str]] = plan.get("families") or {}
    if not planned:
        return {name: (name,) for name in finished}
    found = {arm: tuple(name for name in names if name in finished) for arm, names in planned.items()}
    return {arm: names for arm, names in found.items() if names}


def searching(plan: Mapping[str, Any]) -> bool:
    """Whether a search is not over: until then nothing is trained under every seed, the control neither."""
    return bool(plan.get("tried")) and plan["arms"][0] in plan["tried"]


def siblings(study: "Study", arm: str) -> tuple[str, ...]:
    """All settings of the plan for which an arm of a page stands, itself among them."""
    planned: Mapping[str, Sequence[str]] = study.record.plan.get("families") or {}
    typed = [name for name, pick in study.picks.items() if pick.setting == arm and name in planned]
    return tuple(dict.fromkeys(setting for name in typed for setting in planned[name])) or (arm,)


def choices(study: "Study") -> dict[str, Choice]:
    """Arm as typed -> the setting of it that is reported."""
    plan, held = study.record.plan, replace(study, split="validation", without=frozenset())
    if "match" in plan:
        return _matched(study, held, plan["match"])
    if "sweep" not in plan:
        return {arm: Choice(names[0]) for arm, names in study.families.items()}
    control, least = plan["arms"][0], plan["sweep"]["least"]
    points = {arm: _points(held, names) for arm, names in study.families.items()}
    best = max((gain for gain, _ in points.get(control, {}).values()), default=0.0)
    untold = {arm: Choice(arm if arm in names else names[0]) for arm, names in study.families.items()}
    return {arm: choose(points[arm], least, best) or untold[arm] for arm in study.families}


def choose(points: Mapping[str, tuple[float, float]], least: float, best: float) -> Choice | None:
    """Of settings at (gain, forgetting) the one that forgets least of those that gain enough, else the one that gains most."""
    enough = [name for name, (gain, _) in points.items() if gain >= least * best > 0]
    if not points:
        return None
    name = min(enough, key=lambda name: points[name][1]) if enough else max(points, key=lambda name: points[name][0])
    return Choice(name, points[name][0], points[name][0] / best if best > 0 else None, bool(enough))


def axes(held: "Study") -> "tuple[Reading, Reading] | None":
    """What is lost and what is learned, as the items to choose by can tell; None where they cannot."""
    from harness.claims import learned, primary

    keep, gain = primary(held), learned(held)
    return (keep, gain) if keep and gain else None


def gains(held: "Study", names: Sequence[str], seed: int | None = None) -> dict[str, float]:
    """Setting -> what it learned."""
    from harness.claims import learned

    gain = learned(held)
    figures = {name: held.figure(gain, name, seed) for name in names} if gain else {}
    return {name: figure.value for name, figure in figures.items() if figure is not None}


def _points(held: "Study", names: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Setting -> (gain, forgetting), of those that were finished under as many seeds as any: a setting that failed is none."""
    found = axes(held)
    if found is None:
        return {}
    keep, gain = found
    figures = {name: (held.figure(gain, name), held.figure(keep, name)) for name in names}
    whole = {name: (a, f) for name, (a, f) in figures.items() if a and f}
    most = max((a.seeds for a, _ in whole.values()), default=0)
    return {name: (a.value, f.value) for name, (a, f) in whole.items() if a.seeds == most}


def _matched(study: "Study", held: "Study", match: Mapping[str, Any]) -> dict[str, Choice]:
    """The settings that a search found, by the gains under the seed that it searched under."""
    control = study.record.plan["arms"][0]
    whole = gains(held, [control], match["seed"]).get(control, 0.0)
    found: dict[str, Choice] = {}
    for arm, names in study.families.items():
        known = gains(held, names, match["seed"]) if whole > 0 else {}
        name = min(known, key=lambda name: abs(known[name] / whole - match["target"]), default=names[0])
        share = known[name] / whole if name in known else None
        near = share is not None and abs(share / match["target"] - 1) <= match["tolerance"]
        found[arm] = Choice(name, known.get(name), share, near or arm == control)
    return found
