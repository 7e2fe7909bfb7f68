"""The contract for what is scored: suites of lm-eval tasks, and what lm-eval does not know of them.

A task is lm-eval's own by its name, or carries a configuration of its own (then it is built as a `ConfigurableTask`). The
harness adds the chance level, which metric counts, whether it measures what to keep or what to gain, the unit that is
paired (item) and the unit that is clustered.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Measures = Literal["keep", "gain", "change", "probe"]
MEMBER = "(member)"


@dataclass(frozen=True)
class Text:
    """Documents of a data set that are scored whole, in bits per byte.

    dataset        owner/name on the hub; None: the task's own files
    split, column  where they stand
    config         the data set's configuration
    file           one file of it (as its repository calls it), where all of them would be too many
    revision       commit on the hub; None: the newest
    documents      so many of them, the first that are not blank
    """

    dataset: str | None = None
    split: str = "test"
    column: str = "text"
    config: str | None = None
    file: str | None = None
    revision: str | None = None
    documents: int = 200


@dataclass(frozen=True)
class Moved:
    """Where the items of a stock task are to be had whose own data set is a program on the hub, which is never run.

    dataset, config, split  on the hub
    fields                  field that the definition reads -> field of this data set; an inner one stands behind a dot
    """

    dataset: str
    config: str | None
    split: str
    fields: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Task:
    """One lm-eval task and what a study of forgetting must know about it.

    name        lm-eval's name, or that of our own task
    measures    keep: losing it is forgetting; gain: having it is adaptation; change: new text contradicts it on purpose,
                left out of both; probe: shown apart (a form that was trained nowhere, say)
    metric      the metric that counts, fixed before anything is trained; "": the first of lm-eval's that is a mean over items
    chance      expected value of `metric` by guessing; 0 for exact match, None for bits per byte
    source      other: not of the source that arms may read as old text; same: of that source; None: not applicable
    cluster     field of the document whose equal values form a cluster (passage, subject, relation); MEMBER: the members of a
                group of tasks do; None: the item itself, or the member
    identity    field of the document that identifies the item; None: lm-eval's position in the split
    filter      lm-eval's filter whose answers count, where it has several; None: the first
    fewshot     examples before a question; None: as lm-eval's definition says, which is none where it says nothing
    config      configuration for lm-eval's ConfigurableTask; None: lm-eval's task of that name
    documents   the documents of a task with a configuration of its own, in a fixed order
    files       split -> local JSON Lines file that replaces the hub dataset of an lm-eval task
    moved       where its items are to be had, if not in local files or a mirror of its own data set
    text        documents in bits per byte, instead of a task of lm-eval's
    folder      folder of task files that defines the task; they are code
    items       items of the whole task as published; None: not known before they are read
    reference   field of the document that holds a right answer, where the target only tells how answers are tried
    higher      whether a model is better where the metric is higher; None: bits per byte no, everything else yes
    sensitive   keeps prompts and answers off pages, exports and trackers
    unsafe      runs model-written code
    allowed     and may, in the sandbox
    """

    name: str
    measures: Measures = "keep"
    metric: str = "acc"
    chance: float | None = None
    source: Literal["same", "other"] | None = "other"
    cluster: str | None = None
    identity: str | None = None
    about: str = ""
    filter: str | None = None
    fewshot: int | None = None
    config: Mapping[str, Any] | None = None
    documents: Callable[[], Iterator[Mapping[str, Any]]] | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    moved: Moved | None = None
    text: Text | None = None
    folder: str | None = None
    items: int | None = None
    reference: str | None = None
    higher: bool | None = None
    sensitive: bool = False
    unsafe: bool = False
    allowed: bool = False

    @property
    def higher_is_better(self) -> bool:
        """Direction of the metric: bits per byte fall when a model improves, everything else rises but what says otherwise."""
        return self.metric != "bits_per_byte" if self.higher is None else self.higher


@dataclass(frozen=True)
class Suite:
    """Tasks that are scored together.

    prompts     openings that base and arms complete, shown side by side on the page
    key         identifies documents and definitions: a change of either changes it
    sensitive   keeps prompts and answers off pages, exports and trackers
    shown       and yet keeps them in the rows, because that was asked for
    note        a sentence that the page must carry wherever this suite is shown
    """

    name: str
    about: str
    tasks: tuple[Task, ...]
    key: str
    prompts: tuple[str, ...] = ()
    sensitive: bool = False
    shown: bool = False
    note: str = ""
