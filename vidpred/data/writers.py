"""What writes the splits of a data file, sequence by sequence; made by `vidpred.data.hdf5.SequenceWriter`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import h5py
import numpy as np
from numpy.typing import DTypeLike, NDArray

from vidpred.data.notes import KEYS

_CHUNK_BYTES = 2**16
"""About how much of a sequence of any length is read at once, in whole frames."""


class SplitWriter:
    """Writes one split of sequences of one length, sequence by sequence."""

    def __init__(
        self, group: h5py.Group, count: int | None, shape: Sequence[int], digests: dict[str, str]
    ) -> None:
        self._group = group
        self._count = count
        self._digests = digests
        self._hashes: dict[str, Any] = {}
        self._written = 0
        self._frames = self._dataset("frames", shape, np.uint8, chunks=(1, *shape))

    def __len__(self) -> int:
        return self._written

    def append(self, frames: NDArray[np.uint8], **truths: NDArray[Any] | None) -> None:
        """Adds sequences.

        Args:
            frames: (n, T, C, H, W) uint8.
            truths: labels, positions and object_ids of the n sequences, or None where unknown.
        """
        self._grow(self._frames, len(frames))
        for index, sequence in enumerate(np.ascontiguousarray(frames), self._written):
            # A sequence is one chunk: handing it over whole is three times as fast as slicing.
            self._frames.id.write_direct_chunk((index, 0, 0, 0, 0), sequence)
        self._hash("frames", frames)
        for name, values in truths.items():
            if values is not None:
                dataset = self._truth(name, values)
                self._grow(dataset, len(values))
                dataset[self._written : self._written + len(values)] = values
                self._hash(name, values)
        self._written += len(frames)

    def finish(self) -> None:
        """Takes down the sha256 of each dataset."""
        for name, hash_ in self._hashes.items():
            self._digests[f"{self._group.name[1:]}/{name}"] = hash_.hexdigest()

    def _truth(self, name: str, values: NDArray[Any]) -> h5py.Dataset:
        if name not in self._group:
            self._dataset(name, values.shape[1:], values.dtype)
        return self._group[name]

    def _dataset(self, name: str, shape: Sequence[int], dtype: DTypeLike, **layout: Any) -> h5py.Dataset:
        if self._count is None:
            layout["maxshape"] = (None, *shape)
        return self._group.create_dataset(name, (self._count or 0, *shape), dtype, **layout)

    def _grow(self, dataset: h5py.Dataset, more: int) -> None:
        if self._count is None:
            dataset.resize(self._written + more, axis=0)

    def _hash(self, name: str, values: NDArray[Any]) -> None:
        self._hashes.setdefault(name, hashlib.sha256()).update(np.ascontiguousarray(values))


class LongSplitWriter:
    """Writes one split of sequences that differ in length, sequence by sequence.

    The frames of a sequence are taken piece by piece, so that none has to fit in memory.
    """

    def __init__(self, group: h5py.Group, shape: Sequence[int], digests: dict[str, str]) -> None:
        self._group = group
        self._digests = digests
        self._hash: Any = hashlib.sha256()
        self._offsets = [0]
        self._strides: list[int] = []
        self._labels: list[NDArray[Any]] = []
        together = max(1, _CHUNK_BYTES // int(np.prod(shape)))
        self._frames = group.create_dataset(
            "frames", (0, *shape), np.uint8, maxshape=(None, *shape), chunks=(together, *shape)
        )

    def __len__(self) -> int:
        return len(self._strides)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Frames of each sequence so far."""
        return np.diff(np.array(self._offsets))

    @property
    def strides(self) -> NDArray[np.int32]:
        """Frames between the starts of two windows, for each sequence so far."""
        return np.array(self._strides, np.int32)

    def append(
        self, pieces: Iterable[NDArray[np.uint8]], *, stride: int = 0, labels: NDArray[Any] | None = None
    ) -> None:
        """Adds a sequence.

        Args:
            pieces: its frames in order, uint8 (n, C, H, W) each; any n.
            stride: frames between the starts of two windows; 0 for windows that do not overlap.
            labels: (objects,) class numbers; given for all sequences or for none.
        """
        end = self._offsets[-1]
        for piece in pieces:
            self._frames.resize(end + len(piece), axis=0)
            self._frames[end:] = piece
            self._hash.update(np.ascontiguousarray(piece))
            end += len(piece)
        self._offsets.append(end)
        self._strides.append(stride)
        if labels is not None:
            self._labels.append(labels)

    def finish(self) -> None:
        """Writes what is known at the end, and takes down the sha256 of each dataset."""
        rest = {"offsets": np.array(self._offsets), "strides": self.strides}
        if self._labels:
            rest["labels"] = np.stack(self._labels)
        name = self._group.name[1:]
        self._digests[f"{name}/frames"] = self._hash.hexdigest()
        for key, values in rest.items():
            self._group.create_dataset(key, data=values)
            self._digests[f"{name}/{key}"] = hashlib.sha256(values.tobytes()).hexdigest()


class NotesWriter:
    """Writes one split of piano rolls, sequence by sequence."""

    def __init__(self, group: h5py.Group, digests: dict[str, str]) -> None:
        self._group = group
        self._digests = digests
        self._hash: Any = hashlib.sha256()
        self._offsets = [0]
        self._notes = group.create_dataset(
            "notes", (0, KEYS), np.uint8, maxshape=(None, KEYS), chunks=(_CHUNK_BYTES // KEYS, KEYS)
        )

    def __len__(self) -> int:
        return len(self._offsets) - 1

    @property
    def steps(self) -> int:
        """Steps of all sequences so far."""
        return self._offsets[-1]

    def append(self, roll: NDArray[np.uint8]) -> None:
        """Adds a sequence: (T, 88) uint8, 1 where a note sounds and 0 elsewhere."""
        end = self._offsets[-1] + len(roll)
        self._notes.resize(end, axis=0)
        self._notes[self._offsets[-1] :] = roll
        self._hash.update(np.ascontiguousarray(roll))
        self._offsets.append(end)

    def finish(self) -> None:
        """Writes where the sequences lie, and takes down the sha256 of each dataset."""
        name, offsets = self._group.name[1:], np.array(self._offsets)
        self._group.create_dataset("offsets", data=offsets)
        self._digests[f"{name}/notes"] = self._hash.hexdigest()
        self._digests[f"{name}/offsets"] = hashlib.sha256(offsets.tobytes()).hexdigest()
