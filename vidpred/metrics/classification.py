"""How often the right class was named: counts of what was taken for what, and the accuracies they hold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vidpred.errors import ConfigError

Counts = NDArray[np.int64]


def confusion_matrix(truth: NDArray[np.integer], named: NDArray[np.integer], classes: int) -> Counts:
    """How many of class i were taken for class j: (n,) and (n,) -> (classes, classes).

    Raises `ConfigError` for class numbers that are not from 0 to `classes` - 1, or not equally many.
    """
    if truth.shape != named.shape or truth.ndim != 1:
        raise ConfigError(f"expected as many true as named classes, got {truth.shape} and {named.shape}")
    for numbers in (truth, named):
        if numbers.size and not 0 <= numbers.min() <= numbers.max() < classes:
            raise ConfigError(
                f"expected classes from 0 to {classes - 1}, got {numbers.min()} to {numbers.max()}"
            )
    pairs = truth.astype(np.int64) * classes + named
    return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)


def accuracy(confusion: Counts) -> float:
    """Top-1 accuracy: the share of all that were named rightly; not a number where there are none."""
    return _share(np.trace(confusion), confusion.sum())


def class_accuracy(confusion: Counts) -> NDArray[np.float64]:
    """The same for each class, (classes,)."""
    return np.array([_share(row[label], row.sum()) for label, row in enumerate(confusion)])


def group_accuracy(confusion: Counts, groups: Sequence[str]) -> dict[str, float]:
    """The share of each group, in the order of their first classes, whose very class was named.

    Args:
        groups: that of each class.
    """
    return {
        group: _share(np.diag(confusion)[of_it].sum(), confusion[of_it].sum())
        for group, of_it in _members(confusion, groups).items()
    }


def group_confusion(confusion: Counts, groups: Sequence[str]) -> Counts:
    """The confusion matrix of the groups, (G, G), in the order of their first classes."""
    members = list(_members(confusion, groups).values())
    return np.array([[confusion[np.ix_(i, j)].sum() for j in members] for i in members])


def _members(confusion: Counts, groups: Sequence[str]) -> dict[str, NDArray[np.bool_]]:
    if len(groups) != len(confusion):
        raise ConfigError(f"expected the groups of {len(confusion)} classes, got {len(groups)}")
    return {group: np.array(groups) == group for group in dict.fromkeys(groups)}


def _share(part: np.integer, whole: np.integer) -> float:
    return float(part / whole) if whole else float("nan")
