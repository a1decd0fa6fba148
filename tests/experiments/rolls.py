"""Small piano rolls with a structure that is easily learnt, and runs that have learnt it."""

import json

import numpy as np
import torch

from vidpred import runs
from vidpred.cli.main import run as vidpred
from vidpred.data.hdf5 import create_dataset
from vidpred.experiments.whole_sequences import Padded
from vidpred.models.registry import build
from vidpred.training.settings import resolve_settings

CHORDS = np.array([[39, 43, 46, 51], [44, 48, 51, 56], [46, 50, 53, 58], [36, 39, 43, 48]])
HELD = 3
"""Steps of a chord; after the last comes the first again."""
COUNTS = {"train": 40, "val": 8, "test": 12}


def chords(steps, phase):
    """(steps, 88) 0/1: the chords in their order, from somewhere on."""
    notes = np.zeros((steps, 88), np.uint8)
    for step, sounding in enumerate(CHORDS[(np.arange(steps) + phase) // HELD % len(CHORDS)]):
        notes[step, sounding] = 1
    return notes


def rolls(split, shortest=10, longest=16):
    """The piano rolls of a split, of different lengths."""
    random = np.random.default_rng(len(split))
    return [chords(random.integers(shortest, longest + 1), random.integers(12)) for _ in range(COUNTS[split])]


def write_rolls(path, splits, sources=None, config=None):
    """A data file of piano rolls: name of a split -> its rolls (T, 88)."""
    with create_dataset(path, command="", config=config or {}, seed=0, sources=sources or {}) as file:
        for name, sequences in splits.items():
            with file.note_split(name) as writer:
                for sequence in sequences:
                    writer.append(sequence)
    return path


def make_sequence_run(path, model, file, *settings, steps=0):
    """The folder of a run of a small network on a file, after so many steps of training."""
    small = ["data.frames=20", "model.dropout=0", "model.spectral_radius=1.0"]
    if model != "fdrnn":
        small += ["model.learn_dropout=false", "model.spread=head", "model.posterior=independent"]
    resolved = resolve_settings(model, "tiny", data=file, assignments=[*small, *settings])
    runs.create(path, resolved)
    torch.manual_seed(0)
    network = build(resolved.config)
    learn(network, steps)
    runs.save_checkpoint(path, "last", network, {})
    return path


def learn(network, steps):
    """Trains on the chords; plain Adam, as how it is trained is not what is tested here."""
    read = [roll[:, None, None].astype(np.float32) for roll in rolls("train")]
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    generator = torch.Generator().manual_seed(0)
    for step in range(steps):
        optimiser.zero_grad()
        batch = Padded.of(read[step % 4 :: 4], torch.device("cpu"))
        network.loss(batch.frames, 0, lengths=batch.lengths, generator=generator)["loss"].backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 10.0)
        optimiser.step()


def tried():
    """The sequences of the test split, as the models see them."""
    return [roll[:, None, None].astype(np.float32) for roll in rolls("test")]


def experiment(name, *arguments):
    """The exit code of an experiment on the command line."""
    return vidpred(["experiment", name, *map(str, arguments), "--device=cpu"])


def results(folder, name):
    """What an experiment wrote into the folder of a run."""
    return json.loads((folder / "experiments" / name / "results.json").read_text())
