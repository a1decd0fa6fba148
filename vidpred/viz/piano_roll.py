"""Piano rolls as pictures: keys upwards, time to the right."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vidpred.errors import ConfigError
from vidpred.files import replacing
from vidpred.viz.tiles import CONTEXT, PREDICTION, TRUTH, Colour, sample_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# All in inches.
_STEP = 0.08
_WIDEST, _NARROWEST = 16.0, 5.0
_HEIGHT = 2.1
"""Of one roll, with what is between it and the next."""


class _Margins(NamedTuple):
    left: float
    right: float
    top: float
    bottom: float
    between: float


_MARGINS = _Margins(left=0.75, right=0.15, top=0.45, bottom=0.5, between=0.25)
MOST_ROLLS = 100
"""In one picture, which is already 200 inches high."""
_OCTAVE = 12


@dataclass(frozen=True)
class Roll:
    """One roll of a picture.

    Attributes:
        name: stands to its left.
        values: (T, keys) in [0, 1]: whether a note sounds, or with which probability.
        given: how many of the first steps a model was given.
        predicted: whether the others were predicted; else they are the truth.
    """

    name: str
    values: NDArray[np.floating]
    given: int = 0
    predicted: bool = False

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or not self.values.size:
            raise ConfigError(f"a roll must be (T, keys) and not empty, got {self.values.shape}")


def write_piano_rolls(
    path: str | os.PathLike[str], rolls: Sequence[Roll], *, title: str = "", lowest_note: int = 21
) -> None:
    """Writes a PNG with rolls one below the other, over the number of the step, from 1.

    The darker, the likelier a note. Lines lie below each C. A bar above a roll says what its steps are: blue
    what was given, orange what was predicted, grey the truth.

    Args:
        lowest_note: MIDI number of key 0; 60 is the middle C, called C4.

    Raises:
        ConfigError: no roll, or too many.
        OutputError: the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not rolls:
        raise ConfigError("a picture of piano rolls needs at least one roll")
    if len(rolls) > MOST_ROLLS:
        raise ConfigError(f"a picture shows at most {MOST_ROLLS} piano rolls, got {len(rolls)}")
    longest = max(len(roll.values) for roll in rolls)
    width = min(_WIDEST, max(_NARROWEST, _STEP * longest + 1.2))
    height = _HEIGHT * len(rolls) + _MARGINS.top + _MARGINS.bottom
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(rolls), 1, squeeze=False, sharex=True).flatten()
    # Set by hand: a layout that is computed takes minutes for some hundred rolls.
    figure.subplots_adjust(
        left=_MARGINS.left / width,
        right=1 - _MARGINS.right / width,
        bottom=_MARGINS.bottom / height,
        top=1 - _MARGINS.top / height,
        hspace=_MARGINS.between / (_HEIGHT - _MARGINS.between),
    )
    for roll, axis in zip(rolls, axes, strict=True):
        _draw(axis, roll, lowest_note)
    axes[-1].set(xlabel="step", xlim=(0.5, longest + 0.5))
    axes[-1].xaxis.get_major_locator().set_params(integer=True)
    if title:
        figure.suptitle(title, fontsize="medium", y=1 - 0.1 / height)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130)


def write_roll_sheet(
    path: str | os.PathLike[str],
    context: NDArray[np.uint8],
    predicted: NDArray[np.uint8],
    truth: NDArray[np.uint8] | None = None,
) -> None:
    """The rolls of a rollout: for each sequence the truth, where it is known, and every sample.

    Args:
        context: (N, Tc, 1, 1, keys) uint8.
        predicted: (S, N, horizon, 1, 1, keys) uint8.
        truth: (N, Tt, 1, 1, keys) uint8, what really followed, Tt <= horizon, or None.
    """
    given = context.shape[1]

    def roll(name: str, number: int, future: NDArray[np.uint8], predicted: bool) -> Roll:
        steps = np.concatenate([context[number], future])
        return Roll(name, steps.reshape(len(steps), -1) / 255, given, predicted)

    rolls = []
    for number in range(len(context)):
        place = f"\n({number + 1} of {len(context)})" if len(context) > 1 else ""
        if truth is not None and truth.shape[1]:
            rolls.append(roll(f"truth{place}", number, truth[number], False))
        names = sample_names(len(predicted))
        rolls += [
            roll(f"{name}{place}", number, sample[number], True)
            for name, sample in zip(names, predicted, strict=True)
        ]
    write_piano_rolls(path, rolls)


def _draw(axis: Axes, roll: Roll, lowest_note: int) -> None:
    steps, keys = roll.values.shape
    bottom, top = lowest_note - 0.5, lowest_note + keys - 0.5
    axis.imshow(
        roll.values.T,
        cmap="Greys",
        vmin=0,
        vmax=1,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        extent=(0.5, steps + 0.5, bottom, top),
    )
    octaves = [note for note in range(lowest_note, lowest_note + keys) if note % _OCTAVE == 0]
    for note in octaves:
        axis.axhline(note - 0.5, color="0.5", alpha=0.4, linewidth=0.5)
    axis.set_yticks(octaves, [f"C{note // _OCTAVE - 1}" for note in octaves], fontsize="x-small")
    axis.set(ylabel=roll.name, ylim=(bottom, top))
    axis.spines[["top", "right"]].set_visible(False)
    _say(axis, 0, roll.given, CONTEXT)
    _say(axis, roll.given, steps, PREDICTION if roll.predicted else TRUTH)


def _say(axis: Axes, first: int, last: int, colour: Colour) -> None:
    """Draws the bar above the steps from number `first` (from 0) up to before `last`."""
    if first < last:
        axis.plot(
            [first + 0.5, last + 0.5],
            [1.03, 1.03],
            transform=axis.get_xaxis_transform(),
            color=np.divide(colour, 255),
            linewidth=3,
            solid_capstyle="butt",
            clip_on=False,
        )
