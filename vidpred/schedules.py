"""Learning-rate schedules: pure functions of the step that give a factor of the base rate."""

from __future__ import annotations

import math


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
