"""Converting between vidpred's data files and those of other projects."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import h5py

from vidpred.data.hdf5 import Split, create_dataset, open_dataset
from vidpred.data.interop import WRITERS, Clips, Frames, read_foreign
from vidpred.errors import ConfigError, DataError, unknown_name
from vidpred.files import replacing, require_writable
from vidpred.progress import progress_bar

FORMATS = ("hdf5", *WRITERS)
"""The formats that can be written."""
_BY_ENDING = {".h5": "hdf5", ".hdf5": "hdf5", ".npy": "npy"}


def convert(
    inputs: Mapping[str, Path], output: Path, format: str | None = None, *, quiet: bool = False
) -> list[str]:
    """Converts data files.

    Args:
        inputs: split -> file. Of a vidpred file that split is taken; the sequences of any other file become
            that split. Only a vidpred file can be made of more than one.
        output: the file to write.
        format: one of `FORMATS`; None takes it from the ending of `output`.
        quiet: no progress bar.

    Returns:
        Sentences that say what was read and what was written.

    Raises:
        ConfigError: a format that is unknown, cannot be told from the ending, or does not fit the inputs.
        DataError: an input that cannot be read.
        OutputError: the output cannot be written.
    """
    format = format or _format_of(output)
    if format not in FORMATS:
        raise unknown_name("format", format, FORMATS)
    require_writable(output, inputs.values())
    with ExitStack() as stack:
        clips = {split: _read(path, split, stack) for split, path in inputs.items()}
        if format == "hdf5":
            _write_hdf5(output, inputs, clips, quiet)
        elif len(clips) > 1:
            raise ConfigError(f"a file of format {format} holds one split, got {', '.join(clips)}")
        else:
            (one,) = clips.values()
            with replacing(output) as temporary:
                WRITERS[format](temporary, one.count, one.shape, _shown(one, output.name, quiet))
        return [f"read {inputs[split]}: {_described(one)} ({one.format})" for split, one in clips.items()] + [
            f"wrote {output}: {_described(one)} ({format}, {split})" for split, one in clips.items()
        ]


def _format_of(output: Path) -> str:
    if output.suffix not in _BY_ENDING:
        raise ConfigError(
            f"the ending of {output} does not tell the format, expected --format {'|'.join(FORMATS)}"
        )
    return _BY_ENDING[output.suffix]


def _read(path: Path, split: str, stack: ExitStack) -> Clips:
    if not (path.is_file() and h5py.is_hdf5(path)):
        return read_foreign(path)
    sequences: Split = stack.enter_context(open_dataset(path))[split]
    if sequences.offsets is not None:
        raise DataError(f"the sequences of {path} differ in length, expected one length for all")
    frames = sequences.frames
    return Clips("hdf5", len(frames), frames.shape[1:], lambda first, last: frames[first:last])


def _write_hdf5(output: Path, inputs: Mapping[str, Path], clips: Mapping[str, Clips], quiet: bool) -> None:
    if any(one.format == "hdf5" for one in clips.values()):
        raise ConfigError(f"there is nothing to convert: the input and {output} are of the same format")
    with create_dataset(
        output,
        command="vidpred convert",
        config={split: {"file": path.name, "format": clips[split].format} for split, path in inputs.items()},
        seed=0,
        sources={path.name: _sha256(path) for path in inputs.values()},
    ) as file:
        for split, one in clips.items():
            with file.split(split, one.count, one.shape) as writer:
                for block in _shown(one, split, quiet):
                    writer.append(block)


def _shown(clips: Clips, task: str, quiet: bool) -> Iterator[Frames]:
    """The blocks of `clips`, with a progress bar."""
    with progress_bar(quiet=quiet) as bar:
        shown = bar.add_task(task, total=clips.count, note="")
        for block in clips.blocks():
            yield block
            bar.advance(shown, len(block))


def _described(clips: Clips) -> str:
    frames, channels, height, width = clips.shape
    return f"{clips.count} sequences of {frames} frames of {channels}x{height}x{width}"


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()
