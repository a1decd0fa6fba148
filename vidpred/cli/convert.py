"""``vidpred convert``: between vidpred's data files and those of other projects."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vidpred.errors import ConfigError


def convert(
    inputs: Annotated[list[Path], typer.Argument(metavar="IN", help="The file, or files, to read.")],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="The file to write.")],
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="Format of OUT: hdf5, npy (time first, like mnist_test_seq.npy), predrnn or convtt.",
            show_default="by the ending: .h5 or .npy",
        ),
    ] = None,
    split: Annotated[
        list[str] | None,
        typer.Option(
            "--split",
            help="The split that IN is, or that is taken from it: train, val or test. Once per IN.",
            show_default="test",
        ),
    ] = None,
) -> None:
    """Convert moving-MNIST files of other projects to a data file, or a split of a data file to theirs."""
    from vidpred.data.convert import convert as convert_files
    from vidpred.data.randomness import SPLITS
    from vidpred.errors import unknown_name

    splits = split or ["test"]
    for name in splits:
        if name not in SPLITS:
            raise unknown_name("split", name, SPLITS)
    if len(set(splits)) != len(inputs) or len(splits) != len(inputs):
        raise ConfigError(
            f"expected a --split of its own for each of {len(inputs)} inputs, got {len(splits)}"
        )
    for sentence in convert_files(dict(zip(splits, inputs, strict=True)), output, format):
        typer.echo(sentence)
