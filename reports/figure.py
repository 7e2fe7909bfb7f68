"""Figures: one look, four hues that colour-blind readers tell apart, a shape beside every hue.

Grey is for the base and for old text alone, which nobody chooses. A figure is data until the page's script draws it; theme
colours are set there, so that one figure serves light, dark and paper.
"""

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.forgetting import OLD_TEXT, Study
from reports.words import clean, short

CONTROL, BASE = "#D55E00", "#8A8F98"
BAND = "rgba(138,143,152,0.16)"
"""Grey behind marks, in light and dark."""
HUES = ("#0072B2", "#009E73", "#CC79A7")
DASHES = ("solid", "dash", "dot", "dashdot")
"""Strokes of curves, one further whenever the hues begin again."""
SHAPES = {
    "circle": "M8 2a6 6 0 1 0 0 12a6 6 0 1 0 0-12z",
    "diamond": "M8 1l7 7l-7 7l-7-7z",
    "triangle-up": "M8 2l7 12h-14z",
    "cross": "M6 2h4v4h4v4h-4v4h-4v-4h-4v-4h4z",
    "triangle-down": "M8 14l7-12h-14z",
    "pentagon": "M8 1.5l6.5 4.8l-2.5 7.7h-8l-2.5-7.7z",
    "star": "M8 1l2 4.8l5.2.4l-4 3.4l1.3 5l-4.5-2.7l-4.5 2.7l1.3-5l-4-3.4l5.2-.4z",
}
SQUARE = "M3 3h10v10h-10z"


@dataclass(frozen=True)
class Mark:
    """How an arm looks everywhere: in figures by plotly's symbol and stroke, in tables by its shape as an SVG path."""

    colour: str
    symbol: str
    path: str
    dash: str = "solid"


def marks(study: Study) -> dict[str, Mark]:
    """Arm -> mark, by the plan's order, so that an arm that failed leaves the others' looks alone; one for all its settings."""
    found = {"base": Mark(BASE, "circle-open", SHAPES["circle"])}
    planned = study.record.plan.get("families") or {}
    settings = {name: arm for arm, names in planned.items() for name in names}
    typed = dict.fromkeys(settings.get(arm, arm) for arm in study.record.plan["arms"])
    control, shapes = settings.get(study.control, study.control), list(SHAPES.items())
    look = {OLD_TEXT: Mark(BASE, "square-open", SQUARE, "dot")}
    look |= {control: Mark(CONTROL, "square", SQUARE)} if control else {}
    for i, arm in enumerate(arm for arm in typed if arm not in look):
        symbol, path = shapes[i % len(shapes)]
        look[arm] = Mark(HUES[i % len(HUES)], symbol, path, DASHES[i // len(HUES) % len(DASHES)])
    found |= look | {arm: look[settings.get(arm, arm)] for arm in study.record.plan["arms"]}
    return found


def label(text: str, limit: int = 40) -> str:
    """A name inside a figure: plotly reads labels as pseudo-HTML."""
    return html.escape(short(clean(text).replace("\n", " "), limit))


def axis(title: str, **more: Any) -> dict[str, Any]:
    """An axis that says what it shows; zooming by accident is off."""
    return {
        "title": {"text": title, "standoff": 12, "font": {"size": 13}},
        "fixedrange": True,
        "ticks": "",
        "zeroline": True,
        "zerolinewidth": 1.4,
        "automargin": True,
    } | more


def plot(traces: Sequence[Mapping[str, Any]], x: Mapping[str, Any], y: Mapping[str, Any], **layout: Any) -> dict[str, Any]:
    """Traces and layout; only SVG traces (WebGL's would need more rights than the page gives itself)."""
    assert {trace["type"] for trace in traces} <= {"scatter", "heatmap", "bar"}
    return {
        "data": list(traces),
        "layout": {
            "font": {"family": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", "size": 12},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "margin": {"l": 56, "r": 16, "t": 12, "b": 48},
            "showlegend": False,
            "hovermode": "closest",
            "dragmode": False,
            "xaxis": x,
            "yaxis": y,
        }
        | layout,
    }


def thin(values: Iterable[float], points: int = 120) -> list[float]:
    """A curve in at most so many points: means of equal stretches."""
    numbers = list(values)
    size = max(1, -(-len(numbers) // points))
    chunks = [numbers[i : i + size] for i in range(0, len(numbers), size)]
    return [float(f"{sum(chunk) / len(chunk):.5g}") for chunk in chunks]
