"""What was asked: flags and YAML, checked for words and types; nothing is decided or looked up here."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.errors import InputError, did_you_mean
from harness.kinds import Count, CountOrAuto, Every, Positive, Rate, Seeds, Share, Text, Trackers, Words


class Settings(BaseModel):
    """Everything a run can be told; None: decided when the plan is made, and the plan says how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str | None = Field(None, description="base model: a folder, a hub name (owner/name), or a registered name")
    new: Text | None = Field(
        None,
        description="text to learn: a registered corpus, a file or folder (path#column), a hub dataset; "
        "several are mixed by tokens: a.jsonl=0.7,b.jsonl=0.3 (without shares: by the tokens of each)",
    )
    old: Text | None = Field(
        None,
        description="text that the base knows, for arms that read it; as --new (else the base's own, a web sample, or drawn)",
    )
    task: Text | None = Field(None, description="text of the task in mind, for arms that select by it or read it; as --new")
    split_seed: Annotated[int, Field(ge=0)] | None = Field(
        None, description="seed of the splits that are cut from texts which bring none"
    )
    reference: str | None = Field(None, description="model that arms compare with; as --model")
    instruct: str | None = Field(None, description="instruction-tuned model made from the base, for `residual`; as --model")
    strategies: Words = Field(("kl", "ewc", "replay"), description="arms, as in kl,ewc:weight=10,replay:share=0.05+kl")
    suites: Words | None = Field(
        None, description="registered suites, suite files, lm-eval tasks or groups, or a folder of task files (code: it is run)"
    )
    mirrors: str | None = Field(
        None, description="file that says where data sets and models of the hub lie on this machine (else ./mirrors.yaml)"
    )
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
    precision: Literal["fp32", "bf16", "fp16"] | None = Field(
        None, description="of forward and backward: fp32, or bf16 or fp16 by autocast (fp16 with dynamic loss scaling)"
    )
    weights: Literal["fp32", "bf16"] | None = Field(
        None, description="what models are kept in while training: fp32, or bf16 with stochastic rounding"
    )
    optimizer: Literal["adamw", "adamw_8bit", "adafactor"] | None = Field(
        None, description="adamw, adamw_8bit (the extra `quantized`) or adafactor"
    )
    attention: Literal["sdpa", "eager", "flash_attention_2"] | None = Field(
        None, description="sdpa, eager or flash_attention_2 (which has to be installed)"
    )
    document_mask: bool | None = Field(None, description="tokens of a packed row see their own document alone")
    gradient_checkpointing: bool | None = Field(
        None, description="compute blocks again in the backward: less memory, the same bits"
    )
    reference_weights: Literal["fp32", "int8"] | None = Field(
        None, description="what frozen models beside the trained one are kept in: fp32 or int8 (the extra `quantized`)"
    )
    offload_reference: bool | None = Field(
        None, description="the base's weights and importances that penalties read wait in host memory: the same bits"
    )
    compile: bool | None = Field(None, description="blocks go through torch.compile")
    liger: bool | None = Field(None, description="blocks use Liger's kernels (GPU only; the extra `liger`)")
    micro_batch: CountOrAuto = Field(
        None, description="rows of one forward and backward (changes rounding only); auto: what memory has room for"
    )
    on_nan: Literal["stop", "skip"] | None = Field(
        None, description="what a loss or gradient norm that is not finite does: stop the trial, or skip its step"
    )
    equal: Literal["tokens", "new_tokens", "flops"] | None = Field(
        None, description="what arms share: all tokens read, tokens of new text, or FLOPs by their own account"
    )
    controls: Literal["matched"] | None = Field(
        None, description="matched: the arms that isolate what each arm does are trained too; else the page names them"
    )
    sweep: bool = Field(
        False,
        description="every arm, the control included, becomes 15 settings: 5 strengths at 3 learning rates, or 15 rates; "
        "one is chosen on validation items",
    )
    match: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None,
        description="search each arm's strength and rate, at most 6 trainings, until its gain is this share of the control's",
    )
    limit: Count | None = Field(None, description="items a task, a seeded random subset, the same for every arm")
    items: Literal["all", "test"] | None = Field(
        None,
        description="items that figures are made of: all, or test, which leaves a fifth to choose by (validation)",
    )
    allow_code_execution: bool = Field(
        False, description="run what the model wrote, without network or files, for the tasks that score it (humaneval, mbpp)"
    )
    margin: dict[Literal["text", "accuracy", "answer"], Positive] = Field(
        {},
        description="changes too small to matter: {text: 0.01 (bits per byte), accuracy: 0.01 (share), answer: 0.05 (bits)}",
    )
    milestones: bool | None = Field(
        None, description="look at a few fixed items of the suites while training, for at most 5 % of its time"
    )
    curve: bool | None = Field(
        None, description="score weights at nine points between the base's and the control's: what arms are compared with"
    )
    trackers: Trackers = Field((), description="who follows the numbers of every training: tensorboard, wandb, trackio")
    prompts: str | None = Field(None, description="file of prompts, one a line, that base and arms complete on the page")
    show_text: bool = Field(
        False, description="keep and show sensitive texts; without it they are withheld: item, length and digest stand for them"
    )
    plugin: Words = Field((), description="Python files with strategies of your own (code: they are run)")
    dry_run: bool = Field(False, description="say what would be done and what it costs; train nothing")
    checkpoint_every: Every | None = Field(
        None, description="updates (200) or time (10m, 2h) between checkpoints of a trial; 0: none"
    )
    keep_checkpoints: Count | None = Field(None, description="newest checkpoints that are kept while a trial is trained")
    keep_best: bool = Field(False, description="keep the checkpoint with the lowest loss on held-out new text too")
    score: Literal["final", "best"] | None = Field(
        None, description="what every arm is scored at: its final step, or its best checkpoint by loss on held-out new text"
    )
    keep_weights: Literal["all", "best", "none"] | None = Field(
        None, description="weights of finished trials: all, best (of each arm the seed best on held-out new text) or none"
    )
    output: str | None = Field(None, description="run folder")


BUILT_IN: dict[str, tuple[Any, str]] = {
    "split_seed": (0, "validation and test are 2.5 % each, by a hash of this and a document's id, near duplicates together"),
    "epochs": (1.0, "one epoch: repeated text is another experiment"),
    "batch": (256, "256 rows, halved until there are at least 300 steps"),
    "length": (2048, "min(2048, the model's longest context)"),
    "seeds": ((1, 2, 3), "three seeds: fewer give no interval over trainings"),
    "learning_rate": (1e-5, "a tenth of the base's pre-training peak (suites/bases.yaml); 1e-5 where that is unknown"),
    "warmup": (0.03, "3 % of the steps; 0 to 2 % make little difference (Ibrahim et al. 2024)"),
    "floor": (0.1, "cosine to a tenth (Ibrahim et al. 2024)"),
    "weight_decay": (0.01, "AdamW 0.9/0.95; decay pulls to zero, away from the base (Sliogeris et al. 2025 use 0.01)"),
    "clip": (1.0, "as in the Abbes et al. 2025 configurations"),
    "precision": ("fp32", "bf16 on an accelerator that has it, fp16 on one that has not"),
    "weights": ("fp32", "small updates are lost in half precision, which looks like kept knowledge"),
    "optimizer": ("adamw", "what continued pre-training is published with"),
    "attention": ("sdpa", "torch's own, on every device, wherever the architecture has it"),
    "document_mask": (False, "the published recipes pack documents without one"),
    "gradient_checkpointing": (False, "it computes a third more"),
    "reference_weights": ("fp32", "the distance to the base is measured from the base itself"),
    "offload_reference": (False, "blocks that are moved at every step cost time"),
    "compile": (False, "compiling takes longer than a short run saves"),
    "liger": (False, "an extra, for GPUs alone"),
    "on_nan": ("stop", "a step that is not finite is a fault to be looked at; skipped steps are counted on the page"),
    "micro_batch": ("auto", "found once for all arms; up to 4,096 tokens at once on a CPU, 32,768 on a GPU"),
    "equal": ("tokens", "what an arm reads beside new text displaces new text (Ibrahim et al. 2024)"),
    "items": ("all", "nothing of a run is chosen by its items; who chooses among arms by their scores needs others to report"),
    "milestones": (True, "forgetting that comes back is not seen at the end"),
    "curve": (True, "what keeps more than the control only by learning less is not better than meeting in the middle"),
    "checkpoint_every": (200, "updates, and the last one"),
    "keep_checkpoints": (2, "the one before is used where the newest is damaged"),
    "score": ("final", "the best checkpoint stops arms at different adaptation"),
    "keep_weights": ("all", "suites that join later need them"),
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
