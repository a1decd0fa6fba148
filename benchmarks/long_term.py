"""Long-term prediction (seed 000, section 5.1) at preset small: 100 frames after 20, by the VRNN and the RNN.

python benchmarks/long_term.py FOLDER RESULT.json PICTURE.png FIRST_FRAMES.png

Trains both models on the same sequences for the same number of steps, one core each (runs that are in
FOLDER already are taken as they are, or continued), and scores both on sequences with test digits.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

MODELS = ("vrnn", "rnn")
CONTEXT, HORIZON, SAMPLES = 20, 100, 5
SEQUENCES = 300


def main(folder: Path, result: Path, picture: Path, first_frames: Path) -> None:
    """Trains what is not trained yet, evaluates, draws."""
    folder.mkdir(parents=True, exist_ok=True)
    trainings = [
        subprocess.Popen(vidpred(*training(folder / f"{model}-small", model)), env=one_core())
        for model in MODELS
    ]
    if any(process.wait() for process in trainings):
        sys.exit("a training failed")
    data = folder / "long.h5"
    counts = ["--train", "1000", "--val", "0", "--test", str(SEQUENCES), "--frames", str(CONTEXT + HORIZON)]
    shape = ["--size", "32", "--digit-size", "16"]
    subprocess.run(vidpred("gen-data", "mmnist", "--out", str(data), *counts, *shape), check=True)
    lengths = ["--context", str(CONTEXT), "--horizon", str(HORIZON), "--samples", str(SAMPLES)]
    runs = [str(folder / f"{model}-small") for model in MODELS]
    outputs = ["--json", str(result), "--frames", "10,50,100"]
    subprocess.run(vidpred("evaluate", *runs, "--data", str(data), *lengths, *outputs), check=True)
    draw(folder, data, picture, first_frames)


def training(run: Path, model: str) -> list[str]:
    """The arguments that start a training, or go on with it."""
    if run.exists():
        return ["train", "--resume", str(run)]
    return ["train", model, "--preset", "small", "--set", "train.precision=bf16", "--run", str(run)]


def draw(folder: Path, data: Path, picture: Path, first_frames: Path) -> None:
    """Two test sequences: the truth, two samples of the VRNN, and the RNN's prediction.

    `picture` shows all of the horizon, `first_frames` each of its first 12 frames.
    """
    from vidpred import load_run
    from vidpred.rollout import roll_out_sequences
    from vidpred.sequences import open_sequences
    from vidpred.viz.contact_sheet import write_contact_sheet

    rollouts = {}
    for model in MODELS:
        run = load_run(folder / f"{model}-small")
        sequences = open_sequences(run.config.data, data, "test", length=CONTEXT + HORIZON)
        rollouts[model] = roll_out_sequences(run.model, sequences, range(2), CONTEXT, HORIZON, samples=2)
    vrnn, rnn = (rollouts[model] for model in MODELS)
    predicted = np.concatenate([vrnn.predicted, rnn.predicted])
    names = ["VRNN, sample 1", "VRNN, sample 2", "RNN"]
    write_contact_sheet(picture, vrnn.context, predicted, vrnn.truth, names=names)
    first = predicted[:, :, :12]
    write_contact_sheet(first_frames, vrnn.context, first, vrnn.truth[:, :12], every=1, names=names)


def vidpred(*arguments: str) -> list[str]:
    """A command line of this very installation."""
    return [sys.executable, "-m", "vidpred", *arguments]


def one_core() -> dict[str, str]:
    """The environment for a process that shall leave the other cores alone."""
    return os.environ | {"OMP_NUM_THREADS": "1"}


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:5]))
