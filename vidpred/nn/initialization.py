"""How fresh weights are drawn."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor

from vidpred.errors import ConfigError

Layer = TypeVar("Layer", nn.Linear, nn.Conv2d)


def glorot(layer: Layer) -> Layer:
    """Glorot's uniform weights and zero biases, in place (seed 000, section 4.3); returns the layer."""
    nn.init.xavier_uniform_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


@torch.no_grad()
def sparse_normal_(
    weight: Tensor, std: float, incoming: int | None = None, generator: torch.Generator | None = None
) -> Tensor:
    """Normal weights, in place, of which each unit keeps a few (Sutskever et al. 2013, sec. 4.1).

    Args:
        weight: (outputs, inputs).
        std: their standard deviation.
        incoming: how many of a unit's connections are not zero, chosen anew for each; None, or more than
            there are, for all.

    Raises:
        ConfigError: std is negative, or incoming not positive.
    """
    if std < 0:
        raise ConfigError(f"the standard deviation of weights must be >= 0, got {std}")
    if incoming is not None and incoming < 1:
        raise ConfigError(f"a unit needs at least 1 incoming connection, got {incoming}")
    weight.normal_(0, std, generator=generator)
    if incoming is not None and incoming < weight.shape[1]:
        order = torch.empty_like(weight).uniform_(generator=generator).argsort(dim=1)
        weight.scatter_(1, order[:, incoming:], 0)
    return weight


@torch.no_grad()
def scale_spectral_radius_(weight: Tensor, radius: float) -> Tensor:
    """Scales a square matrix, in place, until its largest absolute eigenvalue is `radius`.

    Around 1 a recurrent net neither forgets at once nor explodes (Jaeger & Haas 2004; Sutskever et al. 2013).

    Raises:
        ConfigError: the radius is not positive, or no eigenvalue of the matrix differs from 0.
    """
    if radius <= 0:
        raise ConfigError(f"the spectral radius must be positive, got {radius}")
    if weight.is_meta or isinstance(weight, FakeTensor):  # without numbers
        return weight
    exact = weight.double()
    largest = torch.linalg.eigvals(exact).abs().max().item()
    if not largest > SMALLEST_RADIUS * torch.linalg.matrix_norm(exact).item():
        raise ConfigError(
            f"no scale gives recurrent weights the spectral radius {radius}: all eigenvalues are 0; "
            "they need a larger standard deviation or more incoming connections"
        )
    return weight.mul_(radius / largest)


SMALLEST_RADIUS = 1e-6
"""Relative to the norm: what is below is rounding, the matrix is nilpotent."""
