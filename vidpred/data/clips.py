"""Frames from a user's own ``.npy`` or ``.npz`` file."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidpred.errors import DataError

_CHANNELS = (1, 3)
_NPY = b"\x93NUMPY"


def read_clip(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """Reads one clip or several.

    Args:
        path: a ``.npy`` file, or a ``.npz`` file with one array (or one called ``frames`` or ``data``), of
            shape (T, H, W), (T, C, H, W), (T, H, W, C), (N, T, C, H, W) or (N, T, H, W, C) with C 1 or 3;
            uint8, or floating point in [0, 1].

    Returns:
        (N, T, C, H, W) uint8.

    Raises:
        DataError: the file is missing or damaged, would have to be unpickled, or holds something else.
    """
    path = Path(path)
    arrays = read_arrays(path)
    named = [name for name in ("frames", "data") if name in arrays]
    if len(arrays) != 1 and not named:
        held = ", ".join(arrays) or "nothing"
        raise DataError(f"{path} holds {held}, expected one array or one called frames")
    array = arrays[named[0]] if named else next(iter(arrays.values()))
    if array.ndim == 3:
        array = array[:, None]
    if array.ndim == 4:
        array = array[None]
    return to_uint8(channels_before_rows(array, path), path)


def read_arrays(path: Path) -> Mapping[str, NDArray]:
    """The arrays in a ``.npz`` file by name, or the one in a ``.npy`` file, mapped and not yet read.

    Raises `DataError` for a file that is missing, damaged, or needs unpickling, which could run code.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist")
    try:
        with path.open("rb") as file:
            if file.read(len(_NPY)) == _NPY:
                return {"": np.load(path, mmap_mode="r", allow_pickle=False)}
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} is not a readable .npy or .npz file of numbers") from error


def channels_before_rows(array: NDArray, path: Path) -> NDArray:
    """(N, T, C, H, W) or (N, T, H, W, C) -> (N, T, C, H, W); raises `DataError` if it is not clear which."""
    if array.ndim == 5 and 0 not in array.shape:
        first, last = (array.shape[axis] in _CHANNELS for axis in (2, 4))
        if first and not last:
            return array
        if last and not first:
            return np.moveaxis(array, 4, 2)
    raise DataError(
        f"{path} holds an array of shape {array.shape}, which does not read as (sequences, frames, channels, "
        "rows, columns) or with the channels last, channels being 1 or 3"
    )


def to_uint8(values: NDArray, path: Path) -> NDArray[np.uint8]:
    """Brightness as uint8; floating point is expected in [0, 1] and rounded. Raises `DataError`."""
    if values.dtype == np.uint8:
        return np.asarray(values)
    if values.dtype.kind != "f":
        raise DataError(f"{path} holds {values.dtype} values, expected uint8 or floating point in [0, 1]")
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if not (low >= 0 and high <= 1):
        raise DataError(f"{path} holds values from {low:g} to {high:g}, expected uint8 or values in [0, 1]")
    return np.rint(np.multiply(values, 255, dtype=np.float64)).astype(np.uint8)
