"""Reading and writing the files in which other projects keep moving MNIST.

- ``npy``: ``mnist_test_seq.npy`` of Srivastava et al., uint8 (T, N, H, W), time first; in colour, as in
  OpenSTL's mnist_cifar, (T, N, H, W, C).
- ``predrnn``: the npz of PredRNN and its successors. ``input_raw_data`` holds frames (total, C, H, W) in
  [0, 1]; ``clips`` int (2, N, 2) the first frame and the number of frames of what is given and of what is
  to be predicted; ``dims`` the shape of a frame. What is to be predicted may lie in ``output_raw_data``.
- ``convtt``: the npz of Conv-TT-LSTM, ``data`` uint8 (N, T, H, W, C), or one video (T, H, W, C) in [0, 1].

Files are written sequence by sequence and never held in memory whole.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from vidpred.data.clips import channels_before_rows, read_arrays, to_uint8
from vidpred.errors import DataError

Frames = NDArray[np.uint8]


@dataclass(frozen=True)
class Clips:
    """Sequences in a file, not yet read.

    Attributes:
        format: what kind of file it is.
        count: number of sequences N.
        shape: (T, C, H, W) of each.
        read: numbers first, last -> uint8 (last - first, T, C, H, W).
    """

    format: str
    count: int
    shape: tuple[int, ...]
    read: Callable[[int, int], Frames]

    def blocks(self, size: int = 64) -> Iterator[Frames]:
        """All sequences in order, `size` at a time."""
        for first in range(0, self.count, size):
            yield self.read(first, min(first + size, self.count))


def read_foreign(path: Path) -> Clips:
    """Recognises the format of a file by its content. Raises `DataError` if it is none of the above."""
    arrays = read_arrays(path)
    if "clips" in arrays and "input_raw_data" in arrays:
        return _read_predrnn(arrays, path)
    if "data" in arrays:
        return _read_convtt(arrays["data"], path)
    if "" in arrays:
        return _read_npy(arrays[""], path)
    raise DataError(
        f"{path} holds {', '.join(arrays) or 'nothing'}, expected clips and input_raw_data (PredRNN) "
        "or data (Conv-TT-LSTM)"
    )


def _read_npy(array: NDArray[Any], path: Path) -> Clips:
    if array.ndim not in (4, 5) or 0 in array.shape:
        raise DataError(
            f"{path} holds an array of shape {array.shape}, expected (frames, sequences, rows, columns)"
        )
    frames, count, height, width = array.shape[:4]
    channels = array.shape[4] if array.ndim == 5 else 1

    def read(first: int, last: int) -> Frames:
        block = array[:, first:last].reshape(frames, last - first, height, width, channels)
        return to_uint8(block.transpose(1, 0, 4, 2, 3), path)

    return Clips("npy", count, (frames, channels, height, width), read)


def _read_predrnn(arrays: Any, path: Path) -> Clips:
    given = arrays["input_raw_data"]
    predicted = arrays.get("output_raw_data", given)
    clips = arrays["clips"]
    if clips.ndim != 3 or clips.shape[0] != 2 or clips.shape[2] != 2 or clips.shape[1] == 0:
        raise DataError(f"{path} holds clips of shape {clips.shape}, expected (2, sequences, 2)")
    lengths = clips[:, :, 1].sum(axis=0)
    if lengths.min() != lengths.max():
        raise DataError(
            f"{path} holds sequences of {lengths.min()} to {lengths.max()} frames, expected all of one length"
        )
    for frames, spans in ((given, clips[0]), (predicted, clips[1])):
        if frames.ndim != 4 or frames.shape[1:] != given.shape[1:]:
            raise DataError(
                f"{path} holds frames of shape {frames.shape}, expected (frames, channels, rows, columns)"
            )
        if spans.min() < 0 or spans.sum(axis=1).max() > len(frames):
            raise DataError(f"{path} is damaged: its clips reach beyond its {len(frames)} frames")

    def sequence(index: int) -> Frames:
        (start, length), (then, more) = clips[:, index]
        return to_uint8(np.concatenate([given[start : start + length], predicted[then : then + more]]), path)

    def read(first: int, last: int) -> Frames:
        return np.stack([sequence(index) for index in range(first, last)])

    return Clips("predrnn", clips.shape[1], (int(lengths[0]), *given.shape[1:]), read)


def _read_convtt(data: NDArray[Any], path: Path) -> Clips:
    frames = channels_before_rows(data[None] if data.ndim == 4 else data, path)

    def read(first: int, last: int) -> Frames:
        return to_uint8(frames[first:last], path)

    return Clips("convtt", len(frames), frames.shape[1:], read)


def write_npy(path: Path, count: int, shape: tuple[int, ...], blocks: Iterable[Frames]) -> None:
    """Writes `count` sequences of shape (T, C, H, W) time first."""
    frames, channels, height, width = shape
    picture = (height, width) if channels == 1 else (height, width, channels)
    with path.open("wb") as file:
        _begin(file, (frames, count, *picture), np.uint8)
        start, size, written = file.tell(), height * width * channels, 0
        for block in blocks:
            # (n, T, C, H, W) -> (T, n, H, W, C): the n sequences of a block lie side by side in each frame.
            for t, pictures in enumerate(block.transpose(1, 0, 3, 4, 2)):
                file.seek(start + (t * count + written) * size)
                file.write(pictures.tobytes())
            written += len(block)


def write_predrnn(path: Path, count: int, shape: tuple[int, ...], blocks: Iterable[Frames]) -> None:
    """Writes `count` sequences of shape (T, C, H, W); the first half of the frames is what is given."""
    frames, *picture = shape
    given = frames // 2
    starts = frames * np.arange(count)
    clips = np.empty((2, count, 2), np.int32)
    clips[0] = np.stack([starts, np.full(count, given)], axis=1)
    clips[1] = np.stack([starts + given, np.full(count, frames - given)], axis=1)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with _member(archive, "clips", clips.shape, clips.dtype) as file:
            file.write(clips.tobytes())
        with _member(archive, "dims", (1, 3), np.int32) as file:
            file.write(np.array([picture], np.int32).tobytes())
        with _member(archive, "input_raw_data", (count * frames, *picture), np.float32) as file:
            for block in blocks:
                file.write((block.astype(np.float32) / 255).tobytes())


def write_convtt(path: Path, count: int, shape: tuple[int, ...], blocks: Iterable[Frames]) -> None:
    """Writes `count` sequences of shape (T, C, H, W) with the channels last."""
    frames, channels, height, width = shape
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        _member(archive, "data", (count, frames, height, width, channels), np.uint8) as file,
    ):
        for block in blocks:
            file.write(block.transpose(0, 1, 3, 4, 2).tobytes())


WRITERS = {"npy": write_npy, "predrnn": write_predrnn, "convtt": write_convtt}
"""Name of a format -> what writes it."""


@contextmanager
def _member(
    archive: zipfile.ZipFile, name: str, shape: tuple[int, ...], dtype: DTypeLike
) -> Iterator[IO[bytes]]:
    """An array of an npz file, whose values are to be written in C order inside the block."""
    # A ZipInfo of its own has the date 1980-01-01, so that the same content gives the same bytes.
    info = zipfile.ZipInfo(f"{name}.npy")
    info.compress_type = zipfile.ZIP_DEFLATED
    with archive.open(info, "w", force_zip64=True) as file:
        _begin(file, shape, dtype)
        yield file


def _begin(file: IO[bytes], shape: tuple[int, ...], dtype: DTypeLike) -> None:
    descr = np.lib.format.dtype_to_descr(np.dtype(dtype))
    header = {"descr": descr, "fortran_order": False, "shape": tuple(int(side) for side in shape)}
    np.lib.format.write_array_header_1_0(file, header)
