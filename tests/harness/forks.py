"""Commands in forks of one warm interpreter (importing torch takes seconds): each ends as the command typed anew would.

python tests/harness/forks.py SPECIFICATION    a list of jobs as JSON; prints how each ended, as JSON
"""

import gc
import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

KILLED = -signal.SIGKILL


@dataclass(frozen=True)
class Job:
    """A command, and what befalls it: an end at a named point, files that may have no more bytes, a kill after seconds."""

    words: tuple[str, ...]
    crash: str = ""
    limit: int = 0
    kill: float = 0.0
    command: str = "run"


@dataclass(frozen=True)
class End:
    """How a job ended, and what it wrote to the terminal."""

    code: int
    said: str


def ends(folder: Path, jobs: Sequence[Job]) -> list[End]:
    """Run jobs one after the other in `folder`; the first of them in the parent of the others, where nothing may befall it."""
    (folder / "jobs.json").write_text(json.dumps([asdict(job) for job in jobs]))
    done = subprocess.run(
        [sys.executable, str(Path(__file__).resolve()), "jobs.json"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [End(**end) for end in json.loads(done.stdout.splitlines()[-1])]


def outcome(run: Path) -> dict[str, Any]:
    """What a run folder holds, but for how long it took and how much memory that needed."""
    found: dict[str, Any] = {}
    for path in sorted(path for path in run.rglob("*") if path.is_file()):
        name = str(path.relative_to(run))
        if path.suffix in (".safetensors", ".parquet") or path.name == "results.csv":
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        elif path.suffix == ".jsonl":
            rows = [json.loads(line) for line in path.read_text().splitlines()]
            found[name] = [{key: value for key, value in row.items() if key not in PASSING} for row in rows]
        elif path.name == "result.json":
            found[name] = {key: value for key, value in json.loads(path.read_text()).items() if key not in PASSING}
    return found


PASSING = ("seconds", "peak_memory_bytes", "memory", "tokens_per_second", "logs", "digest_of_the_rest")
"""What differs between two runs of one command."""


def _command(job: dict[str, Any]) -> int:
    from harness import cli

    sys.argv = ["harness", job["command"], *job["words"]]
    try:
        cli.main()
    except SystemExit as end:
        return int(end.code or 0)


def _forked(job: dict[str, Any], said: Path) -> int:
    """The job in a process of its own, its words in a file: its exit code, or what killed it."""
    child = os.fork()
    if not child:
        handle = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 1), os.dup2(handle, 2)
        os.environ["HARNESS_CRASH_AT"] = job["crash"]
        if job["limit"]:
            resource.setrlimit(resource.RLIMIT_FSIZE, (job["limit"], job["limit"]))
        code = 70
        try:
            code = _command(job)
        finally:
            sys.stdout.flush(), sys.stderr.flush()
            os._exit(code)
    if job["kill"]:
        time.sleep(job["kill"])
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _main() -> None:
    import torch

    torch.set_num_threads(1)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    jobs = json.loads(Path(sys.argv[1]).read_text())
    found = [{"code": _command(jobs[0]), "said": ""}]
    gc.collect()
    gc.freeze()  # what is there already is not looked through by every fork
    for job in jobs[1:]:
        code = _forked(job, Path("said.txt"))
        found.append({"code": code, "said": Path("said.txt").read_text(errors="replace")})
    print(f"\n{json.dumps(found)}")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    os.environ["HARNESS_CACHE"] = str(Path("cache").resolve())
    _main()
