"""Video data: one HDF5 format, the generators that fill it, and the datasets that training reads.

Making data needs no torch, so the names below are imported when first used.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "FrameDataset": "vidpred.data.frames",
    "MovingDataset": "vidpred.data.moving",
    "open_dataset": "vidpred.data.hdf5",
}

__all__ = ["FrameDataset", "MovingDataset", "open_dataset"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'vidpred.data' has no attribute '{name}'")
