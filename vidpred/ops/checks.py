"""What the ops check of their inputs, and the errors they raise."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vidpred.errors import VidpredError

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
"""What the ops compute in."""


class ShapeError(VidpredError, ValueError):
    """A tensor whose shape does not fit the others."""


class DtypeError(VidpredError, TypeError):
    """Tensors of different dtypes, or of one that the ops do not compute in."""


class DeviceError(VidpredError, ValueError):
    """Tensors on different devices."""


def require_shape(op: str, name: str, tensor: Tensor, *allowed: Sequence[int]) -> None:
    """Raises `ShapeError` unless `tensor` has one of the shapes `allowed`."""
    if not any(tensor.shape == tuple(shape) for shape in allowed):
        expected = " or ".join(dict.fromkeys(str(tuple(shape)) for shape in allowed))
        raise ShapeError(f"{op}: {name} must have shape {expected}, got {tuple(tensor.shape)}")


def require_supported(op: str, name: str, tensor: Tensor) -> None:
    """Raises `DtypeError` unless `tensor` is of one of `DTYPES`."""
    if tensor.dtype not in DTYPES:
        expected = ", ".join(_short(dtype) for dtype in DTYPES)
        raise DtypeError(f"{op}: {name} must be one of {expected}, got {_short(tensor.dtype)}")


def require_like(op: str, name: str, tensor: Tensor, model_name: str, model: Tensor) -> None:
    """Raises `DtypeError` or `DeviceError` unless `tensor` has the dtype and device of `model`."""
    if tensor.dtype != model.dtype:
        expected, got = _short(model.dtype), _short(tensor.dtype)
        raise DtypeError(f"{op}: {name} must be {expected} like {model_name}, got {got}")
    if tensor.device != model.device:
        raise DeviceError(f"{op}: {name} must be on {model.device} like {model_name}, got {tensor.device}")


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
