"""``vidpred info``: what is installed and will be used; with a model, how large it is and what it costs."""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vidpred.cli import parse
from vidpred.cli.options import Json
from vidpred.errors import ConfigError

if TYPE_CHECKING:
    from vidpred.config import Config

ALL = "all"


def info(
    model: Annotated[
        str | None,
        typer.Argument(
            help="Show instead how large this model is and what a predicted frame costs; 'all': of all.",
            show_default=False,
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="Of the model: paper, small or tiny.", show_default="paper"),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            help="Of the model's frames, such as 64, or 120x160 for 120 rows.", show_default="the preset's"
        ),
    ] = None,
    channels: Annotated[
        int | None, typer.Option(min=1, help="Of the model's frames.", show_default="the preset's")
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", help="An option of the model, such as model.rank=16; repeatable."),
    ] = None,
    json: Json = None,
) -> None:
    """Show versions, backend, devices, digits and caches; or what a MODEL is made of and costs."""
    given = {"preset": preset, "size": size, "channels": channels, "set": assignments}
    if model is not None:
        _show_model(model, preset or "paper", size, channels, assignments or [], json)
        return
    for name, value in given.items():
        if value:
            raise ConfigError(f"--{name} is about a model: say which, for example 'vidpred info convttlstm'")
    facts = gather()
    width = max(map(len, facts)) + 2
    for name, value in facts.items():
        lines = value if isinstance(value, list) else [value]
        for title, line in zip_longest([name.replace("_", " ")], lines, fillvalue=""):
            print(f"{title:<{width}}{line}")
    if json:
        _write(json, facts)


def _show_model(
    name: str, preset: str, size: str | None, channels: int | None, assignments: list[str], json: Path | None
) -> None:
    from rich.console import Console

    from vidpred.benchmarking import complexity
    from vidpred.files import require_writable
    from vidpred.models.registry import MODELS

    if json:
        require_writable(json)
    rows, skipped = [], {}
    for each in MODELS if name == ALL else [name]:
        try:
            rows.append(complexity.complexity(_settings(each, preset, size, channels, assignments)))
        except ConfigError as error:  # of all models some cannot have every size
            if name != ALL:
                raise
            skipped[each] = str(error)
    if not rows:
        raise ConfigError("no model can be as asked for: " + next(iter(skipped.values())))
    Console().print(complexity.table(rows).rich())
    for each, reason in skipped.items():
        print(f"left out {each}: {reason}")
    if json:
        _write(json, complexity.as_plain_data(rows, skipped))


def _settings(
    name: str, preset: str, size: str | None, channels: int | None, assignments: list[str]
) -> Config:
    """The model's preset with what is given; frames are those of the preset's data where nothing is."""
    from vidpred import config, runs
    from vidpred.models.registry import model_class

    changes = config.set_layer(assignments)
    for key in changes.values:
        if not key.startswith("model."):
            raise ConfigError(f"--set changes options of the model here, such as model.hidden, got '{key}'")
    options = model_class(name).Options
    resolved = config.resolve(name, preset, options, [changes])
    _, of_data, height, width = runs.moving_spec(resolved.config.data).frame_shape
    shape = {
        "channels": of_data if channels is None else channels,
        "size": (height, width) if size is None else parse.size(size),
    }
    return config.override(resolved, config.Layer("the command line", shape), options).config


def _write(file: Path, content: dict[str, Any]) -> None:
    from json import dumps

    from vidpred.files import replacing

    with replacing(file) as temporary:
        temporary.write_text(dumps(content, indent=1) + "\n")


def gather() -> dict[str, Any]:
    """Everything that is shown, by name. A part that cannot be found says why in its place."""
    facts: dict[str, Any] = {}
    for part in (_versions, _kernels, _devices, _data, _memory):
        try:
            facts |= part()
        except Exception as error:  # a broken installation is just what this command is asked about
            facts[part.__name__.strip("_")] = f"not available: {error}"
    return facts


def _versions() -> dict[str, Any]:
    import platform
    from importlib.metadata import PackageNotFoundError, version

    import vidpred

    versions = {"vidpred": vidpred.__version__, "python": platform.python_version()}
    for package in ("torch", "numpy", "h5py", "accelerate"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return versions


def _kernels() -> dict[str, Any]:
    from vidpred import ops

    built = ops.build_info()
    return {
        "backend": ops.backend() if built["native"] else f"{ops.backend()} ({built['reason']})",
        "instruction_set": built["cpu_capability"],
        "cuda_architectures": built["cuda_architectures"] or "none compiled in",
        "compiler": built["compiler"] or "none used",
    }


def _devices() -> dict[str, Any]:
    import torch

    from vidpred.benchmarking.hardware import cpu_name

    gpus = [
        f"cuda:{index}: {torch.cuda.get_device_name(index)}" for index in range(torch.cuda.device_count())
    ]
    return {"devices": [f"cpu: {cpu_name()}, {torch.get_num_threads()} threads", *gpus]}


def _data() -> dict[str, Any]:
    from vidpred.data import digits

    found = [f"{name}: {count:,} images in {where}" for name, where, count in digits.available()]
    return {"digits": found or "none found", "cache": str(digits.cache_directory())}


def _memory() -> dict[str, Any]:
    from vidpred.allocator import keep_freed_memory

    return {"allocator": keep_freed_memory()}
