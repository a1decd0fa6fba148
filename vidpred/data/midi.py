"""MIDI files as piano rolls, and piano rolls as MIDI files."""

from __future__ import annotations

import io
import os
import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidpred.data.notes import KEYS, LOWEST_NOTE
from vidpred.errors import ConfigError, DataError
from vidpred.files import replacing

MIDI_ENDINGS = (".mid", ".midi")
_PERCUSSION = 9
"""The channel of General MIDI (counted from 0) whose notes are drums, not pitches."""
_MOST_STEPS = 1_000_000
"""Of a file: a damaged time can ask for more than fits in memory."""
_TICKS_PER_BEAT = 480
_MOST_TICKS_PER_BEAT = 2**15 - 1
_VELOCITY = 80


def load_mido() -> Any:
    """The module ``mido``. Raises `ConfigError` where it is not installed."""
    try:
        import mido
    except ImportError as error:
        raise ConfigError(
            "MIDI files are read and written with mido, which is missing: pip install 'vidpred[music]'"
        ) from error
    return mido


def read_midi(
    path: str | os.PathLike[str], *, steps_per_beat: int = 4, content: bytes | None = None
) -> tuple[NDArray[np.uint8], dict[int, int]]:
    """Reads a MIDI file as a piano roll.

    All channels but percussion are joined. Time is counted in beats, so that tempo plays no part; onsets and
    ends are rounded to the nearest step, and every note keeps at least one. The sustain pedal is not heard.

    Chunks of unknown types and a RIFF wrapper around the file are passed over. Within a track mido is strict:
    a key signature that no staff has, or a data byte over 127, is damage.

    Args:
        steps_per_beat: steps of a beat, a quarter note in most music.
        content: the bytes to read instead of those of `path`, which then only names them.

    Returns:
        (T, 88) uint8, 1 where a note sounds, from the start of the file to its stated end; and the notes
        that a piano does not have: MIDI number -> how often.

    Raises:
        DataError: no such file, not a MIDI file, or a damaged one; times in seconds; no notes; too long.
        ConfigError: mido is missing, or `steps_per_beat` is not positive.
    """
    mido = load_mido()
    if steps_per_beat < 1:
        raise ConfigError(f"there must be at least 1 step in a beat, got {steps_per_beat}")
    try:
        content = Path(path).read_bytes() if content is None else content
        file = mido.MidiFile(file=io.BytesIO(_known_chunks(_unwrapped(content))))
    except OSError as error:
        raise DataError(f"{path} cannot be read as a MIDI file: {error.strerror or error}") from error
    except Exception as error:  # a damaged file can make mido raise almost anything
        reason = "it ends early" if isinstance(error, EOFError) else str(error)
        raise DataError(f"{path} cannot be read as a MIDI file: {reason}") from error
    if file.type not in (0, 1):
        raise DataError(f"{path} is a MIDI file of type {file.type}, expected type 0 or 1 with one timeline")
    if file.ticks_per_beat < 0:
        raise DataError(f"{path} counts time in seconds, expected ticks of a beat")
    if file.ticks_per_beat == 0:
        raise DataError(f"{path} states 0 ticks of a beat, expected at least 1")

    def step(ticks: int) -> int:
        """The nearest step, the later one of two as near."""
        return (2 * ticks * steps_per_beat + file.ticks_per_beat) // (2 * file.ticks_per_beat)

    duration = max((sum(message.time for message in track) for track in file.tracks), default=0)
    last, sounding = 0, []
    strange: dict[int, int] = defaultdict(int)
    for note, start, end in _notes(file.tracks, duration):
        first, after = step(start), max(step(start) + 1, step(end))
        last = max(last, after)
        if LOWEST_NOTE <= note < LOWEST_NOTE + KEYS:
            sounding.append((first, after, note - LOWEST_NOTE))
        else:
            strange[note] += 1
    if not sounding:
        raise DataError(
            f"{path} has {_what_is_there(file.tracks, strange)}, "
            f"expected notes of a piano, {LOWEST_NOTE} to {LOWEST_NOTE + KEYS - 1}"
        )
    steps = max(last, step(duration))
    if steps > _MOST_STEPS:
        raise DataError(
            f"{path} lasts {steps} steps, expected at most {_MOST_STEPS}: "
            f"it may be damaged, or --steps-per-beat {steps_per_beat} too large"
        )
    roll = np.zeros((steps, KEYS), np.uint8)
    for first, after, key in sounding:
        roll[first:after, key] = 1
    return roll, dict(sorted(strange.items()))


def _unwrapped(content: bytes) -> bytes:
    """The MIDI file inside a RIFF file of the form RMID; anything else as it is."""
    if content[:4] != b"RIFF" or content[8:12] != b"RMID":
        return content
    for name, start, end in _chunks(content, 12, "<4sL"):
        if name == b"data":
            return content[start + 8 : end]
    return content


def _known_chunks(content: bytes) -> bytes:
    """A MIDI file without the chunks of unknown types, which the standard says to skip and mido refuses."""
    if content[:4] != b"MThd":
        return content
    chunks = _chunks(content, 0, ">4sL")
    return b"".join(content[start:end] for name, start, end in chunks if name in (b"MThd", b"MTrk"))


def _chunks(content: bytes, start: int, header: str) -> Iterator[tuple[bytes, int, int]]:
    """The type of every chunk from `start` on, and where it starts, with its header of 8 bytes, and ends."""
    while start + 8 <= len(content):
        name, size = struct.unpack_from(header, content, start)
        end = start + 8 + size
        yield name, start, end
        start = end + (size % 2 if header.startswith("<") else 0)  # RIFF fills up to an even number of bytes


def _notes(tracks: Iterable[Any], last: int) -> Iterator[tuple[int, int, int]]:
    """Every note but percussion: its MIDI number, and the ticks of its start and of its end.

    A note that is struck again while held ends there; one that is never ended sounds to the tick `last`.
    Each track holds its own notes: two voices on one channel may sing the same.
    """
    for track in tracks:
        held: dict[tuple[int, int], tuple[int, bool]] = {}
        now = 0
        for message in track:
            now += message.time
            if message.type not in ("note_on", "note_off") or message.channel == _PERCUSSION:
                continue
            key = message.channel, message.note
            start, struck_again = held.get(key, (now, False))
            if message.type == "note_on" and message.velocity > 0:
                if key in held:
                    yield message.note, start, now
                held[key] = now, key in held
            elif struck_again and start == now:  # the end of the one before, written after the stroke
                held[key] = now, False
            elif key in held:
                del held[key]
                yield message.note, start, now
        for (_, note), (start, _) in held.items():
            yield note, start, last


def _what_is_there(tracks: Sequence[Any], strange: Mapping[int, int]) -> str:
    """What a file without a note of a piano has instead."""
    if strange:
        return f"no other notes than {', '.join(map(str, sorted(strange)))}"
    if not tracks:
        return "no tracks"
    struck = any(message.type == "note_on" and message.velocity > 0 for track in tracks for message in track)
    return "only percussion" if struck else "no notes"


def check_timing(steps_per_beat: int, tempo: float) -> None:
    """Raises `ConfigError` unless a MIDI file can state so many steps of a beat, and beats a minute."""
    if not isinstance(steps_per_beat, int) or not 1 <= steps_per_beat <= _MOST_TICKS_PER_BEAT:
        raise ConfigError(f"steps of a beat must be 1 to {_MOST_TICKS_PER_BEAT}, got {steps_per_beat}")
    if not 4 <= tempo <= 10_000:  # in a file: 24 bits of microseconds a beat
        raise ConfigError(f"a tempo must be 4 to 10000 beats a minute, got {tempo:g}")


def write_midi(
    path: str | os.PathLike[str],
    notes: NDArray[Any],
    *,
    steps_per_beat: int = 4,
    tempo: float = 120.0,
) -> None:
    """Writes a piano roll as a MIDI file of one track; a note in successive steps is one long note.

    Args:
        notes: (T, 88), not zero where a note sounds; column 0 is MIDI note 21.
        steps_per_beat: steps of a beat.
        tempo: beats a minute.

    Raises:
        ConfigError: another shape, numbers out of range, or mido is missing.
        OutputError: the file cannot be written.
    """
    mido = load_mido()
    notes = np.asarray(notes) != 0
    if notes.ndim != 2 or notes.shape[1] != KEYS:
        raise ConfigError(f"a piano roll must be (T, {KEYS}), got {notes.shape}")
    check_timing(steps_per_beat, tempo)
    ticks_per_step = max(1, _TICKS_PER_BEAT // steps_per_beat)
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(tempo))])
    silence = np.zeros((1, KEYS), np.int8)
    changes = np.diff(notes.astype(np.int8), axis=0, prepend=silence, append=silence)
    past = 0
    for step, change in enumerate(changes):
        # Ends come before starts, so that a note which begins as another ends is not cut off.
        for key in np.argsort(change, kind="stable"):
            if change[key]:
                track.append(
                    mido.Message(
                        "note_on" if change[key] > 0 else "note_off",
                        note=int(key) + LOWEST_NOTE,
                        velocity=_VELOCITY if change[key] > 0 else 0,
                        time=(step - past) * ticks_per_step,
                    )
                )
                past = step
    track.append(mido.MetaMessage("end_of_track", time=(len(notes) - past) * ticks_per_step))
    file = mido.MidiFile(type=0, ticks_per_beat=ticks_per_step * steps_per_beat, tracks=[track])
    with replacing(path) as temporary:
        file.save(temporary)
