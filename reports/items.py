"""Which answers changed? What averages hide: answers lost and gained, raw, adjusted for guesses, aware of kept guesses."""

from typing import Any

from harness import forgetting as fg
from harness.pairing import Sample
from harness.statistics import Estimate
from harness.transitions import Latent, Transitions, churn, margin_change, transitions
from reports import flipped, words
from reports.figure import axis, label, marks, plot
from reports.section import Block, Cell, Figure, Figures, Section, Table, Text

Found = dict[tuple[str, str], Transitions]
"""(task, arm) -> what flipped in the arm's first seed."""
HOW = (
    "Lost and gained are shares of the items, in each arm's first seed: items flip in a checkpoint, not in a strategy. "
    "Adjusted: less what guessing alone would flip if every guess were drawn anew (Harmon et al. 2025), never below 0; it "
    "understates where a model keeps its guesses. Aware of kept guesses: the share that was known and is not, and the "
    "reverse, where the items that were wrong twice tell how often a guess is kept; below 0 that model does not fit. "
    "Confident: lost among the items whose margin lies above the base's median. Churn: half the share of items on which two "
    "seeds of the same arm differ, which is what a training's seed alone flips. p: exact McNemar of lost against gained, one "
    "test a row."
)


def section(study: fg.Study) -> Section:
    """Transitions under one seed, and the questions behind them."""
    question = "Which answers changed?"
    samples = [sample for sample in study.samples.values() if sample.kind == "accuracy" and sample.after]
    if not samples:
        return Section("items", question, "No question was asked of base and arms, so none could flip.")
    found = counted(study, samples)
    blocks: list[Block] = [Figures((figure(study, found),)), counts(study, samples, found), Text(HOW)]
    return Section("items", question, answer(study, found), (*blocks, *flipped.tables(study, samples)))


def counted(study: fg.Study, samples: list[Sample]) -> Found:
    """Every task in every arm that was asked it."""
    return {
        (sample.task, arm): transitions(study, sample, arm, seeds[0])
        for sample in samples
        for arm in study.arms
        if (seeds := sample.seeds(arm))
    }


def kept(study: fg.Study, found: Found, arm: str) -> list[Transitions]:
    """An arm's tasks to keep."""
    return [each for (task, name), each in found.items() if name == arm and study.record.tasks[task]["measures"] == "keep"]


def answer(study: fg.Study, found: Found) -> str:
    """What an average of losses and gains hides, in the control."""
    parts, who = kept(study, found, study.lead), "the control" if study.control else study.lead
    lost, gained = sum(each.lost for each in parts), sum(each.gained for each in parts)
    known = lost + sum(each.kept for each in parts)
    if not known:
        return f"No question that the base answered was asked of {who}."
    return f"Of {known:,} answers to keep that the base had right, {who} lost {lost:,}; it gained {gained:,} others."


def figure(study: fg.Study, found: Found) -> Figure:
    """Answers to keep that each arm lost and gained, as a share of those asked; of all tasks where none is to be kept."""
    shares: dict[str, tuple[float, float]] = {}
    for arm in study.arms:
        parts = kept(study, found, arm) or [each for (_, name), each in found.items() if name == arm]
        asked = sum(each.n for each in parts)
        if asked:
            shares[arm] = (100 * sum(t.lost for t in parts) / asked, 100 * sum(t.gained for t in parts) / asked)
    looks, names = marks(study), [label(arm, 28) for arm in shares]
    traces: list[dict[str, Any]] = []
    for side, sign, verb in ((0, -1, "lost"), (1, 1, "gained")):
        values = [pair[side] for pair in shares.values()]
        said = [f"{words.fixed(value, 1)} %" for value in values]
        bar = {"type": "bar", "orientation": "h", "y": names, "x": [sign * value for value in values], "name": verb}
        style = {"color": [looks[arm].colour for arm in shares], "opacity": 1 if sign < 0 else 0.45}
        hover = [f"<b>{name}</b><br>{verb} {value}" for name, value in zip(names, said, strict=True)]
        shown = {"text": said, "textposition": "outside", "cliponaxis": False, "hovertext": hover, "hoverinfo": "text"}
        traces.append(bar | {"marker": style} | shown)
    lost, gained = (max(pair[side] for pair in shares.values()) or 1.0 for side in (0, 1))
    room = 0.16 * (lost + gained)  # for the words beside the bars
    title = "% of the questions to keep<br>← lost: right before, wrong after · gained →"
    x = axis(title, ticksuffix=" %", range=[-lost - room, gained + room])
    y = axis("", type="category", autorange="reversed", showgrid=False)
    rows = tuple((arm, *(Cell(f"{words.fixed(value, 2)} %", value=value) for value in pair)) for arm, pair in shares.items())
    behind = Table("Shares of the questions to keep, all tasks together, first seed", ("arm", "lost", "gained"), rows)
    most = max(shares, key=lambda arm: shares[arm][0])
    told = f"{most} lost most, {words.fixed(shares[most][0], 1)} %; it gained {words.fixed(shares[most][1], 1)} %."
    told = told if shares[most][0] else "No arm lost any."
    drawn = plot(traces, x, y, barmode="overlay", margin={"l": 8, "r": 24, "t": 8, "b": 56})
    return Figure("flips", "Answers lost and gained", told, drawn, behind, 110 + 30 * len(shares))


HEAD = (
    *("task and arm", "n", "lost", "gained", "p", "lost, adjusted", "gained, adjusted"),
    *("lost, aware of kept guesses", "gained, aware of kept guesses", "lost of the confident", "churn"),
    "change of the margin, nats",
)


def counts(study: fg.Study, samples: list[Sample], found: Found) -> Table:
    """Every task in every arm: raw first, what is adjusted beside it."""
    floors = {(s.task, arm): churn(s, arm) for s in samples for arm in study.arms}
    margins = {(s.task, arm): _margin(margin_change(study, s, arm)) for s in samples for arm in study.arms}
    rows = [(*_counts(task, arm, each, floors[task, arm]), margins[task, arm]) for (task, arm), each in found.items()]
    caption = "Items right before and wrong after (lost), and the reverse (gained), task by task in each arm's first seed"
    shown = [i for i in range(len(HEAD)) if any(row[i] != Cell(words.NOTHING) for row in rows)]
    return Table(caption, tuple(HEAD[i] for i in shown), tuple(tuple(row[i] for i in shown) for row in rows), wide=True)


def _counts(task: str, arm: str, found: Transitions, floor: float | None) -> tuple[str | Cell, ...]:
    adjusted, latent = found.adjusted or (None, None), found.persistent
    sure = found.confident[1] / found.confident[0] if found.confident and found.confident[0] else None
    p = Cell("< .001" if found.p < 0.001 else f"{found.p:.2g}", value=found.p)
    return (
        Cell(task, under=arm),
        str(found.n),
        Cell(_share(found.rates[0]), under=words.several(found.lost, "item"), value=found.rates[0]),
        Cell(_share(found.rates[1]), under=words.several(found.gained, "item"), value=found.rates[1]),
        p,
        *(share(value) for value in adjusted),
        *_latent(latent),
        share(sure),
        share(floor),
    )


def _latent(found: Latent | None) -> tuple[Cell, Cell]:
    if found is None:
        return Cell(words.NOTHING), Cell(words.NOTHING)
    pairs = ((found.lost, found.lost_between), (found.gained, found.gained_between))
    lost, gained = (
        Cell(_share(value), under=f"{words.fixed(100 * low, 1)} to {words.fixed(100 * high, 1)}", value=value)
        for value, (low, high) in pairs
    )
    return lost, gained


def _margin(found: Estimate | None) -> Cell:
    """How far the right option moved against the best wrong one, over all seeds: graded, so that it moves before answers do."""
    if found is None:
        return Cell(words.NOTHING)
    low, value, high = (words.fixed(each, 2) for each in (found.low, found.value, found.high))
    return Cell(value, under=f"{low} to {high}", value=found.value)


def share(value: float | None) -> Cell:
    """A share in per cent."""
    return Cell(words.NOTHING) if value is None else Cell(_share(value), value=value)


def _share(value: float) -> str:
    return f"{words.fixed(100 * value, 1)} %"
