"""Model-written code is run where it can reach nothing: what is right passes, all else fails and leaves nothing behind."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import psutil
import pytest
from transformers import LlamaConfig, LlamaForCausalLM

from harness import sandbox
from harness.errors import InputError
from harness.pretrain import train_tokenizer
from harness.sandbox import passes
from harness.score import score
from harness.score_code import _solved, permitted
from harness.score_model import Scorer
from harness.score_tasks import build
from harness.suite import Suite, Task
from suites.code import code

ROOT = Path(__file__).parents[2]
HUMANEVAL = Path(os.environ.get("HARNESS_SHARED") or ROOT / "shared") / "data" / "eval" / "humaneval_test.jsonl"
# User, mount, process and network namespaces, and a mount in them: what the machine allows, whatever the jail makes of it.
ALLOWED = """
import ctypes, sys
libc = ctypes.CDLL(None)
sys.exit(libc.unshare(0x70020000) != 0 or libc.mount(b"tmpfs", b"/tmp", b"tmpfs", 0, None) != 0)
"""
able = sys.platform == "linux" and subprocess.run([sys.executable, "-c", ALLOWED], check=False).returncode == 0
jailed = pytest.mark.skipif(not able, reason="this machine makes no namespaces")


def processes() -> set[int]:
    """Jails, and the programs in them."""
    found = [(process.pid, " ".join(process.info["cmdline"] or ())) for process in psutil.process_iter(["cmdline"])]
    return {pid for pid, words in found if "-I -S" in words}


def folders() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("jail-*"))


@pytest.fixture
def nothing_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No process and no file that was not there before."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # jails of other tests, run beside this one, stand elsewhere
    before = processes(), folders()
    yield
    deadline = time.monotonic() + 5
    while processes() - before[0] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (processes() - before[0], folders() - before[1]) == (set(), set())


@jailed
@pytest.mark.parametrize(
    "program",
    [
        "def add(a, b):\n    return a + b\nassert add(2, 3) == 5",
        "import math, collections, re, json, random, datetime, itertools, functools, heapq, string, copy, typing, hashlib",
        "from dataclasses import dataclass",
        "print('some words')",
        "open('own.txt', 'w').write('x'); assert open('own.txt').read() == 'x'",
        "assert input.__name__ == 'input'; import sys; assert sys.stdin.read() == ''",
        "assert '한국어'.encode().decode() == '한국어'; print('한국어')",
    ],
)
def test_right_programs_pass(program: str) -> None:
    assert passes(program)


# Signal 0 asks whether a process is there and harms none: what these tests try must be harmless where the jail has a hole.
SEES = """
import os
def there(process):
    try:
        return os.kill(process, 0) is None
    except PermissionError:
        return True
    except ProcessLookupError:
        return False
assert sum(map(there, range(1, 2 ** 17))) > 2
"""
WRONG = {
    "wrong": "assert 1 == 2",
    "raises": "raise KeyError",
    "no Python": "def",
    "exits before the asserts": "import sys; sys.exit(0)\nassert False",
    "exits at once": "import os; os._exit(0)",
    "says it passed": "import os; os.write(3, b'0' * 32); os._exit(0)",
    "forks": "import os\nwhile True: os.fork()",
    "endless": "while True: pass",
    "hogs memory": "x = []\nwhile True: x.append('y' * 10 ** 7)",
    "fills its folder": "n = 0\nwhile True:\n    open(str(n), 'w').write('x' * 10 ** 6); n += 1",
    "writes a large file": "with open('large', 'w') as file: file.write('x' * (2 ** 20 + 1))",
    "prints a gigabyte": "for _ in range(1000): print('x' * 10 ** 6)",
    "prints a gigabyte as errors": "import sys\nfor _ in range(1000): print('x' * 10 ** 6, file=sys.stderr)",
    "connects": "import socket; socket.create_connection(('127.0.0.1', PORT), timeout=2)",
    "kills the parent": "import os, signal; os.kill(os.getppid(), signal.SIGKILL)\nassert False",
    "sees processes": SEES,
    "stays behind": "import os, time\nif os.fork() == 0:\n    os.setsid(); time.sleep(60)",
    "runs a shell": "import subprocess; subprocess.run(['/bin/sh', '-c', 'sleep 60 &'], check=True)",
    "writes outside": "open(r'PATH', 'w').write('x')",
    "writes beside Python": "import sys; open(sys.base_prefix + '/x', 'w')",
    "loads C": "import ctypes",
    "reads processes": "import os; assert os.listdir('/proc')",
    "reads secrets": "import os; assert os.environ['HF_TOKEN']",
    "reads home": "import os; assert os.listdir(r'HOME')",
    "uses packages": "import numpy",
    "recurses": "def f(): return f()\nf()",
}


@jailed
@pytest.mark.parametrize("what", WRONG)
def test_wrong_programs_fail_and_leave_nothing(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nothing_left: None
) -> None:
    monkeypatch.setattr(sandbox, "LIMITS", {**sandbox.LIMITS, "CPU": 1})
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with socket.create_server(("127.0.0.1", 0)) as server:
        words = {"PORT": str(server.getsockname()[1]), "PATH": str(tmp_path / "written"), "HOME": str(ROOT)}
        program = WRONG[what]
        for name, value in words.items():
            program = program.replace(name, value)
        began = time.monotonic()
        assert not passes(program)
        assert time.monotonic() - began < 10
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert list(tmp_path.iterdir()) == []


@jailed
def test_what_waits_is_ended_by_the_clock(monkeypatch: pytest.MonkeyPatch, nothing_left: None) -> None:
    monkeypatch.setattr(sandbox, "SECONDS", 1)
    began = time.monotonic()
    assert not passes("import time; time.sleep(60)")
    assert time.monotonic() - began < 5


# The same routes once more without the hook that names them: what shuts a program off is the namespaces.
UNDER = {
    "connects": "import socket; socket.create_connection(('127.0.0.1', PORT), timeout=2)",
    "stays behind": "import os, time\nif os.fork() == 0:\n    os.setsid(); time.sleep(60)\nassert False",
    "gains privileges": "import ctypes\nassert ctypes.CDLL(None).mount(b'none', b'/', None, 32, None) == 0",
    "sees processes": SEES,
    "writes outside": "open(r'PATH', 'w').write('x')",
}


@jailed
@pytest.mark.parametrize("what", UNDER)
def test_it_holds_without_the_hook(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nothing_left: None) -> None:
    source = sandbox.JAIL.read_text()
    open_jail = tmp_path / "jail.py"
    open_jail.write_text(source.replace("    sys.addaudithook(refuse)\n", ""))
    assert open_jail.read_text() != source
    monkeypatch.setattr(sandbox, "JAIL", open_jail)
    with socket.create_server(("127.0.0.1", 0)) as server:
        program = UNDER[what].replace("PORT", str(server.getsockname()[1])).replace("PATH", str(tmp_path / "written"))
        assert not passes(program)
    assert list(tmp_path.iterdir()) == [open_jail]


@jailed
def test_an_end_of_the_harness_is_the_end_of_the_program(nothing_left: None) -> None:
    before = folders()
    code = "from harness import sandbox; sandbox.passes('import time; time.sleep(60)')"
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) as process:
        deadline = time.monotonic() + 10
        while not any("-I" in c.cmdline() for c in psutil.Process(process.pid).children(recursive=True)):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        time.sleep(0.3)
        process.kill()
    for folder in folders() - before:
        folder.rmdir()  # the killed harness could not; it is empty


def test_a_machine_without_namespaces_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = tmp_path / "jail.py"
    closed.write_text("raise OSError(1, 'unshare: Operation not permitted')")
    monkeypatch.setattr(sandbox, "JAIL", closed)
    sandbox.check.cache_clear()
    with pytest.raises(InputError) as error:
        sandbox.check()
    sandbox.check.cache_clear()
    assert str(error.value).startswith(
        "this machine cannot shut model-written code off from network and files (PermissionError: [Errno 1] unshare: Operation "
        "not permitted); it takes Linux with user namespaces"
    )


PROBLEMS = [
    {"task_id": f"HumanEval/{n}", "prompt": f"def times(x):\n    \"\"\"{n} times x.\"\"\"\n", "entry_point": "times",
     "canonical_solution": f"    return {n} * x\n", "test": f"def check(f):\n    assert f(3) == {3 * n}"} for n in (2, 5)
]  # fmt: skip
TASKS = [
    {
        "task_id": n,
        "text": f"Return {n} times x.",
        "code": "",
        "test_list": [f"assert times({x}) == {n * x}" for x in (1, 2, 3)],
    }
    for n in (2, 5)
]


@jailed
@pytest.mark.parametrize(
    ("name", "metric", "documents", "said"),
    [
        ("humaneval", "pass_at_k", PROBLEMS, "    return 2 * x\n"),
        ("mbpp", "pass_at_1", TASKS, "def times(x):\n    return 2 * x"),
    ],
)
def test_lm_evals_code_tasks_are_judged_here(
    name: str, metric: str, documents: Any, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that multiplies by two, whatever is asked, solves the first of two problems; `evaluate` fetches nothing."""
    file = tmp_path / "problems.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in documents))
    task = Task(name, "gain", metric, 0.0, None, files={"test": str(file)}, unsafe=True)
    monkeypatch.setattr(Scorer, "generate_until", lambda _, requests, **__: [said for _ in requests])
    with pytest.raises(InputError, match=f"^task {name} runs what the model wrote, which was not allowed; give --allow-code"):
        build(task)
    suite = permitted(Suite("code", "code", (task,), key="code"), True)
    assert suite.note == f"{name} runs what the model wrote: a program a time, without network or files."
    table = score(tiny(), tokenizer(), suite, length=2048)
    assert list(table.value) == [1.0, 0.0]
    assert [said] == list(table.options[0])


def tokenizer() -> Any:
    return train_tokenizer(["def times(x): return 2 * x"] * 3, 300)


def tiny() -> Any:
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer()), **sizes))


def test_tasks_that_run_code_are_left_out_unless_allowed() -> None:
    suite = code()
    kept = permitted(suite, False)
    assert [task.name for task in kept.tasks] == ["python_text"]
    assert kept.note == "humaneval and mbpp run what the model wrote: left out, as --allow-code-execution was not given."
    assert not any(task.allowed for task in kept.tasks)
    only = replace(suite, tasks=tuple(task for task in suite.tasks if task.name == "humaneval"))
    with pytest.raises(InputError) as error:
        permitted(only, False)
    assert str(error.value) == (
        "humaneval runs what the model wrote, which is done only where --allow-code-execution is given "
        "(a program a time, without network or files)"
    )


@pytest.mark.parametrize(("answers", "right", "k", "share"), [(1, 1, 1, 1.0), (1, 0, 1, 0.0), (4, 1, 2, 0.5), (5, 4, 2, 1.0)])
def test_pass_at_k_is_the_chance_that_k_answers_hold_a_right_one(answers: int, right: int, k: int, share: float) -> None:
    """By counting all choices of k answers."""
    chosen = list(combinations([i < right for i in range(answers)], k))
    assert share == sum(any(each) for each in chosen) / len(chosen)
    assert _solved(answers, right, k) == pytest.approx(share)


def rows() -> list[dict[str, Any]]:
    if not HUMANEVAL.is_file():
        pytest.skip(f"{HUMANEVAL} is not there")
    return [json.loads(line) for line in HUMANEVAL.read_text().splitlines()]


@jailed
@pytest.mark.slow
def test_humaneval_canonical_solutions_pass_and_empty_ones_fail() -> None:
    found = rows()
    assert len(found) == 164
    ends = [f"\n{row['test']}\ncheck({row['entry_point']})" for row in found]
    right = [passes(row["prompt"] + row["canonical_solution"] + end) for row, end in zip(found, ends, strict=True)]
    assert sum(right) == 164
    empty = [passes(row["prompt"] + "    return None\n" + end) for row, end in zip(found, ends, strict=True)]
    assert sum(empty) == 0
