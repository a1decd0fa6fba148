"""``vidpred import-weights``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vidpred.cli import parse


def import_weights(
    file: Annotated[
        Path, typer.Argument(help="File that torch.save wrote, with a state dict of the network.")
    ],
    source: Annotated[str, typer.Option("--from", help="Project that the network is of: conv-tt-lstm.")],
    run: Annotated[Path, typer.Option(help="Folder of the run to make.")],
    size: Annotated[str, typer.Option(help="Of the frames, such as 64, or 120x160 for 120 rows.")] = "64",
    sigmoid: Annotated[
        bool, typer.Option("--sigmoid", help="Whether a sigmoid ends the network, as published for KTH.")
    ] = False,
) -> None:
    """Make a run of weights that another project trained, for rollout, evaluate and train --resume."""
    from vidpred.training.foreign import import_run

    made = import_run(run, file, source, parse.size(size), {"model.sigmoid": sigmoid})
    sizes = made.model.model_dump(include={"hidden", "layers", "kernel_size", "order", "steps", "rank"})
    told = ", ".join(f"{name} {value}" for name, value in sizes.items() if value is not None)
    typer.echo(f"imported a {made.name} ({made.channels} channels, {told}): {run}")
