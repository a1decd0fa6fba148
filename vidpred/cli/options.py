"""Option types shared by the commands, so that one name means one thing everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vidpred.errors import ConfigError

Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random.")]
Workers = Annotated[int, typer.Option("--workers", min=0, help="Processes to use; 0 picks one per core.")]
Device = Annotated[
    str, typer.Option("--device", help="cpu, cuda or cuda:1; auto takes a GPU if there is one.")
]
Usage = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="How trained models predict, such as model.decoding=sample for a VPN; repeatable.",
    ),
]
Json = Annotated[Path | None, typer.Option("--json", help="Also write every number to this JSON file.")]


def parse_size(text: str) -> tuple[int, int]:
    """``64`` or ``120x160`` -> (height, width). Raises `ConfigError` for anything else."""
    sides = text.split("x")
    if len(sides) > 2 or not all(side.isascii() and side.isdigit() and int(side) > 0 for side in sides):
        raise ConfigError(
            f"--size expects a side such as 64, or height x width such as 120x160, got '{text}'"
        )
    return int(sides[0]), int(sides[-1])
