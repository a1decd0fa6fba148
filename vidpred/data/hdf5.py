"""The one file format of all data: reading and writing HDF5 files of video sequences.

Groups ``train``, ``val`` and ``test``, each present only if it has sequences, with

- ``frames``: uint8 (N, T, C, H, W), one chunk per sequence, not compressed; or, where sequences differ in
  length, uint8 (total, C, H, W) with ``offsets`` int64 (N + 1,): sequence i is frames offsets[i] to
  offsets[i + 1]. Clips are then windows of a wanted length, cut when read: ``strides`` int32 (N,) are the
  frames between the starts of two windows of a sequence, 0 for windows that do not overlap, and the
  attribute ``windows_from`` of the group says whether they are laid out from the ``start`` or from the
  ``end`` of a sequence; see `vidpred.data.windows`;
- optionally ``labels`` (N, objects) class numbers, ``positions`` int16 (N, T, objects, 2) the pixel (x, y)
  of the top left corner of each object, and ``object_ids`` int32 (N, objects) which picture it is.

Root attributes: ``format_version``, ``command`` that makes the file, ``seed``, and as JSON ``config`` (every
setting), ``sources`` (sha256 of each file that went in) and ``sha256`` (of the bytes of each dataset).
Where labels have names, also as JSON ``classes``, a list of names in the order of the labels, and where the
classes belong to groups, ``groups``, the name of the group of each class.

The same content gives the same bytes of the file.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import DTypeLike, NDArray

from vidpred.data.randomness import SPLITS
from vidpred.data.windows import WINDOWS_FROM
from vidpred.errors import DataError
from vidpred.files import replacing

FORMAT_VERSION = 1
_TRUTHS = ("labels", "positions", "object_ids")
_JSON_ATTRIBUTES = ("config", "sources", "sha256", "classes", "groups")
_CHUNK_BYTES = 2**16
"""About how much of a sequence of any length is read at once, in whole frames."""


class Split:
    """The sequences of one split of an open file. Nothing is read before it is indexed.

    Attributes:
        frames: uint8 (N, T, C, H, W), or (total, C, H, W) if `offsets` is not None.
        offsets: int64 (N + 1,) if the sequences differ in length.
        strides: int32 (N,) frames between the starts of two windows, if the sequences differ in length.
        windows_from: ``start`` or ``end``, where the windows of a sequence are laid out from.
        labels: (N, objects) or None.
        positions: (N, T, objects, 2) or None.
        object_ids: (N, objects) or None.
    """

    def __init__(self, group: h5py.Group) -> None:
        self.frames: h5py.Dataset = group["frames"]
        self.offsets: NDArray[np.int64] | None = group["offsets"][()] if "offsets" in group else None
        self.strides: NDArray[np.int32] | None = None
        if self.offsets is not None:
            self.strides = group["strides"][()] if "strides" in group else np.zeros(len(self), np.int32)
        self.windows_from = str(group.attrs.get("windows_from", WINDOWS_FROM[0]))
        self.labels, self.positions, self.object_ids = (group.get(name) for name in _TRUTHS)

    def __len__(self) -> int:
        return len(self.frames) if self.offsets is None else len(self.offsets) - 1

    def sequence(self, index: int) -> NDArray[np.uint8]:
        """The frames of sequence `index`: (T, C, H, W)."""
        if self.offsets is None:
            return self.frames[index]
        return self.frames[self.offsets[index] : self.offsets[index + 1]]

    @property
    def longest(self) -> int:
        """Frames of the longest sequence."""
        return int(self.frames.shape[1] if self.offsets is None else np.diff(self.offsets).max())


class SequenceFile(Mapping[str, Split]):
    """An open data file: a mapping from the names of its splits to `Split`.

    Attributes:
        path: where it is.
        attributes: the root attributes, the JSON ones decoded.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Opens and checks the file; see `open_dataset`."""
        self.path = Path(path)
        self._file = _opened(self.path)
        try:
            self.attributes = self._read_attributes()
            self._splits = {name: self._split(name) for name in SPLITS if name in self._file}
        except BaseException:
            self.close()
            raise

    def __getitem__(self, name: str) -> Split:
        """The split, which has at least one sequence. Raises `DataError` if there is none such."""
        if name not in self._splits:
            known = ", ".join(self._splits) or "none"
            raise DataError(f"{self.path} has no split '{name}' (its splits: {known})")
        if len(self._splits[name]) == 0:
            raise DataError(f"the split '{name}' of {self.path} is empty")
        return self._splits[name]

    def __contains__(self, name: object) -> bool:
        return name in self._splits

    def __iter__(self) -> Iterator[str]:
        return iter(self._splits)

    def __len__(self) -> int:
        return len(self._splits)

    def __enter__(self) -> SequenceFile:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file; its splits can no longer be read."""
        self._file.close()

    def _read_attributes(self) -> dict[str, Any]:
        stored = dict(self._file.attrs)
        if "format_version" not in stored:
            raise DataError(f"{self.path} is an HDF5 file but not one of vidpred's (no format_version)")
        if stored["format_version"] > FORMAT_VERSION:
            raise DataError(
                f"{self.path} has format version {stored['format_version']}, "
                f"newer than the {FORMAT_VERSION} that this vidpred reads"
            )
        return {key: json.loads(value) if key in _JSON_ATTRIBUTES else value for key, value in stored.items()}

    def _split(self, name: str) -> Split:
        frames = self._file.get(f"{name}/frames")
        rank = 4 if f"{name}/offsets" in self._file else 5
        if not isinstance(frames, h5py.Dataset) or frames.dtype != np.uint8 or frames.ndim != rank:
            raise DataError(f"{self.path} is damaged: {name}/frames is not uint8 of {rank} dimensions")
        split = Split(self._file[name])
        if split.offsets is not None:
            _check_offsets(split, f"{self.path} is damaged: {name}")
        return split


def _check_offsets(split: Split, damaged: str) -> None:
    offsets, strides = split.offsets, split.strides
    assert offsets is not None
    assert strides is not None
    if offsets.ndim != 1 or len(offsets) == 0 or offsets[0] != 0 or (np.diff(offsets) < 0).any():
        raise DataError(f"{damaged}/offsets do not rise from 0")
    if offsets[-1] > len(split.frames):
        raise DataError(f"{damaged}/offsets go to {offsets[-1]}, beyond its {len(split.frames)} frames")
    if strides.shape != (len(split),) or (strides < 0).any():
        raise DataError(f"{damaged}/strides are not {len(split)} numbers >= 0")
    if split.windows_from not in WINDOWS_FROM:
        raise DataError(f"{damaged} has windows_from '{split.windows_from}', expected start or end")


def open_dataset(path: str | os.PathLike[str]) -> SequenceFile:
    """Opens a data file; use it in a ``with`` statement.

    Returns:
        A mapping: ``d["train"].frames[0]`` is uint8 (T, C, H, W); see `SequenceFile` and `Split`.

    Raises:
        DataError: the file is missing, truncated, not HDF5, not vidpred's, or of a newer format.
    """
    return SequenceFile(path)


def _opened(path: Path) -> h5py.File:
    if not path.exists():
        raise DataError(f"data file {path} does not exist")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        if "truncated file" in str(error):
            reason = f"is truncated ({path.stat().st_size} bytes are left)"
        elif "signature not found" in str(error):
            reason = "is not an HDF5 file"
        elif error.errno:
            reason = f"cannot be read: {os.strerror(error.errno).lower()}"
        else:
            reason = "is a damaged HDF5 file"
        raise DataError(f"data file {path} {reason}") from error


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


class SequenceWriter:
    """Writes a data file; made by `create_dataset`."""

    def __init__(self, file: h5py.File) -> None:
        self._file = file
        self._digests: dict[str, str] = {}

    @contextmanager
    def split(self, name: str, count: int | None, shape: Sequence[int]) -> Iterator[SplitWriter]:
        """A split of `count` sequences of shape (T, C, H, W), all to be appended inside the block.

        Where `count` is None, there are as many as are appended.
        """
        writer = SplitWriter(self._file.create_group(name), count, shape, self._digests)
        yield writer
        writer.finish()

    @contextmanager
    def long_split(
        self, name: str, shape: Sequence[int], windows_from: str = WINDOWS_FROM[0]
    ) -> Iterator[LongSplitWriter]:
        """A split of sequences of any length, frames of shape (C, H, W), to be appended inside the block.

        Without any there is no such split.

        Args:
            windows_from: ``start`` or ``end``, where the windows of a sequence are laid out from.
        """
        group = self._file.create_group(name)
        group.attrs["windows_from"] = windows_from
        writer = LongSplitWriter(group, shape, self._digests)
        yield writer
        if len(writer):
            writer.finish()
        else:
            del self._file[name]

    def finish(self) -> None:
        """Writes down the sha256 of every dataset."""
        self._file.attrs["sha256"] = json.dumps(self._digests, sort_keys=True)


@contextmanager
def create_dataset(
    path: str | os.PathLike[str],
    *,
    command: str,
    config: Mapping[str, Any],
    seed: int,
    sources: Mapping[str, str],
    classes: Sequence[str] = (),
    groups: Sequence[str] = (),
) -> Iterator[SequenceWriter]:
    """Writes a data file that appears at `path` when the block ends without error, and not before.

    Args:
        command: what makes this file again.
        config: every setting, for the ``config`` attribute.
        sources: name -> sha256 of every file that went in; may still be filled inside the block.
        classes: the name of each class, in the order of the labels, where they have names.
        groups: the name of the group of each class, where they belong to groups.

    Raises:
        OutputError: the file cannot be written.
    """
    with replacing(path) as temporary, _plain_errors(), h5py.File(temporary, "w") as file:
        file.attrs["format_version"] = FORMAT_VERSION
        file.attrs["command"] = command
        file.attrs["seed"] = seed
        file.attrs["config"] = json.dumps(config, sort_keys=True)
        for name, names in (("classes", classes), ("groups", groups)):
            if names:
                file.attrs[name] = json.dumps(list(names))
        writer = SequenceWriter(file)
        yield writer
        file.attrs["sources"] = json.dumps(sources, sort_keys=True)
        writer.finish()


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Turns HDF5's report of a failed write, a page long, into the operating system's own words."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        for number in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EIO):
            if f"errno = {number}," in str(error):
                raise OSError(number, os.strerror(number)) from error
        raise
