"""The sequences that models are rolled out on and evaluated on: opened, checked, read in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vidpred import runs
from vidpred.config import DataConfig
from vidpred.data.clips import read_clip
from vidpred.data.frames import FrameDataset
from vidpred.data.hdf5 import open_dataset
from vidpred.data.items import as_items
from vidpred.errors import ConfigError, DataError
from vidpred.models.base import VideoModel

_ENOUGH_FOR_A_MEAN = 1000


@dataclass(frozen=True)
class Batch:
    """Some sequences: frames (n, T, C, H, W) in [0, 1], labels (n, objects) or None."""

    frames: Tensor
    labels: Tensor | None


class Clips:
    """Frames from a user's own file, with the interface of `vidpred.data.FrameDataset`."""

    def __init__(self, path: Path) -> None:
        self._frames = torch.from_numpy(read_clip(path).copy())  # (N, T, C, H, W) uint8
        self.frame_shape = tuple(self._frames.shape[1:])

    def __len__(self) -> int:
        return len(self._frames)

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        return as_items(self._frames[list(indices)], labels=None)


@dataclass(frozen=True)
class Sequences:
    """The sequences of one split, of one length and one shape of frames.

    Attributes:
        source: what to call them in a message or a report.
        sha256: the digest of each dataset of the data file, where it keeps them.
    """

    dataset: Any
    source: str
    sha256: dict[str, str]

    def __len__(self) -> int:
        return len(self.dataset)

    @property
    def frame_shape(self) -> tuple[int, int, int, int]:
        """(T, C, H, W)."""
        shape: tuple[int, int, int, int] = self.dataset.frame_shape
        return shape

    def batches(self, indices: Sequence[int], batch: int) -> Iterator[Batch]:
        """Reads the sequences with these numbers, `batch` at a time; nothing is kept."""
        for start in range(0, len(indices), batch):
            items = self.dataset.__getitems__(indices[start : start + batch])
            if isinstance(items[0], dict):
                frames = torch.stack([item["frames"] for item in items])
                labels = torch.stack([item["labels"] for item in items])
            else:
                frames, labels = torch.stack(items), None
            yield Batch(frames.float() / 255, labels)

    def check_fits(self, model: VideoModel, name: str) -> None:
        """Raises `DataError` unless the frames have the size and channels of the model called `name`."""
        expected, found = (model.channels, *model.size), tuple(self.frame_shape[1:])
        if found != expected:
            raise DataError(
                f"{name} expects frames of {describe_shape(expected)}, "
                f"but those of {self.source} are {describe_shape(found)}"
            )

    def check_length(self, context: int, horizon: int = 0) -> None:
        """Raises `DataError` unless a sequence has `context` frames and the `horizon` after them."""
        length = self.frame_shape[0]
        if context + horizon > length:
            wanted = f"a context of {context}" + (f" and a horizon of {horizon}" if horizon else "")
            raise DataError(
                f"{wanted} frames {'do' if horizon else 'does'} not fit into the sequences of {self.source}, "
                f"which have {length}"
            )

    def check_numbers(self, first: int, count: int) -> None:
        """Raises `DataError` unless there are `count` sequences from number `first` (from 0) on."""
        if first + count > len(self):
            raise DataError(
                f"sequence {first + count - 1} was asked for, but {self.source} has only 0 to {len(self) - 1}"
            )


def describe_shape(shape: Sequence[int]) -> str:
    """(1, 64, 64) -> ``1 channel, 64x64``."""
    channels, height, width = shape
    return f"{channels} channel{'s' * (channels > 1)}, {height}x{width}"


def wants_labels(model: VideoModel) -> bool:
    """Whether the model is conditioned on the classes of the objects."""
    return getattr(model.options, "classes", 0) > 0


def open_sequences(
    trained_on: DataConfig, file: Path | None, split: str, *, length: int, with_labels: bool = False
) -> Sequences:
    """Opens what a model shall be tried on.

    Args:
        trained_on: the data of the model's run, used where no `file` is given. If that is moving objects
            made on the fly, the sequences are made on the fly too, of the wanted `length`.
        file: a data file, or a ``.npy`` or ``.npz`` file of clips, which has no splits.
        split: ``train``, ``val`` or ``test``.
        with_labels: read the labels too.

    Raises:
        DataError: the file or split is missing or damaged, or has no labels where they are wanted.
    """
    file = file or (Path(trained_on.file) if trained_on.file else None)
    if file is None:
        made = runs.open_split(trained_on, split, with_labels=with_labels, frames=length)
        kind = "moving MNIST" if trained_on.kind == "mmnist" else f"moving {trained_on.kind}"
        return Sequences(made, f"{kind} made on the fly ({split}, seed {trained_on.seed})", {})
    if is_clips(file):
        if with_labels:
            raise DataError(f"{file} has no labels, but the model is conditioned on them")
        return Sequences(Clips(file), str(file), {})
    dataset = FrameDataset(file, split=split, with_labels=with_labels)
    with open_dataset(file) as opened:
        digests = opened.attributes.get("sha256", {})
    return Sequences(dataset, f"{file} ({split})", digests)


def is_clips(file: Path) -> bool:
    """Whether the file is a NumPy one, to judge by its name."""
    return file.suffix.lower() in (".npy", ".npz")


def has_split(trained_on: DataConfig, file: Path | None, split: str) -> bool:
    """Whether there are sequences of that split, where `open_sequences` would look for them.

    A file of clips has no splits.
    """
    file = file or (Path(trained_on.file) if trained_on.file else None)
    if file is None:
        return True
    if is_clips(file):
        return False
    with open_dataset(file) as opened:
        return split in opened


def mean_training_frame(trained_on: DataConfig, file: Path | None) -> Tensor | None:
    """The mean of each pixel over the training split (its first 1,000 sequences): (C, H, W) in [0, 1].

    None where the file has no training split, as a file of clips.
    """
    if not has_split(trained_on, file, "train"):
        return None
    training = open_sequences(trained_on, file, "train", length=trained_on.frames)
    count = min(len(training), _ENOUGH_FOR_A_MEAN)
    total = torch.zeros(training.frame_shape[1:], dtype=torch.float64)
    for batch in training.batches(range(count), batch=100):
        total += batch.frames.sum(dim=(0, 1), dtype=torch.float64)
    return (total / (count * training.frame_shape[0])).float()


def require_positive(**values: int) -> None:
    """Raises `ConfigError` for the first value under 1, with its name."""
    for name, value in values.items():
        if value < 1:
            raise ConfigError(f"{name} must be at least 1, got {value}")
