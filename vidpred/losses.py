"""The terms that losses are made of."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def bernoulli_nll(logits: Tensor, frames: Tensor) -> Tensor:
    """Binary cross-entropy in nats a frame: summed over (C, H, W), mean over all leading dimensions.

    Args:
        logits: (..., C, H, W) before the sigmoid.
        frames: (..., C, H, W) in [0, 1].
    """
    total = F.binary_cross_entropy_with_logits(logits, frames, reduction="sum")
    return total / logits.shape[:-3].numel()


def levels_nll(logits: Tensor, frames: Tensor) -> Tensor:
    """Cross-entropy in nats a frame of pixels that take one of several evenly spaced values.

    Args:
        logits: (N, C * levels, H, W), the levels of a color one after the other.
        frames: (N, C, H, W) in [0, 1], rounded to the nearest level.
    """
    batch, colors, *size = frames.shape
    levels = logits.shape[1] // colors
    targets = (frames * (levels - 1)).round().long()
    by_color = logits.reshape(batch * colors, levels, *size)
    return F.cross_entropy(by_color, targets.flatten(0, 1), reduction="sum") / batch


def squared_error(predicted: Tensor, frames: Tensor) -> Tensor:
    """Squared error a frame (seed 001, eq. 3.6): summed over (C, H, W), mean over all leading dimensions."""
    return F.mse_loss(predicted, frames, reduction="sum") / frames.shape[:-3].numel()


def flow_roughness(flow: Tensor, delta: float = 1e-3) -> Tensor:
    """How much a flow changes from place to place (seed 001, eq. 3.7 and 3.8).

    The Huber loss of its centred differences along x and along y, without a half, as the stencil [-1 0 1]
    is printed; outside, the flow is zero, as under the "same" padding of a convolution.

    Args:
        flow: (..., 2, H, W) in pixels.
        delta: where the loss turns from a parabola to a line.

    Returns:
        Scalar: summed over (2, H, W) and both directions, mean over all leading dimensions.
    """
    padded = F.pad(flow, (1, 1, 1, 1))
    along_x = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]
    along_y = padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
    differences = torch.stack([along_x, along_y])
    total = F.huber_loss(differences, torch.zeros_like(differences), delta=delta, reduction="sum")
    return total / flow.shape[:-3].numel()
