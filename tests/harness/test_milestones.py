"""Evaluation while training: at the promised moments, the numbers of `score`, and nothing of the training changed by it."""

import math
import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from harness import looks
from harness import milestones as made
from harness.looks import LEAST, SHARE, TOO_SHORT, afford, foreseen, milestones
from harness.milestones import Milestones
from harness.plan import Budget
from harness.record import Result, read
from harness.resolve import Ready, resolve
from harness.run import Watch, run
from harness.score import score
from harness.score_items import Asked, Item, choose
from harness.score_texts import CONFIG
from harness.settings import settings
from harness.suite import Suite, Task

CHOICE = {
    "output_type": "multiple_choice",
    "doc_to_text": "question",
    "doc_to_choice": "options",
    "doc_to_target": "answer",
    "metric_list": [{"metric": "acc"}],
}


def questions() -> Iterator[dict[str, Any]]:
    for number, place in enumerate(("Aldon", "Brisk", "Corm", "Aldon and Corm")):
        options = [" old.", " wide and quiet.", " known to all"]
        yield {"question": f"The river of {place} is", "options": options, "answer": number % 3}


@pytest.fixture
def ready(tmp_path: Path, model_folder: Path, text_file: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A small plan, resolved; its training pays for as many items as anybody could want."""
    monkeypatch.setattr(looks, "SHARE", 1000.0)

    def planned(name: str, **more: Any) -> Ready:
        words = {"model": str(model_folder), "new": str(text_file), "old": str(text_file), "strategies": "none", "seeds": 1}
        words |= {"length": 16, "batch": 4, "tokens": 1280, "output": str(tmp_path / name), "curve": False}
        return resolve(settings(words | more, "a test"))

    return planned


@pytest.mark.parametrize("steps", [10, 33, 406, 1000, 12345])
@pytest.mark.parametrize("spacing", [5, 10, 20])
def test_milestones_are_geometric_and_then_regular(steps: int, spacing: int) -> None:
    found = milestones(steps, spacing)
    assert (found[0], found[-1]) == (0, steps)
    assert found == sorted(set(found))
    percent = [0, *(p for p in (1, 2, 4, 8, 16) if p < spacing), *range(spacing, 101, spacing)]
    assert set(found) == {round(steps * p / 100) for p in percent}


def item(task: str, number: int, tokens: int) -> Item:
    return Item(task, f"{task}-{number}", "c", "text", 100.0, 200.0, (([0], [1] * (tokens - 1)),))


@pytest.mark.parametrize(("tokens", "spacing"), [(10**6, 5), (300_000, 5), (200_000, 10), (140_000, 20), (100_000, 0)])
def test_items_and_milestones_cost_no_more_than_their_share(tokens: int, spacing: int) -> None:
    """Four tasks, an item of each in turn; a token that is read costs half of one that is trained on."""
    items = [item(task, number, 60) for number in range(32) for task in "abcd"]
    budget = Budget(steps=tokens // 512, batch=4, length=128, peak=1e-3)
    kept, found = afford(items, budget)
    assert found == spacing
    assert kept == items[: len(kept)]
    if kept:
        assert min(Counter(each.task for each in kept).values()) >= LEAST
        assert sum(each.tokens for each in kept) * len(milestones(budget.steps, spacing)) / 2 <= SHARE * budget.tokens


def test_items_cost_the_bits_that_score_says(ready: Any) -> None:
    """Texts longer than a window, and the right one of several options of several tokens."""
    plan: Ready = ready("out", suites="text")
    quiz = Suite("quiz", "a quiz", (Task("rivers", chance=1 / 3, config=CHOICE, documents=questions),), key="quiz")
    long = Task("long", metric="bits_per_byte", config=CONFIG, documents=lambda: iter([{"text": "Aldon is wide. " * 40}]))
    suites, model = (*plan.suites, replace(quiz, tasks=(*quiz.tasks, long))), plan.setting.load()
    base = pd.concat([score(model, plan.tokenizer, suite) for suite in suites])
    items = choose(model, plan.tokenizer, suites, base, plan.bos, 6)
    assert Counter(each.task for each in items) == base["task"].value_counts().clip(upper=6).to_dict()
    assert max(len(each.windows) for each in items) > 1
    known = base.set_index(["task", "item"])
    for each in items:
        row = known.loc[(each.task, each.item)]
        nats = row["loglikelihoods"][int(row["answer"]) if each.task == "rivers" else 0]
        assert each.before == pytest.approx(-nats / math.log(2))
        assert each.weight == (1.0 if each.task == "rivers" else row["option_bytes"][0])
    assert Asked(model, plan.tokenizer, items).bits() == pytest.approx([each.before for each in items], rel=1e-5)


def test_weights_are_the_same_bits_with_and_without(ready: Any) -> None:
    with_, without = ready("on", strategies="replay"), ready("off", strategies="replay", milestones=False)
    assert run(with_, "") == run(without, "") == []
    for name in ("none", "replay"):
        one, other = (Result(plan.folder / name / "seed-1", None, 1) for plan in (with_, without))
        assert one.facts["weights"] == other.facts["weights"]
        assert len(one.trajectory)
        assert not (other.folder / "trajectory.parquet").exists()


def test_a_look_leaves_the_model_and_the_random_states_as_they_were(ready: Any) -> None:
    plan: Ready = ready("out")
    model: Any = plan.setting.load()
    model.train()
    model.model.layers[0].eval()
    model.model.norm.weight.requires_grad_(False)
    base = pd.concat([score(model, plan.tokenizer, suite) for suite in plan.suites])
    before = {name: p.clone() for name, p in model.named_parameters()}
    modes, states = [module.training for module in model.modules()], (torch.get_rng_state(), random.getstate())
    Asked(model, plan.tokenizer, choose(model, plan.tokenizer, plan.suites, base, plan.bos, 3)).bits()
    assert [module.training for module in model.modules()] == modes
    assert [name for name, p in model.named_parameters() if not p.requires_grad] == ["model.norm.weight"]
    assert all(p.grad is None and torch.equal(p, before[name]) for name, p in model.named_parameters())
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]


def test_a_trial_that_was_stopped_has_the_rows_of_one_that_was_not(ready: Any) -> None:
    class Stops(Watch):
        def step(self, done: int, total: int, logged: Mapping[str, float]) -> None:
            if "loss" in logged and done == 14:
                raise KeyboardInterrupt

    whole, broken = ready("whole", checkpoint_every=5), ready("broken", checkpoint_every=5)
    run(whole, "")
    with pytest.raises(KeyboardInterrupt):
        run(broken, "", Stops())
    stopped: Any = Result(broken.folder / "none" / "seed-1", None, 1).trajectory
    assert stopped["update"].max() > 10  # of which the checkpoint at 10 knows nothing
    run(broken, "")
    trials = [read(plan.folder).trials[0] for plan in (whole, broken)]
    pd.testing.assert_frame_equal(trials[0].trajectory, trials[1].trajectory, check_exact=True)
    assert trials[0].facts["weights"] == trials[1].facts["weights"]


def test_rows_that_were_changed_or_lost_since_they_were_saved_are_named(ready: Any) -> None:
    class Stops(Watch):
        def step(self, done: int, total: int, logged: Mapping[str, float]) -> None:
            if "loss" in logged and done == 7:
                raise KeyboardInterrupt

    plan = ready("out", checkpoint_every=5)
    with pytest.raises(KeyboardInterrupt):
        run(plan, "", Stops())
    trial = plan.folder / "none" / "seed-1"
    path, rows = trial / "trajectory.parquet", pd.read_parquet(trial / "trajectory.parquet")
    whole = path.read_bytes()
    rows.assign(after=rows["after"] + (rows["update"] == 2)).to_parquet(path, index=False)
    changed = path.read_bytes()
    for harmed, wrong in (
        (changed, "is not as it was"),
        (whole[:-1], "is not as it was"),
        (None, "is gone, and held milestones"),
    ):
        path.unlink(missing_ok=True)
        if harmed is not None:
            path.write_bytes(harmed)
        assert run(plan, "") == ["none/seed-1"]
        assert Result(trial, None, 1).facts["error"] == (
            f"{path} {wrong} when the checkpoint at update 5 was written; "
            f"put it back, or delete {trial}, and run the same command again"
        )
    path.write_bytes(whole)
    assert run(plan, "") == []


def test_a_look_that_memory_is_too_short_for_says_how_to_go_without(ready: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def short(self: Asked) -> list[float]:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(Asked, "bits", short)
    plan = ready("out")
    assert run(plan, "") == ["none/seed-1"]
    assert Result(plan.folder / "none" / "seed-1", None, 1).facts["error"] == (
        "memory ran out while milestones were looked at, at update 0 (for another 2.00 GiB); "
        "type --no-milestones, or give a smaller --limit"
    )


def test_a_first_look_needs_nothing_of_an_earlier_attempt(tmp_path: Path) -> None:
    (tmp_path / "trajectory.parquet").write_bytes(b"torn")
    made.keep(tmp_path, 0, 0, [item("a", 0, 3)], [1.0])
    assert len(Result(tmp_path, None, None).trajectory) == 1


def test_rows_begin_at_the_base_and_end_at_the_scores(ready: Any) -> None:
    plan: Ready = ready("out")
    run(plan, "")
    trial = read(plan.folder).trials[0]
    rows: Any = trial.trajectory
    final: Any = trial.scores.set_index(["task", "item"])
    assert set(rows["update"]) == set(milestones(plan.plan.budget.steps, 5))
    assert (rows["tokens"] == rows["update"] * 4 * 16).all()
    first, last = rows[rows["update"] == 0], rows[rows["update"] == plan.plan.budget.steps]
    np.testing.assert_allclose(first["after"], first["before"], rtol=1e-5)
    wanted = [-final.loc[(row.task, row.item)]["loglikelihoods"][0] / math.log(2) for row in last.itertuples()]
    np.testing.assert_allclose(last["after"], wanted, rtol=1e-5)


def test_arms_and_seeds_are_asked_the_same_items(ready: Any) -> None:
    plan: Ready = ready("out", strategies="lora", seeds=2)
    run(plan, "")
    asked = {(t.name, t.seed): frozenset(t.trajectory["item"] + t.trajectory["task"]) for t in read(plan.folder).trials}
    assert len(asked) == 4
    assert len(set(asked.values())) == 1


def test_a_training_that_cannot_pay_is_not_looked_at(ready: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looks, "SHARE", SHARE)
    plan: Ready = ready("out", seeds=2)
    said: list[str] = []

    class Listens(Watch):
        def note(self, sentence: str) -> None:
            said.append(sentence)

    run(plan, "", Listens())
    assert [sentence for sentence in said if "looked at" in sentence] == [TOO_SHORT]
    assert "likely too short for looks at milestones: 5 % of its time let each read 14 tokens" in plan.plan.notes[-1]
    assert not [note for note in ready("without", milestones=False).plan.notes if "milestones" in note]
    assert not list(plan.folder.rglob("trajectory.parquet"))


def test_the_plan_foresees_what_a_short_training_pays_for() -> None:
    """Tasks that generate are not asked; a limit below the least is the least."""
    suites = [Suite("s", "", (*(Task(name) for name in "abcd"), Task("e", metric="exact_match"), Task("f", "probe")), key="s")]
    short, enough = (Budget(steps=steps, batch=4, length=128, peak=1e-3) for steps in (30, 60))
    assert foreseen(suites, enough, None) == foreseen(suites, short, 3) == []
    assert [note for note in foreseen(suites, short, None) if "4 items of each of 4 tasks have more, as a rule" in note]


def test_of_an_earlier_attempt_only_what_came_before_is_kept(tmp_path: Path) -> None:
    items = [item("a", 0, 3)]
    for update, bits in [(0, 1.0), (4, 2.0), (8, 3.0), (4, 5.0)]:
        made.keep(tmp_path, update, update * 64, items, [bits])
    kept = Result(tmp_path, None, None).trajectory
    assert kept[["update", "tokens", "after"]].to_numpy().tolist() == [[0, 0, 1.0], [4, 256, 5.0]]


def test_none_is_built_where_it_is_off(ready: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Milestones, ready: Ready) -> None:
        raise AssertionError

    monkeypatch.setattr(Milestones, "__init__", refuse)
    assert run(ready("out", milestones=False), "") == []
