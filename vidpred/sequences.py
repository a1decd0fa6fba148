"""The sequences that models are rolled out on and evaluated on: opened, checked, read in batches."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidpred import runs
from vidpred.config import DataConfig
from vidpred.data.clips import read_clip
from vidpred.data.frames import FrameDataset
from vidpred.data.hdf5 import open_dataset
from vidpred.data.items import as_items
from vidpred.data.video import read_video
from vidpred.errors import ConfigError, DataError, unknown_name
from vidpred.models.base import VideoModel

_ENOUGH_FOR_A_MEAN = 1000
_ENOUGH_FRAMES_FOR_A_MEAN = 20_000


@dataclass(frozen=True)
class Batch:
    """Some sequences: frames (n, T, C, H, W) in [0, 1], labels (n, objects) or None."""

    frames: Tensor
    labels: Tensor | None


class Clips:
    """Frames from a user's own file, with the interface of `vidpred.data.FrameDataset`."""

    def __init__(self, path: Path) -> None:
        self._keep(read_clip(path).copy())

    def _keep(self, frames: NDArray[np.uint8]) -> None:
        self._frames = torch.from_numpy(frames)  # (N, T, C, H, W)
        self.frame_shape = tuple(self._frames.shape[1:])

    def __len__(self) -> int:
        return len(self._frames)

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        return as_items(self._frames[list(indices)], labels=None)


class VideoClip(Clips):
    """Some frames (T, C, H, W) of a video as the only sequence."""

    def __init__(self, frames: NDArray[np.uint8]) -> None:
        self._keep(frames[None])


@dataclass(frozen=True)
class Sequences:
    """The sequences of one split, of one length and one shape of frames.

    Attributes:
        source: what to call them in a message or a report.
        sha256: the digest of each dataset of the data file, where it keeps them.
        steps_per_beat: of piano rolls; where the data file does not say, a step is a beat.
    """

    dataset: Any
    source: str
    sha256: dict[str, str]
    steps_per_beat: int = 1

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
    return getattr(model.options, "classes", 0) > 0 and not model.recognises


def open_sequences(
    trained_on: DataConfig,
    file: Path | None,
    split: str,
    *,
    length: int,
    least: int | None = None,
    with_labels: bool = False,
) -> Sequences:
    """Opens what a model shall be tried on.

    Args:
        trained_on: the data of the model's run, used where no `file` is given. If that is moving objects
            made on the fly, the sequences are made on the fly too, of the wanted `length`.
        file: a data file, or a ``.npy`` or ``.npz`` file of clips, which has no splits.
        split: ``train``, ``val`` or ``test``.
        length: of sequences made on the fly, and of windows where those of a file differ in length.
        least: the least length of windows where none of `length` fits, which then have that of the shortest
            sequence, so that as much is known of what followed as can be; None: that is an error.
        with_labels: read the labels too.

    Raises:
        DataError: the file or split is missing or damaged, has no sequence that is long enough, or has no
            labels where they are wanted.
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
    with open_dataset(file) as opened:
        digests = opened.attributes.get("sha256", {})
        steps_per_beat = opened.attributes.get("config", {}).get("steps_per_beat", 1)
        if least is not None and opened[split].longest < length:
            length = max(least, opened[split].shortest)
    dataset = FrameDataset(file, split=split, with_labels=with_labels, length=length)
    kind = f", windows of {length} frames" if dataset.windowed else ""
    return Sequences(dataset, f"{file} ({split}{kind})", digests, steps_per_beat)


def open_video(file: Path, model: VideoModel, context: int, horizon: int, place: str = "end") -> Sequences:
    """One sequence of a user's own video, resized and in the channels that the model expects.

    Args:
        file: a video file or a folder of pictures.
        context: frames to give to the model.
        horizon: frames that are to be predicted.
        place: ``end``: the last `context` frames; ``start``: the first ones, and after them as many of the
            `horizon` as the video has.

    Raises:
        DataError: the video cannot be read or has too few frames, or the model needs labels.
        ConfigError: another place.
    """
    if place not in ("start", "end"):
        raise unknown_name("part of a video", place, ("start", "end"))
    if wants_labels(model):
        raise DataError(f"{file} has no labels, but the model is conditioned on them")
    if model.channels not in (1, 3):
        raise DataError(f"the model expects frames of {model.channels} channels, a video has 1 or 3")
    frames = read_video(file, channels=model.channels, size=model.size)
    kept = list(islice(frames, context + horizon)) if place == "start" else list(deque(frames, context))
    return Sequences(VideoClip(np.stack(kept)), f"{file} ({place})", {})


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

    Where the sequences of a file differ in length, it is that of up to 20,000 frames from all of them.
    None where the file has no training split, as a file of clips.
    """
    if not has_split(trained_on, file, "train"):
        return None
    on_the_fly = file is None and trained_on.file is None
    training = open_sequences(trained_on, file, "train", length=trained_on.frames if on_the_fly else 1)
    if getattr(training.dataset, "windowed", False):
        apart = -(-len(training) // _ENOUGH_FRAMES_FOR_A_MEAN)
        numbers = range(0, len(training), apart)
    else:
        numbers = range(min(len(training), _ENOUGH_FOR_A_MEAN))
    total = torch.zeros(training.frame_shape[1:], dtype=torch.float64)
    for batch in training.batches(numbers, batch=100):
        total += batch.frames.sum(dim=(0, 1), dtype=torch.float64)
    return (total / (len(numbers) * training.frame_shape[0])).float()


def require_positive(**values: int) -> None:
    """Raises `ConfigError` for the first value under 1, with its name."""
    for name, value in values.items():
        if value < 1:
            raise ConfigError(f"{name} must be at least 1, got {value}")
