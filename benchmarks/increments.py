"""What seed 003 may have computed for its table 1: increments of z taken as independent under the posterior.

python benchmarks/increments.py FOLDER MAT_FOLDER

"Transforming that Gaussian with g_W and obtaining the KL divergence from a white Gaussian" can be read so;
neighbouring increments of a posterior that is independent over time share a z_t, so what comes out is smaller
than the divergence and no bound. Trains VRAE and VOSP with it on the three piano rolls (MAT_FOLDER as in
compare_music.py), without dropout, and scores whole test sequences by it, with the true divergence, and with
samples of z weighted by importance. Runs in FOLDER are continued.
Writes benchmarks/results/increments-MACHINE.json.
"""

from __future__ import annotations

import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from compare_models import this_machine, training, vidpred
from compare_music import as_options
from record_kernels import RESULTS
from torch import Tensor

from vidpred.experiments.likelihood import PAPER
from vidpred.experiments.whole_sequences import Padded, WholeSequences
from vidpred.models import latent_sequence
from vidpred.nn.distributions import Gaussian
from vidpred.nn.sequence_priors import WienerPrior, _before, _sum_over
from vidpred.runs import load_run

STEPS = {"Nottingham": 2500, "Piano_midi": 1500, "JSB_Chorales": 900}
MODELS = ("vrae", "vosp")
CALLED = {"Nottingham": "Nottingham", "Piano_midi": "Piano-midi", "JSB_Chorales": "JSB"}
"""The sets in `vidpred.experiments.likelihood.PAPER`, table 1."""
SETTINGS = (
    "model.posterior=independent",
    "model.dropout=0",
    "model.learn_dropout=false",
    "model.kl_warmup=500",
    "optim.name=adam",
    "optim.learning_rate=0.002",
    "train.validate_every=4",
    "train.sample_every=1000",
)
SAMPLES = 20
"""Of z that are weighted together."""


class Increments(WienerPrior):
    """The Wiener process, and that other reading of the divergence from it."""

    def kl(self, posterior: Gaussian, valid: Tensor | None = None) -> Tensor:
        """Σ_t ½ [(μ_t - μ_{t-1})² + v_t - 1 - log v_t], v_t = s_t² + s_{t-1}²: (N, D), no divergence."""
        mean, var = posterior.mean, posterior.std.square()
        moved, spread = mean - _before(mean, valid), var + _before(var, valid)
        return _sum_over(0.5 * (moved.square() + spread - 1 - spread.log()), valid)


def main(folder: Path, sources: Path) -> None:
    """Trains what is not trained yet, a core each, scores, writes."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in STEPS:
        data = folder / f"{name}.h5"
        if not data.exists():
            vidpred("gen-data", "piano-roll", str(sources / f"{name}.mat"), "--out", str(data))
    pairs = [(folder, name, model) for name in STEPS for model in MODELS]
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as cores:
        rows = list(cores.map(trained_and_scored, *zip(*pairs, strict=True)))
    for row in rows:
        print(row)
    result = {"settings": SETTINGS, "steps": STEPS, "samples": SAMPLES, "rows": rows}
    file = RESULTS / f"increments-{this_machine()}.json"
    file.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


def trained_and_scored(folder: Path, name: str, model: str) -> dict[str, Any]:
    """A row: nats a step of whole test sequences."""
    from vidpred.cli.main import run as command

    latent_sequence.WienerPrior = Increments  # type: ignore[misc]
    torch.set_num_threads(1)
    run = folder / f"{name}-{model}"
    settings = as_options([*SETTINGS, f"train.steps={STEPS[name]}"])
    if command(["train", *training(run, model, ["--data", str(folder / f"{name}.h5"), *settings])]):
        raise SystemExit(f"training stopped: {run}")
    published = float(PAPER[CALLED[name]][model.upper()].removeprefix("< "))
    return {"data": name, "model": model, "paper": published, **scored(run)}


@torch.no_grad()
def scored(run: Path) -> dict[str, float]:
    """By the increments, the true bound, and the importance-weighted one."""
    loaded = load_run(run)
    model: Any = loaded.model
    whole = WholeSequences(loaded.config.data, None, "test")
    totals = torch.zeros(3, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    for numbers in whole.in_groups(len(whole), 16):
        padded = Padded.of(whole.read(numbers), torch.device("cpu"))
        for place, prior in enumerate((Increments(), WienerPrior())):
            model.prior = prior
            bound = model.bound(padded.frames, SAMPLES, lengths=padded.lengths, generator=generator)
            totals[place] += bound.one.sum()
        totals[2] += bound.weighted.sum()
    steps = int(whole.lengths.sum())
    names = ("by_increments", "bound", "importance_weighted")
    return dict(zip(names, (totals / steps).tolist(), strict=True))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
