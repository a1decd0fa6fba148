"""Moving MNIST and moving shapes as a dataset that is made while it is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from vidpred.data.items import as_items
from vidpred.data.moving_objects import MovingObjects, MovingSpec
from vidpred.errors import ConfigError, DataError

__all__ = ["MovingDataset", "MovingSpec"]


class MovingDataset(Dataset[Any]):
    """The first `count` sequences of a split, each made when asked for.

    Item i depends only on (spec, seed, split, i), and is what ``vidpred gen-data`` would write at place i.

    Attributes:
        frame_shape: (T, C, H, W) of every sequence.
    """

    def __init__(
        self, spec: MovingSpec, split: str, count: int, seed: int, with_labels: bool = False
    ) -> None:
        """Reads the digits.

        Args:
            split: "train" and "val" show training digits, "test" digits of its own.
            count: number of sequences, > 0.
            with_labels: items are ``{"frames": ..., "labels": ...}``.

        Raises:
            ConfigError: an unknown split or a count that is not positive.
            DataError: no digits, or labels asked for and none known.
        """
        if count <= 0:
            raise ConfigError(f"the number of {split} sequences must be positive, got {count}")
        self._objects = MovingObjects(spec, split, seed)
        self._count = count
        self._with_labels = with_labels
        self.frame_shape = spec.frame_shape
        if with_labels and not self._objects.has_labels:
            raise DataError(f"the digit source {spec.digits} has no labels")

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Tensor | dict[str, Tensor]:
        """Sequence `index`: uint8 (T, C, H, W), or a dict that adds the int64 (objects,) labels."""
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Tensor] | list[dict[str, Tensor]]:
        """Many sequences at once."""
        for index in indices:
            if not 0 <= index < self._count:
                raise IndexError(f"sequence {index} of {self._count}")
        made = self._objects.sequences(np.asarray(indices, np.int64))
        labels = torch.from_numpy(made.labels) if self._with_labels and made.labels is not None else None
        return as_items(torch.from_numpy(made.frames), labels)
