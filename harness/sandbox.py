"""Whether a program that a model wrote comes to its end, tried where it can reach nothing (`jail`).

What a program prints, raises or exits with counts for nothing: it has passed where the interpreter that ran it, asserts and
all, says so afterwards by a mark that was drawn for this one run.
"""

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from functools import lru_cache
from pathlib import Path
from threading import Timer

from harness.errors import InputError

SECONDS = 30
"""By the clock, for programs that wait, which uses no processor; on a busy machine what is right may take long to begin."""
LIMITS = {"CPU": 5, "AS": 2**30, "FSIZE": 2**20, "NPROC": 1, "NOFILE": 64, "CORE": 0}
"""Of the program, as setrlimit names them: seconds, bytes of memory, bytes of a file (what it prints goes to one), counts."""
JAIL = Path(__file__).with_name("jail.py")


def passes(program: str) -> bool:
    """Whether a program comes to its end without an error, within LIMITS and SECONDS."""
    return _run(program)[0]


@lru_cache(maxsize=1)
def check() -> None:
    """Refuse where this machine cannot shut a program off: there is no weaker way."""
    passed, why = _run("assert True")
    if not passed:
        raise InputError(
            f"this machine cannot shut model-written code off from network and files ({why or sys.platform}); it takes Linux "
            "with user namespaces (in a container, e.g. docker run --security-opt seccomp=unconfined --security-opt "
            "apparmor=unconfined); leave out the tasks that need --allow-code-execution"
        )


def _run(program: str) -> tuple[bool, str]:
    """Whether it passed, and what the jail complained of."""
    mark = secrets.token_hex(16)
    asked = json.dumps({"program": program, "mark": mark}).encode()
    with tempfile.TemporaryDirectory(prefix="jail-") as root:
        words = [os.path.realpath(sys.executable), "-I", "-S", str(JAIL), root, json.dumps(LIMITS)]
        pipe = subprocess.PIPE
        with subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, env={}, start_new_session=True) as process:
            assert process.stdin
            assert process.stdout
            assert process.stderr
            late = Timer(SECONDS, _kill, (process,))
            late.start()
            try:
                try:
                    process.stdin.write(asked)
                    process.stdin.close()
                except BrokenPipeError:
                    pass
                said = process.stdout.read(len(mark) + 1)
            finally:
                late.cancel()
                _kill(process)
            why = process.stderr.read(10_000).decode(errors="replace").strip().splitlines()
    return said == mark.encode(), why[-1] if why else ""


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """End the jail, and with it everything inside."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
