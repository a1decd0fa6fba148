"""How many frames of a long sequence a picture has room for."""

from __future__ import annotations

from vidpred.errors import ConfigError
from vidpred.viz.contact_sheet import predicted_frames


def column_step(count: int, every: int | None, columns: int) -> int:
    """`every`, or the smallest of 1, 2, 5, 10, 20, ... with which `predicted_frames` are not too many.

    Args:
        count: how many frames there are.
        every: what the user asked for, if anything.
        columns: how many frames may be shown where nothing was asked for, at least 2.

    Raises:
        ConfigError: `every` is not positive.
    """
    if every is None:
        steps = (digit * 10**power for power in range(10) for digit in (1, 2, 5))
        return next(step for step in steps if len(predicted_frames(count, step)) <= columns)
    if every < 1:
        raise ConfigError(f"every must be at least 1, got {every}")
    return every
