"""``vidpred demo``: the main job, end to end, as the commands that anyone could type."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from vidpred.errors import ExitCode


def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything the demo makes.")] = Path("demo"),
) -> None:
    """Show the main job on real digits: data, training, rollout, pictures and a table.

    Prints each command before it runs it, and skips what an earlier demo has finished.
    """
    from vidpred.cli.main import run

    for product, arguments in _commands(out):
        line = shlex.join(["vidpred", *arguments])
        if product is not None and product.exists():
            typer.echo(f"# {product} is there already: {line}")
            continue
        typer.echo(f"$ {line}")
        code = run(arguments)
        if code != ExitCode.DONE:
            raise typer.Exit(code)
    typer.echo(f"\nThe pictures: {out / 'rollout.gif'}, {out / 'rollout.png'}, {out / 'curves.png'}")


def _commands(out: Path) -> Iterator[tuple[Path | None, list[str]]]:
    """The commands with the file that shows that each is done; a run knows itself how far it is."""
    data, trained = out / "data.h5", out / "vrnn"
    digits = ["--size", "32", "--digit-size", "16", "--train", "10000", "--val", "500", "--test", "500"]
    yield data, ["gen-data", "mmnist", "--out", str(data), *digits]
    if (trained / "checkpoints" / "last").exists():
        yield None, ["train", "--resume", str(trained)]
    else:
        yield None, ["train", "vrnn", "--preset", "tiny", "--data", str(data), "--run", str(trained)]
    rollout = ["rollout", str(trained), "--data", str(data)]
    for picture in (out / "rollout.gif", out / "rollout.png"):
        yield picture, [*rollout, "--horizon", "20", "--samples", "2", "--out", str(picture)]
    table = out / "evaluation.json"
    curves = out / "curves.png"
    yield None, ["evaluate", str(trained), "--data", str(data), "--json", str(table), "--curve", str(curves)]
