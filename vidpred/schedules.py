"""Schedules of learning rates and of scheduled sampling: pure functions of how far training has come.

The recipe of seed 002 as the authors published it (sec. 4 and their training script): full teacher forcing
until the validation loss has `stalled` for 20 epochs, from then on the share of true frames is to `fall` by
0.004 an epoch (0.002 in their optimised version); when the loss has stalled for 20 epochs more, the learning
rate is multiplied by 0.98 every 5 epochs (a `staircase` since then).
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def warmup(step: int, steps: int) -> float:
    """Rises linearly from 1 / steps at step 0 to 1 at step `steps` - 1, then stays."""
    return min(1.0, (step + 1) / steps) if steps else 1.0


def cosine(step: int, steps: int, floor: float = 0.0) -> float:
    """Half a cosine from 1 at step 0 to `floor` at step `steps`, then stays."""
    progress = min(1.0, step / steps)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))


def staircase(step: int, every: int, factor: float) -> float:
    """Multiplied by `factor` after every `every` steps."""
    return factor ** (step // every)


def ramp(step: int, steps: int) -> float:
    """Rises linearly from 0 at step 0 to 1 at step `steps`, then stays."""
    return min(1.0, step / steps)


def stalled(validations: Sequence[tuple[int, float]], patience: int, times: int = 1) -> int | None:
    """The epoch after which the validation loss had no new minimum for `patience` epochs.

    Args:
        validations: (epoch, loss) in order.
        times: how often that must have happened; the wait is counted anew from each time.

    Returns:
        The epoch of the last of the `times`, None while it has not come.
    """
    lowest, since = math.inf, 0
    for epoch, loss in validations:
        if loss < lowest:
            lowest, since = loss, epoch
        elif epoch - since >= patience:
            times, since = times - 1, epoch
            if times == 0:
                return epoch
    return None


def fall(epoch: int, since: int | None, by: float) -> float:
    """1 until epoch `since`, then less by `by` for every epoch from it on, down to 0."""
    return 1.0 if since is None else max(0.0, 1.0 - by * (epoch - since))
