"""Option types shared by the commands, so that one name means one thing everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
