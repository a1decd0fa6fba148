"""Which device a command works on."""

from __future__ import annotations

import torch

from vidpred.errors import ConfigError


def choose_device(name: str) -> torch.device:
    """``auto`` is the first GPU, or the CPU where there is none; else ``cpu``, ``cuda`` or ``cuda:1``.

    Raises:
        ConfigError: an unknown name, or a GPU that is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda") or (number and not number.isdecimal()):
        raise ConfigError(f"unknown device '{name}', expected auto, cpu, cuda or cuda:1")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise ConfigError(f"there is no device '{name}': torch sees {torch.cuda.device_count()} GPUs")
    return torch.device(name)
