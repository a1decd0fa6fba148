"""The folder of a new run, which several processes may train in."""

from __future__ import annotations

from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list

from vidpred import runs
from vidpred.config import Resolved


def create_run(resolved: Resolved, path: Path | None, device: torch.device) -> Path:
    """Makes the folder, once for all processes that torchrun or Accelerate have started, and returns it.

    Args:
        path: None picks a new one, see `runs.new_run_path`.
        device: to be trained on.

    Raises:
        OutputError: there is something already, or it cannot be written.
    """
    state = PartialState(cpu=device.type == "cpu")
    chosen = path or runs.new_run_path(resolved.config.name, resolved.config.data)
    if state.is_main_process:
        runs.create(chosen, resolved)
    [chosen] = broadcast_object_list([chosen])
    return chosen
