"""``vidpred train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vidpred.cli.options import Device
from vidpred.errors import ConfigError, Interrupted


def train(
    model: Annotated[
        str | None, typer.Argument(help="Model to train, for example vrnn.", show_default=False)
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Data file; without one, moving MNIST is made on the fly.")
    ] = None,
    preset: Annotated[
        str, typer.Option(help="paper (a GPU), small (hours on a CPU) or tiny (minutes).")
    ] = "small",
    config: Annotated[Path | None, typer.Option(help="TOML file of settings, over the preset's.")] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", help="One setting, such as train.steps=1000 or model.hidden=256; repeatable."),
    ] = None,
    run: Annotated[
        Path | None, typer.Option(help="Folder of the run.", show_default="runs/<model>-<data>-<n>")
    ] = None,
    resume: Annotated[Path | None, typer.Option(help="Continue the run in this folder.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of weights, order and noise.")] = None,
    workers: Annotated[int | None, typer.Option(min=0, help="Processes that load data.")] = None,
    device: Device = "auto",
) -> None:
    """Train a model; a run in RUN can be stopped with Ctrl-C and continued with --resume RUN."""
    from vidpred import training
    from vidpred.allocator import keep_freed_memory
    from vidpred.config import Layer
    from vidpred.device import find_device

    keep_freed_memory()
    chosen = find_device(device)
    if resume is not None:
        _refuse_with_resume(model=model, data=data, config=config, run=run, seed=seed, workers=workers)
        training.change_limits(resume, assignments or [])
        path = resume
    else:
        if model is None:
            raise ConfigError(
                "say which model to train, for example 'vidpred train vrnn', or what to --resume"
            )
        given = {"train.seed": seed, "train.workers": workers}
        options = Layer("the command line", {key: value for key, value in given.items() if value is not None})
        resolved = training.resolve_settings(
            model, preset, data=data, config_file=config, assignments=assignments or [], options=options
        )
        path = training.create_run(resolved, run, chosen)
    outcome = training.train(path, resume=resume is not None, device=device)
    if outcome.interrupted:
        raise Interrupted(f"stopped at step {outcome.step}; continue with: vidpred train --resume {path}")
    typer.echo(f"trained {outcome.step} steps, best validation loss {outcome.best:.4g}: {path}")


def _refuse_with_resume(**given: Any) -> None:
    for name, value in given.items():
        if value is not None:
            raise ConfigError(
                f"--resume takes the run's own settings: leave out '{name}' (--set can change train.* limits)"
            )
