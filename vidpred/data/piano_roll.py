"""Data files of piano rolls, from the published ``.mat`` and ``.json`` files and from MIDI files.

The ``.mat`` files are those of Boulanger-Lewandowski et al. 2012, with the keys ``traindata``, ``validdata``
and ``testdata``, each a cell array of (T, 88) arrays of 0 and 1. A ``.json`` file holds the lists ``train``,
``valid`` and ``test`` of sequences, a sequence being a list of steps and a step a list of MIDI notes. Both
keep their splits; how many of their steps a beat has they do not say. Nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import io
import json
import shlex
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidpred.data.hdf5 import create_dataset
from vidpred.data.midi import MIDI_ENDINGS, read_midi
from vidpred.data.notes import KEYS, LOWEST_NOTE
from vidpred.data.randomness import SPLITS, check_seed
from vidpred.data.video import natural_order
from vidpred.data.video_files import OnError
from vidpred.errors import ConfigError, DataError
from vidpred.files import require_writable
from vidpred.progress import progress_bar

Roll = NDArray[np.uint8]
Splits = dict[str, list[Roll]]

STEPS_PER_BEAT = 4
"""Of a MIDI file, where nothing else is asked for: sixteenth notes, which keep nearly all rhythms apart."""
SHARE = 0.1
"""Of the MIDI files for validation, and for testing, where nothing else is asked for."""
_EXPECTED = f"a .mat or .json file of piano rolls, {' and '.join(MIDI_ENDINGS)} files, or folders of these"
_PICKLE_ENDINGS = (".pickle", ".pkl", ".p")
_MAT_KEYS = {"traindata": "train", "validdata": "val", "testdata": "test"}
_JSON_KEYS = {"train": "train", "valid": "val", "test": "test"}
_REST = -1
"""A note that some files write where a voice rests."""


@dataclass(frozen=True)
class MidiSpec:
    """What is made of MIDI files; None stands for `STEPS_PER_BEAT`, or `SHARE`, or for seed 0.

    Attributes:
        steps_per_beat: see `read_midi`; of ``.mat`` and ``.json`` files what their steps are, which changes
            nothing but what the data file says of itself.
        val, test: shares of the files, >= 0 and together below 1.
        seed: of the split, 0 <= seed < 2**64.
    """

    steps_per_beat: int | None = None
    val: float | None = None
    test: float | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        for name in ("val", "test"):
            share = getattr(self, name)
            if share is not None and not 0 <= share < 1:
                raise ConfigError(
                    f"--{name} must be a fraction of the MIDI files from 0 to below 1, got {share:g}"
                )
        if sum(self.shares.values()) >= 1:
            raise ConfigError("--val and --test together must leave MIDI files to train on, got all of them")
        if self.steps_per_beat is not None and self.steps_per_beat < 1:
            raise ConfigError(f"there must be at least 1 step in a beat, got {self.steps_per_beat}")
        check_seed(self.seed or 0)

    @property
    def shares(self) -> dict[str, float]:
        """The shares of the two splits."""
        return {
            "test": SHARE if self.test is None else self.test,
            "val": SHARE if self.val is None else self.val,
        }

    def split_of(self, sha256: str) -> str:
        """The split of a MIDI file, which its content and the seed decide, not the other files."""
        digest = hashlib.sha256(f"{self.seed or 0} {sha256}".encode()).hexdigest()
        draw = int(digest[:13], 16) / 16**13  # uniform in [0, 1)
        for split, share in self.shares.items():
            if draw < share:
                return split
            draw -= share
        return "train"


@dataclass
class Outcome:
    """What became of the sources.

    Attributes:
        sequences: sequences in each split.
        steps: steps in each split.
        midi_files: MIDI files that were read.
        skipped: one sentence for each file that was left out for being damaged.
        outside: MIDI number -> how many notes of it were left out, a piano not having it.
    """

    sequences: dict[str, int] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)
    midi_files: int = 0
    skipped: list[str] = field(default_factory=list)
    outside: dict[int, int] = field(default_factory=dict)


def generate_from_rolls(
    path: Path,
    inputs: Sequence[Path],
    midi: MidiSpec | None = None,
    *,
    on_error: OnError = "stop",
    quiet: bool = False,
) -> Outcome:
    """Writes a data file of piano rolls.

    Args:
        inputs: ``.mat``, ``.json`` and MIDI files, and folders that are searched for MIDI files.
        midi: what is made of MIDI files; what it sets is an error where there are none.
        on_error: what to do about a damaged file: ``stop``, or ``skip`` it.
        quiet: no progress bar.

    Raises:
        ConfigError: a setting for MIDI files without any, MIDI and other files whose steps of a beat are not
            stated, or mido is missing.
        DataError: an input that is missing, unreadable or a pickle; no sequence in any. Nothing is left.
        OutputError: the file cannot be written.
    """
    require_writable(path, inputs)
    midi = midi or MidiSpec()
    files = find_rolls(inputs)
    _check_settings(midi, files)
    outcome = Outcome()
    sources: dict[str, str] = {}
    config: dict[str, Any] = {"kind": "piano rolls", "files": sorted(files), "on_error": on_error}
    if any(map(_is_midi, files.values())):
        config |= {"steps_per_beat": midi.steps_per_beat or STEPS_PER_BEAT, "shares": midi.shares}
    elif midi.steps_per_beat:
        config["steps_per_beat"] = midi.steps_per_beat
    with (
        progress_bar(quiet=quiet) as bar,
        create_dataset(
            path,
            command=_command(inputs, midi, on_error),
            config=config,
            seed=midi.seed or 0,
            sources=sources,
        ) as made,
        ExitStack() as stack,
    ):
        writers = {split: stack.enter_context(made.note_split(split)) for split in SPLITS}
        task = bar.add_task("reading", total=len(files), note="")
        for name, file in files.items():
            bar.update(task, note=name)
            try:
                splits, sources[name] = _read(file, midi, outcome.outside)
            except DataError as error:
                if on_error == "stop":
                    raise
                outcome.skipped.append(str(error))
            else:
                outcome.midi_files += _is_midi(file)
                for split, rolls in splits.items():
                    for roll in rolls:
                        writers[split].append(roll)
            bar.advance(task)
        for split, writer in writers.items():
            if len(writer):
                outcome.sequences[split], outcome.steps[split] = len(writer), writer.steps
        if not outcome.sequences:
            raise DataError(_nothing_made(files, outcome.skipped))
    return outcome


def _nothing_made(files: Mapping[str, Path], skipped: Sequence[str]) -> str:
    """Why the files gave no sequence: because of what was skipped, or because they hold none."""
    if not skipped:
        return f"there is no sequence in {', '.join(map(str, files.values()))}"
    if len(files) == 1:
        return skipped[0]
    return (
        f"none of the {len(files)} files gave a piano roll: {len(skipped)} could not be read, "
        f"the first for this: {skipped[0]}"
    )


def find_rolls(inputs: Sequence[Path]) -> dict[str, Path]:
    """The files that `inputs` are or hold, by a name that does not depend on where the inputs lie.

    Raises `DataError` for an input that does not exist or is of another kind, and for a folder without MIDI.
    """
    found: dict[str, Path] = {}
    for given in inputs:
        if not given.exists():
            raise DataError(f"{given} does not exist")
        if not given.is_dir():
            _check_kind(given)
        files = sorted(filter(_is_midi, given.rglob("*")), key=natural_order) if given.is_dir() else [given]
        if not files:
            raise DataError(f"there is no MIDI file in {given}: expected {_EXPECTED}")
        for file in files:
            name = str(given.resolve().name / file.relative_to(given))
            found[str(file) if name in found else name] = file
    return found


def _check_kind(file: Path) -> None:
    if file.suffix.lower() in _PICKLE_ENDINGS:
        raise DataError(
            f"{file} is a pickle, which can run any program when it is opened, and is not read: "
            "expected the .mat or .json file of the same music, or its MIDI files"
        )
    if file.suffix.lower() not in _READERS and not _is_midi(file):
        raise DataError(f"{file} is of an unknown kind: expected {_EXPECTED}")


def _is_midi(file: Path) -> bool:
    return file.suffix.lower() in MIDI_ENDINGS and not file.is_dir()


def _check_settings(midi: MidiSpec, files: Mapping[str, Path]) -> None:
    """Raises `ConfigError` for a setting that nothing would come of, and for a missing one."""
    others = [file for file in files.values() if not _is_midi(file)]
    if len(others) < len(files):
        if others and midi.steps_per_beat is None:
            raise ConfigError(
                f"{others[0]} does not say how many of its steps a beat has, and a data file has one number "
                "for all: state it with --steps-per-beat, and the MIDI files are read so too"
            )
        return
    for name in ("val", "test", "seed"):
        if getattr(midi, name) is not None:
            raise ConfigError(
                f"--{name} is for MIDI files, but there are none: a .mat or .json file has its splits"
            )


def _read(file: Path, midi: MidiSpec, outside: dict[int, int]) -> tuple[Splits, str]:
    """The rolls of a file and its sha256; notes that a piano does not have are counted in `outside`."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DataError(f"{file} cannot be read: {(error.strerror or str(error)).lower()}") from error
    sha256 = hashlib.sha256(content).hexdigest()
    if not _is_midi(file):
        return _READERS[file.suffix.lower()](file, content), sha256
    roll, strange = read_midi(file, steps_per_beat=midi.steps_per_beat or STEPS_PER_BEAT, content=content)
    for note, count in strange.items():
        outside[note] = outside.get(note, 0) + count
    return {midi.split_of(sha256): [roll]}, sha256


def _read_mat(file: Path, content: bytes) -> Splits:
    from scipy.io import loadmat

    try:
        held = loadmat(io.BytesIO(content), variable_names=list(_MAT_KEYS))
    except Exception as error:  # a damaged file can make loadmat raise almost anything
        raise DataError(f"{file} cannot be read as a MATLAB file (version 4 to 7.2)") from error
    if not any(key in held for key in _MAT_KEYS):
        raise DataError(f"{file} has none of the variables {', '.join(_MAT_KEYS)}")
    splits: Splits = {}
    for key, split in _MAT_KEYS.items():
        if key in held:
            cells = np.asarray(held[key])
            if cells.dtype != object:
                raise DataError(f"{key} of {file} is not a cell array")
            splits[split] = [
                _checked(cell, f"sequence {number} of {key} of {file}")
                for number, cell in enumerate(cells.ravel(), 1)
            ]
    return splits


def _checked(values: Any, place: str) -> Roll:
    """Raises `DataError` unless the values are (T, 88) of 0 and 1."""
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "buif":
        raise DataError(f"{place} does not hold numbers")
    if values.ndim != 2 or values.shape[1] != KEYS or not len(values):
        raise DataError(f"{place} must be (steps, {KEYS}), got {values.shape}")
    if not ((values == 0) | (values == 1)).all():
        raise DataError(f"{place} holds other numbers than 0 and 1")
    return np.ascontiguousarray(values, np.uint8)


def _read_json(file: Path, content: bytes) -> Splits:
    try:
        held = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file} cannot be read as JSON: {error}") from error
    if not isinstance(held, dict) or not held or held.keys() - _JSON_KEYS:
        raise DataError(f"{file} is not an object of the lists {', '.join(_JSON_KEYS)}")
    return {
        split: [
            _rendered(steps, f"sequence {number} of {key} of {file}")
            for number, steps in enumerate(_listed(held[key], f"{key} of {file}"), 1)
        ]
        for key, split in _JSON_KEYS.items()
        if key in held
    }


def _rendered(steps: Any, place: str) -> Roll:
    """Steps as lists of MIDI notes -> (T, 88)."""
    roll = np.zeros((len(_listed(steps, place)), KEYS), np.uint8)
    if not len(roll):
        raise DataError(f"{place} is empty")
    for number, (row, notes) in enumerate(zip(roll, steps, strict=True), 1):
        for note in _listed(notes, f"step {number} of {place}"):
            if note == _REST:
                continue
            if isinstance(note, bool | str | list | dict) or note not in _NOTES:
                raise DataError(
                    f"step {number} of {place} holds {note!r}, expected MIDI notes "
                    f"{_NOTES[0]} to {_NOTES[-1]}, or {_REST} for a rest"
                )
            row[int(note) - LOWEST_NOTE] = 1
    return roll


_NOTES = range(LOWEST_NOTE, LOWEST_NOTE + KEYS)


def _listed(value: Any, place: str) -> list[Any]:
    if not isinstance(value, list):
        raise DataError(f"{place} is not a list")
    return value


_READERS = {".mat": _read_mat, ".json": _read_json}


def _command(inputs: Sequence[Path], midi: MidiSpec, on_error: OnError) -> str:
    """The command line that makes the same file again, wherever ``--out`` puts it."""
    words = ["vidpred", "gen-data", "piano-roll", *map(str, inputs)]
    for name in ("steps_per_beat", "val", "test", "seed"):
        if getattr(midi, name) is not None:
            words += [f"--{name.replace('_', '-')}", str(getattr(midi, name))]
    return shlex.join([*words, "--on-error", on_error])
