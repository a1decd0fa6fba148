"""Pictures of what a model predicts, drawn while it trains."""

from __future__ import annotations


def draw_samples(path, model, validation, config, step):  # type: ignore
    pass
