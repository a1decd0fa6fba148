"""vidpred predicts the future frames of a video.

The names below are the package's surface for Python; each is imported when first used, so that
``import vidpred`` (and with it ``vidpred --help``) does not wait for torch.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_SURFACE = {
    "create_model": "vidpred.models.registry",
    "load_run": "vidpred.runs",
    "open_dataset": "vidpred.data.hdf5",
}
_SUBPACKAGES = ("data", "metrics", "models", "nn", "ops")

__all__ = ["__version__", "create_model", "load_run", "open_dataset", *_SUBPACKAGES]


def __getattr__(name: str) -> Any:
    if name in _SURFACE:
        return getattr(importlib.import_module(_SURFACE[name]), name)
    if name in _SUBPACKAGES:
        return importlib.import_module(f"vidpred.{name}")
    raise AttributeError(f"module 'vidpred' has no attribute '{name}'")
