"""The one form in which the datasets hand out sequences."""

from __future__ import annotations

from torch import Tensor


def as_items(frames: Tensor, labels: Tensor | None) -> list[Tensor] | list[dict[str, Tensor]]:
    """Splits a batch into items.

    Args:
        frames: (n, T, C, H, W) uint8.
        labels: (n, objects) or None.

    Returns:
        n times (T, C, H, W), or n times ``{"frames": (T, C, H, W), "labels": int64 (objects,)}``.
    """
    if labels is None:
        return list(frames)
    return [{"frames": one, "labels": label} for one, label in zip(frames, labels.long(), strict=True)]
