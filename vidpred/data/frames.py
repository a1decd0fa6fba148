"""A data file as a dataset for training and evaluation."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from vidpred.data.hdf5 import SequenceFile, open_dataset
from vidpred.data.items import as_items
from vidpred.errors import DataError


class FrameDataset(Dataset[Any]):
    """The sequences of one split of a data file, read when asked for.

    Frames stay uint8, so that a batch is converted once. The file is opened by each process that reads it
    and never sent to another, so the dataset works with any number of loader workers.

    Attributes:
        path: the file.
        frame_shape: (T, C, H, W) of every sequence.
    """

    def __init__(self, path: str | os.PathLike[str], split: str = "train", with_labels: bool = False) -> None:
        """Checks the file.

        Args:
            with_labels: items are ``{"frames": ..., "labels": ...}``.

        Raises:
            DataError: the file or the split is missing, damaged or empty, its sequences differ in length,
                or labels are asked for and it has none.
        """
        self.path = Path(path)
        self._split = split
        self._with_labels = with_labels
        self._file: SequenceFile | None = None
        self._process = 0
        with open_dataset(path) as file:
            sequences = file[split]
            if sequences.offsets is not None:
                raise DataError(f"the sequences of {self.path} differ in length, expected one length for all")
            if with_labels and sequences.labels is None:
                raise DataError(f"the split '{split}' of {self.path} has no labels")
            self._count = len(sequences)
            self.frame_shape: tuple[int, int, int, int] = sequences.frames.shape[1:]

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Tensor | dict[str, Tensor]:
        """Sequence `index`: uint8 (T, C, H, W), or a dict that adds the int64 (objects,) labels."""
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Tensor] | list[dict[str, Tensor]]:
        """Many sequences, read into one block of memory."""
        for index in indices:
            if not 0 <= index < self._count:
                raise IndexError(f"sequence {index} of {self._count}")
        sequences = self._opened()[self._split]
        frames = np.empty((len(indices), *self.frame_shape), np.uint8)
        try:
            for row, index in enumerate(indices):
                sequences.frames.read_direct(frames, np.s_[index], np.s_[row])
            labels = [sequences.labels[index] for index in indices] if self._with_labels else None
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {error}") from error
        return as_items(
            torch.from_numpy(frames), None if labels is None else torch.from_numpy(np.stack(labels))
        )

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_file": None}

    def _opened(self) -> SequenceFile:
        # HDF5 handles do not survive a fork: a forked worker must open the file again.
        if self._file is None or self._process != os.getpid():
            self._file = open_dataset(self.path)
            self._process = os.getpid()
        return self._file
