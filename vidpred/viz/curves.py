"""Metrics over time as line plots."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vidpred.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = 3


@dataclass(frozen=True)
class Curve:
    """One line: a value for each predicted frame, from frame 1 on."""

    label: str
    values: NDArray[np.float64]  # (horizon,)
    standard_error: NDArray[np.float64] | None = None  # (horizon,)
    dashed: bool = False
    """For what is there only to compare with."""


@dataclass(frozen=True)
class Panel:
    """One plot: the curves of one metric."""

    label: str
    """Of the vertical axis."""
    curves: Sequence[Curve]
    logarithmic: bool = False


def write_curves(path: str | os.PathLike[str], panels: Sequence[Panel], title: str = "") -> None:
    """Writes a PNG with one plot for each panel, over the number of the predicted frame.

    A band of one standard error to each side lies behind each curve that has one. The same
    label has the same colour in all panels, and one legend stands for all.

    Raises:
        OutputError: the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogFormatter

    labels = list(dict.fromkeys(curve.label for panel in panels for curve in panel.curves))
    colours = {label: f"C{n % 10}" for n, label in enumerate(labels)}
    columns = min(_COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(4.4 * columns, 3.2 * rows + 0.9), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    for empty in axes[len(panels) :]:
        empty.set_axis_off()
    for panel, axis in zip(panels, axes[: len(panels)], strict=True):
        for curve in panel.curves:
            _draw(axis, curve, colours[curve.label])
        axis.set(xlabel="predicted frame", ylabel=panel.label)
        if panel.logarithmic and all((curve.values > 0).all() for curve in panel.curves):
            axis.set_yscale("log")
            axis.yaxis.set_major_formatter(LogFormatter())
            axis.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(2, 0.5)))
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    lines = {str(line.get_label()): line for axis in figure.axes for line in axis.get_lines()}
    figure.legend(lines.values(), lines.keys(), loc="outside lower center", ncols=4, frameon=False)
    if title:
        figure.suptitle(title, fontsize="medium")
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130)


def _draw(axis: Axes, curve: Curve, colour: str) -> None:
    frames = np.arange(1, len(curve.values) + 1)
    style = "--" if curve.dashed else "-"
    marker = "o" if len(frames) == 1 else None
    axis.plot(frames, curve.values, style, marker=marker, color=colour, label=curve.label, linewidth=1.5)
    if curve.standard_error is not None:
        low, high = curve.values - curve.standard_error, curve.values + curve.standard_error
        axis.fill_between(frames, low, high, color=colour, alpha=0.2, linewidth=0)
