"""Every model for equally long on the same data, then the comparison of seed 001 and all experiments.

python benchmarks/compare_models.py FOLDER [options of `vidpred train`, such as --set train.precision=bf16]

Trains the models at preset small, two at a time with a core each; runs that are in FOLDER already are taken
as they are, or continued. What comes of it goes to benchmarks/results/comparison-MACHINE: tables, numbers,
pictures.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from record_kernels import RESULTS, machine_name

MODELS = ("convlstm", "flow_autoencoder", "vpn", "rnn", "vrnn")
COUNT = "500"
EXPERIMENTS = {
    "digit-count": ["--count", "200"],
    "new-glyphs": ["--count", "200"],
    "long-term": ["--count", "64"],
    "out-of-domain": ["--count", "64"],
}
LARGEST = 300_000
"""Bytes of a picture."""


def main(folder: Path, options: list[str]) -> None:
    """Trains what is not trained yet, evaluates, keeps the results."""
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(2) as cores:
        list(cores.map(lambda model: train(folder / model, model, options), MODELS))
    runs = [str(folder / model) for model in MODELS]
    study = folder / "study"
    vidpred("evaluate", *runs, "--count", COUNT, "--samples", "1", "--study", str(study))
    vidpred("rollout", str(folder / "flow_autoencoder"), "--horizon", "10",
            "--out", str(study / "flow-rollout.png"), "--flow", str(study / "flow.png"))  # fmt: skip
    for name, settings in EXPERIMENTS.items():
        vidpred("experiment", name, *runs, *settings, "--out", str(folder / "experiments" / name))
    by_chance = [str(folder / "vrnn"), str(folder / "vpn"), "--set", "model.decoding=sample", "--count", "16"]
    vidpred("experiment", "diversity", *by_chance, "--out", str(folder / "experiments" / "diversity"))
    vidpred("experiment", "latent", str(folder / "vrnn"), "--out", str(folder / "experiments" / "latent"))
    keep(folder)
    draw([folder / model for model in MODELS], RESULTS.parents[1] / "docs" / "first-frames.png")


def train(run: Path, model: str, options: Sequence[str]) -> None:
    """Trains one model on one core, or goes on with it."""
    vidpred("train", *training(run, model, options), env=os.environ | {"OMP_NUM_THREADS": "1"})


def training(run: Path, model: str, options: Sequence[str]) -> list[str]:
    """What `vidpred train` is told to begin a run at preset small, or to go on with it."""
    from vidpred.runs import has_checkpoint

    if has_checkpoint(run, "last"):
        return ["--resume", str(run)]
    shutil.rmtree(run, ignore_errors=True)  # of a training that was killed before its first checkpoint
    return [model, "--preset", "small", "--run", str(run), *options]


def keep(folder: Path) -> None:
    """Copies tables, numbers and pictures, but neither the scores of every sequence nor finished parts."""
    from PIL import Image

    name = this_machine()
    parts = {e: folder / "experiments" / e for e in (*EXPERIMENTS, "diversity", "latent")}
    for part, source in {"study": folder / "study", **parts}.items():
        kept = RESULTS / f"comparison-{name}" / part
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir(parents=True)
        for file in source.iterdir():
            if file.suffix in (".md", ".json", ".png"):
                shutil.copy(file, kept)
            if file.suffix == ".png" and file.stat().st_size > LARGEST:  # fewer colours take less room
                with Image.open(file) as picture:
                    picture.convert("RGB").quantize(64).save(kept / file.name, optimize=True)


def draw(paths: Sequence[Path], picture: Path) -> None:
    """Two test sequences: what was given, what followed, and what each model predicted."""
    import numpy as np

    from vidpred.rollout import roll_out_sequences
    from vidpred.runs import load_runs
    from vidpred.sequences import open_sequences
    from vidpred.viz.contact_sheet import write_contact_sheet

    runs = load_runs(paths)
    sequences = open_sequences(runs[0].config.data, None, "test", length=20)
    made = [roll_out_sequences(run.model, sequences, range(2), 10, 10, samples=1) for run in runs]
    predicted = np.concatenate([rollout.predicted for rollout in made])
    write_contact_sheet(
        picture, made[0].context, predicted, made[0].truth, every=1, names=[run.name for run in runs]
    )


def this_machine() -> str:
    """What the machine is called in the names of results."""
    import torch

    from vidpred.benchmarking.hardware import cpu_name, gpu

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return machine_name({"gpu": gpu(device), "cpu": cpu_name(), "cores": os.cpu_count()})


def vidpred(*arguments: str, env: dict[str, str] | None = None) -> None:
    """Runs a command; what it prints is seen."""
    subprocess.run([sys.executable, "-m", "vidpred", *arguments], check=True, env=env)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2:])
