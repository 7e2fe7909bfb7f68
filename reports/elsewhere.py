"""What a page says of models that were trained elsewhere: their names, what was told of them, and what nobody knows here."""

from collections.abc import Mapping
from typing import Any

from harness import forgetting as fg
from reports import words
from reports.section import Table

UNKNOWN = (
    "These models were trained elsewhere: what they read, how long, at what price and how they were chosen is not known here, "
    "nor whether they rehearsed what is scored. That they were trained from this base is as they were named."
)


def is_elsewhere(study: fg.Study) -> bool:
    """Whether the arms are models that were trained elsewhere."""
    return "models" in study.record.plan


def models(study: fg.Study) -> list[Mapping[str, Any]]:
    """What the plan says of every model."""
    return study.record.plan["models"]


def title(base: str) -> str:
    """The page's question."""
    return f"What do these models keep of {base}, and what did they learn?"


def facts(study: fg.Study) -> list[tuple[str, str]]:
    """What identifies them at a glance."""
    found = [("models", str(len(models(study)))), ("trained", "elsewhere"), ("control", study.control or "none given")]
    return found + ([("seeds", words.listing([str(seed) for seed in study.record.plan["seeds"]]))] if study.control else [])


def table(study: fg.Study) -> Table:
    """Every model with where it was found, and what was told of its training; what nobody told has no column."""
    told = [name for name in ("step", "tokens", "lr") if any(name in model for model in models(study))]
    status = {(trial.name, trial.seed): trial.status for trial in study.record.trials}
    rows = tuple(
        (
            str(model["arm"]),
            str(model["seed"]),
            str(model["path"]),
            str(model["digest"])[:16],
            status.get((model["arm"], model["seed"]), "missing"),
            *(_told(model, name) for name in told),
        )
        for model in models(study)
    )
    head = ("model", "seed", "from", "digest", "status", *told)
    return Table("The models, as they were named, with the first characters of their digest", head, rows, words=5, wide=True)


def _told(model: Mapping[str, Any], name: str) -> str:
    value = model.get(name)
    return words.NOTHING if value is None else f"{value:g}" if name == "lr" else words.count(value)


def along(study: fg.Study) -> str:
    """What the course of a training is told in: tokens, or updates where nobody told the tokens."""
    return "tokens" if not is_elsewhere(study) or any("tokens" in model for model in models(study)) else "updates"


def summary(study: fg.Study, answers: Mapping[str, str]) -> str:
    """Models that stand against no control, in one sentence: arm -> forgotten, not forgotten, not enough evidence."""
    kinds = {
        "forgotten": ("forgets", "forget"),
        "not forgotten": ("forgets nothing that matters", "forget nothing that matters"),
        "not enough evidence": ("gives not enough evidence", "give not enough evidence"),
    }
    alike = [(said, [arm for arm, answer in answers.items() if answer == kind]) for kind, said in kinds.items()]
    parts = [f"{words.listing(arms)} {said[len(arms) > 1]}" for said, arms in alike if arms]
    return f"Against the base, {'; '.join(parts)}. No control was given, so none is said to keep more than another."
