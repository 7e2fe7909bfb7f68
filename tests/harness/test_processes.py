"""One process and two take the same steps, to rounding."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from harness import registry

ARMS = [*sorted(registry.installed("strategies")), "replay+kl"]
SCRIPT = """
import sys
from pathlib import Path
import torch
from safetensors.torch import save_file
from harness import registry
from harness.typed import parse_arms
from harness.strategy import Combined
from harness.bench import Bench, Control

out, processes, arms = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
found = {}
for arm in arms:
    classes = [registry.find("strategies", part.name).load() for part in parse_arms(arm)[0].parts]
    examples = [cls(**cls.example) for cls in classes]
    bench = Bench(Control)
    assert bench.training(bench.control).accelerator.num_processes == processes
    grads, terms = bench.slope(examples[0] if len(examples) == 1 else Combined(tuple(examples)))  # off the base: anchors pull
    found |= {f"{arm} {name}": g for name, g in grads.items()}
    found |= {f"{arm} term {name}": torch.tensor(value) for name, value in terms.items()}
save_file(found, out)
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def slopes(processes: int, folder: Path) -> dict[str, torch.Tensor]:
    """Gradient and terms of every arm's first step, taken by so many processes together."""
    port, running = free_port(), []
    for rank in range(processes):
        out = folder / f"{processes}-{rank}" / "found.safetensors"
        out.parent.mkdir()
        env = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
        if processes > 1:
            env |= {
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
                "WORLD_SIZE": str(processes),
                "LOCAL_WORLD_SIZE": str(processes),
            }
            env |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        words = [sys.executable, "-c", SCRIPT, str(out), str(processes), *ARMS]
        running.append(subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
    for process in running:
        said, _ = process.communicate(timeout=600)
        assert process.returncode == 0, said
    return load_file(folder / f"{processes}-0" / "found.safetensors")


@pytest.mark.slow
def test_two_processes_change_rounding_only(tmp_path: Path) -> None:
    one, two = slopes(1, tmp_path), slopes(2, tmp_path)
    assert one.keys() == two.keys()
    for name, wanted in one.items():
        gap = float((two[name] - wanted).norm() / wanted.norm().clamp(min=1e-9))
        assert gap < 1e-5, f"{name} differs by {gap:.2g} of its norm"
