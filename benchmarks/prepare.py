"""`harness prepare` on 10 MB and on 100 MB of text: seconds, MB a second, and the largest memory of parent and workers.

python benchmarks/prepare.py MEDICAL CODE      two files or folders of text, as for --new

The text is made out of the given one until it is that large: documents whose sentences (statements, of code) are drawn from
a document and its neighbour, so that they are like real ones and few are near duplicates; one in fifty is an exact copy. It is
prepared by the recipe of its domain without the language and perplexity filters, which have models of their own.

Expected: 100 MB in 180 s or less on two cores; memory of parent and workers at 100 MB at most 40 MiB above that at 10 MB.
"""

import ast
import json
import os
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

SIZES = (10, 100)
SECONDS = 180
GROWTH = 40
"""MiB."""


def texts(given: str, domain: str, size: int) -> Iterator[str]:
    """Made documents of `size` bytes in all."""
    from harness.prepare_job import everything
    from harness.texts import unchecked

    draw = random.Random(size)
    cut, glue = (statements, "\n") if domain == "code" else (sentences, " ")
    parts = [made for found in everything(unchecked(given)) if (made := cut(found.document.text))]
    left, last = size, glue.join(parts[0])
    while left > 0:
        i = draw.randrange(len(parts))
        if draw.random() >= 0.02:
            last = glue.join(draw.sample(parts[i] + parts[i - 1], len(parts[i])))
        yield last
        left -= len(last.encode())


def sentences(text: str) -> list[str]:
    """What stands between full stops."""
    return re.split(r"(?<=[.!?]) ", text)


def statements(text: str) -> list[str]:
    """The statements of a Python file, functions and classes whole, so that what is drawn from them can be parsed."""
    lines = text.split("\n")
    starts = [min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))]) for node in ast.parse(text).body]
    return ["\n".join(lines[a - 1 : b - 1]) for a, b in pairwise([*starts, len(lines) + 1])]


RUN = """
import json, os, sys, threading, time
import psutil
from harness import cli

def resident(process):
    try:
        return process.memory_info().rss / 2**20
    except psutil.Error:
        return 0.0

def watch():
    own = psutil.Process()
    while True:
        workers = [resident(child) for child in own.children(recursive=True)]
        peak.update(parent=max(peak["parent"], resident(own)), worker=max([peak["worker"], *workers]))
        time.sleep(0.05)

if __name__ == "__main__":
    began, peak = time.perf_counter(), {"parent": 0.0, "worker": 0.0}
    threading.Thread(target=watch, daemon=True).start()
    try:
        cli.main()
    except SystemExit as end:
        assert not end.code
    print(json.dumps(peak | {"seconds": time.perf_counter() - began, "processor": sum(os.times()[:4])}))
"""


def prepare(folder: Path, domain: str) -> dict[str, float]:
    """The command in a process of its own; what it needed. Workers are looked at every 50 ms."""
    words = ["prepare", str(folder / "in.jsonl"), "--domain", domain, "--workers", "2", "--output", str(folder / "out.jsonl")]
    (folder / "run.py").write_text(RUN)
    done = subprocess.run([sys.executable, folder / "run.py", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def measure(given: str, domain: str) -> bool:
    """Print a line a size; whether what is expected holds."""
    found = {}
    for size in SIZES:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            with (folder / "in.jsonl").open("w", encoding="utf-8") as file:
                for number, text in enumerate(texts(given, domain, size * 10**6)):
                    file.write(json.dumps({"id": str(number), "text": text}, ensure_ascii=False) + "\n")
            found[size] = one = prepare(folder, domain)
            note = json.loads((folder / "out.jsonl.prepared.json").read_text())
        documents = f"{note['in']['documents']:,}, {note['kept']['documents']:,} kept"
        print(
            f"| {domain} | {size} | {documents} | {one['seconds']:.1f} | {one['processor']:.1f} | {size / one['seconds']:.1f} "
            f"| {one['parent']:.0f} | {one['worker']:.0f} |",
            flush=True,
        )
    small, large = (found[size] for size in SIZES)
    grown = max(large[name] - small[name] for name in ("parent", "worker"))
    in_time, in_memory = large["seconds"] <= SECONDS, grown <= GROWTH
    print(f"{domain}: {large['seconds']:.0f} s, expected at most {SECONDS}: {'holds' if in_time else 'missed'}; "
          f"memory grows by {grown:.0f} MiB, expected at most {GROWTH}: {'holds' if in_memory else 'missed'}")  # fmt: skip
    return in_time and in_memory


def main() -> int:
    medical, code = sys.argv[1:3]
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    print("| recipe | MB | documents | seconds | processor seconds | MB/s | parent, MiB | largest worker, MiB |")
    print("|---|---|---|---|---|---|---|---|")
    return 0 if all([measure(medical, "medical"), measure(code, "code")]) else 1


if __name__ == "__main__":
    sys.exit(main())
