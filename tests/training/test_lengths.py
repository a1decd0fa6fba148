"""Training on sequences of different lengths: what counts for how much."""

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import Field
from safetensors.torch import load_file
from torch import nn

from vidpred import config, runs, training
from vidpred.data.hdf5 import create_dataset
from vidpred.errors import ConfigError
from vidpred.models import registry
from vidpred.models.base import ModelOptions, VideoModel
from vidpred.training import resolve_settings
from vidpred.training.batches import Batch, split_batch

LENGTHS = {"train": (9, 3, 11, 1), "val": (2, 13, 7)}
MOST = 5


class LevelOptions(ModelOptions):
    start: float = Field(0.25)


class Level(VideoModel):
    """Learns one brightness, by its squared error over the frames after the context."""

    Options = LevelOptions
    takes_lengths = True
    least_context = 0

    def __init__(self, channels, size, options):
        super().__init__(channels, size, options)
        self.level = nn.Parameter(torch.tensor(options.start))

    def loss(self, frames, context=1, *, labels=None, lengths=None, generator=None):
        steps = frames.shape[1]
        assert lengths.dtype == torch.int64
        place = torch.arange(steps) - (steps - lengths)[:, None]  # (N, T), < 0 in what is padded
        assert frames[place < 0].count_nonzero() == 0
        covered = place >= context
        errors = (frames - self.level).square().mean(dim=(2, 3, 4))
        mean = (errors * covered).sum() / covered.sum().clamp(min=1)
        return {"loss": mean, "mse": mean.detach()}

    def predict(self, context, horizon, *, sample=True, labels=None, generator=None):
        return self.level.detach().clamp(0, 1).expand(len(context), horizon, *context.shape[2:])


@pytest.fixture
def content():
    """Bright sequences of different lengths; 0 occurs in none, so that padding shows."""
    random = np.random.default_rng(0)
    return {
        split: [random.integers(1, 256, (length, 1, 2, 3), np.uint8) for length in lengths]
        for split, lengths in LENGTHS.items()
    }


@pytest.fixture
def make_run(monkeypatch, tmp_path, content):
    with create_dataset(tmp_path / "data.h5", command="", config={}, seed=0, sources={}) as file:
        for split, sequences in content.items():
            with file.long_split(split, (1, 2, 3)) as writer:
                for sequence in sequences:
                    writer.append([sequence])
    monkeypatch.setitem(registry.MODELS, "level", Level)
    monkeypatch.setattr(config, "presets", lambda name: {"tiny": {}})

    def make(name, *assignments):
        settings = [f"data.frames={MOST}", "train.context=0", "train.steps=1", *assignments]
        resolved = resolve_settings("level", "tiny", data=tmp_path / "data.h5", assignments=settings)
        runs.create(tmp_path / name, resolved)
        training.train(tmp_path / name, device="cpu", quiet=True)
        return tmp_path / name

    return make


def level(path):
    return load_file(path / "checkpoints" / "last" / "model.safetensors")["level"].item()


def mean_error(sequences, level, context):
    """Over the frames after the first `context` of each piece of at most MOST frames."""
    pieces = [sequence[at : at + MOST] for sequence in sequences for at in range(0, len(sequence), MOST)]
    return np.mean((np.concatenate([piece[context:] for piece in pieces]) / 255 - level) ** 2)


@pytest.mark.parametrize("context", [0, 2])
@pytest.mark.parametrize("batch", [1, 2, 3, 100])
def test_validation_is_the_mean_over_all_frames_whatever_the_batch(make_run, content, batch, context):
    path = make_run("run", f"train.batch={batch}", f"train.context={context}")
    (found,) = (line["mse"] for line in runs.read_metrics(path) if line["split"] == "val")
    assert found == pytest.approx(mean_error(content["val"], level(path), context), rel=1e-5)


@pytest.mark.parametrize("pieces", [1, 2, 7])
@pytest.mark.parametrize("context", [0, 2])
def test_a_step_follows_the_gradient_of_the_mean_over_all_frames(make_run, content, pieces, context):
    steps = ["optim.name=rmsprop", "optim.decay=0.5", "optim.learning_rate=0.01", "train.batch=100"]
    path = make_run(
        "run", *steps, "train.log_every=1", f"train.accumulate={pieces}", f"train.context={context}"
    )
    train = [line for line in runs.read_metrics(path) if line["split"] == "train"]
    assert train[0]["loss"] == pytest.approx(mean_error(content["train"], 0.25, context), rel=1e-5)
    # The derivative of a mean of squares is twice the mean difference.
    around = [mean_error(content["train"], 0.25 + step, context) for step in (-1e-4, 1e-4)]
    assert train[0]["grad_norm"] == pytest.approx(abs(around[1] - around[0]) / 2e-4, rel=1e-4)


def test_a_batch_without_a_frame_to_learn_changes_nothing(make_run):
    # Of the chunks, 5, 4, 3, 5, 5, 1 and 1 frames long, batches of one meet those of one frame too.
    path = make_run("run", "train.batch=1", "train.context=1", "train.steps=7", "train.log_every=1")
    losses = [line["loss"] for line in runs.read_metrics(path) if line["split"] == "train"]
    assert len(losses) == 7
    assert sorted(losses)[:2] == [0, 0] < sorted(losses)[2:3]


def test_frames_per_second_are_those_of_the_sequences(content):
    frames = torch.zeros(3, 5, 1, 2, 3, dtype=torch.uint8)
    batch = split_batch({"frames": frames, "length": torch.tensor([5, 2, 1])}, torch.device("cpu"))
    assert batch.frame_count == 8
    assert [batch.weight(context) for context in (0, 1, 4)] == [8, 5, 1]
    assert [piece.lengths.tolist() for piece in batch.pieces(2)] == [[5, 2], [1]]
    plain = split_batch(frames, torch.device("cpu"))
    assert plain == Batch(plain.frames, None, None)
    assert (plain.frame_count, plain.weight(3)) == (15, 3)


def test_samples_show_the_longest_sequences_without_their_padding(make_run, monkeypatch):
    shown = []
    monkeypatch.setattr(
        "vidpred.training.samples.write_contact_sheet",
        lambda path, *parts: shown.append(parts) or Image.new("L", (1, 1)).save(path),
    )
    make_run("run", "eval.context=2")
    ((known, predicted, truth),) = shown
    # Pieces of 2, 5, 5, 3, 5 and 2 frames: the three of 5 and the one of 3.
    assert (known.shape, predicted.shape, truth.shape) == (
        (4, 2, 1, 2, 3),
        (1, 4, 1, 1, 2, 3),
        (4, 1, 1, 2, 3),
    )
    assert known.min() > 0
    assert truth.min() > 0


def test_a_context_as_long_as_all_sequences_is_refused(make_run):
    with pytest.raises(ConfigError, match=r"longest of the split 'train' of .* has 11, got 15"):
        make_run("run", "data.frames=100", "train.context=15")


def test_models_that_need_a_frame_refuse_a_context_of_none():
    for name in ("rnn", "vrnn", "convlstm", "convttlstm", "flow_autoencoder", "vpn"):
        with pytest.raises(
            ConfigError, match=f"train.context must be at least 1 for the model {name}, got 0"
        ):
            resolve_settings(name, "tiny", assignments=["train.context=0"])
