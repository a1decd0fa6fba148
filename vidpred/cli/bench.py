"""``vidpred bench``: measures the kernels, models, sampling and the data pipeline on this machine."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from vidpred.cli.options import Device, Json

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from vidpred.benchmarking.roofline import Peaks
    from vidpred.benchmarking.rows import Report, Row, Skipped

bench_app = typer.Typer(
    help="Measure how fast this machine runs the kernels, the models, sampling and the data pipeline.",
    no_args_is_help=True,
)

Quick = Annotated[bool, typer.Option("--quick", help="Fewer cases and repeats: some 30 seconds.")]
Threads = Annotated[int, typer.Option("--threads", min=0, help="CPU threads; 0 leaves torch's choice.")]
Cold = Annotated[
    bool,
    typer.Option("--cold", help="Every call reads other inputs, more of them than the caches hold."),
]


@bench_app.command()
def kernels(
    quick: Quick = False,
    json: Json = None,
    device: Device = "auto",
    threads: Threads = 0,
    cold: Cold = False,
) -> None:
    """Each op against plain torch and torch.compile: time, bandwidth, error."""
    chosen, peaks, report = _start(device, threads)

    from vidpred.benchmarking.kernels import suite

    budget = 0.5 if quick else 2.0
    results = (
        result
        for case in suite.cases(quick)
        for result in suite.run_case(case, chosen, peaks, cold=cold, budget=budget)
    )
    report.machine["inputs"] = "cold" if cold else "warm"
    _finish(report, results, json)


@bench_app.command()
def models(quick: Quick = False, json: Json = None, device: Device = "auto", threads: Threads = 0) -> None:
    """A training step and a rollout of every model at its presets for CPUs."""
    chosen, peaks, report = _start(device, threads)

    from vidpred.benchmarking import models as suite

    budget = 2.0 if quick else 10.0
    results = (
        result for case in suite.cases(quick) for result in suite.run_case(case, chosen, peaks, budget=budget)
    )
    _finish(report, results, json)


@bench_app.command()
def sampling(quick: Quick = False, json: Json = None, device: Device = "auto", threads: Threads = 0) -> None:
    """A frame from the decoder of the Video Pixel Network, against the loop over its pixels."""
    chosen, peaks, report = _start(device, threads)

    from vidpred.benchmarking import sampling as suite

    budget = 2.0 if quick else 20.0
    results = (
        result for case in suite.cases(quick) for result in suite.run_case(case, chosen, peaks, budget=budget)
    )
    report.machine["naive"] = suite.NAIVE
    print(suite.NAIVE)
    _finish(report, results, json)


@bench_app.command()
def data(quick: Quick = False, json: Json = None) -> None:
    """Writing, reading and making moving MNIST, on all cores."""
    _, _, report = _start("cpu", threads=0)

    from vidpred.benchmarking import data as suite

    _finish(report, suite.run(sequences=200 if quick else 1000, budget=2.0 if quick else 10.0), json)


def _start(device: str, threads: int) -> tuple[torch.device, Peaks, Report]:
    """Sets the process up and measures the machine; the allocator must come before the first tensor."""
    from vidpred.allocator import keep_freed_memory

    allocator = keep_freed_memory()

    import torch

    from vidpred.benchmarking import machine
    from vidpred.benchmarking.rows import Report
    from vidpred.device import find_device

    if threads:
        torch.set_num_threads(threads)
    chosen = find_device(device)
    peaks = machine.measure_peaks(chosen)
    facts = machine.facts(chosen, peaks, allocator)
    print(f"{facts['cpu']}, {facts['threads']} threads, {facts['instruction_set']}, torch {facts['torch']}")
    if facts["gpu"]:
        print(f"{facts['gpu']['name']}, driver {facts['gpu']['driver']}, CUDA {facts['gpu']['cuda']}")
    print(f"copy {peaks.gb_per_s:.1f} GB/s, matrix product {peaks.gflop_per_s:.0f} GFLOP/s, float32")
    print(f"allocator: {allocator}")
    return chosen, peaks, Report(facts)


def _finish(report: Report, results: Iterable[Row | Skipped], json: Path | None) -> None:
    """Collects the results, prints them and writes them to a file if one is wanted."""
    from rich.console import Console

    from vidpred.benchmarking.rows import Row, tables

    with Console(stderr=True).status("timing") as status:
        for result in results:
            status.update(f"timing: {result.name} {result.variant}")
            if isinstance(result, Row):
                report.rows.append(result)
            else:
                report.skipped.append(result)
    Console().print(*tables(report.rows))
    for skipped in report.skipped:
        print(f"skipped {skipped.name} {skipped.variant}: {skipped.reason}")
    if json:
        report.write(json)
