"""``vidpred gen-data``: makes data files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vidpred.cli.options import Seed

gen_data_app = typer.Typer(
    name="gen-data", help="Make a data file of generated sequences.", no_args_is_help=True
)

Out = Annotated[Path, typer.Option("--out", help="The HDF5 file to write.")]
Train = Annotated[int, typer.Option("--train", min=0, help="Sequences in the training split.")]
Val = Annotated[int, typer.Option("--val", min=0, help="Sequences in the validation split.")]
Test = Annotated[int, typer.Option("--test", min=0, help="Sequences in the test split.")]
Workers = Annotated[
    int,
    typer.Option("--workers", min=0, help="Threads that draw; 0 picks one per core."),
]
Frames = Annotated[int, typer.Option("--frames", min=1, help="Frames of a sequence.")]
Objects = Annotated[int, typer.Option("--objects", min=1, max=4, help="Objects in a sequence.")]
Motion = Annotated[
    str, typer.Option("--motion", help="Published motion to follow: razali, srivastava, openstl or svg.")
]
Size = Annotated[int, typer.Option("--size", min=2, help="Side of a frame in pixels.")]
ObjectSize = Annotated[
    int | None,
    typer.Option(
        "--digit-size",
        min=1,
        help="Side of an object in pixels.",
        show_default="28, or 32 with --motion svg, as published",
    ),
]
Acceleration = Annotated[
    float, typer.Option("--acceleration", min=0, help="Constant acceleration, pixels per frame per frame.")
]


@gen_data_app.command("mmnist")
def mmnist(
    out: Out,
    train: Train = 10_000,
    val: Val = 1_000,
    test: Test = 1_000,
    seed: Seed = 0,
    workers: Workers = 0,
    frames: Frames = 20,
    objects: Objects = 2,
    motion: Motion = "razali",
    digits: Annotated[
        str,
        typer.Option("--digits", help="auto, mnist, emnist, fashion, kmnist, or an IDX or npz file."),
    ] = "auto",
    size: Size = 64,
    digit_size: ObjectSize = None,
    overlap: Annotated[
        str, typer.Option("--overlap", help="Where digits overlap: max, the brighter; add, the clipped sum.")
    ] = "max",
    acceleration: Acceleration = 0.0,
) -> None:
    """Moving MNIST: digits that bounce inside the frame. The test split has digits of its own."""
    _generate(
        out,
        {"train": train, "val": val, "test": test},
        seed,
        workers,
        kind="mmnist",
        frames=frames,
        objects=objects,
        motion=motion,
        digits=digits,
        size=size,
        digit_size=digit_size,
        overlap=overlap,
        acceleration=acceleration,
    )


@gen_data_app.command("shapes")
def shapes(
    out: Out,
    train: Train = 10_000,
    val: Val = 1_000,
    test: Test = 1_000,
    seed: Seed = 0,
    workers: Workers = 0,
    frames: Frames = 20,
    objects: Objects = 2,
    motion: Motion = "razali",
    size: Size = 64,
    digit_size: ObjectSize = None,
    acceleration: Acceleration = 0.0,
) -> None:
    """Moving shapes: squares, circles and triangles in colour, the later ones in front."""
    _generate(
        out,
        {"train": train, "val": val, "test": test},
        seed,
        workers,
        kind="shapes",
        frames=frames,
        objects=objects,
        motion=motion,
        size=size,
        digit_size=digit_size,
        acceleration=acceleration,
    )


def _generate(out: Path, counts: dict[str, int], seed: int, workers: int, **settings: object) -> None:
    from vidpred.data.generate import generate
    from vidpred.data.moving_objects import MovingSpec

    given = {name: value for name, value in settings.items() if value is not None}
    generate(out, MovingSpec(**given), counts, seed=seed, workers=workers)
    made = " + ".join(f"{count} {split}" for split, count in counts.items() if count)
    typer.echo(f"wrote {out}: {made} sequences")
