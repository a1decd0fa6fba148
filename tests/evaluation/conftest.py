import numpy as np
import pytest
import torch

from vidpred.models.base import ModelOptions, VideoModel
from vidpred.sequences import Clips, Sequences


class Lookup(VideoModel):
    """Predicts for each sample what it was told to: (S, N, horizon, C, H, W), sequences known by a mark."""

    stochastic = True

    def __init__(self, futures):
        super().__init__(1, tuple(futures.shape[-2:]), ModelOptions())
        self.futures = futures
        self.sample_of_batch = {}
        self.largest_batch = 0

    def predict(self, context, horizon, *, sample=True, labels=None, generator=None):
        numbers = (context[:, 0, 0, 0, 0] * 255).round().long()
        self.largest_batch = max(self.largest_batch, len(numbers))
        drawn = self.sample_of_batch.get(int(numbers[0]), 0)
        self.sample_of_batch[int(numbers[0])] = drawn + 1
        return self.futures[drawn, numbers, :horizon]


@pytest.fixture
def frames():
    """Eleven sequences of 3 + 4 frames; the first pixel of the first frame is the sequence's number."""
    content = np.random.default_rng(0).integers(0, 256, (11, 7, 1, 12, 13), dtype=np.uint8)
    content[:, 0, 0, 0, 0] = np.arange(11)
    return content


@pytest.fixture
def sequences(tmp_path, frames):
    np.save(tmp_path / "clips.npy", frames)
    return Sequences(Clips(tmp_path / "clips.npy"), "clips", {})


@pytest.fixture
def futures():
    return torch.rand(3, 11, 4, 1, 12, 13, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def lookup():
    return Lookup
