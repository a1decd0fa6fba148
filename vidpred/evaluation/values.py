"""The scores of every sequence at every predicted frame, in an HDF5 file, so that a table or picture of
another kind needs no second pass over the models.

The file has a group for each row of an evaluation, ``row-0``, ``row-1``, ..., in the order of the report,
with the attributes ``name``, ``model``, ``preset`` (empty for baselines), ``reduction`` and ``samples``, and
a dataset float32 (sequences, horizon) for each metric. Metrics are in the units of `vidpred.metrics`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np
from numpy.typing import NDArray

from vidpred.errors import DataError
from vidpred.files import replacing

if TYPE_CHECKING:
    from vidpred.evaluation.scores import Row


class ValueWriter:
    """Takes in the scores batch by batch; nothing stays in memory."""

    def __init__(self, file: h5py.File) -> None:
        self._file = file
        self._groups: dict[tuple[int, str], h5py.Group] = {}

    def append(self, contestant: int, reduction: str, scores: Mapping[str, NDArray[np.float64]]) -> None:
        """Adds the scores of the next n sequences, metric -> (n, horizon)."""
        key = (contestant, reduction)
        if key not in self._groups:
            self._groups[key] = self._file.create_group(f"row-{len(self._groups)}")
        group = self._groups[key]
        for metric, values in scores.items():
            if metric not in group:
                horizon = values.shape[1]
                group.create_dataset(
                    metric, (0, horizon), np.float32, maxshape=(None, horizon), chunks=(256, horizon)
                )
            dataset = group[metric]
            dataset.resize(len(dataset) + len(values), axis=0)
            dataset[-len(values) :] = values

    def describe(self, contestant: int, row: Row) -> None:
        """Says whose scores they are."""
        self._groups[contestant, row.reduction].attrs.update(
            name=row.name,
            model=row.model,
            preset=row.preset or "",
            reduction=row.reduction,
            samples=row.samples,
        )


@contextmanager
def writing_values(path: str | os.PathLike[str]) -> Iterator[ValueWriter]:
    """Opens a file of scores for writing; it has its name only when all is written."""
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        yield ValueWriter(file)


class Values:
    """A file of scores, read when asked for.

    Raises:
        DataError: there is no such file, or it is not one of scores.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def of(self, name: str, metric: str, reduction: str | None = None) -> NDArray[np.float64]:
        """The scores (sequences, horizon) of the row called `name`; by default of its first reduction."""
        try:
            with h5py.File(self.path) as file:
                for number in range(len(file)):
                    group = file[f"row-{number}"]
                    if group.attrs["name"] == name and reduction in (None, group.attrs["reduction"]):
                        return np.asarray(group[metric], np.float64)
        except (OSError, KeyError) as error:
            raise DataError(f"{self.path} cannot be read as scores of an evaluation: {error}") from error
        raise DataError(f"{self.path} has no scores of '{name}'")
