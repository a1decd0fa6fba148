"""Many videos decoded side by side, and handed out in order."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import zipfile
import zlib
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from vidpred.data.in_order import in_order
from vidpred.data.video import pictures_in, read_video
from vidpred.errors import DataError
from vidpred.files import cannot_write

_IN_MEMORY = 2**25
"""Bytes of frames that a decoded video keeps in memory; a longer one waits in a temporary file."""
_BLOCK_BYTES = 2**22


@dataclass(frozen=True)
class VideoSource:
    """A video to be decoded: a file or a folder of pictures, or a member of a zip file.

    Attributes:
        name: what it is called in a list of sources.
        path: the file or folder, or the zip file.
        member: name inside the zip file.
    """

    name: str
    path: Path
    member: str | None = None

    @property
    def place(self) -> Path:
        """Where it is, for a message."""
        return self.path / self.member if self.member else self.path

    def content(self) -> bytes:
        """The bytes of a member of a zip file. Raises `DataError` if they are damaged."""
        assert self.member is not None
        try:
            with zipfile.ZipFile(self.path) as archive:
                return archive.read(self.member)
        # RuntimeError: a member that is encrypted, or packed in a way that this Python does not know.
        except (OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
            raise DataError(f"{self.place} cannot be read from its zip file: {error}") from error


class DecodedVideo:
    """The frames of one video, kept until they are written.

    Attributes:
        source: where they come from.
        sha256: of the file, or of the names and contents of a folder's pictures.
        count: number of frames.
        shape: (C, H, W).
    """

    def __init__(self, source: VideoSource, channels: int, size: tuple[int, int] | None) -> None:
        """Decodes the video; see `read_video`."""
        self.source = source
        self.count = 0
        self.shape: tuple[int, ...] = ()
        content = source.content() if source.member else None
        file = None if content is None else io.BytesIO(content)
        self.sha256 = _sha256(source.path) if content is None else hashlib.sha256(content).hexdigest()
        self._kept: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115
        try:
            for frame in read_video(source.place, channels=channels, size=size, file=file):
                self._keep(frame)
        except BaseException:
            self.close()
            raise

    def _keep(self, frame: NDArray[np.uint8]) -> None:
        try:
            self._kept.write(frame.tobytes())
        except OSError as error:
            raise cannot_write(Path(tempfile.gettempdir()), error) from error
        self.shape = frame.shape
        self.count += 1

    def frames(self, first: int, last: int) -> Iterator[NDArray[np.uint8]]:
        """The frames from number `first` up to before `last`, in pieces (n, C, H, W)."""
        size = int(np.prod(self.shape))
        together = max(1, _BLOCK_BYTES // size)
        for start in range(first, last, together):
            many = min(together, last - start)
            self._kept.seek(start * size)
            yield np.frombuffer(self._kept.read(many * size), np.uint8).reshape(many, *self.shape)

    def close(self) -> None:
        """Forgets the frames."""
        self._kept.close()


def decode_in_order(
    sources: Iterable[VideoSource], *, channels: int, size: tuple[int, int] | None, workers: int = 0
) -> Generator[DecodedVideo | DataError]:
    """Decodes videos, several at once; each is closed when the next one is asked for.

    Args:
        channels, size: see `read_video`.
        workers: threads; 0 takes one per core.

    Yields:
        For each source in order the frames, or why there are none.
    """
    workers = workers or os.cpu_count() or 1
    kept: set[DecodedVideo] = set()

    def decode(source: VideoSource) -> DecodedVideo | DataError:
        try:
            video = DecodedVideo(source, channels, size)
        except DataError as error:
            return error
        kept.add(video)
        return video

    try:
        with ThreadPoolExecutor(workers) as pool, closing(in_order(pool, decode, sources, workers)) as videos:
            for video in videos:
                yield video
                if isinstance(video, DecodedVideo):
                    video.close()
                    kept.discard(video)
    finally:
        for left in kept:
            left.close()


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    for file in pictures_in(path) if path.is_dir() else [path]:
        if file != path:
            digest.update(file.name.encode() + b"\0")
        try:
            with file.open("rb") as opened:
                while block := opened.read(2**20):
                    digest.update(block)
        except OSError as error:
            raise DataError(f"{file} cannot be read: {error.strerror}") from error
    return digest.hexdigest()
