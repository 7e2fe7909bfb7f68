"""What was asked: flags and YAML, checked for words and types; nothing is decided or looked up here."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from harness.errors import InputError, did_you_mean
from harness.plan import number


def _words(value: Any) -> Any:
    """`a,b` or a list of words."""
    return [word.strip() for word in value.split(",")] if isinstance(value, str) else value


def _count(value: Any) -> Any:
    """12, 12k, 3M, 1e6."""
    found = number(value) if isinstance(value, str) else value
    return int(found) if isinstance(found, float) and found.is_integer() else found


Words = Annotated[tuple[str, ...], BeforeValidator(_words)]
Count = Annotated[int, BeforeValidator(_count), Field(ge=1, strict=True)]


def _seeds(value: Any) -> Any:
    """3: seeds 1, 2 and 3; or a list of seeds."""
    if isinstance(value, bool):
        raise ValueError("give a number, or a list of seeds")
    return range(1, value + 1) if isinstance(value, int) else value


def _different(seeds: tuple[int, ...]) -> tuple[int, ...]:
    if not seeds:
        raise ValueError("at least one seed is needed")
    if len(set(seeds)) < len(seeds):
        raise ValueError("a seed stands twice; a second training under one seed is the first again")
    return seeds


Seeds = Annotated[tuple[Annotated[int, Field(ge=0, lt=2**32)], ...], BeforeValidator(_seeds), AfterValidator(_different)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Rate = Annotated[float, Field(gt=0, lt=10, allow_inf_nan=False)]


class Settings(BaseModel):
    """Everything a run can be told; None: decided when the plan is made, and the plan says how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str | None = Field(None, description="base model: a folder, a hub name (owner/name), or a registered name")
    new: str | None = Field(
        None, description="text to learn: a registered corpus, a file or folder (path#column), a hub dataset"
    )
    old: str | None = Field(None, description="text that the base knows, for arms that read it; as --new")
    task: str | None = Field(None, description="text of the task in mind, for arms that select by it; as --new")
    reference: str | None = Field(None, description="model that arms compare with; as --model")
    instruct: str | None = Field(None, description="instruction-tuned model made from the base, for `residual`; as --model")
    strategies: Words = Field(("kl", "ewc", "replay"), description="arms, as in kl,ewc:weight=10,replay:share=0.05+kl")
    suites: Words | None = Field(None, description="registered suites, suite files, or lm-eval tasks")
    seeds: Seeds | None = Field(None, description="how many seeds; in YAML also a list of seeds")
    tokens: Count | None = Field(None, description="tokens an arm trains on (k, M and B are understood)")
    epochs: Positive | None = Field(None, description="passes over the new text, where tokens are not given")
    batch: Count | None = Field(None, description="rows of an optimizer step")
    length: Annotated[Count, Field(ge=2)] | None = Field(None, description="tokens of a row")
    learning_rate: Rate | None = Field(None, description="peak learning rate")
    warmup: Share | None = Field(None, description="warm-up as a share of the steps")
    floor: Share | None = Field(None, description="last learning rate as a share of the peak")
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = Field(None, description="decoupled, on matrices")
    clip: Positive | None = Field(None, description="largest global gradient norm")
    precision: Literal["fp32", "bf16"] | None = Field(None, description="fp32, or bf16 autocast over fp32 weights")
    micro_batch: Count | None = Field(None, description="rows of one forward and backward")
    on_nan: Literal["stop", "skip"] | None = Field(
        None, description="what a loss or gradient norm that is not finite does: stop the trial, or skip its step"
    )
    equal: Literal["tokens", "new_tokens", "flops"] | None = Field(
        None, description="what arms share: all tokens read, tokens of new text, or FLOPs by their own account"
    )
    controls: Literal["matched"] | None = Field(
        None, description="matched: the arms that isolate what each arm does are trained too; else the page names them"
    )
    limit: Count | None = Field(None, description="items a task, a seeded random subset, the same for every arm")
    margin: dict[Literal["text", "accuracy", "answer"], Positive] = Field(
        {},
        description="changes too small to matter: {text: 0.01 (bits per byte), accuracy: 0.01 (share), answer: 0.05 (bits)}",
    )
    prompts: str | None = Field(None, description="file of prompts, one a line, that base and arms complete on the page")
    plugin: Words = Field((), description="Python files with strategies of your own (code: they are run)")
    dry_run: bool = Field(False, description="say what would be done and what it costs; train nothing")
    checkpoint_every: Annotated[int, Field(ge=0)] | None = Field(None, description="updates between checkpoints; 0: none")
    output: str | None = Field(None, description="run folder")


BUILT_IN: dict[str, tuple[Any, str]] = {
    "epochs": (1.0, "one epoch: repeated text is another experiment"),
    "batch": (256, "256 rows, halved until there are at least 300 steps"),
    "length": (2048, "min(2048, the model's longest context)"),
    "seeds": ((1, 2, 3), "three seeds: fewer give no interval over trainings"),
    "learning_rate": (1e-5, "a tenth of the base's pre-training peak (suites/bases.yaml); 1e-5 where that is unknown"),
    "warmup": (0.03, "3 % of the steps; 0 to 2 % make little difference (Ibrahim et al. 2024)"),
    "floor": (0.1, "cosine to a tenth (Ibrahim et al. 2024)"),
    "weight_decay": (0.01, "AdamW 0.9/0.95; decay pulls to zero, away from the base (Sliogeris et al. 2025 use 0.01)"),
    "clip": (1.0, "as in the Abbes et al. 2025 configurations"),
    "precision": ("fp32", "bf16 where there is an accelerator that has it"),
    "on_nan": ("stop", "a step that is not finite is a fault to be looked at; skipped steps are counted on the page"),
    "equal": ("tokens", "what an arm reads beside new text displaces new text (Ibrahim et al. 2024)"),
    "checkpoint_every": (200, "updates"),
}
"""Values where neither command line, plan nor base say otherwise, and why."""


def settings(values: Mapping[str, Any], where: str) -> Settings:
    """Settings from keys and values; what is wrong with them is one sentence."""
    for key in values:
        if key not in Settings.model_fields:
            raise InputError(f"{where}: unknown key {key!r}; {did_you_mean(key, Settings.model_fields)}")
    try:
        return Settings.model_validate({key: value for key, value in values.items() if value is not None})
    except ValidationError as error:
        raise InputError(f"{where}: " + "; ".join(_complaint(found) for found in error.errors())) from error


def _complaint(found: Any) -> str:
    key = str(found["loc"][0]) if found["loc"] else "settings"
    message = found["msg"].removeprefix("Value error, ")
    about = Settings.model_fields[key].description if key in Settings.model_fields else ""
    return f"{key}={found['input']!r}: {message[0].lower()}{message[1:]} ({key} is: {about})"
