"""The control on its way from the base, drawn behind the arms: interpolated with the base, and as it read its tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness import forgetting as fg
from harness.claims import learned, primary
from harness.trajectory import Trajectories
from reports import words
from reports.figure import CONTROL, label
from reports.section import Cell


@dataclass(frozen=True)
class Path:
    """A line on the plane.

    told    what is said of it below the figure
    points  what each point is, adaptation and forgetting: means over seeds, in the figures' own units
    dash    of the stroke
    beside  what stands in the place of an interval
    """

    told: str
    points: tuple[tuple[str, float, float], ...]
    dash: str
    beside: str


def paths(study: fg.Study, keep: fg.Reading, gain: fg.Reading) -> list[Path]:
    """Those that were measured on these two axes; none where there is no control."""
    if not study.control:
        return []
    found = (_interpolated(study) if (keep, gain) == (primary(study), learned(study)) else None, _read(study, keep, gain))
    return [path for path in found if path]


def _interpolated(study: fg.Study) -> Path | None:
    curves = [curve for seed in study.record.plan["seeds"] if (curve := study.curve(seed))]
    if not curves:
        return None
    points = np.mean(curves, axis=0).tolist()
    named = tuple((f"{study.control}, {share:.0%} of its weights", gained, lost) for share, gained, lost in points)
    told = "line: the control interpolated with the base, eleven points without a training"
    return Path(told, named, "solid", f"none: mean of {words.several(len(curves), 'seed')}")


def _read(study: fg.Study, keep: fg.Reading, gain: fg.Reading) -> Path | None:
    """The control at its milestones: of a schedule that decays these are models that nobody would have stopped at."""
    seen = Trajectories(study)
    lost, gained = ({p.update: p for p in seen.curve(study.control, reading)} for reading in (keep, gain))
    shared = sorted(lost.keys() & gained.keys())
    if len(shared) < 2:
        return None
    decays = float(study.record.plan["budget"].get("floor", 0.0)) < 1
    kind = ", not annealed" if decays else ""
    points = tuple(
        (f"{study.control} after {words.count(lost[at].tokens)} tokens{kind}", gained[at].figure.value, lost[at].figure.value)
        for at in shared
    )
    told = f"dashed: the control while it read{kind}, on a few items of each task"
    return Path(told, points, "dash", "none: few items")


def trace(path: Path, scales: tuple[float, float]) -> dict[str, Any]:
    """The line with its points."""
    across, up = scales
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "x": [gained * across for _, gained, _ in path.points],
        "y": [lost * up for _, _, lost in path.points],
        "line": {"color": CONTROL, "width": 1.3, "dash": path.dash},
        "marker": {"symbol": "circle", "size": 4, "color": CONTROL},
        "text": [label(name) for name, *_ in path.points],
        "hoverinfo": "text",
        "opacity": 0.75,
    }


def rows(path: Path, kinds: tuple[fg.Kind, fg.Kind], between: Sequence[str]) -> list[tuple[str | Cell, ...]]:
    """Its rows of the table behind the figure: forgetting and adaptation without intervals, in these units."""
    lost_in, gained_in = kinds
    return [
        (name, words.amount(lost, lost_in), words.amount(gained, gained_in), *between, words.NOTHING, path.beside)
        for name, gained, lost in path.points
    ]
