"""A strategy that is wrong, in whatever way, fails alone, in a sentence that names it, its hook and the cause."""

import contextlib
import io
import sys
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from harness import cli, plugins, registry, resume
from harness.bench import BATCH, tiny_setting
from harness.errors import InputError, TrialError
from harness.plan import file_digest
from harness.record import read
from harness.strategy import ASKED, CROSS_ENTROPY, Strategy
from harness.train import Training, train

# One strategy a way to be wrong: its name, its hook, and the sentence that its arm ends with (without "failed in").
BROKEN: dict[str, tuple[str, str]] = {
    "no_memory": ("def setup(self, origin): pass", "setup: it returned nothing; it must return a Memory"),
    "raises_in_setup": (
        "def setup(self, origin): 1 / 0",
        "setup: ZeroDivisionError: division by zero (broken.py, line",
    ),
    "leaves": ("def setup(self, origin): raise SystemExit(3)", "setup: SystemExit: 3 (broken.py, line"),
    "keeps_sets": (
        "def setup(self, origin): return Memory(moving={'seen': {1}})",
        "setup: moving/seen in a strategy's moving memory is a set that no checkpoint brings back as it was",
    ),
    "no_model": ("def adapt(self, model): model.requires_grad_(False)", "adapt: it returned nothing; it must return"),
    "raises_in_adapt": ("def adapt(self, model): return model.blocks", "adapt: AttributeError: "),
    "no_peak": (
        "def peak(self): return float('nan')",
        "peak: it returned nan; it must be a number above 0, and finite",
    ),
    "no_schedule": (
        "def schedule(self, budget): return 0.5",
        "schedule: it returned a float; it must return",
    ),
    "bad_rate": (
        "def schedule(self, budget): return lambda update: 2.0 - update",
        "schedule: the rate of update 3 is -1; it must be finite, 0 or more",
    ),
    "raises_in_rate": (
        "def schedule(self, budget): return lambda update: 1 / (2 - update)",
        "schedule: ZeroDivisionError: division by zero (broken.py, line",
    ),
    "beyond": ("def choose(self, source, memory): return [0, 10**6]", "choose: it returned 2 rows of the"),
    "no_rows": (
        "def choose(self, source, memory): return 3",
        "choose: it returned a int; it must return row numbers",
    ),
    "no_shares": (
        "def mixture(self, update, course): return 0.5",
        "mixture: it returned a float; it must return shares",
    ),
    "bad_share": (
        "def mixture(self, update, course): return {'new': float('nan')}",
        "mixture: the share of new is nan; a share lies between 0 and 1",
    ),
    "strange_source": (
        "def mixture(self, update, course): return {'mars': 0.5}",
        "mixture: the mixture of update 1 names mars, which nobody brought",
    ),
    "wide": (
        "def weigh(self, batch, memory): return {CROSS_ENTROPY: torch.ones(batch.tokens.shape)}",
        "weigh: cross_entropy has the shape (4, 16); it must begin with (4, 15), a row and a predicted position",
    ),
    "no_weights": (
        "def weigh(self, batch, memory): return None",
        "weigh: it returned nothing; it must return tensors by",
    ),
    "deep_weights": (
        "def weigh(self, batch, memory): return {'x': torch.ones(4, 15, 2)}",
        "weigh: x has the shape (4, 15, 2); weights are one number a row and predicted position",
    ),
    "nan_weights": (
        "def weigh(self, batch, memory): return {CROSS_ENTROPY: torch.full((4, 15), float('nan'))}",
        "weigh: the weights of cross_entropy are not finite",
    ),
    "beside": (
        "def observe(self, batch, memory): return {'x': batch.tokens}",
        "observe: x has the shape (4, 16); it must begin with (4, 15)",
    ),
    "detached": (
        "def loss(self, chunk, memory): return {'own': chunk.losses.detach()}",
        "loss: the term own has no gradient: it was detached from the chunk's logits and hidden states",
    ),
    "taken": (
        "def loss(self, chunk, memory): return {CROSS_ENTROPY: 0 * chunk.losses}",
        "loss: it returns the term cross_entropy, which is the loop's own; rename it, or use weigh",
    ),
    "scalar": (
        "def loss(self, chunk, memory): return {'own': chunk.losses.mean()}",
        "loss: the term own has the shape ()",
    ),
    "bare_term": (
        "def loss(self, chunk, memory): return chunk.losses",
        "loss: it returned a Tensor; it must return terms",
    ),
    "nan_term": (
        "def loss(self, chunk, memory): return {'own': chunk.losses * float('nan')}",
        "loss: its term own is nan at update 1 of 10 (rows new ",
    ),
    "nan_slope": (
        "def loss(self, chunk, memory): return {'own': (chunk.losses - chunk.losses).sqrt()}",
        "loss: the gradient of its term own is not finite at update 1 of 10 (rows new ",
    ),
    "raises_in_loss": (
        "def loss(self, chunk, memory): return {'own': chunk.beside['x']}",
        "loss: KeyError: 'x' (broken.py",
    ),
    "nan_gradient": (
        "def gradients(self, model, memory, origin): next(model.parameters()).grad.mul_(float('inf'))",
        "gradients: it left the gradient of model.embed_tokens.weight not finite at update 1 of 10",
    ),
    "nan_steps": (
        "def weights(self, model, memory, origin): next(model.parameters()).data.fill_(float('nan'))",
        "weights: it left model.embed_tokens.weight not finite after the update before this, found at update 2 of 10",
    ),
    "nan_end": (
        "def finish(self, model, memory, origin): next(model.parameters()).data.fill_(float('nan'))",
        "finish: it left model.embed_tokens.weight not finite at the end of the training",
    ),
    "raises_at_the_end": (
        "def finish(self, model, memory, origin): raise ValueError('late')",
        "finish: ValueError: late",
    ),
    "nan_fact": (
        "def setup(self, origin): return Memory(facts={'x': float('nan')})",
        "setup: the fact x is nan; facts are words",
    ),
    "tensor_fact": (
        "def setup(self, origin): return Memory(facts={'x': torch.ones(1)})",
        "setup: the fact x is a Tensor; facts are words and finite numbers",
    ),
    "late_fact": (
        "def finish(self, model, memory, origin): memory.facts['x'] = float('inf')",
        "finish: the fact x is inf; facts are words",
    ),
    "fact_of_the_run": (
        "def setup(self, origin): return Memory(facts={'shared_with': 'kl'})",
        "setup: a fact is called shared_with; it must be a word of its own, not distance or shared_with",
    ),
    "nan_log": (
        "def gradients(self, model, memory, origin): memory.log['x'] = float('nan')",
        "gradients: it logged x = nan; what is logged is one finite number",
    ),
    "long_log": (
        "def weights(self, model, memory, origin): memory.log['x'] = torch.ones(3)",
        "weights: it logged x = tensor([1., 1., 1.]); what is logged is one finite number",
    ),
    "new_text": (
        "def setup(self, origin): return Memory(sources={'new': Rows()})",
        "setup: it brought a source called new, which is the plan's; give it a name of its own",
    ),
    "column": (
        "def setup(self, origin): return Memory(sources={'loss': Rows()})",
        "setup: it brought the source 'loss'; a source is called by a word of its own",
    ),
    "path": (
        "def setup(self, origin): return Memory(sources={'../<b>': Rows()})",
        "setup: it brought the source '../<b>'; a source is called by a word of its own",
    ),
    "long_rows": (
        "def setup(self, origin): return Memory(sources={'own': Rows(20)})\n"
        "    def mixture(self, update, course): return {'own': 1.0}",
        "setup: row ",
    ),
    "no_row": (
        "def setup(self, origin): return Memory(sources={'own': Rows(16, 0)})",
        "setup: its source own has no rows; a source is a table",
    ),
    "strange_tokens": (
        "def setup(self, origin): return Memory(sources={'own': Rows(16, 99, 10**6)})\n"
        "    def mixture(self, update, course): return {'own': 1.0}",
        "setup: row ",
    ),
    "mask": (
        "def choose(self, source, memory): return [True, False, True]",
        "choose: it returned no list of whole numbers; give the numbers of the rows that may be read (of a mask, its places)",
    ),
    "fractions": ("def choose(self, source, memory): return [0.5, 1.7]", "choose: it returned no list of whole numbers"),
    "other_model": (
        "def adapt(self, model): return torch.nn.Linear(2, 2)",
        "adapt: it returned a Linear, which is no language model as transformers makes them",
    ),
    "all_frozen": ("def adapt(self, model): return model.requires_grad_(False)", "adapt: it left no weight that is trained"),
    "halved": (
        "def adapt(self, model): return model.half()",
        "adapt: it left model.embed_tokens.weight in torch.float16; weights are trained in torch.float32",
    ),
    "numbered_term": (
        "def loss(self, chunk, memory): return {3: chunk.losses}",
        "loss: it returns a term called 3; terms are called by words",
    ),
    "writes_base": (
        "def setup(self, origin): origin.base.model.lm_head.weight.mul_(2); return Memory()",
        "setup: it changed lm_head.weight of a model that others are measured against",
    ),
    "writes_base_later": (
        "def weights(self, model, memory, origin): origin.base.model.lm_head.weight.mul_(2)",
        "a hook after setup: it changed lm_head.weight of a model",
    ),
    "mute": (
        "def setup(self, origin): raise type('Mute', (Exception,), {'__str__': lambda self: 1 / 0})",
        "setup: Mute: its own words cannot be had (ZeroDivisionError)",
    ),
    "loud": (
        "def setup(self, origin): raise ValueError('red\\x1b[31m\\nnext' + 9999 * 'z')",
        "setup: ValueError: red [31m nextzzz",
    ),
    "raises_in_controls": ("def controls(self): return {}['gone']", "controls: KeyError: 'gone' (broken.py, line"),
    "one_word": (
        "def controls(self): return 'l2sp'",
        "controls: it returned 'l2sp'; it must return words, in a list or tuple",
    ),
    "numbers_as_controls": ("def controls(self): return (1, 2)", "controls: it returned (1, 2); it must return words"),
    "raises_in_needed": ("def needed(self): raise ValueError('none')", "needed: ValueError: none (broken.py, line"),
    "no_needs": ("def needed(self): pass", "needed: it returned None; it must return words"),
    "raises_in_fits": ("def fits(self, config, budget): config.layers", "fits: AttributeError: "),
    "raises_in_cost": ("def cost(self, budget): return 1 / 0", "cost: ZeroDivisionError: division by zero (broken.py, line"),
    "no_cost": ("def cost(self, budget): pass", "cost: it returned None; it must return a finite number"),
    "nan_cost": ("def cost(self, budget): return float('nan')", "cost: it returned nan; it must return a finite number"),
    "no_budget": (
        "def cost(self): return 1.0",
        "from broken.py sha256 {} has the hook cost(self); the loop calls cost(self, budget)",
    ),
    "few_arguments": (
        "def loss(self, chunk): return {}",
        "from broken.py sha256 {} has the hook loss(self, chunk); the loop calls loss(self, chunk, memory)",
    ),
    "many_arguments": (
        "def mixture(self, update, course, extra): return {}",
        "from broken.py sha256 {} has the hook mixture(self, update, course, extra); the loop calls mixture(",
    ),
    "no_method": ("loss = 3", "from broken.py sha256 {} has a loss that is no method; it must take (self, chunk, memory)"),
    "word_rate": ("lr = 'high'", "from broken.py sha256 {} has lr = 'high'; it must be a number above 0"),
    "nan_rate": ("lr = float('nan')", "from broken.py sha256 {} has lr = nan; it must be a number above 0"),
    "deep_extra": ("extra = 'nowhere.below'", "from broken.py sha256 {} has extra = 'nowhere.below'; name one package"),
    "no_start": ("def __post_init__(self): {}['x']", "__post_init__: KeyError: 'x'"),
    "no_default": ("weight: float", "from broken.py sha256 {} has a parameter without a default: weight"),
}

HEAD = """
import torch
from dataclasses import dataclass
from harness.strategy import CROSS_ENTROPY, Memory, Strategy

class Rows:
    def __init__(self, length=16, rows=5, vocabulary=200):
        self.rows = torch.arange(rows * length).view(rows, length) % vocabulary
    def __len__(self):
        return len(self.rows)
    def tokens(self, rows):
        return self.rows[list(rows)]
"""
UNREAD = {"unread": "the plugin unread.py cannot be imported: ModuleNotFoundError: No module named 'nowhere'"}
GONE = {"gone": "gone from their 1.0 cannot be imported: ModuleNotFoundError: No module named 'nowhere'"}


def written(name: str, body: str) -> str:
    words = "".join(word.capitalize() for word in name.split("_"))
    return f"\n\n@dataclass(frozen=True)\nclass {words}(Strategy):\n    {body}\n"


@pytest.fixture(scope="module")
def ended(model_folder: Path, text_file: Path, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """One run of the control, `low_lr` and an arm for every way to be wrong: its code, what it said, and its results."""
    folder = tmp_path_factory.mktemp("broken")
    (folder / "broken.py").write_text(HEAD + "".join(written(name, body) for name, (body, _) in BROKEN.items()))
    (folder / "unread.py").write_text("import nowhere")
    together = ["nan_term+nan_gradient", "low_lr+raises_in_fits", "raises_in_needed+wise"]
    arms = ",".join([*BROKEN, *UNREAD, *GONE, *together, "low_lr"])
    flags = ["--model", model_folder, "--new", text_file, "--length", 16, "--batch", 4, "--tokens", 640, "--limit", 3]
    flags += ["--seeds", 1, "--plugin", "broken.py", "--plugin", "unread.py", "--output", "out", "--strategies", arms]
    point = EntryPoint("gone", "nowhere:Gone", "harness.strategies")
    output = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(output):
        patch.chdir(folder)
        patch.setitem(registry.installed("strategies"), "gone", registry.Entry("gone", point, "their 1.0"))
        patch.setattr(sys, "argv", ["harness", "run", *map(str, flags)])
        with pytest.raises(SystemExit) as end:
            cli.main()
    facts = {result.name: result.facts for result in read(folder / "out").trials}
    return SimpleNamespace(code=end.value.code, said=output.getvalue(), facts=facts, sha=file_digest(folder / "broken.py")[:16])


@pytest.mark.parametrize("name", [*BROKEN, *UNREAD, *GONE])
def test_a_broken_strategy_is_a_row_that_says_who_where_and_why(name: str, ended: SimpleNamespace) -> None:
    says = BROKEN[name][1].replace("{}", ended.sha) if name in BROKEN else (UNREAD | GONE)[name]
    whole = says if name in UNREAD | GONE else f"{name} {says}" if says.startswith("from") else f"{name} failed in {says}"
    assert ended.facts[name]["status"] == "failed"
    assert ended.facts[name]["error"].startswith(whole)


def test_the_other_arms_finish_and_the_exit_code_says_that_some_failed(ended: SimpleNamespace) -> None:
    assert {name for name, facts in ended.facts.items() if facts["status"] == "done"} == {"none", "low_lr"}
    assert ended.code == 1


def test_in_a_combined_arm_the_guilty_part_is_named(ended: SimpleNamespace) -> None:
    assert ended.facts["nan_term+nan_gradient"]["error"].startswith("nan_term failed in loss: its term own is nan at update 1")
    assert ended.facts["low_lr+raises_in_fits"]["error"].startswith("raises_in_fits failed in fits: AttributeError: ")
    assert ended.facts["raises_in_needed+wise"]["error"].startswith("raises_in_needed failed in needed: ValueError: none")


@pytest.mark.parametrize(
    "name", ["few_arguments", "no_start", "unread", "gone", "raises_in_controls", "no_cost", "raises_in_fits"]
)
def test_the_plan_says_at_once_what_cannot_be_used(name: str, ended: SimpleNamespace) -> None:
    assert ended.said.count(f"note: the arm {name} will fail: ") == 1


@pytest.mark.parametrize("hook", ASKED)
@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory."), MemoryError("no room")])
def test_memory_that_runs_out_while_the_plan_is_made_is_a_sentence(hook: str, error: Exception) -> None:
    """Nothing is halved there, unlike in a step: the arm fails as in any other way."""

    def short(*given: Any) -> Any:
        raise error

    hungry: Any = dataclass(frozen=True)(type("Hungry", (Strategy,), {hook: short, "__module__": "elsewhere"}))
    given = {"cost": (None,), "fits": (None, None)}.get(hook, ())
    with pytest.raises(TrialError, match=rf"failed in {hook}: (OutOfMemory|Memory)Error: "):
        getattr(hungry(), hook)(*given)


@pytest.mark.parametrize(("first", "second", "guilty"), [
    ("Fine", "NanGradient", "nan_gradient failed in gradients: it left"),
    ("NanGradient", "Fine", "nan_gradient failed in gradients: it left"),
    ("Fine", "NanSlope", "nan_slope failed in loss: the gradient of its term own.2 is not finite"),
    ("NanSteps", "Fine", "nan_steps or fine failed in weights: it left"),
])  # fmt: skip
def test_of_two_parts_with_one_hook_the_guilty_one_is_found(first: str, second: str, guilty: str, tmp_path: Path) -> None:
    fine = "def loss(self, chunk, memory): return {'own': chunk.losses}\n    def gradients(self, *given): pass"
    bodies = {name: BROKEN[name][0] for name in ("nan_gradient", "nan_slope", "nan_steps")}
    bodies["fine"] = f"{fine}\n    def weights(self, *given): pass"
    (tmp_path / "two.py").write_text(HEAD + "".join(written(name, body) for name, body in bodies.items()))
    made = {entry.target.__name__: entry.target() for entry in plugins.from_files([str(tmp_path / "two.py")]).values()}
    with pytest.raises(TrialError) as found:
        train(Training(made[first] + made[second], tiny_setting(tmp_path), 1), tmp_path / "trial")
    assert str(found.value).startswith(guilty)


def test_a_file_that_nobody_needs_and_nobody_can_import_is_refused(tmp_path: Path) -> None:
    (tmp_path / "unread.py").write_text("import nowhere")
    with pytest.raises(InputError, match="cannot be imported: ModuleNotFoundError"):
        plugins.from_files([str(tmp_path / "unread.py")], ["kl", "ewc:weight=1"])


@dataclass(frozen=True)
class Half(Strategy):
    """Weighs the first micro-batch of a step only."""

    def weigh(self, batch, memory):
        return {CROSS_ENTROPY: torch.ones(batch.tokens[:, 1:].shape)} if 0 in batch.rows or len(batch.rows) == BATCH else {}


def test_a_micro_batch_without_weights_counts_in_full(tmp_path: Path) -> None:
    terms = [
        training.slope(training.reader.read())[CROSS_ENTROPY]
        for rows in (BATCH, 1)
        if (training := Training(Half(), tiny_setting(tmp_path, micro_batch=rows), 1))
    ]
    assert terms[0] == pytest.approx(terms[1], rel=1e-5)


def test_a_checkpoint_of_another_trial_is_refused(tmp_path: Path) -> None:
    stopped = Training(Strategy(), tiny_setting(tmp_path), 1)
    stopped.step()
    for other in (Training(Half(), tiny_setting(tmp_path), 1), Training(Strategy(), tiny_setting(tmp_path), 2)):
        with pytest.raises(TrialError, match="the checkpoint at update 1 is of another trial"):
            resume.restore(other, resume.state(stopped))


def test_a_strategy_cannot_change_the_budget_of_later_arms(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Greedy(Strategy):
        def setup(self, origin):
            object.__setattr__(origin.budget, "steps", 1)
            return super().setup(origin)

    setting = tiny_setting(tmp_path)
    steps = setting.budget.steps
    train(Training(Greedy(), setting, 1), tmp_path / "trial")
    assert setting.budget.steps == steps
