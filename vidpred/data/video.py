"""Frames of video files and of folders of pictures, decoded one after the other."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vidpred.data.gif import count_images
from vidpred.errors import DataError
from vidpred.pyav import load_av

Frame = NDArray[np.uint8]

VIDEO_ENDINGS = (".mp4", ".avi", ".webm", ".gif")
PICTURE_ENDINGS = (".png", ".jpg", ".jpeg")
_MODES = {1: ("L", "gray"), 3: ("RGB", "rgb24")}
"""Channels -> the name of the pixels in Pillow and in PyAV."""
_FORMATS = "avi,gif,matroska,webm,mov,mp4"
"""What PyAV may take a file for. Of itself it would also play text, and fetch what a playlist names."""
_SPARE_FRAMES = 1.5
"""A video may end so many frames before the time that its file states: the last one's duration is vague."""


def read_video(
    path: str | os.PathLike[str],
    *,
    channels: int,
    size: tuple[int, int] | None = None,
    file: IO[bytes] | None = None,
) -> Iterator[Frame]:
    """Decodes a video frame by frame, in the order in which they are shown. Nothing is kept.

    Damage is told where the container or the decoder gives it away: a file that ends before the number
    of frames or the time it states, packets and frames that are marked corrupt, blocks that do not fit
    together. A flipped bit that still decodes goes unnoticed; VP8, for one, has no checksums.

    Args:
        path: an mp4, avi, webm or gif file, or a folder of png or jpg pictures in natural order (2 before
            10).
        channels: 1 gives the luminance, 3 red, green and blue.
        size: (H, W) to resize to, with Pillow's triangle filter, which averages over what becomes one
            pixel; None keeps the size.
        file: what to read instead of `path`, which then only names it.

    Yields:
        uint8 (C, H, W).

    Raises:
        DataError: no such file, no video, or a damaged one; the sentence has the number of good frames.
        ConfigError: PyAV is missing.
    """
    path = Path(path)
    if file is None and not path.exists():
        raise DataError(f"{path} does not exist")
    folder = file is None and path.is_dir()
    pictures = _pictures(path, channels) if folder else _decoded(path, channels, file)
    first: Frame | None = None
    for picture in pictures:
        if size is not None and picture.size != (size[1], size[0]):
            picture = picture.resize((size[1], size[0]), Image.Resampling.BILINEAR)
        pixels = np.asarray(picture)
        frame = pixels[None] if channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))
        first = frame if first is None else first
        if frame.shape != first.shape:
            raise DataError(
                f"the frames of {path} change from {_described(first)} to {_described(frame)}: "
                "say which size they shall be given"
            )
        yield frame


def find_videos(inputs: Iterable[Path]) -> dict[str, Path]:
    """The videos that `inputs` are or hold, by a name that does not depend on where the inputs lie.

    A folder that holds pictures is one video; any other folder is searched for video files and such
    folders, in natural order of their names.

    Raises `DataError` for an input that does not exist, and for a folder without videos.
    """
    found: dict[str, Path] = {}
    for given in inputs:
        if not given.exists():
            raise DataError(f"{given} does not exist")
        try:
            videos = sorted(_videos_below(given), key=natural_order) if given.is_dir() else [given]
        except OSError as error:
            raise DataError(f"{error.filename} cannot be read: {_lower(error)}") from error
        if not videos:
            raise DataError(
                f"there is no video in {given}: expected {', '.join(VIDEO_ENDINGS)} files or folders of "
                f"pictures ({', '.join(PICTURE_ENDINGS)})"
            )
        for video in videos:
            name = str(given.resolve().name / video.relative_to(given))
            found[str(video) if name in found else name] = video
    return found


def _videos_below(folder: Path) -> Iterator[Path]:
    if any(_is_picture(entry) for entry in folder.iterdir()):
        yield folder
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _videos_below(entry)
        elif entry.suffix.lower() in VIDEO_ENDINGS:
            yield entry


def natural_order(path: Path) -> list[tuple[int, int, str]]:
    """A key that sorts numbers inside of names by their value: image2 before image10."""
    parts = re.split(r"(\d+)", str(path))
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts]


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder in natural order."""
    return sorted((entry for entry in folder.iterdir() if _is_picture(entry)), key=natural_order)


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURE_ENDINGS and path.is_file()


def _pictures(folder: Path, channels: int) -> Iterator[Image.Image]:
    files = pictures_in(folder)
    if not files:
        raise DataError(f"{folder} holds no pictures, expected {', '.join(PICTURE_ENDINGS)} files")
    for number, file in enumerate(files):
        try:
            with Image.open(file) as picture:
                yield picture.convert(_MODES[channels][0])
        except (OSError, SyntaxError, ValueError) as error:
            raise DataError(
                f"the picture {file} cannot be read: frame {number + 1} of {len(files)} of its video"
            ) from error


def _decoded(path: Path, channels: int, file: IO[bytes] | None) -> Iterator[Image.Image]:
    av = load_av()
    frames = 0
    progress: _Progress | None = None
    try:
        with av.open(file or str(path), options={"format_whitelist": _FORMATS}) as container:
            if not container.streams.video:
                raise DataError(f"{path} holds no video, only {_held(container)}")
            stream = container.streams.video[0]
            progress = _Progress(path, container, stream, _images(path, file, container))
            for packet in container.demux(stream):
                progress.see_packet(packet)
                for frame in packet.decode():
                    progress.see_frame(frame, frames)
                    yield _upright(frame, channels)
                    frames += 1
            progress.end(frames)
    except (av.FFmpegError, OSError, EOFError) as error:
        if progress is None:
            raise DataError(
                f"{path} cannot be read as an mp4, avi, webm or gif video: {_lower(error)}"
            ) from error
        raise DataError(
            f"{path} is damaged: {_lower(error)} after {_count(frames)}{progress.expected()}"
        ) from error


def _upright(frame: Any, channels: int) -> Image.Image:
    """The frame the way it is to be shown: telephones store videos on their side and say so."""
    pixels = frame.to_ndarray(format=_MODES[channels][1])
    return Image.fromarray(np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90))))


class _Progress:
    """What a container states about its video, against what comes out of it.

    An avi states how many packets it has, an mp4 and a webm how long the video lasts (the number of an
    mp4's samples does not help: an edit list may leave some of them out); the pictures of a gif are counted.
    """

    def __init__(self, path: Path, container: Any, stream: Any, images: int | None) -> None:
        self._path = path
        self._rate = stream.average_rate or Fraction(25)
        self._packets = 0
        self._end = Fraction(0)
        self._start = Fraction(0)
        self._stated_packets: int | None = None
        self._stated_end: Fraction | None = None
        names = set(container.format.name.split(","))
        if "gif" in names:
            self._stated_packets = images
        elif "avi" in names:
            self._stated_packets = stream.frames or None
        elif "mp4" in names and stream.duration:
            self._start = (stream.start_time or 0) * stream.time_base
            self._stated_end = stream.duration * stream.time_base
        elif "webm" in names:
            self._stated_end = _stated_end(container, stream)

    def see_packet(self, packet: Any) -> None:
        """Counts a packet. The decoder is given it even where it is marked corrupt, to count frames."""
        self._packets += packet.dts is not None or packet.size > 0

    def see_frame(self, frame: Any, before: int) -> None:
        """Takes down how far the video has come. Raises `DataError` for a frame that is marked corrupt."""
        if frame.is_corrupt:
            raise DataError(f"{self._path} is damaged: frame {before + 1} is corrupt{self.expected()}")
        if frame.pts is not None:
            duration = frame.duration * frame.time_base if frame.duration else 1 / self._rate
            self._end = max(self._end, frame.pts * frame.time_base + duration - self._start)

    def end(self, frames: int) -> None:
        """Raises `DataError` if there should have been more."""
        short = self._stated_packets is not None and self._packets < self._stated_packets
        if self._stated_end is not None:
            short |= self._stated_end - self._end > Fraction(_SPARE_FRAMES) / self._rate
        if frames == 0 or short:
            raise DataError(f"{self._path} ends early: {_count(frames)} could be read{self.expected()}")

    def expected(self) -> str:
        """How many frames there should be, as the end of a sentence."""
        expected = self._stated_packets
        if expected is None and self._stated_end is not None:
            expected = round(self._stated_end * self._rate)
        return "" if expected is None else f", expected {expected}"


def _stated_end(container: Any, stream: Any) -> Fraction | None:
    """When the video of a webm file ends, in seconds, as far as the file says it."""
    tag = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)\0*", stream.metadata.get("DURATION", ""))
    if tag:
        return 3600 * Fraction(tag[1]) + 60 * Fraction(tag[2]) + Fraction(tag[3])
    if container.duration and len(container.streams) == 1:
        return Fraction(container.duration, 1_000_000)
    return None


def _images(path: Path, file: IO[bytes] | None, container: Any) -> int | None:
    """The number of pictures in a gif. Raises `DataError` if the file is cut short."""
    if container.format.name != "gif":
        return None
    if file is not None:
        place = file.tell()
        file.seek(0)
        images = count_images(file)
        file.seek(place)
    else:
        with path.open("rb") as opened:
            images = count_images(opened)
    if images is None:
        raise DataError(f"{path} is damaged: a gif whose end is missing or cannot be found")
    return images


def _held(container: Any) -> str:
    return ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"


def _count(frames: int) -> str:
    return f"{frames} good frame{'s' * (frames != 1)}"


def _described(frame: Frame) -> str:
    return f"{frame.shape[1]}x{frame.shape[2]}"


def _lower(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text[:1].lower() + text[1:]
