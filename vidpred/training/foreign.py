"""A run of weights that another project trained."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vidpred import config, runs
from vidpred.config import Config, Layer
from vidpred.errors import unknown_name
from vidpred.files import replacing
from vidpred.models.importers import IMPORTERS
from vidpred.models.importers.base import read_tensors
from vidpred.models.registry import build, model_class
from vidpred.training.loop import Progress
from vidpred.training.optim import make_optimizer


def import_run(
    path: Path, file: Path, source: str, size: tuple[int, int], options: Mapping[str, Any]
) -> Config:
    """Makes the folder of a run at `path`, whole or not at all, as if it had been trained here.

    Its settings are those of the model's preset ``paper`` where the weights do not say otherwise. Both
    checkpoints have the weights, and where they come from; the last one also a fresh optimiser, so that
    training can go on from there.

    Args:
        file: what `torch.save` wrote.
        source: a project in `IMPORTERS`.
        size: (H, W) of the frames, which weights do not tell.
        options: settings such as ``model.sigmoid`` that they do not tell either.

    Returns:
        The configuration of the run.

    Raises:
        ConfigError: an unknown project, or a setting out of range.
        CheckpointError: the file is damaged, or of another network.
        OutputError: there is something at `path`.
    """
    if source not in IMPORTERS:
        raise unknown_name("project to import from", source, IMPORTERS)
    runs.require_free(path)
    foreign = IMPORTERS[source](read_tensors(file), str(file))
    model_options = model_class(foreign.name).Options
    square = {"data.size": size[0]} if size[0] == size[1] else {}
    layers = [
        Layer("the imported weights", foreign.settings),
        Layer("the command line", {"size": size, **square, **options}),
    ]
    resolved = config.resolve(foreign.name, "paper", model_options, layers)
    model = build(resolved.config)
    model.load_state_dict(dict(foreign.weights))
    origin = {"project": source, "file": file.name, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    fresh = make_optimizer(model.parameters(), resolved.config.optim).state_dict()
    with replacing(path.resolve()) as temporary:
        runs.create(temporary, resolved)
        runs.save_checkpoint(temporary, "best", model, {"imported": origin})
        last = {"imported": origin, "progress": asdict(Progress()), "optimizer": fresh}
        runs.save_checkpoint(temporary, "last", model, last)
    return resolved.config
