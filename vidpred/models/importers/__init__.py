"""Weights that other projects have published or written: one file for each project that can be read."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from vidpred.models.importers import conv_tt_lstm
from vidpred.models.importers.base import Foreign

IMPORTERS: Mapping[str, Callable[[Mapping[str, Tensor], str], Foreign]] = {
    "conv-tt-lstm": conv_tt_lstm.read,
}
"""By the name that ``vidpred import-weights --from`` takes: from tensors by their names and what to call the
file they come from to a model of ours. Each raises `CheckpointError` for the weights of another network."""

__all__ = ["IMPORTERS", "Foreign"]
