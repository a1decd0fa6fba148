"""What reading another project's weights gives, and how its file is opened."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vidpred.errors import CheckpointError


@dataclass(frozen=True)
class Foreign:
    """Another project's network in the terms of ours."""

    name: str
    """Of our model, in the registry."""
    settings: Mapping[str, Any]
    """What its weights tell of it, such as ``{"channels": 1, "model.rank": 8}``."""
    weights: Mapping[str, Tensor]
    """By the names of our model's parameters."""


def read_tensors(file: Path) -> dict[str, Tensor]:
    """The tensors by name of a file that `torch.save` wrote, on the CPU. Executes no code from it.

    The file holds a state dict, or a dict that has one under one of `HOLDERS`. The prefix that
    `torch.nn.DataParallel` puts before all names is taken off.

    Raises:
        CheckpointError: the file is missing or damaged, or holds something else.
    """
    if not file.is_file():
        raise CheckpointError(f"cannot read {file}: there is no such file")
    try:
        if zipfile.is_zipfile(file):
            _require_checksums(file)  # which torch.load does not look at
        content = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"cannot read {file}: it is damaged, or holds other things than tensors by name, "
            "which are not opened because they can run code"
        ) from error
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(f"cannot read {file}: {error.strerror or error}") from error
    except Exception as error:  # a damaged file can make torch.load raise almost anything
        raise CheckpointError(f"cannot read {file}: the file is damaged or not one of torch.save") from error
    if isinstance(content, Mapping):
        content = next((content[name] for name in HOLDERS if isinstance(content.get(name), Mapping)), content)
    if not isinstance(content, Mapping) or not content:
        found = "an empty dict" if isinstance(content, Mapping) else f"a {type(content).__name__}"
        raise CheckpointError(f"{file} must hold tensors by name, got {found}")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise CheckpointError(
                f"{file} must hold tensors by name, got a {type(value).__name__} at {name!r}"
            )
        if not value.is_floating_point() or value.layout != torch.strided:
            raise CheckpointError(f"{file}: '{name}' must be a dense tensor of floats, got {_kind(value)}")
    if all(name.startswith(_PARALLEL) for name in content):
        return {name.removeprefix(_PARALLEL): value for name, value in content.items()}
    return dict(content)


HOLDERS = ("state_dict", "model_state_dict", "model")
"""Where a dict that holds more than weights usually has them."""

_PARALLEL = "module."


def _require_checksums(file: Path) -> None:
    with zipfile.ZipFile(file) as parts:
        damaged = parts.testzip()
    if damaged is not None:
        raise CheckpointError(
            f"cannot read {file}: the file is damaged, the checksum of '{damaged}' is wrong"
        )


def _kind(value: Tensor) -> str:
    return " ".join(str(part).removeprefix("torch.") for part in (value.dtype, value.layout))
