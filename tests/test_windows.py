"""The default run in full, over three seeds and arms of most families: what the embedded world promises to show."""

import pytest

from harness.forgetting import ANSWERS, LEARNED, LOST, Study
from harness.pairing import Sample
from harness.record import read
from tests.test_journey import harness

ARMS = ["kl", "ewc", "replay", "curriculum", "low_lr", "wsd", "wise"]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    cache = tmp_path_factory.mktemp("cache")
    harness(cache, "run", "--strategies", ",".join(ARMS), "--seeds", "3", "--no-curve", "--output", str(cache / "run"))
    return Study(read(cache / "run"))


def facts(study: Study, measures: str, source: str | None) -> list[Sample]:
    """The questions about facts: of what to keep or to gain, of one half of the general facts."""
    return [
        sample
        for task, sample in study.samples.items()
        if "facts" in task and study.record.tasks[task]["measures"] == measures and study.record.tasks[task]["source"] == source
    ]


def accuracy(study: Study, samples: list[Sample], arm: str | None = None) -> float:
    """Share of right answers over all these questions; of the base, or of an arm's mean over seeds."""
    right = [s.before.sum() if arm is None else s.stack(arm, s.seeds(arm)).mean(axis=0).sum() for s in samples]
    return float(sum(right) / sum(len(s.items) for s in samples))


def chance(study: Study, samples: list[Sample]) -> float:
    return float(sum(study.chance(s.task) * len(s.items) for s in samples) / sum(len(s.items) for s in samples))


def test_the_base_knows_most_general_facts_and_no_domain_fact(study: Study) -> None:
    for source in ("same", "other"):
        assert 0.75 <= accuracy(study, facts(study, "keep", source)) <= 0.95
    for sample in facts(study, "gain", None):
        assert accuracy(study, [sample]) <= study.chance(sample.task) + 0.05, sample.task


def test_the_control_learns_the_domain_and_loses_a_third(study: Study) -> None:
    learned = accuracy(study, facts(study, "gain", None), "none")
    assert 0.60 <= learned <= 0.95
    kept = facts(study, "keep", "other")
    base, control, guess = accuracy(study, kept), accuracy(study, kept, "none"), chance(study, kept)
    assert (base - control) / (base - guess) >= 1 / 3, f"base {base:.3f}, control {control:.3f}, chance {guess:.3f}"


def test_at_least_half_of_the_arms_lie_strictly_between_control_and_base(study: Study) -> None:
    found = {}
    for arm in ["none", *ARMS]:
        lost = study.figure(LOST, arm)
        assert lost is not None
        found[arm] = lost.value
    between = [arm for arm in ARMS if 0 < found[arm] < found["none"]]
    assert 2 * len(between) >= len(ARMS), found


def test_arms_spread_over_a_third_of_what_the_control_learns(study: Study) -> None:
    spreads = []
    for reading in (LEARNED, ANSWERS):
        values = [figure.value for arm in ["none", *ARMS] if (figure := study.figure(reading, arm))]
        spreads.append((max(values) - min(values)) / values[0])
    assert max(spreads) >= 0.30, spreads


def test_rehearsal_is_not_retention(study: Study) -> None:
    """Replay keeps the facts it rehearses better than the others: why the halves are never one number."""
    lost = {}
    for source in ("same", "other"):
        samples = facts(study, "keep", source)
        lost[source] = accuracy(study, samples) - accuracy(study, samples, "replay")
    assert lost["same"] < lost["other"], lost
