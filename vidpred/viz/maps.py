"""Numbers that belong to pixels, over time, such as the variance of the samples."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vidpred.errors import ConfigError
from vidpred.files import replacing

# All in inches.
_SIDE = 0.95
_GAP = 0.05
_HEADER = 0.5
_RIGHT = 1.05
_BOTTOM = 0.1
_LEAST_BODY = 1.5
"""Height that the bar and the words beside it need."""


def write_maps(
    path: str | os.PathLike[str],
    rows: Sequence[tuple[str, NDArray[np.floating]]],
    columns: Sequence[int],
    label: str,
) -> None:
    """Writes a PNG with heat maps in rows, all in the colours of one bar; time runs to the right.

    The bar begins at zero where nothing is negative. What is not finite is grey.

    Args:
        path: of the PNG.
        rows: for each row its name and its maps (T, H, W); H and W are the same in all.
        columns: numbers, from 1, of the maps that are shown.
        label: of the bar: quantity and unit.

    Raises:
        ConfigError: no row or no column, maps of different sizes, or a column that a row does not reach.
        OutputError: the file cannot be written.
    """
    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure
    from matplotlib.textpath import TextPath

    _check(rows, columns)
    shown = [maps[np.subtract(columns, 1)] for _, maps in rows]
    finite = np.concatenate([maps[np.isfinite(maps)] for maps in shown])
    low, high = finite.min(initial=0), finite.max(initial=0)
    norm = Normalize(low, high if high > low else 1)
    colours = colormaps["magma"]

    tall, wide = (_SIDE * side / max(rows[0][1].shape[1:]) for side in rows[0][1].shape[1:])
    names = [name for name, _ in rows if name.strip()]  # a path of no letters has no extents
    letters = max((TextPath((0, 0), name, size=10).get_extents().width for name in names), default=0)
    left = 0.25 + letters / 72
    body_wide = len(columns) * (wide + _GAP) - _GAP
    body_tall = max(_LEAST_BODY, len(rows) * (tall + _GAP) - _GAP)
    page_wide, page_tall = left + body_wide + _RIGHT, _HEADER + body_tall + _BOTTOM
    figure = Figure(figsize=(page_wide, page_tall))
    FigureCanvasAgg(figure)

    def place(x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
        """From inches from the page's upper left corner to what matplotlib wants."""
        return x / page_wide, 1 - (y + height) / page_tall, width / page_wide, height / page_tall

    for row, ((name, _), maps) in enumerate(zip(rows, shown, strict=True)):
        for column, number in enumerate(columns):
            x, y = left + column * (wide + _GAP), _HEADER + row * (tall + _GAP)
            axis = figure.add_axes(place(x, y, wide, tall), xticks=[], yticks=[])
            axis.set_facecolor("0.6")
            axis.imshow(maps[column], cmap=colours, norm=norm, aspect="auto")
            axis.spines[:].set_visible(False)
            if not row:
                axis.set_title(str(number), fontsize="small", pad=4)
            if not column:
                axis.set_ylabel(name, rotation=0, ha="right", va="center", labelpad=6, fontsize=10)
    x, y, _, _ = place(left + body_wide / 2, 0.17, 0, 0)
    figure.text(x, y, "frame", ha="center", va="center", fontsize="small")
    bar = figure.colorbar(
        ScalarMappable(norm, colours),
        figure.add_axes(place(left + body_wide + 0.14, _HEADER, 0.13, body_tall)),
    )
    bar.set_label(label, fontsize="small")
    bar.ax.tick_params(labelsize="small")
    bar.ax.yaxis.get_offset_text().set(ha="left", fontsize="small")  # a power of ten, clear of the maps
    bar.outline.set_visible(False)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130)


def _check(rows: Sequence[tuple[str, NDArray[np.floating]]], columns: Sequence[int]) -> None:
    if not rows or not columns:
        raise ConfigError(f"maps need a row and a column, got {len(rows)} rows and {len(columns)} columns")
    for name, maps in rows:
        if maps.ndim != 3 or not maps.size or maps.shape[1:] != rows[0][1].shape[1:]:
            raise ConfigError(
                f"maps of the row '{name}' must be (T, H, W), not empty and as large as the first row's, "
                f"expected {rows[0][1].shape}, got {maps.shape}"
            )
        for number in columns:
            if not 1 <= number <= len(maps):
                raise ConfigError(f"the row '{name}' has maps 1 to {len(maps)}, got the column {number}")
