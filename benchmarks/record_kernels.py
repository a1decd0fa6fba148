"""Measures the kernels, keeps the result under the machine's name, and refreshes the README's table from it.

python benchmarks/record_kernels.py [options of `vidpred bench kernels`]
python benchmarks/record_kernels.py --table benchmarks/results/kernels-MACHINE.json

The second only writes the table anew.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
README = ROOT / "README.md"
START, END = "<!-- kernels: the table is made by benchmarks/record_kernels.py -->", "<!-- kernels: end -->"
PASSES = ("forward", "forward+backward")


def main(arguments: list[str]) -> None:
    """Measures unless a recorded result is given, and writes the README."""
    recorded = Path(arguments[1]).resolve() if arguments[:1] == ["--table"] else record(arguments)
    README.write_text(refreshed(README.read_text(), json.loads(recorded.read_text()), recorded))
    print(f"{README.name} shows {recorded.relative_to(ROOT)}")


def record(options: list[str]) -> Path:
    """Runs the benchmark; returns the JSON file in `RESULTS`, which has its plot beside it."""
    with tempfile.TemporaryDirectory(dir=ROOT / "benchmarks") as folder:
        result, plot = Path(folder) / "kernels.json", Path(folder) / "kernels.png"
        outputs = ["--json", str(result), "--plot", str(plot)]
        subprocess.run(
            [sys.executable, "-m", "vidpred", "bench", "kernels", *options, *outputs], check=True, cwd=ROOT
        )
        recorded = RESULTS / f"kernels-{machine_name(json.loads(result.read_text())['machine'])}.json"
        os.replace(plot, recorded.with_suffix(".png"))
        os.replace(result, recorded)
    return recorded


def machine_name(machine: Mapping[str, Any]) -> str:
    """What files about a machine are called after: ``amd-epyc-2-cores``, or the name of its GPU."""
    name = machine["gpu"]["name"] if machine["gpu"] else f"{machine['cpu']} {machine['cores']} cores"
    return re.sub(r"[^a-z0-9]+", "-", re.sub(r"\(R\)|\(TM\)", "", name).lower()).strip("-")


def refreshed(readme: str, report: Mapping[str, Any], recorded: Path) -> str:
    """`readme` with what stands between the two markers made anew from `report`."""
    before, found_start, rest = readme.partition(START)
    _, found_end, after = rest.partition(END)
    if not (found_start and found_end):
        sys.exit(f"{README.name} has no place for the table: expected the lines\n{START}\n{END}")
    return f"{before}{START}\n\n{section(report, recorded)}\n\n{END}{after}"


def section(report: Mapping[str, Any], recorded: Path) -> str:
    """The table in Markdown, with a sentence on the machine before it and the plot named behind it."""
    machine = report["machine"]
    computer = machine["gpu"]["name"] if machine["gpu"] else f"{machine['cpu']}, {machine['threads']} threads"
    copying, products = machine["copy_gb_per_s"], machine["matrix_product_gflop_per_s"]
    lines = [
        f"The kernels on {computer} (torch {machine['torch'].partition('+')[0]}, {machine['inputs']} inputs; "
        f"{copying:.0f} GB/s of copying, {products:.0f} GFLOP/s of matrix products), medians of one run; in "
        "parentheses how many times faster than eager torch and than `torch.compile` of the same:",
        "",
        "| op | shape | from | forward | forward and backward |",
        "|---|---|---|---|---|",
        *(table_line(case) for case in cases(report["rows"])),
        "",
        f"[Every number]({recorded.relative_to(ROOT)}) and [how near they come to what the machine allows]"
        f"({recorded.with_suffix('.png').relative_to(ROOT)}), made by `make bench`.",
    ]
    return "\n".join(lines)


def cases(rows: Iterable[Mapping[str, Any]]) -> list[dict[tuple[str, str], Mapping[str, Any]]]:
    """The cases with a kernel at a model's shape: for each its rows by pass and variant.

    On a GPU a row is the replay of a graph where there is one.
    """
    found: dict[tuple[Any, ...], dict[tuple[str, str], Mapping[str, Any]]] = {}
    for row in rows:
        if row["layer"]:
            key = (row["name"], tuple(row["shape"]), row["dtype"], row["memory_format"], row["layer"])
            stage = row["pass"].removesuffix(", graph replay")
            found.setdefault(key, {})[stage, row["variant"]] = row
    return [case for case in found.values() if all((stage, "native") in case for stage in PASSES)]


def table_line(case: Mapping[tuple[str, str], Mapping[str, Any]]) -> str:
    """One line of the table."""
    row = case["forward", "native"]
    marks = [row["dtype"]] if row["dtype"] != "float32" else []
    marks += ["channels last"] if row["memory_format"] == "channels_last" else []
    shape = ", ".join(["x".join(map(str, row["shape"])), *marks])
    cells = [f"`{row['name']}`", shape, row["layer"], *(cell(case, stage) for stage in PASSES)]
    return f"| {' | '.join(cells)} |"


def cell(case: Mapping[tuple[str, str], Mapping[str, Any]], stage: str) -> str:
    """Time and ratios of one pass."""
    time = case[stage, "native"]["ms"]
    others = [case.get((stage, variant)) for variant in ("eager", "compile")]
    ratios = ", ".join(f"{other['ms'] / time:.1f}" if other else "-" for other in others)
    return f"{time:.3g} ms ({ratios})"


if __name__ == "__main__":
    main(sys.argv[1:])
