"""How much time a plan and the trial in hand still take, by what was seen of them: the work of every trial, and its scoring.

Work is counted in tokens of plain steps: a trial's tokens times what its strategy says of the cost of a step. An arm that was
trained before, under another seed, is reckoned by its own pace. What a strategy does before its first step is not foreseen.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping


class Forecast:
    """Told what a run tells whoever watches; asked at any time for what is left."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.work: dict[str, float] = {}
        self.scoring: float | None = None
        self._seconds: dict[str, float] = defaultdict(float)
        self._worked: dict[str, float] = defaultdict(float)
        self._leave()

    def begin(self, work: Mapping[str, float], scoring: float | None) -> None:
        """The work of every trial that is missing; seconds that a scoring took before, if any did."""
        self.work, self.scoring = dict(work), scoring

    def stage(self, name: str, what: str) -> None:
        """A trial (or the base) is set up, trained or scored from now on."""
        self._learn()
        self.name, self.what, self.began = name, what, self.clock()
        if what != "scored":
            self.share, self._from = 0.0, None

    def step(self, done: float, total: int) -> None:
        """An update was trained."""
        if self.what == "trained":
            self._from = (done - 1) / total if self._from is None else self._from
            self.share = done / total

    def end(self, name: str) -> None:
        """A trial ended."""
        self._learn()
        self.work.pop(name, None)
        self._leave()

    @property
    def done(self) -> float:
        """Work done of the trial in hand."""
        return self.share * self.work.get(self.name, 0.0)

    def trial(self) -> float | None:
        """Seconds that the trial in hand still takes; None where nothing like it was seen."""
        return self._left(self.name, self.share) if self.name in self.work else self._scored_left()

    def plan(self) -> float | None:
        """Seconds that all missing trials still take."""
        parts = [self._left(name, self.share if name == self.name else 0.0) for name in self.work]
        return None if None in parts else sum(part for part in parts if part is not None)

    def _left(self, name: str, share: float) -> float | None:
        work = self.work[name] * (1 - share)
        pace, scoring = self._pace(name), self._scored_left() if name == self.name else self.scoring
        return None if scoring is None or (work and pace is None) else work * (pace or 0.0) + scoring

    def _scored_left(self) -> float | None:
        if self.scoring is None or self.what != "scored":
            return self.scoring
        return max(0.0, self.scoring - (self.clock() - self.began))

    def _pace(self, name: str) -> float | None:
        """Seconds a unit of work: of the arm if it was seen, else of all that was."""
        seconds, worked = self._now()
        arm, here = _arm(name), _arm(self.name)
        own = self._worked[arm] + worked * (arm == here)
        if own:
            return (self._seconds[arm] + seconds * (arm == here)) / own
        everything = sum(self._worked.values()) + worked
        return (sum(self._seconds.values()) + seconds) / everything if everything else None

    def _now(self) -> tuple[float, float]:
        """Seconds and work of the training under way."""
        if self.what != "trained" or self._from is None:
            return 0.0, 0.0
        return self.clock() - self.began, (self.share - self._from) * self.work.get(self.name, 0.0)

    def _learn(self) -> None:
        seconds, worked = self._now()
        if worked:
            self._seconds[_arm(self.name)] += seconds
            self._worked[_arm(self.name)] += worked
        if self.what == "scored":
            self.scoring = self.clock() - self.began

    def _leave(self) -> None:
        self.name, self.what, self.began, self.share = "", "", self.clock(), 0.0
        self._from: float | None = None


def _arm(name: str) -> str:
    return name.rpartition("/")[0]
