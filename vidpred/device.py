"""Which device a command works on."""

from __future__ import annotations

import torch

from vidpred.errors import ConfigError


def find_device(name: str) -> torch.device:
    """The device called `name`; ``auto`` is the first GPU, or the CPU where there is none.

    Raises:
        ConfigError: there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda"):
            raise RuntimeError(f"{device.type} is not supported")
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch without CUDA fails an assertion
        raise ConfigError(f"there is no device '{name}' here: expected auto, cpu, cuda or cuda:N") from error
    return device
