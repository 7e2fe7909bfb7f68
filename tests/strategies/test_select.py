"""Rows of new text by score: each score from whole logits, hard and soft, trimmed, and read in the control's order."""

import math
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from harness.bench import LENGTH, tiny_model, tiny_setting
from harness.errors import TrialError
from harness.reader import Reader
from harness.strategy import NEW, TASK, Memory
from harness.train import Training
from strategies.select import Select, best, ranks

ROWS = 23


def tokens(source: str) -> Tensor:
    table = tiny_setting(Path()).tables[source]
    return table.tokens(range(len(table)))


def perplexity() -> Tensor:
    model: Any = tiny_model()
    with torch.no_grad():
        logits = model(input_ids=tokens(NEW)).logits[:, :-1].double()
    return F.cross_entropy(logits.transpose(1, 2), tokens(NEW)[:, 1:], reduction="none").mean(-1).exp()


def similarity() -> Tensor:
    model: Any = tiny_model()
    with torch.no_grad():
        row, task = (model.model(tokens(name)).last_hidden_state[:, :-1].double().mean(1) for name in (NEW, TASK))
    middle = task.mean(0)
    return (row @ middle) / (row.norm(dim=-1) * middle.norm())


def entropy() -> Tensor:
    shares = [[row.count(token) / LENGTH for token in set(row)] for row in tokens(NEW).tolist()]
    return torch.tensor([-sum(q * math.log(q) for q in row) for row in shares])


def position(scores: Tensor) -> Tensor:
    """Share of the rows whose score is no higher, by counting; equal scores are equal."""
    return torch.tensor([sum(bool(other <= one + 1e-9) for other in scores) / ROWS for one in scores])


BY_HAND = {
    "perplexity": perplexity,
    "familiarity": lambda: 1 / perplexity(),
    "similarity": similarity,
    "entropy": entropy,
    "combined": lambda: (position(perplexity()) + position(similarity()) + position(entropy())) / 3,
}


def kept(strategy: Select, folder: Path, seed: int = 1) -> list[int]:
    training = Training(strategy, tiny_setting(folder), seed)
    rows = training.strategy.choose(NEW, training.memory)
    assert rows is not None
    assert training.strategy.choose("old", training.memory) is None
    return list(rows)


@pytest.mark.parametrize("score", BY_HAND)
@pytest.mark.parametrize("share", [0.2, 0.5])
def test_the_rows_of_the_highest_score_are_kept(score: str, share: float, tmp_path: Path) -> None:
    """Rows of one entropy are many: which of them are kept is not said, only that none of a lower score is."""
    found, scores, count = kept(Select(score, share=share, trim=0.0), tmp_path), BY_HAND[score](), round(share * ROWS)
    assert len(set(found)) == len(found) == count
    assert scores[found].sort().values.tolist() == pytest.approx(scores.sort().values[-count:].tolist(), rel=1e-5)


@pytest.mark.parametrize("score", BY_HAND)
def test_soft_draws_go_by_the_score_itself(score: str, tmp_path: Path) -> None:
    """A cosine, which may be negative, as (1 + cosine) / 2."""
    strategy = Select(score)
    origin, wanted = Training(strategy, tiny_setting(tmp_path), 1).origin, BY_HAND[score]()
    found = strategy._scores(origin, ROWS, torch.Generator())
    assert found.tolist() == pytest.approx(((1 + wanted) / 2 if score == "similarity" else wanted).tolist(), rel=1e-5)


@pytest.mark.parametrize(("trim", "trimmed"), [(0.1, 2), (0.0, 0), (0.9, 23 - 7)])
@pytest.mark.parametrize("score", ["perplexity", "combined"])
def test_the_highest_perplexities_are_noise(score: str, trim: float, trimmed: int, tmp_path: Path) -> None:
    training = Training(Select(score, share=0.3, trim=trim), tiny_setting(tmp_path), 1)
    highest = perplexity().argsort(descending=True).tolist()
    assert not set(training.memory.fixed) & set(highest[:trimmed])
    assert training.memory.facts["trimmed_rows"] == trimmed
    assert len(training.memory.fixed) == 7
    if score == "perplexity":
        assert set(training.memory.fixed) == set(highest[trimmed : trimmed + 7])


def test_other_scores_are_not_trimmed(tmp_path: Path) -> None:
    for score in ("random", "entropy", "similarity", "familiarity"):
        assert Training(Select(score, trim=0.5), tiny_setting(tmp_path), 1).memory.facts["trimmed_rows"] == 0


def test_soft_draws_are_proportional_to_the_score_and_without_replacement() -> None:
    """Two of three: the probability of each pair, drawn one after the other, to within 4 standard errors."""
    scores, draws, bits = torch.tensor([1.0, 2.0, 5.0], dtype=torch.float64), 20_000, torch.Generator().manual_seed(0)
    seen = dict.fromkeys(permutations(range(3), 2), 0)
    for _ in range(draws):
        first, second = best(scores, 2, bits).tolist()
        seen[first, second] += 1
    for (first, second), times in seen.items():
        wanted = float(scores[first] / 8 * scores[second] / (8 - scores[first]))
        assert times / draws == pytest.approx(wanted, abs=4 * math.sqrt(wanted / draws))


def test_soft_and_random_parts_are_the_seeds_own(tmp_path: Path) -> None:
    for strategy in (Select("random", share=0.4), Select("perplexity", "soft", share=0.4)):
        one, again, two = (kept(strategy, tmp_path, seed) for seed in (1, 1, 2))
        assert one == again != two
        assert len(set(one)) == 9
    assert kept(Select(share=0.4), tmp_path, 1) == kept(Select(share=0.4), tmp_path, 2)


def test_every_row_is_as_likely_as_any_other_at_random(tmp_path: Path) -> None:
    found, strategy = torch.zeros(ROWS), Select("random", share=0.2)
    origin = Training(strategy, tiny_setting(tmp_path), 0).origin
    for seed in range(300):
        origin.seed = seed
        found[strategy.setup(origin).fixed] += 1
    assert found.sum() == 300 * 5
    assert (found / 300 - 5 / ROWS).abs().max() < 4 * math.sqrt(5 / ROWS * (1 - 5 / ROWS) / 300)


def test_ranks_run_to_one_and_ties_share_theirs() -> None:
    assert ranks(torch.tensor([3.0, -1.0, 3.0, 7.0])).tolist() == [0.75, 0.25, 0.75, 1.0]


@pytest.mark.parametrize(("epochs", "rows"), [(2.0, 10), (5.0, 4), (20.0, 1), (0.9, 22)])
def test_epochs_keep_as_few_rows_as_are_then_read_so_often(epochs: float, rows: int, tmp_path: Path) -> None:
    """Five steps of four rows are 20 reads."""
    training = Training(Select("random", epochs=epochs), tiny_setting(tmp_path), 1)
    reader = Reader(training.strategy, training.memory, training.setting, 1)
    read = [row for _ in range(5) for _, row in reader.read()]
    assert len(training.memory.fixed) == rows == training.memory.facts["kept_rows"]
    assert training.memory.facts["kept_reads"] == 20 / rows
    assert set(read) <= set(training.memory.fixed)
    assert {read.count(row) for row in training.memory.fixed} <= {20 // rows, 20 // rows + (20 % rows > 0)}


def test_fewer_epochs_than_the_text_gives_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TrialError, match=r"reads the 23 rows of new text 0\.87 times; epochs must not be fewer"):
        Training(Select(epochs=0.5), tiny_setting(tmp_path), 1)


def test_what_is_kept_is_read_in_the_order_of_the_control(tmp_path: Path) -> None:
    setting = tiny_setting(tmp_path).with_steps(30)
    training = Training(Select(share=0.4), setting, 1)
    plain, some = (
        [row for _ in range(30) for _, row in reader.read()]
        for reader in (Reader(Select(share=1.0), Memory(), setting, 1), Reader(training.strategy, training.memory, setting, 1))
    )
    wanted = [row for row in plain if row in training.memory.fixed]
    assert len(wanted) > 9, "more than one epoch"
    assert some[: len(wanted)] == wanted


def test_scores_are_counted_once_and_kept_for_other_arms(tmp_path: Path) -> None:
    for strategy in (Select(share=0.2), Select("familiarity", share=0.5)):
        training = Training(strategy, tiny_setting(tmp_path), 1)
        assert training.reference_tokens == ROWS * LENGTH
    assert len(list(tmp_path.glob("*.safetensors"))) == 1
    assert Training(Select("entropy"), tiny_setting(tmp_path), 1).reference_tokens == 0


def test_rows_that_are_trimmed_and_scored_by_one_pass_are_counted_once(tmp_path: Path) -> None:
    for _ in ("nothing kept", "kept"):
        trimmed = Training(Select("perplexity", trim=0.2), tiny_setting(tmp_path), 1)
        assert trimmed.reference_tokens == ROWS * LENGTH


def test_the_text_of_a_task_is_needed_where_it_is_compared_with(tmp_path: Path) -> None:
    asked = {score: Select(score).needed() for score in (*BY_HAND, "random")}
    assert {score for score, need in asked.items() if TASK in need} == {"similarity", "combined"}
    setting = tiny_setting(tmp_path)
    Training(Select("perplexity"), replace(setting, tables={NEW: setting.tables[NEW]}), 1)


def test_its_control_is_as_many_rows_at_random() -> None:
    assert Select("entropy", "soft", 0.05).controls() == ("select:score=random:share=0.05",)
    assert Select(epochs=4.0).controls() == ("select:score=random:epochs=4",)
    assert Select("random").controls() == ()


@pytest.mark.parametrize("given", [{"score": "size"}, {"how": "both"}, {"share": 0.0}, {"epochs": -1.0}, {"trim": 1.5}])
def test_what_is_out_of_range_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"it must be"):
        Select(**given)
