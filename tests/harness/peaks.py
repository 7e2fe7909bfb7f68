"""The largest memory of a piece of code in a process of its own, and of the workers that it starts, looked at every 20 ms.

Not the system's own peak: a process that was just forked begins with that of its parent. Nor is it looked at before it runs a
program of its own: until then its memory is the parent's, counted a second time.
"""

import json
import subprocess
import sys
from pathlib import Path

HEAD = """
import json, sys, threading, time
import psutil

peak = [0.0, 0.0]

def resident(process):
    try:
        return process.memory_info().rss / 2**20
    except psutil.Error:
        return 0.0

def started(process, own):
    try:
        return process.cmdline() != own.cmdline()
    except psutil.Error:
        return False

def look():
    own = psutil.Process()
    while True:
        workers = [resident(one) for one in own.children(recursive=True) if started(one, own)]
        peak[:] = max(peak[0], resident(own)), max([peak[1], *workers])
        time.sleep(0.02)

if __name__ == "__main__":
    threading.Thread(target=look, daemon=True).start()
"""


def peaks(code: str, folder: Path) -> tuple[float, float]:
    """MiB of a process that runs the code, and of its largest child."""
    script = folder / "peak.py"
    indented = "".join(f"    {line}\n" for line in code.strip().splitlines())
    script.write_text(f"{HEAD}{indented}    time.sleep(0.05)\n    print(json.dumps(peak))\n")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    own, child = json.loads(done.stdout.splitlines()[-1])
    return own, child
