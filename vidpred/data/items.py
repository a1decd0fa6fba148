"""The one form in which the datasets hand out sequences."""

from __future__ import annotations

from torch import Tensor


def as_items(
    frames: Tensor, labels: Tensor | None, lengths: Tensor | None = None
) -> list[Tensor] | list[dict[str, Tensor]]:
    """Splits a batch into items.

    Args:
        frames: (n, T, C, H, W) uint8.
        labels: (n, objects) or None.
        lengths: int64 (n,), how many frames at the end of each are the sequence, or None: all.

    Returns:
        n times (T, C, H, W), or, where anything is known besides, n times
        ``{"frames": (T, C, H, W), "labels": int64 (objects,), "length": int64 ()}`` of what is known.
    """
    known = {"frames": frames}
    if labels is not None:
        known["labels"] = labels.long()
    if lengths is not None:
        known["length"] = lengths
    if len(known) == 1:
        return list(frames)
    return [{name: values[i] for name, values in known.items()} for i in range(len(frames))]
