"""From the arguments of ``vidpred train`` to a resolved configuration."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from vidpred import config, runs
from vidpred.config import Config, DataConfig, Layer, Resolved
from vidpred.data.frames import FrameDataset
from vidpred.data.hdf5 import open_dataset
from vidpred.errors import ConfigError
from vidpred.models.registry import build, model_class


def resolve_settings(
    model_name: str,
    preset: str,
    *,
    data: Path | None = None,
    config_file: Path | None = None,
    assignments: Iterable[str] = (),
    options: Layer | None = None,
) -> Resolved:
    """Merges the layers of a training's configuration and takes from the data what follows from it.

    Raises `ConfigError` or `DataError` for whatever can be wrong before training starts.

    Args:
        data: a data file; without one, sequences are made on the fly.
        config_file: a TOML file (``--config``).
        assignments: ``a.b=v`` strings (``--set``).
        options: settings that have an option of their own on the command line.
    """
    model = model_class(model_name)
    model_options = model.Options
    layers = [config.file_layer(config_file)] if config_file else []
    layers += [options] if options else []
    layers += [config.set_layer(assignments)]
    if data is not None:
        layers.append(Layer("--data", {"data.file": str(data.resolve())}))
    first = config.resolve(model_name, preset, model_options, layers)
    frames, channels, height, width = _frame_shape(first.config.data, model.takes_lengths)
    follows = model.settings_for(first.config.model, frames, _class_count(first.config.data))
    follows = _without_given(follows, first, layers)
    shape = Layer("the data", {"channels": channels, "size": (height, width), **follows})
    resolved = config.resolve(model_name, preset, model_options, [*layers, shape])
    if resolved.config.train.context >= frames:
        raise ConfigError(
            f"train.context must be less than the {frames} frames of a sequence, "
            f"got {resolved.config.train.context}"
        )
    if resolved.config.train.context < model.least_context:
        raise ConfigError(
            f"train.context must be at least {model.least_context} for the model {model_name}, "
            f"got {resolved.config.train.context}"
        )
    if model.takes_lengths:
        _check_lengths(resolved.config)
    with torch.device("meta"):  # costs nothing, and tells at once whether the model fits the frames
        build(resolved.config)
    return resolved


def _frame_shape(data: DataConfig, padded: bool) -> tuple[int, int, int, int]:
    """(T, C, H, W) of the sequences that `data` describes, to be read padded or not."""
    if data.file is not None:
        return FrameDataset(data.file, split="train", length=data.frames, padded=padded).frame_shape
    return runs.moving_spec(data).frame_shape


def _check_lengths(settings: Config) -> None:
    """Raises `ConfigError` where sequences that differ in length leave nothing to learn or to validate on."""
    if settings.data.file is None:
        return
    for split in ("train", "val"):
        data = FrameDataset(settings.data.file, split=split, length=settings.data.frames, padded=True)
        assert data.lengths is not None
        if settings.train.context >= data.lengths.max():
            raise ConfigError(
                f"train.context must be less than the frames of a sequence, but the longest of the split "
                f"'{split}' of {settings.data.file} has {data.lengths.max()}, got {settings.train.context}"
            )


def _class_count(data: DataConfig) -> int | None:
    """How many classes a data file names."""
    if data.file is None:
        return None
    with open_dataset(data.file) as file:
        return len(file.attributes.get("classes", ())) or None


def _without_given(follows: dict[str, Any], first: Resolved, layers: Iterable[Layer]) -> dict[str, Any]:
    """Leaves out what the user has given: for ``eval`` it may differ, anywhere else that is a mistake."""
    given = {key for layer in layers for key in layer.values}
    flat = config.flatten(first.config.model_dump())
    for key in follows.keys() & given:
        if flat[key] != follows[key] and not key.startswith("eval."):
            raise ConfigError(
                f"{key} follows from the data and the options of the model: expected {follows[key]}, "
                f"got {flat[key]} (from {first.sources[key]})"
            )
    return {key: value for key, value in follows.items() if key not in given}


def change_limits(path: Path, assignments: Iterable[str]) -> None:
    """Changes settings of a run before it is resumed: when it ends and what it reports, nothing else.

    Raises:
        ConfigError: a setting that would make it another run, such as the batch or the model.
    """
    change = config.set_layer(assignments)
    if not change.values:
        return
    resolved = runs.read_config(path)
    for key in change.values:
        if key not in CHANGEABLE:
            raise ConfigError(
                f"'{key}' cannot change when a run is resumed (these can: {', '.join(sorted(CHANGEABLE))})"
            )
    runs.save_config(path, config.override(resolved, change, model_class(resolved.config.name).Options))


CHANGEABLE = frozenset(
    f"train.{name}"
    for name in (
        "steps",
        "epochs",
        "minutes",
        "workers",
        "log_every",
        "validate_every",
        "sample_every",
        "checkpoint_every",
    )
)
"""What ``train --resume --set`` may set. With the cosine schedule, another end also means another rate."""
