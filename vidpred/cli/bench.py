"""``vidpred bench``: measures the kernels, models, sampling and the data pipeline on this machine."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidpred.cli.options import Device, Json

if TYPE_CHECKING:
    import torch

    from vidpred.benchmarking.roofline import Peaks
    from vidpred.benchmarking.rows import Report, Row, Skipped

bench_app = typer.Typer(
    help="Measure how fast this machine runs the kernels, the models, sampling and the data pipeline.",
    no_args_is_help=True,
)

Quick = Annotated[bool, typer.Option("--quick", help="Fewer cases and repeats.")]
Threads = Annotated[int, typer.Option("--threads", min=0, help="CPU threads; 0 leaves torch's choice.")]
Op = Annotated[list[str] | None, typer.Option("--op", help="Only this op; may be given several times.")]
Model = Annotated[
    list[str] | None, typer.Option("--model", help="Only this model; may be given several times.")
]
Dtype = Annotated[
    list[str] | None,
    typer.Option(
        "--dtype",
        help="Every case in this dtype, in place of its own: float32, float64, bfloat16 or float16; "
        "may be given several times.",
    ),
]
Cold = Annotated[
    bool | None,
    typer.Option(
        "--cold/--warm",
        help="Whether every call reads other inputs, more of them than the caches hold.",
        show_default="cold on a GPU, warm on a CPU",
    ),
]
Plot = Annotated[Path | None, typer.Option("--plot", help="Also draw the roofline plot into this PNG.")]


@bench_app.command()
def kernels(
    quick: Quick = False,
    json: Json = None,
    plot: Plot = None,
    op: Op = None,
    dtype: Dtype = None,
    device: Device = "auto",
    threads: Threads = 0,
    cold: Cold = None,
) -> None:
    """Each op against plain torch and torch.compile, at the shapes of the models: time, rates, error."""
    from vidpred.benchmarking.kernels import suite

    cases = suite.cases(quick, op or (), dtype or ())
    chosen, peaks, report = _start(device, threads, json, plot)

    from vidpred.benchmarking import machine

    cold = chosen.type == "cuda" if cold is None else cold
    report.machine["inputs"] = "cold" if cold else "warm"
    peaks_of = {
        dtype: machine.peaks_in(dtype, peaks, chosen) for dtype in dict.fromkeys(case.dtype for case in cases)
    }
    report.machine["matrix_product_gflop_per_s_by_dtype"] = {
        str(dtype).removeprefix("torch."): round(peaks.gflop_per_s, 1) for dtype, peaks in peaks_of.items()
    }
    budget = 0.5 if quick else 2.0
    results = (
        result
        for case in cases
        for result in suite.run_case(case, chosen, peaks_of[case.dtype], cold=cold, budget=budget)
    )
    _finish(report, results, sum(map(suite.expected_results, cases)), json, plot)


@bench_app.command()
def models(
    model: Model = None,
    quick: Quick = False,
    json: Json = None,
    device: Device = "auto",
    threads: Threads = 0,
) -> None:
    """A training step and a rollout of every model at its presets for CPUs, on a GPU also at paper."""
    from vidpred.benchmarking import models as suite

    suite.cases(quick, only=model or ())  # a wrong name is told before the machine is measured
    chosen, peaks, report = _start(device, threads, json)
    budget = 2.0 if quick else 10.0
    cases = suite.cases(quick, chosen.type == "cuda", model or ())
    results = (result for case in cases for result in suite.run_case(case, chosen, peaks, budget=budget))
    _finish(report, results, sum(map(suite.results_of, cases)), json)


@bench_app.command()
def sampling(quick: Quick = False, json: Json = None, device: Device = "auto", threads: Threads = 0) -> None:
    """A frame from the decoder of the Video Pixel Network, against the loop over its pixels."""
    chosen, peaks, report = _start(device, threads, json)

    from vidpred.benchmarking import sampling as suite

    budget = 2.0 if quick else 20.0
    cases = suite.cases(quick)
    results = (result for case in cases for result in suite.run_case(case, chosen, peaks, budget=budget))
    report.machine["naive"] = suite.NAIVE
    print(suite.NAIVE)
    _finish(report, results, len(cases) * suite.RESULTS_OF_A_CASE, json)


@bench_app.command()
def data(quick: Quick = False, json: Json = None) -> None:
    """Writing, reading and making moving MNIST, on all cores."""
    _, _, report = _start("cpu", 0, json)

    from vidpred.benchmarking import data as suite

    results = suite.run(sequences=200 if quick else 1000, budget=2.0 if quick else 10.0)
    _finish(report, results, suite.RESULTS, json)


def _start(device: str, threads: int, *outputs: Path | None) -> tuple[torch.device, Peaks, Report]:
    """Sets the process up and measures the machine; the allocator must come before the first tensor."""
    from vidpred.allocator import keep_freed_memory

    allocator = keep_freed_memory()

    import torch

    from vidpred.benchmarking import machine
    from vidpred.benchmarking.rows import Report
    from vidpred.device import find_device
    from vidpred.files import require_writable

    for output in outputs:
        if output:
            require_writable(output)
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


def _finish(
    report: Report,
    results: Iterable[Row | Skipped],
    expected: int,
    json: Path | None,
    plot: Path | None = None,
) -> None:
    """Collects the results, prints them, and writes what is wanted; also what there is when interrupted."""
    report.complete = False
    try:
        _collect(report, results, expected)
        report.complete = True
    finally:
        _show(report, json, plot)


def _collect(report: Report, results: Iterable[Row | Skipped], expected: int) -> None:
    from vidpred.benchmarking.rows import Row
    from vidpred.progress import progress_bar

    with progress_bar(steady_over=600.0) as bar:
        task = bar.add_task("timing", total=expected, note="")
        for done, result in enumerate(results, start=1):
            if isinstance(result, Row):
                report.rows.append(result)
            else:
                report.skipped.append(result)
            bar.update(
                task, completed=done, total=max(done, expected), note=f"{result.name} {result.variant}"
            )


def _show(report: Report, json: Path | None, plot: Path | None) -> None:
    from rich.console import Console

    from vidpred.benchmarking.rows import tables

    if json:
        report.write(json)
    Console().print(*tables(report.rows))
    for skipped in report.skipped:
        print(f"skipped {skipped.name} {skipped.variant}: {skipped.reason}")
    if plot:
        from vidpred.benchmarking.roofline_plot import write_plot

        write_plot(plot, report)
