"""VOSP cleans frames and VRAE fills gaps of a moving digit: sections 4.2 and 4.3 of seed 003, on video.

python benchmarks/latent_frames.py FOLDER

Trains both through the VRNN's encoder and decoder, a core each; runs that are in FOLDER are continued.
Tables, numbers and pictures: benchmarks/results/latent-frames-MACHINE.
"""

from __future__ import annotations

import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from compare_models import this_machine, train, vidpred
from compare_music import as_options, use
from record_kernels import RESULTS

STEPS = {"vosp": 3000, "vrae": 2500}
SEQUENCES = "--objects 1 --size 32 --digit-size 16 --train 4000 --val 200 --test 200"
SETTINGS = (
    "model.widths=[16,32]",
    "model.kernels=[5,3]",
    "model.latent=32",
    "model.dropout=0",
    "model.learn_dropout=false",
    "model.output_bias=-3",
    "optim.name=adam",
    "optim.learning_rate=0.001",
    "train.validate_every=2",
    "train.sample_every=1000",
)
"""Without dropout a step takes half as long; most pixels of a digit's frame are black, hence the bias."""
WARMUP = {"vosp": 1000, "vrae": 500}


def main(folder: Path) -> None:
    """Trains what is not trained yet, cleans and fills, keeps the results."""
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / "one-digit.h5"
    if not data.exists():
        vidpred("gen-data", "mmnist", *SEQUENCES.split(), "--out", str(data))
    with ThreadPoolExecutor(len(STEPS)) as cores:
        runs = list(cores.map(lambda model: trained(folder, data, model), STEPS))
    kept = RESULTS / f"latent-frames-{this_machine()}"
    kept.mkdir(parents=True, exist_ok=True)
    for run in runs:
        shutil.copy(run / "metrics.jsonl", kept / f"metrics-{run.name}.jsonl")
    paths = [str(run) for run in runs]
    use("denoise", paths, folder / "denoise", kept)
    use("impute", [*paths, "--count", "100"], folder / "impute", kept)


def trained(folder: Path, data: Path, model: str) -> Path:
    """The run of a model, after all its steps."""
    settings = [*SETTINGS, f"train.steps={STEPS[model]}", f"model.kl_warmup={WARMUP[model]}"]
    train(folder / model, model, ["--data", str(data), *as_options(settings)])
    return folder / model


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
