"""The one file format of all data: reading and writing HDF5 files of video sequences.

Groups ``train``, ``val`` and ``test``, each present only if it has sequences, with

- ``frames``: uint8 (N, T, C, H, W), one chunk per sequence, not compressed; or, where sequences differ in
  length, uint8 (total, C, H, W) with ``offsets`` int64 (N + 1,): sequence i is frames offsets[i] to
  offsets[i + 1];
- optionally ``labels`` (N, objects) class numbers, ``positions`` int16 (N, T, objects, 2) the pixel (x, y)
  of the top left corner of each object, and ``object_ids`` int32 (N, objects) which picture it is.

Root attributes: ``format_version``, ``command`` that makes the file, ``seed``, and as JSON ``config`` (every
setting), ``sources`` (sha256 of each file that went in) and ``sha256`` (of the bytes of each dataset).

The same content gives the same bytes of the file.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from vidpred.data.randomness import SPLITS
from vidpred.errors import DataError
from vidpred.files import replacing

FORMAT_VERSION = 1
_TRUTHS = ("labels", "positions", "object_ids")
_JSON_ATTRIBUTES = ("config", "sources", "sha256")


class Split:
    """The sequences of one split of an open file. Nothing is read before it is indexed.

    Attributes:
        frames: uint8 (N, T, C, H, W), or (total, C, H, W) if `offsets` is not None.
        offsets: int64 (N + 1,) if the sequences differ in length.
        labels: (N, objects) or None.
        positions: (N, T, objects, 2) or None.
        object_ids: (N, objects) or None.
    """

    def __init__(self, group: h5py.Group) -> None:
        self.frames: h5py.Dataset = group["frames"]
        self.offsets = group["offsets"][()] if "offsets" in group else None
        self.labels, self.positions, self.object_ids = (group.get(name) for name in _TRUTHS)

    def __len__(self) -> int:
        return len(self.frames) if self.offsets is None else len(self.offsets) - 1

    def sequence(self, index: int) -> NDArray[np.uint8]:
        """The frames of sequence `index`: (T, C, H, W)."""
        if self.offsets is None:
            return self.frames[index]
        return self.frames[self.offsets[index] : self.offsets[index + 1]]


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
        return Split(self._file[name])


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
    """Writes one split, sequence by sequence."""

    def __init__(self, group: h5py.Group, count: int, shape: Sequence[int], digests: dict[str, str]) -> None:
        self._group = group
        self._count = count
        self._digests = digests
        self._hashes: dict[str, Any] = {}
        self._written = 0
        self._frames = group.create_dataset("frames", (count, *shape), np.uint8, chunks=(1, *shape))

    def append(self, frames: NDArray[np.uint8], **truths: NDArray[Any] | None) -> None:
        """Adds sequences.

        Args:
            frames: (n, T, C, H, W) uint8.
            truths: labels, positions and object_ids of the n sequences, or None where unknown.
        """
        for index, sequence in enumerate(np.ascontiguousarray(frames), self._written):
            # A sequence is one chunk: handing it over whole is three times as fast as slicing.
            self._frames.id.write_direct_chunk((index, 0, 0, 0, 0), sequence)
        self._hash("frames", frames)
        for name, values in truths.items():
            if values is not None:
                self._truth(name, values)[self._written : self._written + len(values)] = values
                self._hash(name, values)
        self._written += len(frames)

    def finish(self) -> None:
        """Takes down the sha256 of each dataset."""
        for name, hash_ in self._hashes.items():
            self._digests[f"{self._group.name[1:]}/{name}"] = hash_.hexdigest()

    def _truth(self, name: str, values: NDArray[Any]) -> h5py.Dataset:
        if name not in self._group:
            self._group.create_dataset(name, (self._count, *values.shape[1:]), values.dtype)
        return self._group[name]

    def _hash(self, name: str, values: NDArray[Any]) -> None:
        self._hashes.setdefault(name, hashlib.sha256()).update(np.ascontiguousarray(values))


class SequenceWriter:
    """Writes a data file; made by `create_dataset`."""

    def __init__(self, file: h5py.File) -> None:
        self._file = file
        self._digests: dict[str, str] = {}

    @contextmanager
    def split(self, name: str, count: int, shape: Sequence[int]) -> Iterator[SplitWriter]:
        """A split of `count` sequences of shape (T, C, H, W), all to be appended inside the block."""
        writer = SplitWriter(self._file.create_group(name), count, shape, self._digests)
        yield writer
        writer.finish()

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
) -> Iterator[SequenceWriter]:
    """Writes a data file that appears at `path` when the block ends without error, and not before.

    Args:
        command: what makes this file again.
        config: every setting, for the ``config`` attribute.
        sources: name -> sha256 of every file that went in.

    Raises:
        OutputError: the file cannot be written.
    """
    with replacing(path) as temporary, _plain_errors(), h5py.File(temporary, "w") as file:
        file.attrs["format_version"] = FORMAT_VERSION
        file.attrs["command"] = command
        file.attrs["seed"] = seed
        file.attrs["config"] = json.dumps(config, sort_keys=True)
        file.attrs["sources"] = json.dumps(sources, sort_keys=True)
        writer = SequenceWriter(file)
        yield writer
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
