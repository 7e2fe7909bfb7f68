"""A base and checkpoints that were trained elsewhere: looked up, checked, and what is stored of them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness import elsewhere, lookup, manifest, mirrors
from harness.elsewhere import Checkpoint, Found
from harness.errors import InputError
from harness.gathered import NO_CONTROL, plan_of, versions
from harness.model import Base, count_parameters, identity, load_tokenizer, locate
from harness.plan import Arm, Part, Trial
from harness.settings import settings
from harness.tables import Scoring
from harness.withheld import guarded


@dataclass(frozen=True)
class Words:
    """What was typed."""

    base: str
    models: tuple[str, ...] = ()
    manifest: Path | None = None
    suites: str = "general"
    limit: int | None = None
    mirrors: str | None = None
    output: Path | None = None
    code: bool = False
    programs: bool = False
    show_text: bool = False


@dataclass(frozen=True)
class Comparison:
    """A base and checkpoints, found and checked, and how they are scored.

    control  the arm they stand against, if any
    code     whether Python files that came with the base are run
    """

    base: Base
    how: Scoring
    models: Mapping[Checkpoint, Found]
    control: str
    code: bool

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.how.folder

    @property
    def notes(self) -> list[str]:
        """What a reader must know of suites and models."""
        return [*lookup.told(self.how.suites), *(note for found in self.models.values() for note in found.notes)]

    @property
    def trainings(self) -> dict[Trial, list[Checkpoint]]:
        """Arm and seed -> its checkpoints, the last step last."""
        found: dict[Trial, list[Checkpoint]] = {}
        for checkpoint in sorted(self.models, key=lambda one: one.step or 0):
            found.setdefault(trial(checkpoint), []).append(checkpoint)
        return {key: found[key] for key in dict.fromkeys(map(trial, self.models))}


def trial(checkpoint: Checkpoint) -> Trial:
    """Its arm and seed."""
    return Trial(Arm((Part(checkpoint.arm),)), checkpoint.seed)


def compare(words: Words) -> Comparison:
    """Everything looked up and checked; nothing is written, and no model is loaded."""
    if words.models and words.manifest:
        raise InputError("give the models to be scored, or --manifest with a CSV that names them; not both")
    control, models = NO_CONTROL, elsewhere.checkpoints(words.models)
    if words.manifest:
        models, control = manifest.read(words.manifest)
    mirrors.use(words.mirrors)
    for word in (words.base, *(model.word for model in models)) if words.code else ():
        elsewhere.refuse_unpinned(word)
    given = {"model": words.base, "suites": words.suites, "mirrors": words.mirrors, "limit": words.limit}
    asked = settings(given | {"allow_code_execution": words.programs}, "harness score")
    suites = guarded(lookup.named(asked, [model.word for model in models]), (), words.show_text)
    base = locate(words.base)
    code = words.code and elsewhere.carries_code(elsewhere.place(words.base, words.code))
    base = replace(base, digest=identity(base.folder, code=True)) if code else base
    tokenizer = load_tokenizer(base.folder, code)
    found = {model: elsewhere.find(model, base, tokenizer, words.code) for model in elsewhere.unique(models)}
    prompts = tuple(dict.fromkeys(prompt for suite in suites if not suite.sensitive for prompt in suite.prompts))
    folder = words.output or Path(f"runs/{Path(base.name).name}-checkpoints")
    how = Scoring(folder, tokenizer, lookup.ready(suites), prompts, asked.limit, base.facts.get("bos"), versions())
    return Comparison(base, replace(how, length=_length(base, found, tokenizer, code)), found, control, code)


def _length(base: Base, found: Mapping[Checkpoint, Found], tokenizer: Any, code: bool) -> int | None:
    """Tokens of the base's window, where a checkpoint reads more at once: both are asked in the same windows; else None."""
    most, longer = _window(base.folder, tokenizer, code), False
    for checkpoint, each in found.items():
        own = most if each.adapter else _window(each.folder, tokenizer, each.code)
        if own is None or most is None:
            continue  # it cannot be loaded, as its own row will say
        if own < most:
            raise InputError(
                f"{checkpoint.word} reads {own:,} tokens at once and the base {most:,}: it cannot be asked what the base is; "
                "leave it out, or set max_position_embeddings to the same in copies of both"
            )
        longer |= own > most
    return most if longer else None


def _window(folder: Path, tokenizer: Any, code: bool) -> int | None:
    """Tokens that a model reads at once; None where its configuration cannot be read."""
    from transformers import AutoConfig

    from harness.score import window

    try:
        return window(AutoConfig.from_pretrained(folder, trust_remote_code=code), tokenizer)
    except Exception:  # as in `load_model`
        return None


def stored(one: Comparison, command: str) -> dict[str, Any]:
    """plan.yaml: what a report needs to know. What is not known of the trainings is absent."""
    return plan_of(
        {"name": one.base.name, "digest": one.base.digest, "parameters": count_parameters(one.base.folder)},
        [_model(checkpoint, found.digest) for checkpoint, found in one.models.items()],
        one.how.suites,
        {
            "command": command,
            "control": one.control,
            "prompts": list(one.how.prompts),
            "notes": one.notes,
            "versions": dict(one.how.versions),
            "options": {key: value for key, value in (("limit", one.how.limit), ("length", one.how.length)) if value},
        },
    )


def _model(one: Checkpoint, made: str) -> dict[str, Any]:
    return {"arm": one.arm, "seed": one.seed, "path": one.word, "digest": made, **one.told}
