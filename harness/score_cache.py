"""Tables of scores and completions kept across runs: found again in another run folder by what they were made from.

Two files a table under HARNESS_CACHE: the rows, and then their digest with the seconds that it took to make them. What is not
whole is absent.
"""

import shutil
from pathlib import Path

from harness.errors import HarnessError
from harness.files import read_json, write_json, writing
from harness.plan import file_digest


def recall(kept: Path, key: str, path: Path) -> float | None:
    """Put the table that is kept under a key at `path`: the seconds that it took to make; None where it is not kept whole."""
    rows, seal = kept / f"{key}.parquet", kept / f"{key}.json"
    try:
        stored = read_json(seal)
        with writing(path) as beside:
            shutil.copyfile(rows, beside)
            if file_digest(beside) != stored["sha256"]:
                raise HarnessError(f"{rows} is damaged")
        return float(stored["seconds"])
    except (OSError, HarnessError, KeyError, TypeError, ValueError):
        return None


def remember(kept: Path, key: str, path: Path, seconds: float) -> None:
    """Keep the table at `path` under a key; a full disk is no reason to lose a run."""
    try:
        with writing(kept / f"{key}.parquet") as beside:
            shutil.copyfile(path, beside)
        write_json(kept / f"{key}.json", {"sha256": file_digest(path), "seconds": seconds})
    except OSError:
        (kept / f"{key}.json").unlink(missing_ok=True)
