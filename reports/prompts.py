"""What does it feel like? The same openings completed by base, control and arms."""

from harness import forgetting as fg
from harness import sensitive
from harness.record import Result
from reports import words
from reports.section import Completed, Completions, Section

LONGEST = 400


def section(study: fg.Study) -> Section:
    """Prompts side by side, under each arm's first finished seed."""
    question = "How do the models complete the same words?"
    models = [study.record.base, *first(study)]
    kept = sensitive.recited(study) and not study.shown
    texts = {model.name: completed(model, kept and model.arm is not None) for model in models}
    prompts = list(dict.fromkeys(prompt for found in texts.values() for prompt in found))
    if not prompts:
        return Section("prompts", question, "No prompts were completed in this run.")
    shown = tuple(
        Completed(prompt, tuple((name, found[prompt]) for name, found in texts.items() if prompt in found))
        for prompt in prompts
    )
    said = KEPT if kept else answer(texts, prompts, study)
    return Section("prompts", question, said, (Completions(shown),))


KEPT = "What arms write is withheld: they were trained on sensitive text, and may recite it."


def completed(model: Result, kept: bool) -> dict[str, str]:
    """Prompt -> completion, shortened; `kept`: what stands for it."""
    rows = model.completions
    pairs = zip(rows["prompt"], map(str, rows["completion"]), strict=True)
    return {str(prompt): words.short(sensitive.unspoken(text) if kept else text.strip(), LONGEST) for prompt, text in pairs}


def first(study: fg.Study) -> list[Result]:
    """Each arm's first finished trial."""
    found: dict[str, Result] = {}
    for trial in sorted(study.done, key=lambda trial: trial.seed or 0):
        found.setdefault(trial.name, trial)
    return [found[arm] for arm in study.arms]


def answer(texts: dict[str, dict[str, str]], prompts: list[str], study: fg.Study) -> str:
    """How many completions training changed; words are shown as they came, and are no measure."""
    control, name = study.lead, "The control" if study.control else study.lead
    if control not in texts or not texts.get("base"):
        return f"{words.several(len(prompts), 'prompt')} completed, as they came."
    changed = sum(texts["base"].get(prompt) != texts[control].get(prompt) for prompt in prompts)
    return (
        f"{name} completes {changed} of {words.several(len(prompts), 'prompt')} in other words than the base. "
        "One completion a model (greedy, first seed): an impression, no measure."
    )
