"""What `vidpred.allocator.keep_freed_memory` gains: fresh processes with and without it, taking turns.

python benchmarks/allocator.py benchmarks/results/allocator-MACHINE.json
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

ROUNDS = 5


def compare(result: Path) -> None:
    """Runs `measure` in fresh processes, alternately with each setting, and writes the medians."""
    runs: dict[str, list[dict[str, Any]]] = {"system": [], "keep": []}
    for _ in range(ROUNDS):
        for setting, measured in runs.items():
            environment = os.environ | {"VIDPRED_MALLOC": setting}
            child = [sys.executable, __file__]
            output = subprocess.run(child, env=environment, capture_output=True, text=True, check=True).stdout
            measured.append(json.loads(output))
    summary = {
        setting: {key: median(run[key] for run in measured) for key in measured[0] if key != "machine"}
        for setting, measured in runs.items()
    }
    result.write_text(json.dumps({"machine": runs["keep"][0]["machine"], **summary}, indent=1) + "\n")
    print(json.dumps(summary, indent=1))


def measure() -> None:
    """Prints the medians of this process, in ms, and the page faults of a call, as JSON."""
    from vidpred.allocator import keep_freed_memory

    keep_freed_memory()

    import torch
    from torch import nn

    from vidpred.benchmarking.hardware import cpu_name
    from vidpred.benchmarking.timer import clock_seconds
    from vidpred.ops import reference

    torch.manual_seed(0)
    gates = torch.randn(4, 256, 64, 64, requires_grad=True)
    cell = torch.randn(4, 64, 64, 64, requires_grad=True)
    frames = torch.rand(64, 1, 64, 64)
    network = nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(),
        nn.Conv2d(32, 1, 3, padding=1),
    )  # fmt: skip

    def gates_forward() -> None:
        with torch.no_grad():
            reference.lstm_gates(gates, cell)

    def gates_step() -> None:
        hidden, new_cell = reference.lstm_gates(gates, cell)
        torch.autograd.grad((hidden, new_cell), (gates, cell), (cell, cell))

    def convolution_step() -> None:
        network.zero_grad()
        (network(frames) - frames).square().mean().backward()

    result: dict[str, Any] = {
        "machine": {"cpu": cpu_name(), "threads": torch.get_num_threads(), "load": os.getloadavg()[0]}
    }
    for step, calls in ((gates_forward, 40), (gates_step, 40), (convolution_step, 10)):
        step()
        step()
        before = _page_faults()
        result[f"{step.__name__}_ms"] = round(1e3 * median(clock_seconds(step) for _ in range(calls)), 3)
        result[f"{step.__name__}_page_faults"] = (_page_faults() - before) // calls
    result["peak_memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps(result))


def _page_faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


if __name__ == "__main__":
    if len(sys.argv) > 1:
        compare(Path(sys.argv[1]))
    else:
        measure()
