"""A number over a few settings, such as the error over the count of digits (seed 001, figure 4.9)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidpred.errors import ConfigError
from vidpred.files import replacing

_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_LETTERS = 64
"""That have room beside each other in the legend."""


@dataclass(frozen=True)
class Line:
    """One line: a value for each of a few settings."""

    label: str
    xs: NDArray[np.number]  # (settings,)
    ys: NDArray[np.floating]  # (settings,)
    errors: NDArray[np.floating] | None = None  # (settings,), to each side, as a standard error

    def __post_init__(self) -> None:
        lengths = [np.shape(values) for values in (self.xs, self.ys, self.errors) if values is not None]
        if len(set(lengths)) > 1 or len(lengths[0]) != 1:
            raise ConfigError(
                f"xs, ys and errors of the line '{self.label}' must be equally many numbers in one "
                f"dimension, got the shapes {', '.join(map(str, lengths))}"
            )


def write_lines(
    path: str | os.PathLike[str], lines: Sequence[Line], xlabel: str, ylabel: str, title: str = ""
) -> None:
    """Writes a PNG with a marker for every value, bars where errors are known, and a tick at every x.

    Raises:
        ConfigError: there is no line.
        OutputError: the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not lines:
        raise ConfigError("a line plot needs at least one line, got none")
    figure = Figure(figsize=(5.2, 4.1), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    for number, line in enumerate(lines):
        axis.errorbar(
            line.xs,
            line.ys,
            yerr=line.errors,
            label=line.label,
            color=f"C{number % 10}",
            marker=_MARKERS[number % len(_MARKERS)],
            markersize=6,
            linewidth=1.5,
            elinewidth=1,
            capsize=3,
        )
    xs = np.unique(np.concatenate([line.xs for line in lines]))
    axis.set_xticks(xs, [f"{x:g}" for x in xs])
    axis.set(xlabel=xlabel, ylabel=ylabel)
    axis.margins(x=0.08)
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    columns = max(1, min(3, _LETTERS // (6 + max(len(line.label) for line in lines))))
    figure.legend(loc="outside lower center", ncols=columns, frameon=False)
    if title:
        figure.suptitle(title, fontsize="medium")
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130)
