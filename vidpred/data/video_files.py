"""Data files made of a user's own videos."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from vidpred.data.decoding import DecodedVideo, VideoSource, decode_in_order
from vidpred.data.hdf5 import SequenceWriter, create_dataset
from vidpred.data.randomness import SPLITS, uniforms
from vidpred.data.video import find_videos
from vidpred.errors import ConfigError, DataError
from vidpred.files import require_writable
from vidpred.progress import progress_bar

OnError = Literal["stop", "skip"]
Share = int | float
"""Some of the videos: a whole number of them, or a fraction of all of them."""


@dataclass
class Outcome:
    """What became of the videos.

    Attributes:
        sequences: sequences in each split.
        frames: frames in each split.
        too_short: videos with too few frames for one clip.
        skipped: one sentence for each video that was left out for being damaged.
    """

    sequences: dict[str, int] = field(default_factory=dict)
    frames: dict[str, int] = field(default_factory=dict)
    too_short: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class VideoSpec:
    """What is made of videos.

    Attributes:
        size: (H, W) of a frame; None keeps that of the videos, which must then all have the same.
        channels: 1 or 3.
        frames: cut every video into clips of so many frames; None keeps videos whole, one sequence each.
        stride: frames from the start of one clip to that of the next, or of one window to the next where
            the videos stay whole; 0: as many as a clip or window has.
    """

    size: tuple[int, int] | None = None
    channels: int = 3
    frames: int | None = None
    stride: int = 0


def generate_from_videos(
    path: Path,
    inputs: Sequence[Path],
    spec: VideoSpec,
    *,
    val: Share = 0.1,
    test: Share = 0.1,
    seed: int = 0,
    on_error: OnError = "stop",
    workers: int = 0,
    quiet: bool = False,
) -> Outcome:
    """Writes a data file of videos. The file does not depend on `workers`; memory does not grow with it.

    Args:
        inputs: video files and folders; see `find_videos`.
        val, test: how many of the videos, drawn with `seed`, are for validation and for testing; a video
            is never in two splits. Fractions are rounded.
        on_error: what to do about a damaged video: ``stop``, or ``skip`` it.
        workers: threads that decode; 0 takes one per core.
        quiet: no progress bar.

    Raises:
        ConfigError: more videos for validation and testing than there are, or a wrong fraction.
        DataError: an input that cannot be read, or frames of several sizes where no size is given.
        OutputError: the file cannot be written.
    """
    require_writable(path, inputs)
    names = find_videos(inputs)
    splits = _divided(list(names), {"val": val, "test": test}, seed)
    outcome = Outcome()
    sources: dict[str, str] = {}
    with (
        progress_bar(quiet=quiet) as bar,
        create_dataset(
            path,
            command=_command(inputs, spec, val, test, seed, on_error),
            config=asdict(spec) | {"val": val, "test": test, "on_error": on_error, "videos": splits},
            seed=seed,
            sources=sources,
        ) as file,
    ):
        shape: tuple[int, ...] | None = None
        for split, mine in splits.items():
            videos = decoded(
                [VideoSource(name, names[name]) for name in mine],
                split,
                bar,
                outcome.skipped,
                spec.channels,
                spec.size,
                on_error=on_error,
                workers=workers,
            )
            with closing(videos), _writer(file, split, spec) as write:
                for video in videos:
                    shape = shape or video.shape
                    if video.shape != shape:
                        raise DataError(
                            f"{video.source.place} has frames of {_size(video.shape)}, but the videos before "
                            f"it of {_size(shape)}: say which --size all shall be given"
                        )
                    sources[video.source.name] = video.sha256
                    if video.count < (spec.frames or 1):
                        outcome.too_short.append(video.source.name)
                        continue
                    sequences, frames = write(video)
                    outcome.sequences[split] = outcome.sequences.get(split, 0) + sequences
                    outcome.frames[split] = outcome.frames.get(split, 0) + frames
        if not outcome.sequences:
            raise DataError(
                f"none of the {len(names)} videos gave a sequence: {len(outcome.skipped)} could not be read, "
                f"{len(outcome.too_short)} have fewer than {spec.frames or 1} frames"
            )
    return outcome


def decoded(
    sources: Sequence[VideoSource],
    task: str,
    bar: Progress,
    skipped: list[str],
    channels: int,
    size: tuple[int, int] | None,
    *,
    on_error: OnError,
    workers: int,
) -> Generator[DecodedVideo]:
    """Decodes videos as a task of `bar`; why one cannot be is added to `skipped`, or raised on ``stop``."""
    shown = bar.add_task(task, total=len(sources), note="")
    with closing(decode_in_order(sources, channels=channels, size=size, workers=workers)) as videos:
        for video in videos:
            if not isinstance(video, DecodedVideo):
                if on_error == "stop":
                    raise video
                skipped.append(str(video))
            else:
                yield video
            bar.advance(shown)


@contextmanager
def _writer(
    file: SequenceWriter, split: str, spec: VideoSpec
) -> Iterator[Callable[[DecodedVideo], tuple[int, int]]]:
    """What writes a video into a split and returns how many sequences and frames that made.

    The split is begun with its first video, since only then is the shape of a frame known.
    """
    with ExitStack() as stack:
        if spec.frames is None:
            long = None

            def write_whole(video: DecodedVideo) -> tuple[int, int]:
                nonlocal long
                if long is None:
                    long = stack.enter_context(file.long_split(split, video.shape))
                long.append(video.frames(0, video.count), stride=spec.stride)
                return 1, video.count

            yield write_whole
        else:
            length, clips = spec.frames, None

            def write_clips(video: DecodedVideo) -> tuple[int, int]:
                nonlocal clips
                if clips is None:
                    clips = stack.enter_context(file.split(split, None, (length, *video.shape)))
                starts = range(0, video.count - length + 1, spec.stride or length)
                for start in starts:
                    clips.append(_together(video.frames(start, start + length))[None])
                return len(starts), len(starts) * length

            yield write_clips


def _together(pieces: Iterator[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    first, *more = pieces
    return np.concatenate([first, *more]) if more else first


def _divided(names: list[str], shares: Mapping[str, Share], seed: int) -> dict[str, list[str]]:
    """Which videos are for which split; in each they keep their order."""
    counts = {split: _count(split, share, len(names)) for split, share in shares.items()}
    if sum(counts.values()) > len(names):
        asked = " and ".join(f"{count} for {split}" for split, count in counts.items())
        raise ConfigError(f"{asked} were asked for, but there are only {len(names)} videos")
    drawn = np.argsort(uniforms(seed, "train", np.arange(len(names)), 1)[:, 0], kind="stable").tolist()
    chosen: dict[str, list[int]] = {}
    for split in ("test", "val"):
        chosen[split], drawn = drawn[: counts[split]], drawn[counts[split] :]
    chosen["train"] = drawn
    return {split: [names[i] for i in sorted(chosen[split])] for split in SPLITS if chosen[split]}


def _count(split: str, share: Share, videos: int) -> int:
    if isinstance(share, int) and share >= 0:
        return share
    if 0 <= share < 1:
        return int(share * videos + 0.5)
    raise ConfigError(
        f"--{split} must be a number of videos or a fraction of them below 1, such as 0.1, got {share}"
    )


def _size(shape: Sequence[int]) -> str:
    return f"{shape[1]}x{shape[2]}"


def _command(
    inputs: Sequence[Path], spec: VideoSpec, val: Share, test: Share, seed: int, on_error: OnError
) -> str:
    """The command line that makes the same file again."""
    words = ["vidpred", "gen-data", "video", *map(str, inputs)]
    if spec.size:
        words += ["--size", f"{spec.size[0]}x{spec.size[1]}"]
    words += ["--grey" if spec.channels == 1 else "--color"]
    if spec.frames:
        words += ["--frames", str(spec.frames)]
    words += ["--stride", str(spec.stride), "--val", str(val), "--test", str(test)]
    return shlex.join([*words, "--seed", str(seed), "--on-error", on_error])
