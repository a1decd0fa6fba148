"""From the rows of the kernels suite to its roofline plot."""

from __future__ import annotations

import os
from collections.abc import Mapping

from vidpred.benchmarking.rows import Report, Row, title
from vidpred.viz.roofline import Dot, Line, Roofs, write_roofline

_PASSES = ("forward", "forward+backward")


def write_plot(path: str | os.PathLike[str], report: Report) -> None:
    """Writes the PNG of what `report` holds; of a GPU's passes their graph replays where there are such.

    Raises:
        OutputError: the file cannot be written.
    """
    cases: dict[str, dict[str, dict[str, Dot]]] = {}
    for row in report.rows:
        stage = row.stage.removesuffix(", graph replay")
        if row.fraction_of_roofline is None or stage not in _PASSES:
            continue
        variants = cases.setdefault(title(row).replace("  float32", ""), {"native": {}, "eager": {}})
        if row.variant in variants:
            variants[row.variant][stage] = _dot(row)
    lines = [Line(label, variants["native"], variants["eager"]) for label, variants in cases.items()]
    write_roofline(path, lines, _roofs(report.machine), _PASSES, _machine(report.machine))


def _dot(row: Row) -> Dot:
    assert row.fraction_of_roofline is not None
    intensity = row.gflop_per_s / row.gb_per_s if row.gflop_per_s and row.gb_per_s else None
    return Dot(row.fraction_of_roofline, intensity, row.gflop_per_s)


def _roofs(machine: Mapping) -> Roofs:
    return Roofs(machine["copy_gb_per_s"], machine["matrix_product_gflop_per_s_by_dtype"])


def _machine(machine: Mapping) -> str:
    name = machine["gpu"]["name"] if machine["gpu"] else f"{machine['cpu']}, {machine['threads']} threads"
    return f"vidpred bench kernels: {name}, torch {machine['torch']}, {machine['inputs']} inputs"
