"""Distributions of an error over a test set, side by side (seed 001, figures 4.1-4.3 and 4.11)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vidpred.errors import ConfigError
from vidpred.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BOXES = 0.72
"""Width that the boxes of one label take together, where labels are 1 apart."""
_INK = "#212529"


@dataclass(frozen=True)
class Box:
    """The values of one model on one test set."""

    label: str
    """What stands under the box, such as the model."""
    values: NDArray[np.floating]  # (samples,), at least one, all finite
    group: str = ""
    """What tells boxes of one label apart, such as the test set."""

    def __post_init__(self) -> None:
        finite = np.isfinite(self.values)
        if self.values.ndim != 1 or not self.values.size or not finite.all():
            raise ConfigError(
                f"values of the box '{self.label}' must be finite numbers in one dimension, at least one, "
                f"got the shape {self.values.shape} with {(~finite).sum()} that are not finite"
            )


def write_box_plot(path: str | os.PathLike[str], boxes: Sequence[Box], label: str, title: str = "") -> None:
    """Writes a PNG with a box for each distribution.

    A box reaches from the first to the third quartile and is cut by the median. Whiskers end at the furthest
    value within 1.5 times the box's length from it; each value beyond is a dot. Boxes of one label stand side
    by side, coloured by their group, which a legend names. Below the plot is how many values there are.

    Args:
        path: of the PNG.
        boxes: labels and groups stand in the order in which they first appear.
        label: of the vertical axis.
        title: above the plot.

    Raises:
        ConfigError: there is no box, or there are two with the same label and group.
        OutputError: the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    by_label = _by_label(boxes)
    groups = list(dict.fromkeys(box.group for box in boxes))
    width = _BOXES / len(groups) if len(groups) > 1 else 0.5
    ticks, note = _captions(by_label)
    letters = max(len(text) for tick in ticks for text in tick.split("\n"))
    each = max(0.6 + 0.45 * len(groups), 0.2 + 0.08 * letters)
    figure = Figure(figsize=(max(4.4, 1 + each * len(by_label)), 4.1), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    for tick, row in enumerate(by_label.values()):
        for place, box in enumerate(row):
            centre = tick + (place - (len(row) - 1) / 2) * width
            _draw(axis, box, centre, 0.84 * width, f"C{groups.index(box.group) % 10}")

    if note:
        axis.set_xlabel(note, fontsize="small", color="0.35", labelpad=8)
    axis.set_xticks(range(len(by_label)), ticks)
    axis.set(ylabel=label, xlim=(-0.6, len(by_label) - 0.4))
    axis.tick_params(axis="x", length=0)
    axis.grid(axis="y", alpha=0.25)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
    if any(groups):
        from matplotlib.patches import Patch

        swatches = [Patch(facecolor=f"C{n % 10}", alpha=0.7, label=name) for n, name in enumerate(groups)]
        figure.legend(handles=swatches, loc="outside lower center", ncols=4, frameon=False)
    if title:
        figure.suptitle(title, fontsize="medium")
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130)


def _by_label(boxes: Sequence[Box]) -> dict[str, list[Box]]:
    """The boxes of each label, in the order of the groups."""
    if not boxes:
        raise ConfigError("a box plot needs at least one box, got none")
    groups = list(dict.fromkeys(box.group for box in boxes))
    found: dict[str, list[Box]] = {}
    for box in boxes:
        row = found.setdefault(box.label, [])
        if any(other.group == box.group for other in row):
            raise ConfigError(f"boxes must differ in label or group, got two of '{box.label}', '{box.group}'")
        row.append(box)
    return {label: sorted(row, key=lambda box: groups.index(box.group)) for label, row in found.items()}


def _captions(by_label: dict[str, list[Box]]) -> tuple[list[str], str]:
    """What stands at the ticks and below them, with the numbers of samples once where all are the same."""
    counts = {label: [f"{len(box.values):,}" for box in row] for label, row in by_label.items()}
    different = {count for row in counts.values() for count in row}
    if len(different) == 1:
        return list(by_label), f"{different.pop()} samples in each box"
    return [f"{label}\nn = {' | '.join(row)}" for label, row in counts.items()], ""


def _draw(axis: Axes, box: Box, centre: float, width: float, colour: str) -> None:
    axis.boxplot(
        box.values,
        positions=[centre],
        widths=width,
        whis=1.5,
        patch_artist=True,
        manage_ticks=False,
        capprops={"color": _INK, "linewidth": 1},
        whiskerprops={"color": _INK, "linewidth": 1},
        medianprops={"color": _INK, "linewidth": 1.8},
        boxprops={"facecolor": (colour, 0.7), "edgecolor": _INK, "linewidth": 1},
        flierprops={
            "marker": "o",
            "markersize": 3,
            "markerfacecolor": colour,
            "markeredgewidth": 0,
            "alpha": 0.3,
        },
    )
