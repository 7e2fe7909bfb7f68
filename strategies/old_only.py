"""Old text alone: what any training does to unrehearsed text, before anything new is read.

Source: Gupta et al. 2023, arXiv:2308.04014, and Ibrahim et al. 2024, arXiv:2403.08763: raising the learning rate of a finished
model costs loss also on the text that it was trained on. The rest is the distance of the old text from the base's own.
Cost: 1 plain step a step. Needs old text.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from harness.strategy import OLD, Course, Strategy


@dataclass(frozen=True)
class OldOnly(Strategy):
    """Every row of every step is old text, under the control's schedule and for as many updates; a control, no competitor.

    Its change on unrehearsed text is no forgetting for the sake of new text: it is the cost of re-warming, and of a proxy for
    what the base was trained on. An arm that reads old text cannot be better than that text is.

    Parameters: none.
    """

    family: ClassVar[str] = "control"
    reason: ClassVar[str] = "it reads no new text"
    example: ClassVar[Mapping[str, Any]] = {}
    needs: ClassVar[tuple[str, ...]] = (OLD,)

    def mixture(self, update: int, course: Course) -> Mapping[str, float]:
        return {OLD: 1.0}
