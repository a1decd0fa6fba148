"""``vidpred evaluate``: how good the predictions are."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vidpred.cli.options import Device, Seed, Usage
from vidpred.errors import ConfigError

if TYPE_CHECKING:
    import torch

    from vidpred.metrics import LPIPS
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
    conventions: Annotated[
        str,
        typer.Option(help="Also score as others do: openstl, convtt, predrnn, svg, with commas between."),
    ] = "strict",
    lpips: Annotated[
        str | None,
        typer.Option(
            help="Also score by LPIPS, with weights from a .npz or .safetensors file, or torchvision."
        ),
    ] = None,
    study: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Also compare the runs as Feist 2021 does: tables, box plots and overlays into this folder.",
        ),
    ] = None,
    json: Annotated[
        Path | None,
        typer.Option(
            "--json",
            help="Also write every number here, and each sequence's scores beside it (.scores.h5).",
        ),
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Also write the scores of every frame here.")] = None,
    curve: Annotated[Path | None, typer.Option(help="Also draw the scores over time, as PNG.")] = None,
    usage: Usage = None,
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
    from vidpred.metrics import metrics_for
    from vidpred.runs import load_runs
    from vidpred.sequences import has_split, mean_training_frame, open_sequences, wants_labels

    kept = json and json.with_suffix(".scores.h5")
    for output in (json, kept, csv, curve, study and study / "study.json"):
        if output:
            require_writable(output, [data])
    if study and split != "test":
        raise ConfigError(f"--study compares the split test with val, got --split {split}")
    runs = load_runs(run, usage or [])
    if data is None:
        _require_one_source(runs)
    first = runs[0].config
    context = context or first.eval.context
    horizon = horizon or first.eval.horizon
    samples = samples or first.eval.samples
    shown = _frame_numbers(frames, horizon)
    chosen = find_device(device)
    scored_by = list(dict.fromkeys(["strict", *conventions.split(",")]))
    metrics = metrics_for(scored_by, _lpips(lpips, chosen) if lpips else None, first.size)
    setting = evaluation.Setting(context, horizon, samples, seed, batch, chosen, metrics)
    with_labels = any(wants_labels(opened.model) for opened in runs)

    def compare(split: str, values: Path, at_most: bool = False) -> evaluation.Evaluated:
        sequences = open_sequences(first.data, data, split, length=context + horizon, with_labels=with_labels)
        wanted = count or len(sequences)
        if at_most:
            wanted = min(wanted, len(sequences))
        return evaluation.compare(
            runs,
            sequences,
            wanted,
            setting,
            values,
            mean_frame=mean_training_frame(first.data, data),
            shown=_some(wanted, seed) if study else (),
            facts={"split": split, "conventions": scored_by, "usage": usage or []},
        )

    with TemporaryDirectory() as scratch:
        folder = study or Path(scratch)
        evaluated = compare(split, kept or folder / "test.scores.h5")
        report = evaluated.report
        console = Console()
        for frame in (None, *shown):
            console.print(*report.tables(frame))
        if json:
            report.write_json(json)
        if csv:
            report.write_csv(csv)
        if curve:
            report.write_curves(curve)
        if study:
            on = {evaluation.NEW: evaluated}
            if has_split(first.data, data, "val"):
                on = {evaluation.SEEN: compare("val", folder / "val.scores.h5", at_most=True), **on}
            compared = evaluation.Study(on)
            console.print(*(table.rich() for table in compared.tables()))
            compared.write(study)
            typer.echo(f"tables and pictures: {study}")


def _lpips(source: str, device: torch.device) -> LPIPS:
    from vidpred.metrics import LPIPS

    network = LPIPS.from_torchvision() if source == "torchvision" else LPIPS.from_file(source)
    return network.to(device)


def _some(count: int, seed: int) -> list[int]:
    """Five random sequences, as in section 4.4.2 of the thesis."""
    import numpy as np

    return np.random.default_rng(seed).choice(count, min(5, count), replace=False).tolist()


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
