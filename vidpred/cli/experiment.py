"""``vidpred experiment``: the experiments of the papers, on trained runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vidpred.cli.options import Device, Seed, Usage

if TYPE_CHECKING:
    from vidpred.experiments.workspace import Workspace
    from vidpred.viz.table import Table

experiment_app = typer.Typer(
    name="experiment",
    help="Repeat an experiment of the papers on trained runs: tables, pictures, JSON.",
    no_args_is_help=True,
)

Runs = Annotated[list[Path], typer.Argument(metavar="RUN", help="Folders of training runs.")]
Out = Annotated[
    Path | None,
    typer.Option(help="Folder to write to.", show_default="experiments/NAME in the folder of the first run"),
]
Count = Annotated[int, typer.Option(min=1, help="Sequences to try the runs on.")]
Context = Annotated[int, typer.Option(min=1, help="Frames that are given.")]
Horizon = Annotated[int, typer.Option(min=1, help="Frames to predict.")]
Samples = Annotated[int, typer.Option(min=1, help="Predictions of each sequence by a stochastic model.")]
Batch = Annotated[int, typer.Option(min=1, help="Sequences in memory at a time.")]
Data = Annotated[
    Path | None, typer.Option(help="A data file to try the runs on.", show_default="that of the first run")
]
Split = Annotated[str, typer.Option(help="Split of the data: train, val or test.")]
All = Annotated[int | None, typer.Option(min=1, help="Sequences to try the runs on.", show_default="all")]


@experiment_app.command("digit-count")
def digit_count(
    run: Runs,
    count: Count = 200,
    context: Context = 10,
    horizon: Horizon = 10,
    samples: Samples = 1,
    out: Out = None,
    usage: Usage = None,
    seed: Seed = 0,
    batch: Batch = 16,
    device: Device = "auto",
) -> None:
    """The error with 1 to 4 objects, whatever number was trained on (Feist, section 4.4.3)."""
    from vidpred.experiments.digit_count import digit_count as experiment

    _run("digit-count", experiment, run, out, usage, device, count, (context, horizon, samples, seed, batch))


@experiment_app.command("new-glyphs")
def new_glyphs(
    run: Runs,
    glyphs: Annotated[
        str,
        typer.Option(help="What moves: letters, emnist, fashion, kmnist, or an IDX or npz file of pictures."),
    ] = "letters",
    count: Count = 200,
    context: Context = 10,
    horizon: Horizon = 10,
    samples: Samples = 1,
    out: Out = None,
    usage: Usage = None,
    seed: Seed = 0,
    batch: Batch = 16,
    device: Device = "auto",
) -> None:
    """One object of a kind never seen in training, against one of a kind that was (Feist, section 4.5)."""
    from vidpred.experiments.new_glyphs import new_glyphs as experiment

    setting = (context, horizon, samples, seed, batch)
    _run("new-glyphs", experiment, run, out, usage, device, count, setting, glyphs=glyphs)


@experiment_app.command("long-term")
def long_term(
    run: Runs,
    count: Count = 100,
    context: Context = 20,
    horizon: Horizon = 100,
    samples: Samples = 1,
    out: Out = None,
    usage: Usage = None,
    seed: Seed = 0,
    batch: Batch = 16,
    device: Device = "auto",
) -> None:
    """Many frames ahead: errors, objects, and whether digits can still be read (Razali, section 5.1)."""
    from vidpred.experiments.long_term import long_term as experiment

    _run("long-term", experiment, run, out, usage, device, count, (context, horizon, samples, seed, batch))


@experiment_app.command("diversity")
def diversity(
    run: Runs,
    count: Count = 50,
    context: Context = 20,
    horizon: Horizon = 100,
    samples: Samples = 5,
    out: Out = None,
    usage: Usage = None,
    seed: Seed = 0,
    batch: Batch = 16,
    device: Device = "auto",
) -> None:
    """How the samples of one past differ, and how near the best comes (Razali, section 5.2)."""
    from vidpred.experiments.diversity import diversity as experiment

    _run("diversity", experiment, run, out, usage, device, count, (context, horizon, samples, seed, batch))


@experiment_app.command("out-of-domain")
def out_of_domain(
    run: Runs,
    count: Count = 100,
    context: Context = 20,
    horizon: Horizon = 100,
    out: Out = None,
    usage: Usage = None,
    seed: Seed = 0,
    batch: Batch = 16,
    device: Device = "auto",
) -> None:
    """One and three objects, and how many the runs go on with (Razali, section 5.3)."""
    from vidpred.experiments.out_of_domain import out_of_domain as experiment

    _run("out-of-domain", experiment, run, out, usage, device, count, (context, horizon, 1, seed, batch))


@experiment_app.command("latent")
def latent(
    run: Runs,
    count: Count = 100,
    context: Context = 20,
    out: Out = None,
    seed: Seed = 0,
    batch: Batch = 16,
    device: Device = "auto",
) -> None:
    """What the latents of a VRNN change, and whether they carry anything (Razali, section 5.4)."""
    from vidpred.experiments.latent import latent as experiment

    _run("latent", experiment, run, out, None, device, count, (context, 1, 1, seed, batch))


@experiment_app.command("activity")
def activity(
    run: Runs,
    data: Annotated[
        Path | None,
        typer.Option(help="A data file that names its classes.", show_default="that of the first run"),
    ] = None,
    split: Split = "test",
    count: All = None,
    out: Out = None,
    batch: Batch = 16,
    device: Device = "auto",
) -> None:
    """Which class a video is of, from its front alone (Su et al., tables 1 and 3); runs of model activity."""
    from vidpred.experiments.activity import activity as experiment
    from vidpred.experiments.activity import open_videos
    from vidpred.runs import load_run

    first = load_run(run[0])
    file, found = open_videos(first.config.data, data, split)
    setting = (first.config.train.context, 1, 1, 0, batch)
    _run("activity", experiment, run, out, None, device, count or len(found), setting, file, split=split)


@experiment_app.command("likelihood")
def likelihood(
    run: Runs,
    data: Data = None,
    split: Split = "test",
    count: All = None,
    samples: Annotated[
        int, typer.Option(min=1, help="Samples of z; from 2 on also their importance-weighted bound.")
    ] = 1,
    published: Annotated[
        str | None,
        typer.Option(
            help="Data set of the paper whose table stands beside: JSB, Nottingham or Piano-midi.",
            show_default="what the sources of the data file are called",
        ),
    ] = None,
    out: Out = None,
    seed: Seed = 0,
    batch: Batch = 16,
    device: Device = "auto",
) -> None:
    """The log-likelihood of whole sequences, or bounds (Bayer & Osendorfer, table 1); vrae, vosp, fdrnn."""
    from vidpred.experiments.likelihood import likelihood as experiment

    options = {"split": split, "published": published}
    _run_whole("likelihood", experiment, run, data, out, device, count, (samples, seed, batch), options)


@experiment_app.command("denoise")
def denoise(
    run: Runs,
    data: Data = None,
    split: Split = "test",
    count: All = None,
    noise: Annotated[str, typer.Option(help="What happens to a value: flip or on.")] = "flip",
    rate: Annotated[float, typer.Option(help="With which probability, from 0 to 1.")] = 0.05,
    out: Out = None,
    seed: Seed = 0,
    batch: Batch = 16,
    device: Device = "auto",
) -> None:
    """Noisy notes or pixels, cleaned online (Bayer & Osendorfer, section 4.2); runs of vosp and vrae."""
    from vidpred.experiments.denoise import denoise as experiment

    options = {"split": split, "noise": noise, "rate": rate}
    _run_whole("denoise", experiment, run, data, out, device, count, (1, seed, batch), options)


@experiment_app.command("impute")
def impute(
    run: Runs,
    data: Data = None,
    split: Split = "test",
    count: All = None,
    gap: Annotated[int, typer.Option(min=1, help="Steps that are missing.")] = 8,
    iterations: Annotated[
        int, typer.Option(min=1, help="How often the missing values go through the model.")
    ] = 20,
    samples: Annotated[int, typer.Option(min=1, help="Draws that an inferred gap is a mean of.")] = 200,
    out: Out = None,
    seed: Seed = 0,
    batch: Batch = 16,
    device: Device = "auto",
) -> None:
    """A gap in every sequence, filled (Bayer & Osendorfer, section 4.3); runs of vrae and vosp."""
    from vidpred.experiments.impute import impute as experiment

    options = {"split": split, "gap": gap, "iterations": iterations}
    _run_whole("impute", experiment, run, data, out, device, count, (samples, seed, batch), options)


@experiment_app.command("synthesis")
def synthesis(
    run: Runs,
    data: Annotated[
        Path | None,
        typer.Option(help="A data file to compare with.", show_default="that of the first run"),
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps of a sequence.")] = 200,
    count: Annotated[int, typer.Option(min=1, help="Sequences to draw from each run.")] = 4,
    out: Out = None,
    seed: Seed = 0,
    device: Device = "auto",
) -> None:
    """Music or frames of a model's own, by ancestral sampling, beside the data; vrae, vosp, fdrnn."""
    from vidpred.experiments.synthesis import synthesis as experiment

    _run_whole("synthesis", experiment, run, data, out, device, count, (1, seed, 1), {"steps": steps})


def _run_whole(
    name: str,
    experiment: Callable[..., list[Table]],
    run: list[Path],
    data: Path | None,
    out: Path | None,
    device: str,
    count: int | None,
    setting: tuple[int, int, int],
    options: dict[str, Any],
) -> None:
    """An experiment on whole sequences: nothing is a context, nothing a horizon, and all are taken."""
    from vidpred.errors import ConfigError
    from vidpred.experiments.whole_sequences import WholeSequences
    from vidpred.runs import load_run

    trained_on, *others = (load_run(path).config.data for path in run)
    file = data or (Path(trained_on.file) if trained_on.file else None)
    for path, other in zip(run[1:], others, strict=True):
        if file is None and other.file:
            raise ConfigError(
                f"{run[0]} learnt from moving objects made on the fly and {path} from {other.file}: "
                "give what both shall be tried on with --data"
            )
    if count is None:
        count = len(WholeSequences(trained_on, file, options["split"]))
    _run(name, experiment, run, out, None, device, count, (0, 0, *setting), file, **options)


def _run(
    name: str,
    experiment: Callable[..., list[Table]],
    runs: list[Path],
    out: Path | None,
    usage: list[str] | None,
    device: str,
    count: int,
    setting: tuple[int, int, int, int, int],
    file: Path | None = None,
    **options: Any,
) -> None:
    """Opens the runs, lets the experiment do its work, prints its tables."""
    from rich.console import Console

    workspace = _workspace(name, runs, out, usage, device, count, setting, options, file)
    tables = experiment(workspace, **options)
    Console().print(*(table.rich() for table in tables))
    typer.echo(f"tables, pictures and numbers: {workspace.folder}")


def _workspace(
    name: str,
    paths: list[Path],
    out: Path | None,
    usage: list[str] | None,
    device: str,
    count: int,
    setting: tuple[int, int, int, int, int],
    options: dict[str, Any],
    file: Path | None,
) -> Workspace:
    from vidpred.allocator import keep_freed_memory

    keep_freed_memory()

    from vidpred.device import find_device
    from vidpred.evaluation import Setting
    from vidpred.experiments.workspace import Workspace, require_alike
    from vidpred.files import require_writable
    from vidpred.runs import load_runs

    context, horizon, samples, seed, batch = setting
    runs = load_runs(paths, usage or [])
    if file is None:
        require_alike(runs)
    folder = out or paths[0] / "experiments" / name
    require_writable(folder / "results.json")
    chosen = Setting(context, horizon, samples, seed, batch, find_device(device))
    workspace = Workspace(name, folder, runs, count, chosen, options, file=file)
    workspace.require_own()
    return workspace
