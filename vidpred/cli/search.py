"""``vidpred search``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vidpred.cli.options import Workers
from vidpred.errors import Interrupted


def search(
    model: Annotated[str, typer.Argument(help="Model to search settings of, for example vrae.")],
    trials: Annotated[int, typer.Option(min=1, help="Trainings in all.")] = 64,
    data: Annotated[
        Path | None, typer.Option(help="Data file; without one, moving MNIST is made on the fly.")
    ] = None,
    preset: Annotated[str, typer.Option(help="paper, small or tiny.")] = "small",
    space: Annotated[
        Path | None,
        typer.Option(
            help="TOML file with a list of values for every setting that varies, 'none' for leaving it out.",
            show_default="the model's own",
        ),
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="A setting of every trial, such as train.minutes=2, which is not searched then; repeatable.",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the search.", show_default="runs/search-<model>-<data>")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of what is drawn and of every training.")] = 0,
    workers: Workers = 0,
) -> None:
    """Search settings at random: many short trainings, two at a time on two cores.

    The same command goes on with a search that was stopped; with more --trials it adds to one that is over.
    """
    from rich.console import Console

    from vidpred.search import Task, read_space, short_table_of, trial_path
    from vidpred.search import search as run_search

    kind = data.stem if data else "mmnist"
    folder = out or Path("runs") / f"search-{model}-{kind}"
    task = Task(
        model, preset, read_space(model, space, assignments or []), seed, tuple(assignments or []), data
    )
    found, interrupted = run_search(task, folder, trials, workers=workers)
    if found:
        Console().print(short_table_of(task, found).rich())
        typer.echo(f"best: {trial_path(folder, found[0].number)}")
    if interrupted:
        raise Interrupted(f"stopped; the same command goes on with {folder}")
