"""What a plan will cost before it starts, and what a trial did cost."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from harness.distance import distance
from harness.errors import out_of_memory
from harness.memory import peak_memory
from harness.passed import passed
from harness.plan import Plan, Trial
from harness.stored import stored
from harness.strategy import Strategy, parts

if TYPE_CHECKING:
    from harness.reader import Setting
    from harness.train import Training


@dataclass(frozen=True)
class Cost:
    """What a plan will take, before it starts.

    trainings, scorings  how many are missing
    points               of the control's curve that are missing: scored on the tasks of both axes alone
    tokens               of all missing trainings
    flops                of these, by what strategies say of the cost of a step; one-off passes left out
    scoring_seconds      of these scorings, by what the base's took (None: it was not yet scored)
    seconds              of plain steps, from one micro-batch that was timed (None: it could not be); the rest comes on top
    """

    trainings: int
    scorings: int
    tokens: int
    flops: float
    seconds: float | None
    scoring_seconds: float | None = None
    points: int = 0


def cost(plan: Plan, setting: "Setting", trainings: Mapping[Trial, Strategy], scorings: int) -> Cost:
    """The cost of these trainings and of so many scorings."""
    spent = {trial: replace(plan.budget, steps=plan.steps[trial.arm.name]) for trial in trainings}
    tokens = sum(budget.tokens for budget in spent.values())
    multiples = [strategy.cost(spent[trial]) for trial, strategy in trainings.items()]
    plain = 6.0 * plan.base["parameters"]
    flops = plain * sum(times * budget.tokens for times, budget in zip(multiples, spent.values(), strict=True))
    pace = _pace(setting) if tokens else 0.0
    return Cost(len(trainings), scorings, tokens, flops, None if pace is None else tokens * pace)


def _pace(setting: "Setting") -> float | None:
    """Seconds a token takes: forward and backward of one micro-batch, the second of two; None where memory is short."""
    import torch

    from harness.arithmetic import autocast, fit
    from harness.objective import Objective, Weighting
    from harness.strategy import NEW

    table = setting.tables[NEW]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokens = table.tokens([row % len(table) for row in range(setting.micro_batch)]).to(device)
    engine = setting.budget.engine
    times = []
    try:
        model = setting.load().to(device).train()
        fit(model, engine, setting.start)
        objective = Objective(model)
        for _ in range(2):
            began = time.perf_counter()
            with autocast(engine, torch.device(device)):
                total, _ = objective(tokens, Weighting(float(tokens.numel()), {}, {}))
            total.backward()
            total.detach().item()
            times.append(time.perf_counter() - began)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        return None
    return times[-1] / tokens.numel()


def spent(training: "Training", earlier: Mapping[str, Any] | None) -> dict[str, Any]:
    """What a trial cost and did; `earlier` is the result of the trial whose training it shares."""
    length, added = training.setting.budget.length, _passes(training)
    own = {
        "tokens": {name: count * length for name, count in training.reader.positions.items()},
        "read": passed(training.reader, training.setting.start),
        "steps": training.update,
        "scored_at": training.scored_at,
        "held_losses": training.held,
        "learning_rate_area": training.rate_area,
        "skipped_steps": training.skipped,
        "halved": training.halved,
        "parameters_trained": sum(p.numel() for group in training.optimizer.param_groups for p in group["params"]),
    }
    if earlier is not None:
        own |= {key: earlier[key] for key in own}
        added = {key: earlier.get(key, 0) + value for key, value in added.items()}
    facts = {**training.memory.facts, "distance": distance(training)}
    facts |= {} if earlier is None else {"shared_with": earlier["arm"]}
    about = {"facts": facts, "head": training.objective.told, "device": str(training.accelerator.device)}
    return own | added | about | {"peak_memory_bytes": peak_memory(), "stored_bytes": stored(training)}


def _passes(training: "Training") -> dict[str, float]:
    """Tokens that passed through a model before training and beside it, each pass counted; FLOPs of the former, and of all.

    A token's forward pass is 2P, its backward pass 4P; P: the base's weights that a token is multiplied by. What a method
    adds to a step is counted, or its `cost` is believed where that is more (blocks that it adds); what it saves, by `cost`.
    """
    origin, budget, flops = training.origin, training.setting.budget, 2.0 * training.multiplied
    forward = training.setup_drawn + training.setup_reference
    once = training.setup_read + forward
    all_forward = origin.tokens_drawn + training.reference_tokens
    beside = 3 * (origin.tokens_read - training.setup_read) + all_forward - forward  # in forward passes of a token
    plain = 3 * sum(training.reader.positions.values()) * budget.length
    more = [part.cost(budget) - 1 for part in parts(training.strategy)]
    added, saved = sum(max(0.0, value) for value in more), sum(min(0.0, value) for value in more)
    setup = flops * (3 * training.setup_read + forward)
    return {
        "setup_tokens": once,
        "beside_tokens": origin.tokens_read + all_forward - once,
        "setup_flops": setup,
        "flops": setup + flops * (plain * (1 + saved) + max(plain * added, beside)),
    }
