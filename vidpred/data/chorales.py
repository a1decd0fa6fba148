"""Small four-part chorales made by rules, so that models of music can be tried without any download.

The harmony is functional: a Markov chain over the degrees of a major or minor key, in phrases that end with
a cadence. The four voices move as little as they can; where they leap by a third, passing notes fill it.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vidpred.data.hdf5 import create_dataset
from vidpred.data.notes import KEYS, LOWEST_NOTE
from vidpred.data.randomness import SPLITS, check_seed, uniforms
from vidpred.errors import ConfigError
from vidpred.files import require_writable
from vidpred.progress import progress_bar

STEPS_PER_BEAT = 1
"""A step is a quarter note."""
PUBLISHED_COUNTS = {"train": 229, "val": 76, "test": 77}
"""As many as the JSB chorales of Boulanger-Lewandowski et al. 2012 have."""
RANGES = ((40, 60), (48, 67), (55, 74), (60, 79))
"""MIDI notes, lowest and highest, of bass, tenor, alto and soprano."""
SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
"""Semitones above the tonic."""
LEADING_TONE = 11
"""Takes the place of the minor scale's 10 in the chords of the dominant."""

_TONIC, _DOMINANT, _LEADING = 0, 4, 6
_NEXT: Mapping[int, Mapping[int, float]] = {
    0: {0: 0.10, 1: 0.15, 2: 0.05, 3: 0.25, 4: 0.25, 5: 0.20},
    1: {3: 0.10, 4: 0.65, 6: 0.25},
    2: {3: 0.40, 5: 0.60},
    3: {0: 0.25, 1: 0.25, 4: 0.40, 6: 0.10},
    4: {0: 0.60, 3: 0.10, 5: 0.30},
    5: {1: 0.40, 3: 0.40, 4: 0.20},
    6: {0: 0.80, 5: 0.20},
}
"""Degree (0 is I) -> what may follow and how likely."""
_PHRASES = (4, 7)
"""Fewest and most phrases of a chorale."""
_PHRASE_STEPS = (8, 12, 16)
_FINAL_STEPS = 2
"""How long the chord at the end of a phrase lasts."""
_HALF_CADENCE = 0.3
_MAJOR = 0.5
_LONG_CHORD = 0.4
_PASSING = 0.6
_DRAWS = 1024
"""Random numbers that are set aside for a chorale, which needs at most about 600."""


@dataclass(frozen=True)
class Chorale:
    """A piece for four voices.

    Attributes:
        voices: int64 (T, 4) MIDI notes of bass, tenor, alto and soprano, rising in every step.
        tonic: pitch class, 0 for C.
        mode: ``major`` or ``minor``.
    """

    voices: NDArray[np.int64]
    tonic: int
    mode: str

    def roll(self) -> NDArray[np.uint8]:
        """(T, 88) uint8, 1 where a note sounds."""
        roll = np.zeros((len(self.voices), KEYS), np.uint8)
        np.put_along_axis(roll, self.voices - LOWEST_NOTE, 1, axis=1)
        return roll


def chorale(seed: int, split: str, index: int) -> Chorale:
    """Chorale number `index` of a split, a function of the arguments alone; 32 to 112 steps long."""
    draws = iter(uniforms(seed, split, np.array([index]), _DRAWS)[0].tolist())
    tonic = int(next(draws) * 12)
    mode = "major" if next(draws) < _MAJOR else "minor"
    fewest, most = _PHRASES
    phrases = fewest + int(next(draws) * (most - fewest + 1))
    chords: list[tuple[int, int]] = []
    for number in range(phrases):
        chords += _phrase(draws, is_last=number == phrases - 1)
    chosen = _voiced([_pitches(degree, tonic, mode) for degree, _ in chords], draws)
    voices = np.repeat(chosen, [steps for _, steps in chords], axis=0)
    _add_passing_notes(voices, {(tonic + step) % 12 for step in SCALES[mode]}, draws)
    return Chorale(voices, tonic, mode)


def generate_chorales(
    path: str | os.PathLike[str], counts: Mapping[str, int], *, seed: int = 0, quiet: bool = False
) -> dict[str, int]:
    """Writes a data file of chorales, which depends on `counts` and `seed` alone.

    Args:
        counts: chorales in each split, >= 0 and not all 0; a split with 0 is left out.
        seed: 0 <= seed < 2**64.
        quiet: no progress bar.

    Returns:
        The steps of each split that is there.

    Raises:
        ConfigError: wrong counts, or a seed out of range.
        OutputError: the file cannot be written.
    """
    for split, count in counts.items():
        if count < 0:
            raise ConfigError(f"the number of {split} chorales must not be negative, got {count}")
    wanted = {split: counts[split] for split in SPLITS if counts.get(split)}
    if not wanted:
        raise ConfigError("there is nothing to generate: the number of chorales is 0 in every split")
    check_seed(seed)
    require_writable(Path(path))
    words = ["vidpred", "gen-data", "piano-roll"]
    for split in SPLITS:
        words += [f"--{split}", str(counts.get(split, 0))]
    steps = {}
    with (
        progress_bar(quiet=quiet) as bar,
        create_dataset(
            path,
            command=shlex.join([*words, "--seed", str(seed)]),
            config={"kind": "chorales", "steps_per_beat": STEPS_PER_BEAT, **wanted},
            seed=seed,
            sources={},
        ) as file,
    ):
        for split, count in wanted.items():
            task = bar.add_task(split, total=count, note="")
            with file.note_split(split) as writer:
                for index in range(count):
                    writer.append(chorale(seed, split, index).roll())
                    bar.advance(task)
                steps[split] = writer.steps
    return steps


def _phrase(draws: Iterator[float], *, is_last: bool) -> list[tuple[int, int]]:
    """Chords from the tonic to a cadence: their degrees, and how many steps each lasts."""
    steps = _PHRASE_STEPS[int(next(draws) * len(_PHRASE_STEPS))]
    half = not is_last and next(draws) < _HALF_CADENCE
    # Before the last chord there is one more step where it is V - I.
    before = steps - _FINAL_STEPS - (0 if half else 1)
    chords, degree = [], _TONIC
    while before:
        length = 2 if before >= 2 and next(draws) < _LONG_CHORD else 1
        chords.append((degree, length))
        before -= length
        degree = _drawn(_NEXT[degree], next(draws))
    return [*chords, *([] if half else [(_DOMINANT, 1)]), (_DOMINANT if half else _TONIC, _FINAL_STEPS)]


def _drawn(chances: Mapping[int, float], draw: float) -> int:
    for choice, chance in chances.items():
        draw -= chance
        if draw < 0:
            return choice
    return choice


def _pitches(degree: int, tonic: int, mode: str) -> tuple[int, int, int]:
    """Pitch classes of a triad: root, third and fifth."""
    scale = list(SCALES[mode])
    if degree in (_DOMINANT, _LEADING):
        scale[6] = LEADING_TONE
    root, third, fifth = ((tonic + scale[(degree + step) % 7]) % 12 for step in (0, 2, 4))
    return root, third, fifth


@lru_cache(maxsize=256)
def _voicings(triad: tuple[int, int, int]) -> NDArray[np.int64]:
    """All ways (n, 4) to sing a triad: root in the bass, no note left out, no voice crossed or far off."""
    root = triad[0]
    bass, *upper = (
        [note for note in range(low, high + 1) if note % 12 in ((root,) if not voice else triad)]
        for voice, (low, high) in enumerate(RANGES)
    )
    found = [
        notes
        for notes in product(bass, *upper)
        if notes[0] < notes[1] < notes[2] < notes[3]
        and max(notes[3] - notes[2], notes[2] - notes[1]) <= 12
        and {note % 12 for note in notes} == set(triad)
    ]
    return np.array(found)


def _voiced(triads: list[tuple[int, int, int]], draws: Iterator[float]) -> NDArray[np.int64]:
    """The notes (chords, 4) of the chords, each as near to the one before as can be."""
    first = _voicings(triads[0])
    chosen = [first[int(next(draws) * len(first))]]
    for triad in triads[1:]:
        ways = _voicings(triad)
        moves = ways - chosen[-1]
        cost = np.abs(moves).sum(axis=1) + 2 * (moves[:, 3] == 0) + 10 * _parallels(chosen[-1], moves)
        chosen.append(ways[cost.argmin()])
    return np.array(chosen)


def _parallels(before: NDArray[np.int64], moves: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many pairs of voices move in parallel fifths or octaves, for each of (n, 4) moves."""
    count = np.zeros(len(moves), np.int64)
    for low in range(4):
        for high in range(low + 1, 4):
            if (before[high] - before[low]) % 12 in (0, 7):
                count += (moves[:, low] == moves[:, high]) & (moves[:, low] != 0)
    return count


def _add_passing_notes(voices: NDArray[np.int64], scale: set[int], draws: Iterator[float]) -> None:
    """Fills thirds: a voice that holds a note before it leaps by one may sing what lies between."""
    for step in range(1, len(voices) - 1):
        for voice in range(4):
            held, note, following = voices[step - 1 : step + 2, voice]
            if held != note or abs(following - note) not in (3, 4) or next(draws) >= _PASSING:
                continue
            low, high = sorted((note, following))
            between = next(pitch for pitch in range(low + 1, high) if pitch % 12 in scale)
            voices[step, voice] = between
            if (np.diff(voices[step]) <= 0).any():
                voices[step, voice] = note
