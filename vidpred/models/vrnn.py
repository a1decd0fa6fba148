"""The variational recurrent network of seed 000 (chapter 3 and table 4.1)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from vidpred.errors import DataError
from vidpred.losses import bernoulli_nll
from vidpred.models.base import ModelOptions, VideoModel, require_divisible
from vidpred.nn import FrameDecoder, FrameEncoder, JointLinear
from vidpred.nn.distributions import Gaussian, GaussianHead
from vidpred.nn.initialization import glorot
from vidpred.ops import lstm_gates


class VRNNOptions(ModelOptions):
    """Sizes of the layers; the defaults are those of seed 000, table 4.1."""

    widths: tuple[int, ...] = (16, 32, 48, 64)
    """Channels of the encoder's convolutions, each of stride 2; the decoder mirrors them."""
    kernels: tuple[int, ...] = (7, 5, 5, 3)
    hidden: int = Field(1024, gt=0)
    """Units of the LSTM."""
    latent: int | None = Field(None, gt=0)
    """Dimensions of z_t, also the width of F_prior, F_posterior and F_z; by default the table's 128 for
    grey frames and 256 for colour."""
    decoder_width: int = Field(1024, gt=0)
    """Units of the two layers of F_decoder."""
    recurrence: Literal["paper", "chung"] = "paper"
    """What the LSTM sees of the latents: F_z(z_{t-1}) as chapter 3 prints it, or F_z(z_t) as in Chung et
    al. 2015."""
    classes: int = Field(0, ge=0)
    """Number of class labels joined at the fully connected layers (section 5.1); 0: none."""
    forget_bias: float = 1.0
    imagined: int = Field(0, ge=0)
    """Frames at the end of a training sequence that are predicted as in use: latents from the prior, each
    image the next input. The bound stays one, with the prior for a posterior there. 0 in the paper."""
    imagined_after: int = Field(0, ge=0)
    """Training steps on true frames alone before any are imagined; from the start, they teach no motion."""
    kl_warmup: int = Field(0, ge=0)
    """Training steps over which the weight of the KL term rises from 0 to 1. With `posterior_std` (neither
    is in the paper) it keeps the latents alive: a decoder that meets noise first learns to ignore them."""
    posterior_std: float | None = Field(None, gt=0, le=100)
    """Standard deviation of a fresh model's posterior; by default that of zero biases, softplus(0) = 0.69."""


class State(NamedTuple):
    """What one step hands to the next."""

    hidden: Tensor  # (N, hidden)
    cell: Tensor  # (N, hidden)
    latent: Tensor  # (N, latent), F_z(z) of the step before


class Observed(NamedTuple):
    """What `VRNN._observe` saw at every step of a sequence, time first."""

    hidden: Tensor  # (T, N, hidden), h_{t-1}
    posterior: Gaussian  # of (T, N, latent)
    latent: Tensor  # (T, N, latent), F_z(z_t)

    def after(self, first: int) -> Observed:
        """The same without the `first` steps."""
        posterior = Gaussian(self.posterior.mean[first:], self.posterior.std[first:])
        return Observed(self.hidden[first:], posterior, self.latent[first:])


class Encoded(NamedTuple):
    """What a sequence is to the model, time first."""

    hidden: Tensor  # (T, N, hidden), h_{t-1}
    latent: Tensor  # (T, N, latent), F_z of the posterior's mean
    kl: Tensor  # (T, N, latent), of the posterior from the prior, nats


class VRNN(VideoModel):
    """A variational autoencoder at every time step, conditioned on an LSTM and conditioning it.

        prior      z_t ~ N(mu, sigma^2),  [mu, sigma] = F_prior(h_{t-1})
        posterior  z_t ~ N(mu, sigma^2),  [mu, sigma] = F_posterior([Encoder(x_t), h_{t-1}])
        image      x_t = Decoder(F_decoder([F_z(z_t), h_{t-1}]))
        memory     h_t, c_t = LSTM([Encoder(x_t), F_z(z_{t-1})], h_{t-1}, c_{t-1})

    Only the posterior, F_z and the LSTM wait for the step before; encoder, prior and decoder run once on
    all steps. Inside, time comes first: (T, N, ...).
    """

    Options = VRNNOptions
    options: VRNNOptions
    stochastic = True

    def __init__(self, channels: int, size: tuple[int, int], options: VRNNOptions) -> None:
        require_divisible(size, by=2 ** len(options.widths))
        super().__init__(channels, size, options)
        hidden, classes = options.hidden, options.classes
        latent = options.latent or (128 if channels == 1 else 256)
        self.encoder = FrameEncoder(channels, size, options.widths, options.kernels)
        self.decoder = FrameDecoder(channels, size, options.widths, options.kernels)
        features = self.encoder.features

        self.prior = nn.Sequential(
            *_fully_connected(hidden + classes, latent, latent), GaussianHead(latent, latent)
        )
        self.posterior_in = JointLinear(features + classes, hidden, latent)
        posterior = GaussianHead(latent, latent)
        self.posterior = nn.Sequential(nn.ReLU(), *_fully_connected(latent, latent), posterior)
        self.f_z = nn.Sequential(*_fully_connected(latent, latent, latent))
        self.f_decoder = nn.Sequential(
            *_fully_connected(latent + hidden + classes, options.decoder_width, self.decoder.features)
        )
        self.gates = JointLinear(features, hidden + latent, 4 * hidden)
        nn.init.constant_(self.gates.bias[hidden : 2 * hidden], options.forget_bias)
        if options.posterior_std is not None:
            nn.init.constant_(posterior.spread.bias, math.log(math.expm1(options.posterior_std)))
        self.latent = latent
        self.kl_weight = 1.0
        self.imagined = options.imagined

    def begin_step(self, step: int) -> None:
        """Sets the weight of the KL term and how many frames are imagined."""
        warmup = self.options.kl_warmup
        self.kl_weight = min(1.0, step / warmup) if warmup else 1.0
        self.imagined = self.options.imagined if step >= self.options.imagined_after else 0

    def loss(
        self,
        frames: Tensor,
        context: int = 1,
        *,
        labels: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """The negative of the lower bound, eq. 3.1, in nats a frame: mean over the predicted frames.

        Eq. 3.1 sums over time; the mean differs by a constant factor, to which RMSProp and Adam are blind.
        While training, the KL term has the weight that `kl_warmup` gives it.
        """
        self.check_frames(frames, at_least=context + 1)
        frames = frames.transpose(0, 1)  # (T, N, C, H, W)
        classes = self._classes(labels, frames)
        imagined = self.imagined if self.training else self.options.imagined
        given = max(context, len(frames) - imagined)
        past, state = self._observe(frames[:given], self._start(frames), classes, generator=generator)
        # The first frames are given: neither their likelihood nor their latents are part of the bound.
        past = past.after(context)
        seen = [self._decode(past.hidden, past.latent, classes)] if given > context else []
        future = self._imagine(state, len(frames) - given, classes, generator=generator)
        logits = torch.cat([*seen, *(image[None] for image in future)])
        bce = bernoulli_nll(logits, frames[context:])
        prior: Gaussian = self.prior(_join(past.hidden, classes))
        # Imagined steps take the prior for their posterior, so their divergence is zero.
        kl = past.posterior.kl_from(prior).sum() / logits.shape[:2].numel()
        weight = self.kl_weight if self.training else 1.0
        return {"loss": bce + weight * kl, "bce": bce.detach(), "kl": kl.detach()}

    @torch.no_grad()
    def predict(
        self,
        context: Tensor,
        horizon: int,
        *,
        sample: bool = True,
        labels: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Infers the latents of the context, then draws those of the future from the prior.

        Each predicted frame is fed back as the next input. ``sample=False`` takes the mean of the
        posterior and of the prior, the deterministic model of section 5.2.
        """
        self.check_frames(context, at_least=1)
        frames = context.transpose(0, 1)
        classes = self._classes(labels, frames)
        _, state = self._observe(frames, self._start(frames), classes, sample=sample, generator=generator)
        future = self._imagine(state, horizon, classes, sample=sample, generator=generator)
        return torch.stack(list(future), dim=1).sigmoid()  # (N, horizon, C, H, W)

    @torch.no_grad()
    def encode(self, frames: Tensor, labels: Tensor | None = None) -> Encoded:
        """Infers the latents of (N, T, C, H, W); the mean of the posterior at every step, nothing random."""
        self.check_frames(frames, at_least=1)
        frames = frames.transpose(0, 1)
        classes = self._classes(labels, frames)
        seen, _ = self._observe(frames, self._start(frames), classes, sample=False)
        prior: Gaussian = self.prior(_join(seen.hidden, classes))
        return Encoded(seen.hidden, seen.latent, seen.posterior.kl_from(prior))

    @torch.no_grad()
    def decode(self, hidden: Tensor, latent: Tensor, labels: Tensor | None = None) -> Tensor:
        """The image of h_{t-1}, (N, hidden), and F_z(z_t), (N, latent): (N, C, H, W) in [0, 1]."""
        return self._decode(hidden, latent, self._classes(labels, hidden[None])).sigmoid()

    def _imagine(
        self,
        state: State,
        steps: int,
        classes: Tensor,
        *,
        sample: bool = True,
        generator: torch.Generator | None = None,
    ) -> Iterator[Tensor]:
        """Goes on without frames, each image the next input; yields their logits, (N, C, H, W)."""
        for to_come in reversed(range(steps)):
            prior: Gaussian = self.prior(_join(state.hidden, classes))
            latent = self.f_z(prior.sample(generator) if sample else prior.mean)
            logits = self._decode(state.hidden, latent, classes)
            yield logits
            if to_come:
                state = self._remember(self.encoder(logits.sigmoid()), state, latent)

    def _observe(
        self,
        frames: Tensor,
        state: State,
        classes: Tensor,
        *,
        sample: bool = True,
        generator: torch.Generator | None = None,
    ) -> tuple[Observed, State]:
        """Runs posterior and memory over known frames, (T, N, C, H, W).

        Returns what every step saw, and the state after the last one.
        """
        features = self.encoder(frames)  # (T, N, features)
        from_frames, weight = self.gates.split(features)  # (T, N, 4 hidden)
        guesses, guess_weight = self.posterior_in.split(_join(features, classes))  # (T, N, latent)
        hidden, means, stds, latents = [], [], [], []
        for from_frame, guess in zip(from_frames.unbind(), guesses.unbind(), strict=True):
            posterior: Gaussian = self.posterior(guess + F.linear(state.hidden, guess_weight))
            latent = self.f_z(posterior.sample(generator) if sample else posterior.mean)
            hidden.append(state.hidden)
            means.append(posterior.mean)
            stds.append(posterior.std)
            latents.append(latent)
            gates = F.linear(self._recalled(state, latent), weight)
            state = State(*lstm_gates(gates, state.cell, extra=from_frame), latent)
        posteriors = Gaussian(torch.stack(means), torch.stack(stds))
        return Observed(torch.stack(hidden), posteriors, torch.stack(latents)), state

    def _remember(self, features: Tensor, state: State, latent: Tensor) -> State:
        """One step of the LSTM; `features` is Encoder(x_t), (N, features)."""
        gates = self.gates(features, self._recalled(state, latent))
        return State(*lstm_gates(gates, state.cell), latent)

    def _recalled(self, state: State, latent: Tensor) -> Tensor:
        """What the LSTM sees besides the frame: [h_{t-1}, F_z(z_{t-1})], or F_z(z_t) as in Chung et al."""
        seen = state.latent if self.options.recurrence == "paper" else latent
        return torch.cat([state.hidden, seen], dim=-1)

    def _decode(self, hidden: Tensor, latent: Tensor, classes: Tensor) -> Tensor:
        """h_{t-1} and F_z(z_t), (..., N, ·) -> logits of x_t, (..., N, C, H, W)."""
        logits: Tensor = self.decoder(self.f_decoder(_join(latent, hidden, classes)))
        return logits

    def _start(self, frames: Tensor) -> State:
        batch = frames.shape[1]
        zeros = frames.new_zeros(batch, self.options.hidden)
        return State(zeros, zeros, frames.new_zeros(batch, self.latent))

    def _classes(self, labels: Tensor | None, frames: Tensor) -> Tensor:
        """(N, objects) class numbers -> (N, classes), how many objects of each class a sequence shows."""
        batch, classes = frames.shape[1], self.options.classes
        if not classes:
            return frames.new_zeros(batch, 0)
        if labels is None:
            raise DataError("the model is conditioned on class labels, but the data has none")
        if int(labels.max()) >= classes:
            raise DataError(
                f"the model knows {classes} classes, but the data has a label {int(labels.max())}"
            )
        return F.one_hot(labels.long(), classes).sum(dim=1).to(frames.dtype)


def _fully_connected(*widths: int) -> list[nn.Module]:
    """Linear layers with ReLU, Glorot-initialised, from the first width to the last."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [glorot(nn.Linear(inputs, outputs)), nn.ReLU()]
    return layers


def _join(*parts: Tensor) -> Tensor:
    """Concatenates features; a part without a time dimension, (N, ·), is repeated over it."""
    leading = parts[0].shape[:-1]
    return torch.cat([part.expand(*leading, part.shape[-1]) for part in parts], dim=-1)
