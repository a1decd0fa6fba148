"""The one file format of all data: reading and writing HDF5 files of video sequences.

Groups ``train``, ``val`` and ``test``, each present only if it has sequences, with

- ``frames``: uint8 (N, T, C, H, W), one chunk per sequence, not compressed; or, where sequences differ in
  length, uint8 (total, C, H, W) with ``offsets`` int64 (N + 1,): sequence i is frames offsets[i] to
  offsets[i + 1]. Clips are then windows of a wanted length, cut when read: ``strides`` int32 (N,) are the
  frames between the starts of two windows of a sequence, 0 for windows that do not overlap, and the
  attribute ``windows_from`` of the group says whether they are laid out from the ``start`` or from the
  ``end`` of a sequence; see `vidpred.data.windows`;
- or, of piano rolls, in place of ``frames``, ``notes``: uint8 (total, 88), 1 where a note sounds and 0
  elsewhere, key 0 being MIDI note 21, with ``offsets`` as above; they are read as frames of 1x88 pixels, 0
  or 255; see `vidpred.data.notes`;
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
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from vidpred.data.notes import KEYS, NoteFrames
from vidpred.data.randomness import SPLITS
from vidpred.data.windows import WINDOWS_FROM
from vidpred.data.writers import LongSplitWriter, NotesWriter, SplitWriter
from vidpred.errors import DataError, OutputError
from vidpred.files import replacing

FORMAT_VERSION = 1
_TRUTHS = ("labels", "positions", "object_ids")
_JSON_ATTRIBUTES = ("config", "sources", "sha256", "classes", "groups")
_STEPS_AT_ONCE = 2**16
"""Of piano rolls that are looked through on opening."""


class Split:
    """The sequences of one split of an open file. Nothing is read before it is indexed.

    Attributes:
        frames: uint8 (N, T, C, H, W), or (total, C, H, W) if `offsets` is not None; of piano rolls
            (total, 1, 1, 88).
        offsets: int64 (N + 1,) if the sequences differ in length.
        strides: int32 (N,) frames between the starts of two windows, if the sequences differ in length.
        windows_from: ``start`` or ``end``, where the windows of a sequence are laid out from.
        labels: (N, objects) or None.
        positions: (N, T, objects, 2) or None.
        object_ids: (N, objects) or None.
    """

    def __init__(self, group: h5py.Group) -> None:
        self.frames: h5py.Dataset | NoteFrames = (
            NoteFrames(group["notes"]) if "notes" in group else group["frames"]
        )
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

    @property
    def shortest(self) -> int:
        """Frames of the shortest sequence."""
        return int(self.frames.shape[1] if self.offsets is None else np.diff(self.offsets).min())


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
        try:
            read = {key: json.loads(stored[key]) for key in _JSON_ATTRIBUTES if key in stored}
        except ValueError as error:
            raise DataError(f"{self.path} is damaged: an attribute is not JSON ({error})") from error
        for key in ("config", "sources", "sha256"):
            if not isinstance(read.get(key, {}), dict):
                raise DataError(f"{self.path} is damaged: expected a JSON object in its attribute {key}")
        return stored | read

    def _split(self, name: str) -> Split:
        if f"{name}/notes" in self._file:
            _check_notes(self._file[name], f"{self.path} is damaged: {name}")
        else:
            frames = self._file.get(f"{name}/frames")
            rank = 4 if f"{name}/offsets" in self._file else 5
            if not isinstance(frames, h5py.Dataset) or frames.dtype != np.uint8 or frames.ndim != rank:
                raise DataError(f"{self.path} is damaged: {name}/frames is not uint8 of {rank} dimensions")
        split = Split(self._file[name])
        if split.offsets is not None:
            _check_offsets(split, f"{self.path} is damaged: {name}")
        return split


def _check_notes(group: h5py.Group, damaged: str) -> None:
    notes = group["notes"]
    if not isinstance(notes, h5py.Dataset) or notes.dtype != np.uint8 or notes.shape[1:] != (KEYS,):
        raise DataError(f"{damaged}/notes is not uint8 of {KEYS} columns")
    if "offsets" not in group:
        raise DataError(f"{damaged}/notes has no offsets beside it")
    for first in range(0, len(notes), _STEPS_AT_ONCE):
        if (highest := notes[first : first + _STEPS_AT_ONCE].max()) > 1:
            raise DataError(f"{damaged}/notes holds {highest}, expected 0 and 1 alone")


def _check_offsets(split: Split, damaged: str) -> None:
    offsets, strides = split.offsets, split.strides
    assert offsets is not None
    assert strides is not None
    if (
        offsets.ndim != 1
        or offsets.dtype.kind != "i"
        or len(offsets) == 0
        or offsets[0] != 0
        or (np.diff(offsets) < 0).any()
    ):
        raise DataError(f"{damaged}/offsets do not rise from 0 in whole numbers")
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
        self._finish(name, writer)

    @contextmanager
    def note_split(self, name: str) -> Iterator[NotesWriter]:
        """A split of piano rolls of any length, to be appended inside the block.

        Without any there is no such split.
        """
        writer = NotesWriter(self._file.create_group(name), self._digests)
        yield writer
        self._finish(name, writer)

    def _finish(self, name: str, writer: LongSplitWriter | NotesWriter) -> None:
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
        OutputError: the file cannot be written, or a file of another kind is there.
    """
    if os.path.isfile(path) and not h5py.is_hdf5(path):
        raise OutputError(f"{path} exists and is no HDF5 file: it is not replaced, choose another --out")
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
