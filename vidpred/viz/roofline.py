"""How near kernels come to what a machine's memory and arithmetic allow, as one picture."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from vidpred.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NATIVE = "#e26710"
_EAGER = "#78808a"
_ROOF = "#212529"
_MARKERS = ("o", "s", "^", "D")


@dataclass(frozen=True)
class Dot:
    """One pass of one case, with one way of computing it."""

    fraction: float
    """Of the least time that the machine allows over the time taken; 1 is as fast as it can."""
    intensity: float | None = None
    """Floating-point operations per byte; None where no operations are counted."""
    gflop_per_s: float | None = None


@dataclass(frozen=True)
class Line:
    """One case: for each pass what the kernel and what plain torch reaches."""

    label: str
    native: Mapping[str, Dot]
    eager: Mapping[str, Dot]


@dataclass(frozen=True)
class Roofs:
    """What the machine was measured to do, in 10^9 a second."""

    gb_per_s: float
    gflop_per_s: Mapping[str, float]
    """Of matrix products, by what to call them, such as the dtype."""


def write_roofline(
    path: str | os.PathLike[str], lines: Sequence[Line], roofs: Roofs, passes: Sequence[str], title: str = ""
) -> None:
    """Writes a PNG: the roofline of the cases that count operations, and how near every case is to its roof.

    The first panel has arithmetic intensity to the right and operations a second upwards under the two
    measured roofs; it is left out where nothing counts operations. Dots that would hide each other there
    stand side by side. Then for each of `passes` there is a
    panel with all cases as fractions of their roof, which is the copy bandwidth for those that count none.
    The numbers of the cases are the same in all panels.

    Raises:
        OutputError: the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    dots = [dot for line in lines for ways in (line.native, line.eager) for dot in ways.values()]
    with_operations = any(dot.intensity for dot in dots)
    widths = [5.6] * with_operations + [3.0] * len(passes)
    letters = max((len(line.label) for line in lines), default=0)
    height = 2.2 + max(0.27 * len(lines), 3.6 if with_operations else 0.8)
    figure = Figure(figsize=(sum(widths) + 0.075 * letters, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = list(figure.subplots(1, len(widths), squeeze=False, width_ratios=widths).flatten())
    if with_operations:
        _draw_roofline(axes.pop(0), lines, roofs, passes)
    furthest = max(1.0, *(dot.fraction for dot in dots), 0.0)
    for number, (name, axis) in enumerate(zip(passes, axes, strict=True)):
        _draw_fractions(axis, lines, name, _MARKERS[number], furthest)
        if number:
            axis.tick_params(labelleft=False)
    _draw_legend(figure, passes)
    if title:
        figure.suptitle(title, fontsize="medium")
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130)


def _draw_roofline(axis: Axes, lines: Sequence[Line], roofs: Roofs, passes: Sequence[str]) -> None:
    highest = max(roofs.gflop_per_s.values())
    xs, ys = [highest / roofs.gb_per_s], [highest]
    for number, line in enumerate(lines, start=1):
        for name, marker in zip(passes, _MARKERS, strict=False):
            native, eager = (_place(ways.get(name)) for ways in (line.native, line.eager))
            if native is None:
                continue
            x = _beside(native[0], xs)
            places = [native, *([eager] if eager else [])]
            ys += (heights := [y for _, y in places])
            axis.plot([x] * len(places), heights, color=_NATIVE, alpha=0.35, linewidth=1.5, zorder=2)
            for y in heights[1:]:
                axis.plot(x, y, marker, color=_EAGER, markerfacecolor="white", markersize=6, zorder=3)
            axis.plot(x, heights[0], marker, color=_NATIVE, markersize=6, zorder=4)
            _write(axis, str(number), (x, heights[0]), (5, -3), "left", 7)
    left, right = min(xs) / 3, max(xs) * 8
    bottom, top = min(ys) / 1.6, highest * 1.6
    start = max(left, bottom / roofs.gb_per_s)
    ridge = highest / roofs.gb_per_s
    axis.plot([start, ridge], [start * roofs.gb_per_s, highest], color=_ROOF, linewidth=1.5, zorder=1)
    _write(axis, f"copy: {roofs.gb_per_s:,.0f} GB/s", (start, start * roofs.gb_per_s), (10, -2), "left", 8)
    for name, rate in roofs.gflop_per_s.items():
        axis.plot([rate / roofs.gb_per_s, right], [rate, rate], color=_ROOF, linewidth=1.5, zorder=1)
        _write(axis, f"product, {name}: {rate:,.0f} GFLOP/s", (right, rate), (-2, 4), "right", 8)
    axis.set(xscale="log", yscale="log", xlim=(left, right), ylim=(bottom, top))
    axis.set(xlabel="arithmetic intensity, FLOP per byte", ylabel="GFLOP/s")
    for scale in (axis.xaxis, axis.yaxis):
        scale.set_major_formatter(lambda value, _: f"{value:,.10g}")
        scale.set_minor_formatter(lambda value, _: f"{value:,.10g}" if f"{value:e}"[0] in "25" else "")
    axis.tick_params(which="both", labelsize="small", length=3, pad=3)
    axis.set_title("ops that multiply matrices", fontsize="small", loc="left")
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)


def _place(dot: Dot | None) -> tuple[float, float] | None:
    if dot is None or not dot.intensity or not dot.gflop_per_s:
        return None
    return dot.intensity, dot.gflop_per_s


def _beside(x: float, taken: list[float]) -> float:
    """`x`, or as little to its right as no other of `taken` is near; what it returns is taken then."""
    while any(abs(x / other - 1) < 0.05 for other in taken[1:]):
        x *= 1.06
    taken.append(x)
    return x


def _write(
    axis: Axes,
    text: str,
    place: tuple[float, float],
    shift: tuple[float, float],
    side: Literal["left", "right"],
    size: int,
) -> None:
    axis.annotate(
        text, place, shift, textcoords="offset points", ha=side, fontsize=size, color=_ROOF, zorder=5
    )


def _draw_fractions(axis: Axes, lines: Sequence[Line], name: str, marker: str, furthest: float) -> None:
    for row, line in enumerate(lines):
        native, eager = line.native.get(name), line.eager.get(name)
        if native and eager:
            axis.plot([eager.fraction, native.fraction], [row, row], color=_NATIVE, alpha=0.35, linewidth=3)
        if eager:
            axis.plot(eager.fraction, row, marker, color=_EAGER, markerfacecolor="white", markersize=6)
        if native:
            axis.plot(native.fraction, row, marker, color=_NATIVE, markersize=6)
    axis.axvline(1, color=_ROOF, linewidth=1.5, zorder=1)
    axis.set(xlim=(0, 1.08 * furthest), ylim=(len(lines) - 0.4, -0.6))
    axis.set_yticks(
        range(len(lines)), [f"{line.label}  {n}" for n, line in enumerate(lines, 1)], fontsize="small"
    )
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axis.set_xlabel("of what the machine allows")
    axis.set_title(name, fontsize="small", loc="left")
    axis.tick_params(axis="y", length=0)
    axis.grid(alpha=0.25)
    axis.spines[["top", "right", "left"]].set_visible(False)


def _draw_legend(figure: Figure, passes: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], linestyle="", marker="o", color=_NATIVE, label="native kernel"),
        Line2D([], [], linestyle="", marker="o", color=_EAGER, markerfacecolor="white", label="eager torch"),
        *(
            Line2D([], [], linestyle="", marker=marker, color=_ROOF, label=name)
            for name, marker in zip(passes, _MARKERS, strict=False)
        ),
        Line2D([], [], color=_ROOF, label="measured on the machine"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
