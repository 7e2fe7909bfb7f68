"""How sure is the choice? Every setting of a sweep or a search, and every arm seed by seed."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from harness import forgetting as fg
from harness.bootstrap import DRAWS
from harness.choosing import gains, searching, siblings
from harness.claims import claims, learned, primary
from harness.frontiers import LEVELS
from harness.ranks import keeps_most
from reports import frontiers, words
from reports.figure import axis, label, marks, plot
from reports.section import Block, Cell, Figure, Figures, Section, Table, Text, measured

QUESTION = "How sure is the choice: sweeps and seeds?"
CHOSEN = (
    "Settings are chosen on validation items, a fifth of all, and everything here is read on the others. Forgetting at a level "
    "is read between the two settings around it under each seed, on a straight line and never beyond the last; no model was "
    "trained there."
)


def section(study: fg.Study) -> Section:
    """Frontiers, levels and volumes after a sweep; what a search found; seeds and ranks of every run."""
    if not study.arms or primary(study) is None:
        return Section("sweeps", QUESTION, "No arm has a figure for keeping yet.")
    ranks = keeps_most(study)
    sentences = [*swept(study), *searched(study), *seeded(study), *ranked(study, ranks)]
    blocks: list[Block] = []
    if found := study.swept:
        blocks += [
            Figures((frontiers.plane(study, found),), legend=True),
            frontiers.levels(study, found),
            frontiers.volumes(found),
            Text(CHOSEN),
        ]
    if "match" in study.record.plan:
        blocks.append(search(study))
    return Section("sweeps", QUESTION, " ".join(sentences), (*blocks, Figures((seeds(study, ranks),)), spent(study)))


def swept(study: fg.Study) -> list[str]:
    """Who keeps more than the control where both learned as much."""
    if study.swept is None:
        why = "the control learned nothing on validation items or is not finished, or these items do not measure both axes"
        return [f"The sweep has no frontier: {why}."] if "sweep" in study.record.plan else []
    found, shares = claims(study), [f"{share:.0%}" for share in LEVELS]
    told = []
    for amount in ("more", "less"):
        for arm in study.competitors:
            if at := [share for share in shares if arm in found and found[arm].at.get(share) == amount]:
                told.append(f"{arm} keeps {amount} than the control at {words.listing(at)}")
    missed = [each.arm for each in study.swept.arms[1:] if any(level.forgetting is None for level in each.levels)]
    reach = words.amount(study.swept.reach, study.swept.gain.kind)
    unit = words.UNIT[study.swept.gain.kind]
    began = f"Levels are shares of the {reach} {unit} that the control's best setting, {study.swept.top}, learns"
    return [
        f"{began}: {'; '.join(told) or 'at none is any arm shown to keep more or less than the control'}.",
        *([f"Not every level was attained by {words.listing(missed)}."] if missed else []),
    ]


def searched(study: fg.Study) -> list[str]:
    """How many arms were brought to the target."""
    match = study.record.plan.get("match")
    if not match:
        return []
    arms = [arm for arm in study.record.plan["families"] if arm != study.control]
    reached = [arm for arm in arms if arm in study.picks and study.picks[arm].reached]
    target, near = f"{match['target']:.0%}", f"{match['tolerance']:.0%}"
    verb = "learns" if len(reached) == 1 else "learn"
    told = f"{len(reached)} of {words.several(len(arms), 'arm')} {verb} {target} of what the control learns, within {near}"
    others = [arm for arm in arms if arm not in reached]
    told += f"; not attained by {words.listing(others)}, shown at the nearest setting." if others else "."
    going = "The search is not over: the same command goes on with it." if searching(study.record.plan) else ""
    return [told, *([going] if going else [])]


def seeded(study: fg.Study) -> list[str]:
    """How far seeds lie apart, where an arm has several."""
    keep = primary(study)
    assert keep
    spans = {arm: [figure.value for figure in _by_seed(study, keep, arm)] for arm in study.arms}
    wide = {arm: max(values) - min(values) for arm, values in spans.items() if len(values) > 1}
    if not wide:
        return ["Every arm was trained under one seed: what is said holds for these checkpoints."]
    arm = max(wide, key=lambda name: wide[name])
    return [
        f"Between seeds forgetting differs most for {arm}, by {words.amount(wide[arm], keep.kind)} {words.UNIT[keep.kind]}."
    ]


def ranked(study: fg.Study, found: Mapping[str, float]) -> list[str]:
    """How often the arm that keeps most does so again."""
    if not found:
        return []
    arm = max(found, key=lambda name: found[name])
    what = "items and seeds" if _seeds(study) > 1 else "items"
    return [f"{arm} keeps most in {found[arm]:.0%} of {DRAWS:,} draws of {what}."]


def _seeds(study: fg.Study) -> int:
    keep = primary(study)
    return min((len(study.seeds(arm, keep)) for arm in study.arms), default=0) if keep else 0


def _by_seed(study: fg.Study, reading: fg.Reading, arm: str) -> list[Any]:
    found = [study.figure(reading, arm, seed) for seed in study.seeds(arm, reading)]
    return [each for each in found if each]


def search(study: fg.Study) -> Table:
    """Every setting that a search tried, on the items that it was chosen by, and what it came to."""
    match, held = study.record.plan["match"], replace(study, split="validation", without=frozenset())
    whole = gains(held, [study.control], match["seed"]).get(study.control, 0.0)
    rows = []
    for arm, names in study.families.items():
        for name, gain in gains(held, names, match["seed"]).items() if arm != study.control and whole > 0 else ():
            pick = study.picks[arm]
            verdict = "" if name != pick.setting else "reached" if pick.reached else "nearest, not attained"
            rows.append((name, arm, Cell(f"{gain / whole:.1%}", value=gain / whole), verdict))
    head = ("setting", "arm", "share of the control's gain", "found")
    return Table(f"The search under seed {match['seed']}: {match['rule']}", head, tuple(rows), words=2, wide=True)


def seeds(study: fg.Study, ranks: Mapping[str, float]) -> Figure:
    """Each arm's forgetting, a mark a seed."""
    keep, gain = primary(study), learned(study)
    assert keep
    traces, rows = [], []
    up = words.SCALE[keep.kind]
    for arm in reversed(study.arms):
        look, own = marks(study)[arm], study.seeds(arm, keep)
        traces.append({
            "type": "scatter", "mode": "markers", "y": [label(arm, 28)] * len(own),
            "x": [figure.value * up for figure in _by_seed(study, keep, arm)],
            "marker": {"symbol": look.symbol, "size": 9, "color": look.colour, "opacity": 0.7},
            "text": [f"{label(arm)}, seed {seed}" for seed in own], "hoverinfo": "text",
        })  # fmt: skip
    for arm in study.arms:
        most = Cell(f"{ranks[arm]:.0%}", value=ranks[arm]) if arm in ranks else Cell(words.NOTHING)
        rows += [
            (arm, str(seed), measured(study.figure(keep, arm, seed), keep.kind),
             measured(study.figure(gain, arm, seed) if gain else None, gain.kind if gain else keep.kind), most)
            for seed in study.seeds(arm, keep)
        ]  # fmt: skip
    caption = (
        "Every seed by itself: 95 % intervals of items below; how often the arm keeps most when items and seeds are drawn again"
    )
    table = Table(caption, ("arm", "seed", "forgetting", "adaptation", "keeps most"), tuple(rows), wide=True)
    x = axis(f"{words.UNIT[keep.kind]} lost<br>forgetting: right is worse →")
    drawn = plot(traces, x, axis("", type="category"), margin={"l": 120, "r": 24, "t": 16, "b": 64})
    conclusion = "One mark a training: arms whose marks overlap are not told apart by these seeds."
    return Figure("seeds", "Seed by seed", conclusion, drawn, table, 120 + 34 * len(study.arms))


def spent(study: fg.Study) -> Table:
    """Trainings that each arm cost, all of its settings and seeds, failures among them."""
    rows = []
    for arm in study.arms:
        trials = [trial for trial in study.record.trials if trial.name in siblings(study, arm)]
        counts = [sum(trial.status == status for trial in trials) for status in ("done", "failed", "missing")]
        rows.append((arm, str(len(set(siblings(study, arm)))), *map(str, counts)))
    head = ("arm", "settings", "trials finished", "failed", "missing")
    return Table("What was spent to choose: trials of all settings and seeds of an arm", head, tuple(rows))
