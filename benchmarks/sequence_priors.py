"""What the divergence of a latent sequence from its prior takes as the sequence grows.

python benchmarks/sequence_priors.py

Writes benchmarks/results/sequence-priors-MACHINE.json: medians in ms over rounds in which all take turns, of
a divergence and its gradient. For the Wiener process in closed form the time grows with T, for a Gaussian
process with T². The Cholesky factor of the latter, once for each length, is not counted.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import partial
from statistics import median
from time import perf_counter

import torch
from compare_models import this_machine
from record_kernels import RESULTS
from torch import Tensor

from vidpred.benchmarking.hardware import cpu_name
from vidpred.nn.distributions import Gaussian
from vidpred.nn.sequence_priors import (
    GaussianProcessPrior,
    IndependentPosterior,
    SequencePrior,
    WienerPosterior,
    WienerPrior,
)

STEPS = (100, 300, 1000, 3000, 10_000)
MOST_OF_PROCESS = 1000
"""Steps up to which the Gaussian process is measured: it keeps T x T numbers."""
SEQUENCES, DIMENSIONS = 16, 50
ROUNDS = 15


def main() -> None:
    """Measures, prints, writes."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    rows = []
    for steps in STEPS:
        calls = _calls(steps)
        for call in calls.values():
            call()
        seconds: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(ROUNDS):
            for name, call in calls.items():
                start = perf_counter()
                call()
                seconds[name].append(perf_counter() - start)
        for name, measured in seconds.items():
            rows.append({"prior": name, "steps": steps, "ms": round(1e3 * median(measured), 3)})
            print(f"{name:45} T = {steps:6} {rows[-1]['ms']:10.3f} ms")
    result = {
        "machine": {"cpu": cpu_name(), "cores": os.cpu_count(), "threads": 1, "torch": torch.__version__},
        "sequences": SEQUENCES,
        "dimensions": DIMENSIONS,
        "rounds": ROUNDS,
        "rows": rows,
    }
    (RESULTS / f"sequence-priors-{this_machine()}.json").write_text(
        json.dumps(result, indent=1) + "\n", "utf-8"
    )


def _calls(steps: int) -> dict[str, Callable[[], None]]:
    seen = Gaussian(torch.randn(steps, SEQUENCES, DIMENSIONS), torch.rand(steps, SEQUENCES, DIMENSIONS) + 0.1)
    for part in seen:
        part.requires_grad_()
    calls = {
        "Wiener process, independent posterior": partial(_independent, WienerPrior(), seen),
        "Wiener process, chain posterior": partial(_chain, seen),
    }
    if steps <= MOST_OF_PROCESS:
        process = GaussianProcessPrior("ornstein-uhlenbeck")
        calls["Ornstein-Uhlenbeck, as any Gaussian process"] = partial(_independent, process, seen)
    return calls


def _independent(prior: SequencePrior, seen: Gaussian) -> None:
    _differentiate(IndependentPosterior(seen, prior).kl(), seen)


def _chain(seen: Gaussian) -> None:
    _differentiate(WienerPosterior(seen).kl(), seen)


def _differentiate(divergence: Tensor, seen: Gaussian) -> None:
    torch.autograd.grad(divergence.sum(), seen)


if __name__ == "__main__":
    main()
