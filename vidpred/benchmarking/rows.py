"""The result of a benchmark: rows of numbers, written as JSON and printed as tables."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from vidpred.files import replacing


@dataclass(frozen=True)
class Row:
    """One variant of one case. What does not apply to a case is None."""

    name: str
    """The op, model or data source."""
    stage: str
    """What was timed, such as ``forward`` or ``training step``; ``pass`` in JSON, where Python has no say."""
    shape: tuple[int, ...]
    dtype: str
    device: str
    variant: str
    """``native``, ``eager`` (plain torch), ``compile`` (torch.compile of the same), ``naive``, or another."""
    ms: float
    """Median, in milliseconds."""
    gb_per_s: float | None = None
    gflop_per_s: float | None = None
    fraction_of_roofline: float | None = None
    speedup_vs_eager: float | None = None
    speedup_vs_naive: float | None = None
    max_error: float | None = None
    """Largest absolute difference from the same computed in float64."""
    frames_per_s: float | None = None
    ms_low: float | None = None
    ms_high: float | None = None
    """The quartiles: half of the rounds took between the two."""
    peak_mb: float | None = None
    """Most memory that the tensors of one call take at a time, 10^6 bytes."""
    layer: str | None = None
    """Where a model has the op at this shape."""
    memory_format: str | None = None
    """``contiguous_format`` or ``channels_last``."""

    @property
    def half_spread(self) -> float | None:
        """Half the distance between the quartiles, in milliseconds."""
        if self.ms_low is None or self.ms_high is None:
            return None
        return (self.ms_high - self.ms_low) / 2

    def as_json(self) -> dict[str, Any]:
        """The row with the names of the JSON file."""
        return {("pass" if key == "stage" else key): value for key, value in vars(self).items()}


@dataclass(frozen=True)
class Skipped:
    """A variant that could not run, and why, in one line."""

    name: str
    variant: str
    reason: str


@dataclass
class Report:
    """All that one suite measured on one machine."""

    machine: dict[str, Any]
    rows: list[Row] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    complete: bool = True
    """Whether the suite came to its end."""

    def write(self, path: str | os.PathLike[str]) -> None:
        """Writes everything to a JSON file."""
        content = {
            "machine": self.machine,
            "complete": self.complete,
            "rows": [row.as_json() for row in self.rows],
            "skipped": [vars(skipped) for skipped in self.skipped],
        }
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n")


_COLUMNS = {
    "ms": ("ms", "{:.3f}"),
    "half_spread": ("± ms", "{:.3f}"),
    "speedup_vs_eager": ("vs eager", "{:.2f}x"),
    "speedup_vs_naive": ("vs naive", "{:.2f}x"),
    "fraction_of_roofline": ("of peak", "{:.0%}"),
    "peak_mb": ("MB", "{:.1f}"),
    "max_error": ("max error", "{:.1e}"),
    "frames_per_s": ("frames/s", "{:.1f}"),
    "gb_per_s": ("GB/s", "{:.1f}"),
    "gflop_per_s": ("GFLOP/s", "{:.1f}"),
}
"""What matters most first: a narrow terminal has no room for the last ones."""


def tables(rows: Sequence[Row]) -> Iterator[Table]:
    """One table for each case, titled with it; a column in which no row of it has a number is left out."""
    for heading, group in ((heading, list(group)) for heading, group in groupby(rows, title)):
        columns = [name for name in _COLUMNS if any(getattr(row, name) is not None for row in group)]
        table = Table(
            title=heading, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True
        )
        table.add_column("pass", min_width=16)
        table.add_column("variant", min_width=7)
        for column in columns:
            table.add_column(_COLUMNS[column][0], justify="right", min_width=5)
        for row in group:
            numbers = (_format(_COLUMNS[column][1], getattr(row, column)) for column in columns)
            table.add_row(row.stage, row.variant, *numbers)
        yield table


def title(row: Row) -> str:
    """What tells the case of a row from others: op, dtype, size, layout, layer."""
    size = "x".join(map(str, row.shape))
    layout = "channels last" if row.memory_format == "channels_last" else None
    return "  ".join(part for part in (row.name, row.dtype, size, layout, row.layer) if part)


def _format(pattern: str, value: float | None) -> str:
    if value is None:
        return ""
    # Large numbers need no decimals; a sign after the number stays.
    return f"{value:,.0f}{pattern.rpartition('}')[2]}" if value >= 1000 else pattern.format(value)


def speedups(seconds: Mapping[str, float], over: str) -> dict[str, float | None]:
    """How many times faster than the variant `over` each variant is; None where that was not timed."""
    return {name: seconds[over] / value if over in seconds else None for name, value in seconds.items()}
