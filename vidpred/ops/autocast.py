"""What the ops do under `torch.autocast`."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor

Given = TypeVar("Given", Tensor, Tensor | None)


def cast_for_autocast(tensor: Given) -> Given:
    """Casts to autocast's dtype where it is on, as torch does for its own recurrent cells.

    float64 tensors stay as they are, and so does what is absent.
    """
    if tensor is None or tensor.dtype == torch.float64:
        return tensor
    device = tensor.device.type
    if not torch.amp.is_autocast_available(device) or not torch.is_autocast_enabled(device):
        return tensor
    return tensor.to(torch.get_autocast_dtype(device))
