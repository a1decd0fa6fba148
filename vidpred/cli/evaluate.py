"""``vidpred evaluate``: how good the predictions are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vidpred.cli.options import Device, Json, Seed
from vidpred.errors import ConfigError

if TYPE_CHECKING:
    import torch

    from vidpred.runs import Run


def evaluate(
    run: Annotated[list[Path], typer.Argument(metavar="RUN", help="Folders of training runs.")],
    data: Annotated[
        Path | None,
        typer.Option(
            help="A data file, or a .npy or .npz file of clips.", show_default="the data of the runs"
        ),
    ] = None,
    split: Annotated[str, typer.Option(help="Split of the data file: train, val or test.")] = "test",
    context: Annotated[
        int | None,
        typer.Option(min=1, help="Frames that are given.", show_default="eval.context of the first run"),
    ] = None,
    horizon: Annotated[
        int | None,
        typer.Option(min=1, help="Frames to predict.", show_default="eval.horizon of the first run"),
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(
            min=1, help="Predictions of each sequence.", show_default="eval.samples of the first run"
        ),
    ] = None,
    count: Annotated[
        int | None, typer.Option(min=1, help="Sequences to predict.", show_default="all")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Sequences in memory at a time.")] = 16,
    frames: Annotated[
        str, typer.Option(help="Also print the scores at these predicted frames, such as 10,50,100.")
    ] = "",
    json: Json = None,
    csv: Annotated[Path | None, typer.Option(help="Also write the scores of every frame here.")] = None,
    curve: Annotated[Path | None, typer.Option(help="Also draw the scores over time, as PNG.")] = None,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Score trained models, beside repeating the last frame (copy) and the mean frame (mean)."""
    from vidpred.allocator import keep_freed_memory

    keep_freed_memory()

    from rich.console import Console

    from vidpred import evaluation
    from vidpred.device import find_device
    from vidpred.files import require_writable
    from vidpred.runs import load_run
    from vidpred.sequences import mean_training_frame, open_sequences, wants_labels

    for output in (json, csv, curve):
        if output:
            require_writable(output)
    runs = [load_run(path) for path in run]
    if data is None:
        _require_one_source(runs)
    first = runs[0].config
    context = context or first.eval.context
    horizon = horizon or first.eval.horizon
    samples = samples or first.eval.samples
    shown = _frame_numbers(frames, horizon)
    sequences = open_sequences(
        first.data,
        data,
        split,
        length=context + horizon,
        with_labels=any(wants_labels(opened.model) for opened in runs),
    )
    count = count or len(sequences)
    chosen = find_device(device)
    rows = evaluation.evaluate(
        evaluation.with_baselines(
            [
                evaluation.Contestant(name, opened.model, opened.config.name, opened.config.preset)
                for name, opened in zip(_names(runs), runs, strict=True)
            ],
            sequences,
            mean_training_frame(first.data, data),
        ),
        sequences,
        count,
        context,
        horizon,
        samples=samples,
        seed=seed,
        batch=batch,
        device=chosen,
    )
    report = evaluation.Report(
        {
            "source": sequences.source,
            "sha256": sequences.sha256,
            "split": split,
            "sequences": count,
            "context": context,
            "horizon": horizon,
            "samples": samples,
            "seed": seed,
            "batch": batch,
            "convention": "strict",
            "runs": [str(path) for path in run],
            "machine": _machine(chosen),
        },
        rows,
    )
    console = Console()
    for frame in (None, *shown):
        console.print(report.table(frame))
    if json:
        report.write_json(json)
    if csv:
        report.write_csv(csv)
    if curve:
        report.write_curves(curve)


def _require_one_source(runs: list[Run]) -> None:
    """Runs can stand in one table only if they predict the same sequences."""
    for other in runs[1:]:
        if _source(other) != _source(runs[0]):
            raise ConfigError(
                f"{runs[0].path} and {other.path} were trained on different data: "
                f"say with --data what to evaluate them on"
            )


def _source(opened: Run) -> dict[str, Any]:
    return opened.config.data.model_dump(exclude={"train", "val"})


def _names(runs: list[Run]) -> list[str]:
    """The runs' names, or their whole paths where names occur twice."""
    names = [opened.name for opened in runs]
    return names if len(set(names)) == len(names) else [str(opened.path) for opened in runs]


def _machine(device: torch.device) -> dict[str, Any]:
    """What the numbers may depend on in their last digits."""
    import platform

    import torch

    import vidpred
    from vidpred import ops
    from vidpred.benchmarking.hardware import cpu_name, gpu

    return {
        "device": str(device),
        "cpu": cpu_name(),
        "gpu": gpu(device),
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "vidpred": vidpred.__version__,
        "backend": ops.backend(),
    }


def _frame_numbers(text: str, horizon: int) -> list[int]:
    """``10,50,100`` -> [10, 50, 100]."""
    try:
        numbers = [int(part) for part in text.split(",")] if text else []
    except ValueError as error:
        raise ConfigError(f"--frames expects numbers such as 10,50,100, got '{text}'") from error
    for number in numbers:
        if not 1 <= number <= horizon:
            raise ConfigError(f"--frames: {number} is not among the predicted frames 1 to {horizon}")
    return numbers
