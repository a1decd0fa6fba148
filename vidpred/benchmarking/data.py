"""The data suite: how fast sequences of moving MNIST are written, read, and made on the fly."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset

from vidpred.benchmarking.roofline import Work, gb_per_s
from vidpred.benchmarking.rows import Row
from vidpred.benchmarking.timer import clock_seconds, interleaved_medians
from vidpred.data import FrameDataset, MovingDataset
from vidpred.data.generate import generate
from vidpred.data.motion import MOTIONS
from vidpred.data.moving import MovingSpec

_BATCH = 50
RESULTS = 2 * len(MOTIONS) + 2
"""How many rows `run` yields."""


def run(*, sequences: int, budget: float) -> Iterator[Row]:
    """Yields the rows: writing with each motion, reading in two orders, making on the fly.

    Args:
        sequences: how many of 20 frames of 64x64 a timed call writes, reads or makes.
        budget: seconds of timing for each of the three.
    """
    specs = {motion: MovingSpec(motion=motion) for motion in MOTIONS}
    shape = (sequences, *MovingSpec().frame_shape)
    with tempfile.TemporaryDirectory() as folder:
        writing = {
            f"gen-data {motion}": _writer(Path(folder) / f"{motion}.h5", spec, sequences)
            for motion, spec in specs.items()
        }
        yield from _rows(shape, writing, budget)

        file = FrameDataset(Path(folder) / "razali.h5", split="train")
        in_order = list(range(sequences))
        shuffled = torch.randperm(sequences, generator=torch.Generator().manual_seed(0)).tolist()
        reading = {
            "FrameDataset in order": _reader(file, in_order),
            "FrameDataset shuffled": _reader(file, shuffled),
        }
        yield from _rows(shape, reading, budget)

        making = {
            f"MovingDataset {motion}": _reader(MovingDataset(spec, "train", sequences, seed=0), in_order)
            for motion, spec in specs.items()
        }
        yield from _rows(shape, making, budget)


def _rows(shape: tuple[int, ...], calls: dict[str, Callable[[None], None]], budget: float) -> Iterator[Row]:
    seconds = interleaved_medians(calls, [None], clock_seconds, budget=budget, least=3)
    frames = Work(bytes=torch.Size(shape).numel())
    for stage, time in seconds.items():
        yield Row(
            name="moving MNIST",
            stage=stage,
            shape=shape,
            dtype="uint8",
            device="cpu",
            variant="native",
            ms=time * 1e3,
            gb_per_s=gb_per_s(frames, time),
            frames_per_s=shape[0] * shape[1] / time,
        )


def _writer(path: Path, spec: MovingSpec, sequences: int) -> Callable[[None], None]:
    return lambda _: generate(path, spec, {"train": sequences}, quiet=True)


def _reader(dataset: Dataset[Any], order: list[int]) -> Callable[[None], None]:
    """Reads all sequences in batches, as a loader does."""

    def read(_: None) -> None:
        for first in range(0, len(order), _BATCH):
            dataset.__getitems__(order[first : first + _BATCH])  # type: ignore[attr-defined]

    return read
