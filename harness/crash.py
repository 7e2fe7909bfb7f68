"""Named points of writing at which the tests end the process, to see that nothing is lost and nothing is half written.

HARNESS_CRASH_AT=folder-sealed ends the process where that point is first passed, folder-sealed:3 where it is passed the third
time. Every point stands in POINTS.
"""

import os
from collections import Counter

POINTS = {
    "file-written": "a file stands beside its place, not yet under its name",
    "file-renamed": "a file has its name",
    "log-flushed": "the lines of a log are on the disk",
    "folder-staged": "the empty folder of a checkpoint, or of weights, stands beside its place",
    "folder-written": "its files are written, without a manifest",
    "folder-sealed": "its manifest is written",
    "folder-renamed": "it has its name",
    "folder-hidden": "one that goes has lost its name and still holds its files",
    "in-accumulation": "a micro-batch went forward and backward",
    "before-optimizer": "the whole gradient of an update is there",
    "after-optimizer": "the weights have changed; the update is not logged",
}

end = os._exit
passed: Counter[str] = Counter()


def crash_point(name: str) -> None:
    """Pass a point; the process ends here where the environment asks for it."""
    if wanted := os.environ.get("HARNESS_CRASH_AT"):
        assert name in POINTS
        point, _, time = wanted.partition(":")
        passed[name] += 1
        if point == name and passed[name] == int(time or 1):
            end(9)
