"""Keep reading old text: a fixed share of every step.

Source: Ibrahim et al. 2024, arXiv:2403.08763; mixing per batch, exact by error diffusion. With source=task the same share is
text of the task in mind; all of it (share=1) is task-adaptive pre-training, Gururangan et al. 2020, arXiv:2004.10964.
Cost: 1 plain step a step; at equal tokens the old text displaces new text. Needs old text, best the base's own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from harness.strategy import OLD, TASK, Course, Strategy, among, within


@dataclass(frozen=True)
class Replay(Strategy):
    """A share of the rows of every global step is old text; all tokens count alike in the mean.

    Parameters:
        share: share of old rows, 0 to 1. 0.05 for a weak shift, 0.25 for a strong one (Ibrahim et al.).
        source: what is read beside new text: old, or task, the text given with --task.
    """

    share: float = 0.25
    source: str = OLD

    family: ClassVar[str] = "data"
    neutral: ClassVar[Mapping[str, Any]] = {"share": 0.0}
    example: ClassVar[Mapping[str, Any]] = {"share": 0.25}
    needs: ClassVar[tuple[str, ...]] = (OLD,)
    sweep: ClassVar[Mapping[str, Sequence[Any]]] = {"share": (0.01, 0.05, 0.1, 0.25, 0.5)}

    def __post_init__(self) -> None:
        within("share", self.share, 0, 1)
        among("source", self.source, (OLD, TASK))

    def needed(self) -> Sequence[str]:
        return (self.source,)

    def mixture(self, update: int, course: Course) -> Mapping[str, float]:
        return {self.source: self.share}
