"""What a search found: the loss of every trial over the values of every setting."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vidpred.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = 3


def write_search(
    path: str | os.PathLike[str],
    losses: NDArray[np.floating],
    values: Mapping[str, Sequence[str]],
    order: Mapping[str, Sequence[str]],
    label: str,
) -> None:
    """Writes what `draw_search` draws as a PNG.

    Raises:
        OutputError: the file cannot be written.
    """
    figure = draw_search(losses, values, order, label)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def draw_search(
    losses: NDArray[np.floating],
    values: Mapping[str, Sequence[str]],
    order: Mapping[str, Sequence[str]],
    label: str,
) -> Figure:
    """A panel for every setting: a dot for each trial, a line through the medians.

    Trials that diverged are crosses at the top. The best trial is marked in every panel.

    Args:
        losses: (trials,), infinite where training diverged.
        values: of every setting the value in each trial.
        order: of every setting all values, from left to right.
        label: of the losses.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    finite = np.isfinite(losses)
    top = losses[finite].max() if finite.any() else 1.0
    best = int(np.argmin(losses))
    rows = -(-len(values) // _COLUMNS)
    figure = Figure(figsize=(3.1 * _COLUMNS, 2.6 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, _COLUMNS, squeeze=False, sharey=True)
    for axis, name in zip(axes.flat, values, strict=False):
        places = np.array([order[name].index(value) for value in values[name]])
        spread = (np.arange(len(places)) * 0.618) % 1 * 0.3 - 0.15  # so that dots do not hide each other
        axis.plot((places + spread)[finite], losses[finite], "o", color="C0", alpha=0.55, markersize=4)
        axis.plot((places + spread)[~finite], np.full((~finite).sum(), top), "x", color="C3", markersize=5)
        seen = [place for place in range(len(order[name])) if (finite & (places == place)).any()]
        medians = [np.median(losses[finite & (places == place)]) for place in seen]
        axis.plot(seen, medians, color="C1", linewidth=1.5)
        axis.plot(
            places[best] + spread[best], losses[best], "o", color="none", markeredgecolor="k", markersize=9
        )
        axis.set_xticks(range(len(order[name])), order[name], fontsize="small")
        axis.set_xlim(-0.4, len(order[name]) - 0.6)
        axis.set_title(name, fontsize="small")
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes.flat[len(values) :]:
        axis.set_visible(False)
    for row in axes:
        row[0].set_ylabel(label)
    return figure
