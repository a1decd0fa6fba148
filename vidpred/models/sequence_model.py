"""What the models of seed 003 share: steps as features, fast dropout, Bernoulli or Gaussian outputs."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from vidpred.models.base import ModelOptions, VideoModel, require_divisible
from vidpred.nn import FrameDecoder, FrameEncoder
from vidpred.nn.distributions import at_least_single
from vidpred.nn.fast_dropout import FastDropoutLinear, FastDropoutRNN, Moments, expected_sigmoid_logits


class SequenceOptions(ModelOptions):
    """Sizes, dropout and fresh weights of recurrent networks; the ranges of table 2 are searched over."""

    hidden: int = Field(200, gt=0)
    """Units of every recurrent network and of every hidden layer."""
    transfer: Literal["tanh", "sigmoid", "relu", "identity"] = "tanh"
    dropout: float = Field(0.1, ge=0, lt=1)
    """Rate of fast dropout, of inputs, hidden states and outputs."""
    output: Literal["bernoulli", "gaussian"] = "bernoulli"
    """What every value of a step follows, independently of the others given the network's output."""
    widths: tuple[int, ...] = ()
    """Channels of an encoder's convolutions, each of stride 2, mirrored by a decoder, as in the VRNN; without
    any, the values of a step are the features themselves, as for piano rolls."""
    kernels: tuple[int, ...] = ()
    weight_std_in: float = Field(0.1, gt=0)
    """Standard deviation of fresh weights from inputs and to outputs."""
    weight_std_rec: float = Field(0.1, gt=0)
    """That of fresh recurrent weights, before `spectral_radius` scales them."""
    spectral_radius: float | None = Field(1.1, gt=0)
    """Largest absolute eigenvalue of fresh recurrent weights; absent: as drawn."""
    incoming: int | None = Field(None, gt=0)
    """Fresh recurrent weights of a unit that are not zero; absent: all."""
    output_bias: float = -0.8
    """Of the values of a Bernoulli output, in a fresh model."""
    decoding: Literal["mean", "sample"] = "mean"
    """Whether a predicted step is what is expected, or drawn; either is the next input."""


class StepOutput(nn.Module):
    """Hidden moments (..., hidden) -> what the values of a step, (..., C, H, W), follow.

    Fast dropout reaches the values where there is no decoder; a decoder sees the means alone.

    Args:
        inputs: units of the hidden layer before.
    """

    def __init__(self, inputs: int, channels: int, size: tuple[int, int], options: SequenceOptions) -> None:
        super().__init__()
        self.bernoulli = options.output == "bernoulli"
        self.shape = (channels, *size)
        self.decoder = None
        features = math.prod(self.shape)
        if options.widths:
            self.decoder = FrameDecoder(channels, size, options.widths, options.kernels)
            features = self.decoder.features
        self.linear = FastDropoutLinear(inputs, features, rate=options.dropout)
        last: nn.Module = self.linear
        if self.decoder is None:
            nn.init.normal_(self.linear.weight, std=options.weight_std_in)
        else:
            last = self.decoder.layers[-1]
        assert isinstance(last.bias, Tensor)
        nn.init.constant_(last.bias, options.output_bias if self.bernoulli else 0.0)
        self.spread = None if self.bernoulli else nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, hidden: Moments) -> Moments:
        """The parameters: logits and zeros, or means and variances, (..., C, H, W)."""
        given = self.linear(hidden)
        if self.decoder is not None:
            given = Moments.of(at_least_single(self.decoder(F.relu(given.mean))))
        else:
            given = Moments(*(moment.unflatten(-1, self.shape) for moment in given))
        if self.spread is None:
            return Moments.of(expected_sigmoid_logits(given))
        return Moments(given.mean, given.var + F.softplus(self.spread) ** 2 + SMALLEST_VARIANCE)

    def log_prob(self, given: Moments, frames: Tensor) -> Tensor:
        """Log-likelihood of frames (..., C, H, W), in nats a step: (...)."""
        if self.bernoulli:
            each = -F.binary_cross_entropy_with_logits(given.mean, frames, reduction="none")
        else:
            each = -F.gaussian_nll_loss(given.mean, frames, given.var, full=True, reduction="none")
        return each.flatten(-3).sum(dim=-1)

    def expected(self, given: Moments) -> Tensor:
        """The mean of every value, (..., C, H, W) in [0, 1]."""
        return given.mean.sigmoid() if self.bernoulli else given.mean.clamp(0, 1)

    def draw(self, given: Moments, generator: torch.Generator | None = None) -> Tensor:
        """A sample of every value, (..., C, H, W) in [0, 1]."""
        if self.bernoulli:
            return torch.bernoulli(given.mean.sigmoid(), generator=generator)
        noise = torch.randn(given.mean.shape, generator=generator, device=given.mean.device)
        return (given.mean + given.var.sqrt() * noise).clamp(0, 1)


SMALLEST_VARIANCE = 1e-6
"""Of a Gaussian output: a likelihood grows without bound where a value is always the same."""


class SequenceModel(VideoModel):
    """Base class: recurrent networks with fast dropout over whole sequences.

    A sequence may be shorter than the frames it comes in: then it is their end, and what is before is
    padding, which changes nothing and costs nothing (seed 003, appendix). Inside, time comes first.
    """

    Options = SequenceOptions
    options: SequenceOptions
    output: StepOutput
    takes_lengths = True
    least_context = 0
    usage: ClassVar[tuple[str, ...]] = ("decoding",)

    def __init__(self, channels: int, size: tuple[int, int], options: SequenceOptions) -> None:
        require_divisible(size, by=2 ** len(options.widths))
        super().__init__(channels, size, options)
        self.encoder: nn.Module = nn.Flatten(-3)
        self.features = math.prod((channels, *size))
        if options.widths:
            self.encoder = FrameEncoder(channels, size, options.widths, options.kernels)
            self.features = self.encoder.features
        self.stochastic = options.decoding == "sample"

    def recurrent(
        self, inputs: int, *, rate_in: float | None = None, trainable: bool = False, backwards: bool = False
    ) -> FastDropoutRNN:
        """A recurrent network as the options ask for it; `rate_in` is that of dropping its inputs."""
        options = self.options
        return FastDropoutRNN(
            inputs,
            options.hidden,
            transfer=options.transfer,
            rate_in=options.dropout if rate_in is None else rate_in,
            rate_hidden=options.dropout,
            trainable=trainable,
            backwards=backwards,
            weight_std_in=options.weight_std_in,
            weight_std_rec=options.weight_std_rec,
            spectral_radius=options.spectral_radius,
            incoming=options.incoming,
        )

    def emit(self, given: Moments, sample: bool, generator: torch.Generator | None = None) -> Tensor:
        """A step as `decoding` has it, from what it follows: (..., C, H, W) in [0, 1]; unless it may be drawn
        (`sample`), its mean.
        """
        if self.options.decoding == "sample" and sample:
            return self.output.draw(given, generator)
        return self.output.expected(given)


def joined(*parts: Moments) -> Moments:
    """Features of several layers side by side."""
    means, variances = zip(*parts, strict=True)
    return Moments(torch.cat(means, dim=-1), torch.cat(variances, dim=-1))


def before_each(hidden: Moments, start: Moments) -> Moments:
    """h_1, ..., h_T, (T, ...), and h_0 -> h_0, ..., h_{T-1}, what is known before every step."""
    shifted = (torch.cat([first[None], rest[:-1]]) for first, rest in zip(start, hidden, strict=True))
    return Moments(*shifted)


def valid_steps(frames: Tensor, lengths: Tensor | None) -> Tensor | None:
    """Which steps of frames (T, N, C, H, W) are none of the padding in front, (T, N) bool; None: all."""
    if lengths is None:
        return None
    return torch.arange(len(frames), device=frames.device)[:, None] >= len(frames) - lengths


def over_valid(terms: Tensor, valid: Tensor | None) -> Tensor:
    """(T, N) -> (N,), the sum over the valid steps."""
    return (terms if valid is None else terms.masked_fill(~valid, 0)).sum(dim=0)


def count_valid(frames: Tensor, valid: Tensor | None) -> Tensor | int:
    """How many steps of frames (T, N, C, H, W) are valid; 1 where there are none, to divide by."""
    return frames.shape[0] * frames.shape[1] if valid is None else valid.sum().clamp(min=1)
