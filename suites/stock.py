"""How a suite is made of lm-eval's tasks and of text on the hub."""

import hashlib
from typing import Any

from harness.suite import Suite, Task, Text


def suite(name: str, about: str, tasks: tuple[Task, ...], *prompts: str) -> Suite:
    """A suite of tasks; its key is all that stands in them."""
    return Suite(name, about, tasks, hashlib.sha256(repr(tasks).encode()).hexdigest(), prompts)


def text(name: str, about: str, where: Text, **known: Any) -> Task:
    """Documents of a data set on the hub, in bits per byte."""
    return Task(name, metric="bits_per_byte", about=about, text=where, identity="id", items=where.documents, **known)
