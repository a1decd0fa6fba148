"""A data file as a dataset for training and evaluation."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from vidpred.data.hdf5 import SequenceFile, Split, open_dataset
from vidpred.data.items import as_items
from vidpred.data.windows import cut_chunks, cut_windows
from vidpred.errors import DataError


class FrameDataset(Dataset[Any]):
    """The sequences of one split of a data file, read when asked for.

    Where the sequences of the file differ in length, the items are windows of one length, laid out as the
    file says (`vidpred.data.windows`); sequences that are shorter are left out. Padded, they are all of the
    file instead: each sequence is cut into successive chunks (seed 003, appendix), and a chunk that is
    shorter than the others, the last of a sequence, has black frames in front.

    Frames stay uint8, so that a batch is converted once. The file is opened by each process that reads it
    and never sent to another, so the dataset works with any number of loader workers.

    Attributes:
        path: the file.
        frame_shape: (T, C, H, W) of every item.
        windowed: whether the items are windows or chunks of longer sequences.
        lengths: int64 (items,), how many frames at the end of each item are the sequence, if it is padded.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        split: str = "train",
        with_labels: bool = False,
        length: int | None = None,
        padded: bool = False,
    ) -> None:
        """Checks the file.

        Args:
            with_labels: items are ``{"frames": ..., "labels": ...}``.
            length: frames of a window or chunk. Sequences of one length are taken whole, whatever it is.
            padded: cut chunks, not windows; items are ``{"frames": ..., "length": ...}``.

        Raises:
            DataError: the file or the split is missing, damaged or empty, its sequences differ in length and
                no length is given or all are shorter, or labels are asked for and it has none.
        """
        self.path = Path(path)
        self._split = split
        self._with_labels = with_labels
        self._file: SequenceFile | None = None
        self._process = 0
        with open_dataset(path) as file:
            sequences = file[split]
            if with_labels and sequences.labels is None:
                raise DataError(f"the split '{split}' of {self.path} has no labels")
            self.windowed = sequences.offsets is not None
            self.frame_shape: tuple[int, int, int, int]
            self.lengths: NDArray[np.int64] | None = None
            if self.windowed:
                if length is None:
                    raise DataError(
                        f"the sequences of {self.path} differ in length: expected a length of the windows "
                        "to cut"
                    )
                self._cut(sequences, length, padded)
                self._count = len(self._first)
                self.frame_shape = (length, *sequences.frames.shape[1:])
            else:
                self._count = len(sequences)
                self.frame_shape = sequences.frames.shape[1:]
                if padded:
                    self.lengths = np.full(self._count, self.frame_shape[0])

    def _cut(self, split: Split, length: int, padded: bool) -> None:
        """Finds the sequence of each window or chunk, and its first frame in the file."""
        assert split.offsets is not None
        assert split.strides is not None
        frames = np.diff(split.offsets)
        if padded:
            self._sequence, start, self.lengths = cut_chunks(frames, length)
        else:
            self._sequence, start = cut_windows(frames, split.strides, length, split.windows_from)
        if len(start) == 0:
            raise DataError(
                f"windows of {length} frames were asked for, but the longest sequence of the split "
                f"'{self._split}' of {self.path} has {split.longest}"
            )
        self._first = split.offsets[self._sequence] + start

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Tensor | dict[str, Tensor]:
        """Sequence `index`: uint8 (T, C, H, W), or a dict that adds int64 (objects,) labels or the length."""
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Tensor] | list[dict[str, Tensor]]:
        """Many sequences, read into one block of memory."""
        for index in indices:
            if not 0 <= index < self._count:
                raise IndexError(f"sequence {index} of {self._count}")
        sequences = self._opened()[self._split]
        frames = np.zeros((len(indices), *self.frame_shape), np.uint8)
        try:
            for row, index in enumerate(indices):
                place, target = self._places(index)
                sequences.frames.read_direct(frames[row], place, target)
            numbers = self._sequence[indices] if self.windowed else indices
            labels = [sequences.labels[number] for number in numbers] if self._with_labels else None
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {error}") from error
        return as_items(
            torch.from_numpy(frames),
            None if labels is None else torch.from_numpy(np.stack(labels)),
            None if self.lengths is None else torch.from_numpy(self.lengths[indices]),
        )

    def _places(self, index: int) -> tuple[Any, Any]:
        """Where the frames of an item are in the file, and where they belong in the item."""
        if not self.windowed:
            return index, np.s_[:]
        most = self.frame_shape[0]
        length = most if self.lengths is None else int(self.lengths[index])
        first = int(self._first[index])
        return slice(first, first + length), slice(most - length, most)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_file": None}

    def _opened(self) -> SequenceFile:
        # HDF5 handles do not survive a fork: a forked worker must open the file again.
        if self._file is None or self._process != os.getpid():
            self._file = open_dataset(self.path)
            self._process = os.getpid()
        return self._file
