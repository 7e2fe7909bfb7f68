"""What is sensitive of a run, and whether its page may tell it."""

from typing import Any

from harness import forgetting as fg

WITHHELD = "Sensitive texts are withheld: their item, length and digest stand for them."
SHOWN = "This page shows sensitive texts (--show-text): keep it as those are kept."
NOT_KEPT = (
    "Sensitive texts are withheld although --show-text was typed: this run did not keep them; the same command of harness run "
    "or score with --show-text scores again and keeps them."
)


def notice(study: fg.Study) -> str:
    """What the page's header says; nothing where nothing is sensitive."""
    if not (any(tasks(study, name) for name in study.record.tasks) or recited(study)):
        return ""
    if not study.shown:
        return WITHHELD
    return SHOWN if study.record.plan.get("shown") else NOT_KEPT


def tasks(study: fg.Study, task: str) -> bool:
    """Whether a task's texts are sensitive."""
    facts = study.record.tasks[task]
    return bool(facts.get("sensitive") or facts["suite"] in (study.record.plan.get("sensitive") or ()))


def recited(study: fg.Study) -> bool:
    """Whether arms were trained on sensitive text, which they may recite."""
    sources: dict[str, Any] = study.record.plan.get("sources") or {}
    return any(facts.get("sensitive") for facts in sources.values())


def error(study: fg.Study, text: str) -> str:
    """Why a trial failed, in words that may quote what it read where a run was to keep that."""
    kept = study.record.plan.get("shown") and notice(study) == WITHHELD
    return "the reason may quote sensitive text, and stands in its result.json" if kept else text


def hidden(study: fg.Study, task: str) -> bool:
    """Whether a task's texts may not be told here."""
    return tasks(study, task) and not study.shown


def marked(text: str) -> bool:
    """Whether a text is what stands for a withheld one."""
    return text.startswith("[withheld: ")


def unspoken(text: str) -> str:
    """What stands for a text that a run kept, and that its page may not tell."""
    return text if marked(text) or not text else f"[withheld: {len(text):,} characters]"
