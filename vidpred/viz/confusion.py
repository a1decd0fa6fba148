"""What was taken for what, as a picture of a confusion matrix."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vidpred.errors import ConfigError
from vidpred.files import replacing

_CELL = 0.24
_LEAST, _MOST = 2.4, 12.0
"""Inches of the matrix's side."""
_NAMED = 60
"""Classes that have room for their names."""
_LETTERS = 44
"""Of a name that are shown."""


def write_confusion(
    path: str | os.PathLike[str],
    confusion: NDArray[np.integer],
    names: Sequence[str],
    title: str = "",
    groups: Sequence[str] = (),
) -> None:
    """Writes a PNG with a row for each true class, in shares of that row; an empty row is grey.

    Args:
        confusion: (classes, classes), how many of class i were taken for class j.
        names: of the classes; where they are too many to be read, their numbers stand there.
        title: above all, where there is one.
        groups: that of each class; classes are sorted by them, and lines lie between.

    Raises:
        ConfigError: no class, or not as many names or groups as classes.
        OutputError: the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    count = len(names)
    if not count or confusion.shape != (count, count) or (groups and len(groups) != count):
        raise ConfigError(
            f"a confusion matrix needs a name, and a group or none, for each class: got {confusion.shape}, "
            f"{count} names and {len(groups)} groups"
        )
    places = {group: place for place, group in enumerate(dict.fromkeys(groups))}
    order = sorted(range(count), key=lambda label: places[groups[label]] if groups else label)
    totals = confusion.sum(axis=1, keepdims=True)
    shares = np.where(totals > 0, confusion / np.maximum(totals, 1), np.nan)[np.ix_(order, order)]

    side = float(np.clip(_CELL * count, _LEAST, _MOST))
    figure = Figure(figsize=(side + 5, side + 3.5), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    axis.set_facecolor("0.6")
    image = axis.imshow(shares, cmap="magma", vmin=0, vmax=1)
    if count <= _NAMED:
        ticks, labels = np.arange(count), [_shortened(names[i]) for i in order]
    else:
        ticks = np.arange(0, count, 10)
        labels = [str(order[tick]) for tick in ticks]
    axis.set_xticks(ticks, labels, rotation=90, fontsize="x-small")
    axis.set_yticks(ticks, labels, fontsize="x-small")
    axis.set(xlabel="named class", ylabel="true class")
    axis.spines[:].set_visible(False)
    if groups:
        sorted_groups = [groups[i] for i in order]
        for place in range(1, count):
            if sorted_groups[place] != sorted_groups[place - 1]:
                axis.axhline(place - 0.5, color="C0", linewidth=0.8)
                axis.axvline(place - 0.5, color="C0", linewidth=0.8)
    bar = figure.colorbar(image, ax=axis, shrink=0.8)
    bar.set_label("share of the true class", fontsize="small")
    bar.ax.tick_params(labelsize="small")
    bar.outline.set_visible(False)
    if title:
        figure.suptitle(title, fontsize="medium")
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130)


def _shortened(name: str) -> str:
    return name if len(name) <= _LETTERS else name[: _LETTERS - 1] + "…"
