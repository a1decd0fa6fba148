"""An evaluation as a table, as JSON, as CSV and as curves."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from vidpred.errors import ConfigError
from vidpred.evaluation.scores import Row
from vidpred.files import replacing
from vidpred.metrics import METRICS, Metric
from vidpred.viz.curves import Curve, Panel, write_curves

_CURVES = ("bce_frame", "mse_frame", "mae_frame", "psnr", "ssim")
"""Errors per pixel would draw the same curves as those per frame."""


@dataclass(frozen=True)
class Report:
    """All rows, and the circumstances they were found in."""

    facts: dict[str, Any]
    """At least ``source``, ``sequences``, ``context`` and ``horizon``."""
    rows: Sequence[Row]
    metrics: Mapping[str, Metric] = field(default_factory=lambda: METRICS)

    def tables(self, frame: int | None = None) -> list[Table]:
        """A table for each convention; see `table`."""
        by_convention: dict[str, list[str]] = {}
        for name in self.metrics:
            by_convention.setdefault(name.rpartition(".")[0] or "strict", []).append(name)
        return [self.table(frame, name, metrics) for name, metrics in by_convention.items()]

    def table(
        self, frame: int | None = None, convention: str = "strict", names: Sequence[str] = tuple(METRICS)
    ) -> Table:
        """The scores at predicted frame `frame`, from 1, or over all; the standard errors below them.

        Args:
            convention: what the title shall call the metrics of these `names`.

        Raises:
            ConfigError: there is no such frame.
        """
        horizon = self.facts["horizon"]
        if frame is not None and not 1 <= frame <= horizon:
            raise ConfigError(f"frame {frame} is not among the predicted frames 1 to {horizon}")
        which = f"predicted frames 1 to {horizon}" if frame is None else f"predicted frame {frame}"
        convention = "" if convention == "strict" else f", convention {convention}"
        table = Table(
            title=f"{which}{convention}, context {self.facts['context']}, {self._sequences()}",
            caption=_caption([self.metrics[name] for name in names]),
            box=SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
            pad_edge=False,
        )
        table.add_column("run")
        table.add_column("samples")
        for metric in (self.metrics[name] for name in names):
            table.add_column("\n".join([metric.name, *metric.unit.rsplit(" ", 1)]), justify="right")
        for row in self.rows:
            kind = "baseline" if row.is_baseline else f"{row.model} {row.preset}"
            reading = row.reading.replace(" of ", "\nof ")
            table.add_row(
                f"{row.name}\n[dim]{kind}[/dim]", reading, *(self._cell(row, name, frame) for name in names)
            )
        return table

    def write_json(self, path: str | os.PathLike[str]) -> None:
        """Writes every number: facts, rows, metrics, curves and standard errors."""
        content = {**self.facts, "rows": [row.as_json() for row in self.rows]}
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n")

    def write_csv(self, path: str | os.PathLike[str]) -> None:
        """Writes a line for each row and predicted frame: metrics, then their standard errors."""
        errors = [f"{name}_standard_error" for name in self.metrics]
        with replacing(path) as temporary, temporary.open("w", newline="") as file:
            lines = csv.writer(file, lineterminator="\n")
            lines.writerow(
                ["name", "model", "preset", "reduction", "samples", "frame", *self.metrics, *errors]
            )
            for row in self.rows:
                about = [row.name, row.model, row.preset, row.reduction, row.samples]
                for frame in range(1, self.facts["horizon"] + 1):
                    pairs = [row.scores[name].at(frame) for name in self.metrics]
                    lines.writerow(
                        [*about, frame, *(pair[0] for pair in pairs), *(pair[1] for pair in pairs)]
                    )

    def write_curves(self, path: str | os.PathLike[str]) -> None:
        """Draws each metric over the predicted frames, the baselines dashed."""
        panels = [
            Panel(
                METRICS[name].label,
                [
                    Curve(
                        f"{row.name}: {row.reading}" if row.reading else row.name,
                        row.scores[name].per_frame,
                        row.scores[name].per_frame_standard_error,
                        dashed=row.is_baseline,
                    )
                    for row in self.rows
                ],
                logarithmic=not METRICS[name].higher_is_better,
            )
            for name in _CURVES
            if name in self.metrics
        ]
        write_curves(path, panels, title=f"{self._sequences()}, context {self.facts['context']}")

    def _sequences(self) -> str:
        return f"{self.facts['sequences']} sequences of {self.facts['source']}"

    def _cell(self, row: Row, name: str, frame: int | None) -> str:
        value, error = row.scores[name].at(frame)
        decimals = self.metrics[name].decimals
        return f"{value:.{decimals}f}" + ("" if error is None else f"\n[dim]±{error:.{decimals}f}[/dim]")


def _caption(metrics: Sequence[Metric]) -> str:
    higher = " and ".join(dict.fromkeys(metric.name for metric in metrics if metric.higher_is_better))
    return "± standard error over sequences" + (f"; higher is better for {higher}" if higher else "")
