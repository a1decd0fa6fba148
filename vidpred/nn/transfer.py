"""Random units described by their mean and variance, and what a transfer function makes of the two."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable


class Moments(NamedTuple):
    """Mean and variance of independent units, each (..., units)."""

    mean: Tensor
    var: Tensor

    @classmethod
    def of(cls, x: Tensor) -> Moments:
        """Data, which is certain: variance 0."""
        return cls(x, torch.zeros_like(x))


def identity(x: Moments) -> Moments:
    """No transfer function."""
    return x


def relu(x: Moments) -> Moments:
    """Moments of max(0, x) for normal x; exact (Wang & Manning 2013, sec. 3.3)."""
    std = _std(x.var)
    ratio = x.mean / std
    above, below = torch.special.ndtr(ratio), torch.special.ndtr(-ratio)
    density = (-0.5 * ratio**2).exp() / math.sqrt(2 * math.pi)
    mean = x.mean * above + std * density
    # E[y²] - E[y]² with its large terms cancelled by hand.
    share = above + ratio**2 * above * below + ratio * density * (below - above) - density**2
    return Moments(mean, std**2 * share.clamp(min=0))


def sigmoid(x: Moments) -> Moments:
    """Moments of the logistic function of normal x, by quadrature (see `tanh`)."""
    return Moments(*_Squash.apply(x.mean, x.var, _LOGISTIC))


def tanh(x: Moments) -> Moments:
    """Moments of tanh x for normal x, by quadrature with 9 equidistant nodes.

    There is no closed form. Largest errors over all means, of the mean and of the variance:

    ==========================================  ================  ================  ================
    standard deviation of x                     0.3               1                 2
    ==========================================  ================  ================  ================
    these nodes                                 0.0001, 0.0003    0.001, 0.002      0.004, 0.01
    Gauss-Hermite, 9 nodes                      4e-9, 4e-8        0.0009, 0.005     0.03, 0.07
    Gauss-Hermite, 5 nodes                      3e-6, 2e-5        0.009, 0.03       0.08, 0.2
    closed form of Wang & Manning 2013          0.004, 0.01       0.02, 0.04        0.03, 0.06
    ==========================================  ================  ================  ================

    The last line is E[σ(a)] ≈ σ(μ / √(1 + π s²/8)) = p and V ≈ p (1 - p) (1 - 1 / √(1 + π s²/8)).
    """
    return Moments(*_Squash.apply(x.mean, x.var, _TANH))


def expected_sigmoid_logits(x: Moments) -> Tensor:
    """The logits whose sigmoid is E[σ(x)], for a Bernoulli likelihood; x.mean where the variance is 0.

    By quadrature with 17 nodes: the probability is right to 2e-5 for standard deviations of x up to 2, and
    to 4e-4 up to 5. Logits end at ±80, their gradient does not.
    """
    logits: Tensor = _ExpectedLogits.apply(x.mean, x.var)
    return logits


@dataclass(frozen=True)
class Transfer:
    """A transfer function: of certain values, and, called, of moments."""

    plain: Callable[[Tensor], Tensor]
    moments: Callable[[Moments], Moments]

    def __call__(self, x: Moments) -> Moments:
        """Mean and variance of the function's value, for independent normal arguments."""
        return self.moments(x)


TRANSFERS = {
    "identity": Transfer(lambda x: x, identity),
    "relu": Transfer(torch.relu, relu),
    "sigmoid": Transfer(torch.sigmoid, sigmoid),
    "tanh": Transfer(torch.tanh, tanh),
}
"""The transfer functions by name."""


class _Curve(NamedTuple):
    """y = height σ(slope x) + base: a sigmoid is several times faster than a tanh on a CPU."""

    slope: float
    height: float
    base: float


_LOGISTIC = _Curve(1.0, 1.0, 0.0)
_TANH = _Curve(2.0, 2.0, -1.0)


class _Squash(Function):
    """(mean, variance, curve) -> mean and variance of the curve's value.

    One function with its own derivative: it runs at every time step, and autograd would make three times
    as many passes over the K nodes.
    """

    @staticmethod
    def forward(ctx: Any, mean: Tensor, var: Tensor, curve: _Curve) -> tuple[Tensor, Tensor]:
        rule = _rule(curve, mean)
        std = _std(var)
        nodes = rule.nodes.view(-1, *[1] * mean.dim())
        values = torch.addcmul(mean * curve.slope, std, nodes).sigmoid_()  # (K, ..., units)
        with torch.autocast(mean.device.type, enabled=False):  # which takes half precision for products
            centre = (rule.weights @ values.flatten(1)).view_as(mean)
            squares = (values - centre).square_().flatten(1)
            variance = (rule.weights_of_squares @ squares).view_as(mean)
        ctx.curve = curve
        ctx.save_for_backward(values, centre, std)
        return torch.add(rule.base, centre, alpha=curve.height), variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_mean: Tensor, of_variance: Tensor) -> tuple[Tensor, Tensor, None]:
        values, centre, std = ctx.saved_tensors
        rule = _rule(ctx.curve, std)
        deviations = values - centre
        of_values = torch.addcmul(of_mean, deviations, of_variance, value=2 * ctx.curve.height).mul_(values)
        of_points = of_values.addcmul_(of_values, values, value=-1)
        mean, stds = (rule.gradient @ of_points.flatten(1)).view(2, *std.shape).unbind()
        return mean, stds / (2 * std), None


class _Rule(NamedTuple):
    """The constants of `_Squash`, for a curve and K nodes."""

    nodes: Tensor  # (K,), times the slope
    weights: Tensor  # (K,)
    weights_of_squares: Tensor  # (K,), times height²
    gradient: Tensor  # (2, K), how the derivatives at the nodes add up for the mean and for the deviation
    base: Tensor  # ()


def _rule(curve: _Curve, like: Tensor) -> _Rule:
    if isinstance(like, FakeTensor):  # what is made of one dies with its mode
        return _make_rule(curve, like.dtype, like.device)
    return _kept_rule(curve, like.dtype, like.device)


def _make_rule(curve: _Curve, dtype: torch.dtype, device: torch.device) -> _Rule:
    nodes, weights = _unit_normal(_NODES)
    slopes = [weight * curve.height * curve.slope for weight in weights]
    parts = (
        [node * curve.slope for node in nodes],
        weights,
        [weight * curve.height**2 for weight in weights],
        [slopes, [slope * node for slope, node in zip(slopes, nodes, strict=True)]],
        curve.base,
    )
    return _Rule(*(torch.tensor(part, dtype=dtype, device=device) for part in parts))


_kept_rule = cache(_make_rule)


class _ExpectedLogits(Function):
    """(mean, variance) -> log E[σ(x)] - log E[σ(-x)].

    Node after node, and the derivative with the value: outputs are too many to keep K numbers for each.
    """

    @staticmethod
    def forward(ctx: Any, mean: Tensor, var: Tensor) -> Tensor:
        std = _std(var)
        on, off, slope, tilt = (torch.zeros_like(mean) for _ in range(4))
        for node, weight in zip(*_unit_normal(_OUTPUT_NODES), strict=True):
            point = torch.add(mean, std, alpha=node).clamp_(-80, 80)  # both sigmoids stay above 0
            up, down = point.sigmoid(), point.neg_().sigmoid_()
            on.add_(up, alpha=weight)
            off.add_(down, alpha=weight)
            steepness = up.mul_(down)
            slope.add_(steepness, alpha=weight)
            tilt.add_(steepness, alpha=weight * node)
        share = 1 / on + 1 / off
        ctx.save_for_backward(slope.mul_(share), tilt.mul_(share).div_(2 * std))
        return on.log_() - off.log_()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_logits: Tensor) -> tuple[Tensor, Tensor]:
        of_mean, of_var = ctx.saved_tensors
        return of_logits * of_mean, of_logits * of_var


_NODES, _OUTPUT_NODES = 9, 17
"""Nodes of the quadrature within a network, and for its outputs, which do not recur."""

_REACH = {_NODES: 2.8, _OUTPUT_NODES: 4.0}
"""The outermost nodes, where errors are smallest for standard deviations up to 1.5."""


@cache
def _unit_normal(count: int) -> tuple[list[float], list[float]]:
    """The trapezoidal rule for the standard normal: equidistant nodes with variance 1, and their weights."""
    nodes = [_REACH[count] * (2 * i / (count - 1) - 1) for i in range(count)]
    densities = [math.exp(-0.5 * node**2) for node in nodes]
    weights = [density / math.fsum(densities) for density in densities]
    std = math.sqrt(math.fsum(weight * node**2 for weight, node in zip(weights, nodes, strict=True)))
    return [node / std for node in nodes], weights


def _std(var: Tensor) -> Tensor:
    """The standard deviation, kept from 0 by less than rounding shows: its derivative is infinite there."""
    return (var + torch.finfo(var.dtype).eps).sqrt()
