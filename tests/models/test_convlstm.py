"""The ConvLSTM network against its equations, step by step, from the weights of the model."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidpred import create_model
from vidpred.errors import ConfigError
from vidpred.models.convlstm import ConvLSTM


def small(channels: int = 2, size: tuple[int, int] = (6, 8), **options: Any) -> ConvLSTM:
    torch.manual_seed(0)
    chosen = {"hidden": (4, 3, 2), "kernel_size": 3, "patch": 1, "learn_context": False} | options
    model = create_model("convlstm", "tiny", channels=channels, size=size, **chosen).double()
    assert isinstance(model, ConvLSTM)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.4)
    return model


def clips(frames: int = 5, channels: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(3, frames, channels, 6, 8, generator=generator, dtype=torch.float64)


def next_frames(model: ConvLSTM, frames: Tensor) -> Tensor:
    """By hand: the frame that follows each of (N, T, C, H, W), in [0, 1]."""
    channels = model.options.hidden
    hidden = [torch.zeros(len(frames), count, *frames.shape[-2:]).double() for count in channels]
    cells = [state.clone() for state in hidden]
    found = []
    for x in frames.unbind(1):
        for number, layer in enumerate(model.layers):
            gates = F.conv2d(x, layer.input.weight, layer.input.bias, padding="same")
            gates = gates + F.conv2d(hidden[number], layer.hidden.weight, padding="same")
            i, f, g, o = gates.chunk(4, 1)
            assert layer.peephole is not None
            w_i, w_f, w_o = layer.peephole[:, :, None, None]
            cell = cells[number]
            new = torch.sigmoid(f + w_f * cell) * cell + torch.sigmoid(i + w_i * cell) * torch.tanh(g)
            hidden[number] = torch.sigmoid(o + w_o * new) * torch.tanh(new)
            cells[number], x = new, hidden[number]
        joined = torch.cat(hidden, 1)
        logits = torch.einsum("oc,nchw->nohw", model.output.weight[..., 0, 0], joined)
        found.append(torch.sigmoid(logits + model.output.bias[:, None, None]))
    return torch.stack(found, 1)


def cross_entropy(predicted: Tensor, truth: Tensor) -> Tensor:
    """In nats a frame (footnote 1)."""
    nats = -(truth * predicted.log() + (1 - truth) * (1 - predicted).log())
    return nats.sum() / (truth.shape[0] * truth.shape[1])


def fed_back(model: ConvLSTM, context: Tensor, horizon: int) -> Tensor:
    """By hand: the whole history run anew for every frame."""
    frames = context
    for _ in range(horizon):
        frames = torch.cat([frames, next_frames(model, frames)[:, -1:]], 1)
    return frames[:, context.shape[1] :]


def test_the_paper_s_network_has_3_7_million_parameters() -> None:
    with torch.device("meta"):
        model = create_model("convlstm", "paper")

    def layer(inputs: int, hidden: int) -> int:
        """Four gates with 5x5 kernels and a bias, three of them with a peephole for each channel."""
        return 4 * hidden * ((inputs + hidden) * 5 * 5 + 1) + 3 * hidden

    expected = layer(1, 128) + layer(128, 64) + layer(64, 64) + (128 + 64 + 64) + 1
    assert sum(parameter.numel() for parameter in model.parameters()) == expected == 3_701_249


def test_trained_on_true_frames_the_loss_is_that_of_the_next_frame() -> None:
    model, frames = small(feed="frames"), clips()
    predicted = next_frames(model, frames[:, :-1])
    terms = model.loss(frames, context=2)
    torch.testing.assert_close(terms["loss"], cross_entropy(predicted[:, 1:], frames[:, 2:]))
    torch.testing.assert_close(terms["bce"], terms["loss"].detach())


def test_trained_on_its_own_frames_the_loss_is_that_of_the_prediction() -> None:
    model, frames = small(feed="predictions"), clips()
    expected = cross_entropy(fed_back(model, frames[:, :2], 3), frames[:, 2:])
    torch.testing.assert_close(model.loss(frames, context=2)["loss"], expected)


def test_the_gradient_goes_through_the_frames_fed_back() -> None:
    model, frames = small(feed="predictions"), clips()
    wanted = list(model.parameters())
    expected = torch.autograd.grad(cross_entropy(fed_back(model, frames[:, :2], 3), frames[:, 2:]), wanted)
    found = torch.autograd.grad(model.loss(frames, context=2)["loss"], wanted)
    torch.testing.assert_close(found, expected)


def test_the_loss_may_cover_the_context() -> None:
    model, frames = small(learn_context=True), clips()
    predicted = torch.cat([next_frames(model, frames[:, :2]), fed_back(model, frames[:, :3], 2)], 1)
    predicted[:, 2:] = fed_back(model, frames[:, :2], 3)[:, 1:]
    torch.testing.assert_close(model.loss(frames, context=2)["loss"], cross_entropy(predicted, frames[:, 1:]))
    model.eval()
    expected = cross_entropy(fed_back(model, frames[:, :2], 3), frames[:, 2:])
    torch.testing.assert_close(model.loss(frames, context=2)["loss"], expected)


def test_scheduled_sampling_lies_between_true_and_predicted_frames() -> None:
    losses = {}
    for feed in ("frames", "predictions", "scheduled"):
        model = small(feed=feed, scheduled_steps=100)
        for step in (0, 50, 100):
            model.begin_step(step)
            losses[feed, step] = model.loss(clips(), generator=torch.Generator().manual_seed(0))["loss"]
    torch.testing.assert_close(losses["scheduled", 0], losses["frames", 0])
    torch.testing.assert_close(losses["scheduled", 100], losses["predictions", 100])
    assert losses["scheduled", 50] not in (losses["frames", 0], losses["predictions", 0])


def test_prediction_feeds_its_frames_back() -> None:
    model, frames = small(), clips(3)
    torch.testing.assert_close(model.predict(frames, 4), fed_back(model, frames, 4))


def rearranged(frames: Tensor, side: int) -> Tensor:
    """Every square of pixels becomes the channels of one position, those of a channel one after the other."""
    parts = [frames[..., c, y::side, x::side] for c in range(2) for y in range(side) for x in range(side)]
    return torch.stack(parts, -3)


def test_patches_are_channels() -> None:
    """With the same weights, a network on squares of pixels is the network on rearranged frames."""
    model, plain = small(patch=2), small(channels=8, size=(3, 4))
    plain.load_state_dict(model.state_dict())
    frames = clips()
    found = rearranged(model.predict(frames, 3), 2)
    torch.testing.assert_close(found, plain.predict(rearranged(frames, 2), 3))
    torch.testing.assert_close(model.loss(frames), plain.loss(rearranged(frames, 2)))


def test_patches_must_fit_the_frame() -> None:
    with pytest.raises(ConfigError, match="multiple of 4 on both sides, got 6x8"):
        small(patch=4)
