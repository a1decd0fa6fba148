"""The flow autoencoder against its equations, and what its flow has learnt about textures that move."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidpred import create_model
from vidpred.errors import ConfigError
from vidpred.models.flow_autoencoder import FlowAutoencoder


def small(**options: Any) -> FlowAutoencoder:
    torch.manual_seed(0)
    chosen = {"features": 4, "hidden": 3, "kernel_size": 3, "flow_kernel": 3, "learn_context": False}
    model = create_model("flow_autoencoder", "tiny", channels=2, size=(8, 12), **(chosen | options)).double()
    assert isinstance(model, FlowAutoencoder)
    return model


def moving(**options: Any) -> FlowAutoencoder:
    """With a flow of some pixels."""
    model = small(**options)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.4)
    return model


def clips(frames: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(3, frames, 2, 8, 12, generator=generator, dtype=torch.float64)


def encode(model: FlowAutoencoder, frames: Tensor) -> Tensor:
    """maxpool(tanh(Encoder(x))) of (N, C, H, W)."""
    found = torch.tanh(F.conv2d(frames, model.encoder.weight, model.encoder.bias, padding="same"))
    return found.unflatten(-1, (-1, 2)).unflatten(-3, (-1, 2)).amax((-1, -3))


def decode(model: FlowAutoencoder, features: Tensor) -> Tensor:
    """σ(Decoder(upsample(features)))."""
    large = features.repeat_interleave(2, -1).repeat_interleave(2, -2)
    return torch.sigmoid(F.conv2d(large, model.decoder.weight, model.decoder.bias, padding="same"))


def warp(features: Tensor, flow: Tensor) -> Tensor:
    """Equations 3.3 and 3.5, a sum over all pixels for each."""
    height, width = features.shape[-2:]
    rows, columns = torch.arange(height).double(), torch.arange(width).double()
    x = columns + flow[:, 0]  # (N, H, W)
    y = rows[:, None] + flow[:, 1]
    near_x = (1 - (x[..., None] - columns).abs()).clamp(min=0)
    near_y = (1 - (y[..., None] - rows).abs()).clamp(min=0)
    return torch.einsum("nchw,nijh,nijw->ncij", features, near_y, near_x)


def next_frames(model: FlowAutoencoder, frames: Tensor) -> tuple[Tensor, Tensor]:
    """By hand: the frame that follows each of (N, T, C, H, W), and the flow towards it."""
    memory = model.memory
    assert memory.peephole is not None
    w_i, w_f, w_o = memory.peephole[:, :, None, None]
    hidden = cell = torch.zeros(len(frames), memory.hidden_channels, 4, 6).double()
    images, flows = [], []
    for frame in frames.unbind(1):
        features = encode(model, frame)
        gates = F.conv2d(features, memory.input.weight, memory.input.bias, padding="same")
        gates = gates + F.conv2d(hidden, memory.hidden.weight, padding="same")
        i, f, g, o = gates.chunk(4, 1)
        new = torch.sigmoid(f + w_f * cell) * cell + torch.sigmoid(i + w_i * cell) * torch.tanh(g)
        hidden, cell = torch.sigmoid(o + w_o * new) * torch.tanh(new), new
        flow = hidden
        for conv in model.flow:
            flow = F.conv2d(flow, conv.weight, conv.bias, padding="same")
        images.append(decode(model, warp(features, flow)))
        flows.append(flow)
    return torch.stack(images, 1), torch.stack(flows, 1)


def fed_back(model: FlowAutoencoder, context: Tensor, horizon: int) -> tuple[Tensor, Tensor]:
    """By hand: the whole history run anew for every frame."""
    frames = context
    for _ in range(horizon):
        images, flows = next_frames(model, frames)
        frames = torch.cat([frames, images[:, -1:]], 1)
    return frames[:, -horizon:], flows[:, -horizon:]


def loss_by_hand(predicted: Tensor, flow: Tensor, truth: Tensor, weight: float, delta: float) -> Tensor:
    """Equations 3.6 to 3.9, in nested loops over the flow, which is zero outside."""
    sequences, steps, _, height, width = flow.shape
    values = flow.detach().tolist()

    def at(n: int, t: int, channel: int, y: int, x: int) -> float:
        return values[n][t][channel][y][x] if 0 <= y < height and 0 <= x < width else 0.0

    roughness = 0.0
    for n in range(sequences):
        for t in range(steps):
            for channel in range(2):
                for y in range(height):
                    for x in range(width):
                        for dy, dx in ((0, 1), (1, 0)):
                            a = at(n, t, channel, y + dy, x + dx) - at(n, t, channel, y - dy, x - dx)
                            small = abs(a) <= delta
                            roughness += a * a / 2 if small else delta * (abs(a) - delta / 2)
    error = (truth - predicted).square().sum()
    return (error + weight * roughness) / (sequences * steps)


def test_the_paper_s_network_has_a_million_parameters() -> None:
    with torch.device("meta"):
        model = create_model("flow_autoencoder", "paper")

    def conv(inputs: int, outputs: int, kernel: int) -> int:
        return (inputs * kernel * kernel + 1) * outputs

    memory = conv(16 + 64, 4 * 64, 7) + 3 * 64  # one bias for both inputs, and the peepholes
    flow = conv(64, 2, 15) + conv(2, 2, 15) + conv(2, 2, 1)
    expected = conv(1, 16, 7) + memory + flow + conv(16, 1, 7)
    assert sum(parameter.numel() for parameter in model.parameters()) == expected == 1_035_263


def test_at_first_nothing_moves_and_it_is_an_autoencoder() -> None:
    model, frames = small(), clips(3)
    said, _ = model.observe(frames.transpose(0, 1), None, last=frames.shape[1])
    assert said.flow.shape == (3, 3, 2, 4, 6)
    assert not said.flow.any()
    expected = decode(model, encode(model, frames.flatten(0, 1))).unflatten(0, (3, 3))
    torch.testing.assert_close(said.logits.sigmoid(), expected.transpose(0, 1))


def test_what_moves_right_and_down_has_a_negative_flow() -> None:
    model, frames = small(), clips(1)
    with torch.no_grad():
        model.flow[-1].bias.copy_(torch.tensor([-1.0, -2.0]))
    moved = torch.zeros(3, 4, 4, 6, dtype=torch.float64)
    moved[:, :, 2:, 1:] = encode(model, frames[:, 0])[:, :, :-2, :-1]
    torch.testing.assert_close(model.predict(frames, 1)[:, 0], decode(model, moved))


def test_it_is_the_equations() -> None:
    model, frames = moving(), clips()
    said, _ = model.observe(frames.transpose(0, 1), None, last=frames.shape[1])
    images, flow = next_frames(model, frames)
    assert flow.std() > 0.3
    torch.testing.assert_close(said.flow.transpose(0, 1), flow)
    torch.testing.assert_close(said.logits.sigmoid().transpose(0, 1), images)


def test_prediction_feeds_its_frames_back_and_tells_the_flow() -> None:
    model, context = moving(), clips(2)
    frames, flow = model.predict_with_flow(context, 3)
    expected_frames, expected_flow = fed_back(model, context, 3)
    torch.testing.assert_close(frames, expected_frames)
    torch.testing.assert_close(flow, expected_flow)
    torch.testing.assert_close(model.predict(context, 3), frames)


@pytest.mark.parametrize("feed", ["frames", "predictions"])
@pytest.mark.parametrize("delta", [1e-3, 0.5])
def test_the_loss_is_squared_error_and_roughness_of_the_flow(feed: str, delta: float) -> None:
    model, frames = moving(feed=feed, smoothness=3.0, huber_delta=delta), clips()
    if feed == "frames":
        predicted, flow = (part[:, 1:] for part in next_frames(model, frames[:, :-1]))
    else:
        predicted, flow = fed_back(model, frames[:, :2], 3)
    truth = frames[:, 2:]
    terms = model.loss(frames, context=2)
    expected = loss_by_hand(predicted, flow, truth, 3.0, delta)
    torch.testing.assert_close(terms["loss"], expected)
    error = (predicted - truth).square().sum() / 9
    torch.testing.assert_close(terms["squared_error"], error.detach())
    nats = -(truth * predicted.log() + (1 - truth) * (1 - predicted).log()).sum() / 9
    torch.testing.assert_close(terms["bce"], nats.detach())
    assert terms["roughness"] > 1e-2


def test_without_its_weight_the_roughness_is_not_learnt() -> None:
    terms = moving(smoothness=0).loss(clips())
    assert torch.equal(terms["loss"].detach(), terms["squared_error"])
    assert terms["roughness"] > 0


def test_the_loss_may_cover_the_context() -> None:
    model, frames = moving(learn_context=True), clips()
    early, late = next_frames(model, frames[:, :1]), fed_back(model, frames[:, :2], 3)
    predicted, flow = (torch.cat(parts, 1) for parts in zip(early, late, strict=True))
    expected = loss_by_hand(predicted, flow, frames[:, 1:], 1e-2, 1e-3)
    torch.testing.assert_close(model.loss(frames, context=2)["loss"], expected)


def test_frames_must_be_of_even_size() -> None:
    with pytest.raises(ConfigError, match="multiple of 2 on both sides, got 7x8"):
        create_model("flow_autoencoder", "tiny", size=(7, 8))


def test_autocast_leaves_the_flow_in_full_precision() -> None:
    model = moving().float()
    with torch.autocast("cpu", torch.bfloat16):
        said, _ = model.observe(clips().transpose(0, 1).float(), None)
    assert said.flow.dtype == torch.float32
    assert (said.flow != said.flow.bfloat16().float()).any()


def textures_in_motion(batch: int, frames: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Sequences (N, T, 1, 16, 16) of smooth blobs on black that move on and come back at the other side.

    Returns:
        The sequences, and by how many pixels they move along x and y in a frame, (N, 2): whole pixels of
        the features.
    """
    frequency = torch.fft.fftfreq(16)
    smooth = torch.exp(-2 * (1.5 * math.pi) ** 2 * (frequency.square() + frequency[:, None].square()))
    noise = torch.randn(batch, 1, 16, 16, generator=generator)
    texture = torch.fft.ifft2(torch.fft.fft2(noise) * smooth).real
    texture = (0.6 * texture / texture.std((1, 2, 3), keepdim=True)).clamp(0, 1)
    steps = 2 * torch.randint(-1, 2, (batch, 2), generator=generator)
    sequences = [
        torch.stack([image.roll((t * y, t * x), (1, 2)) for t in range(frames)])
        for image, (x, y) in zip(texture, steps.tolist(), strict=True)
    ]
    return torch.stack(sequences), steps


def trained_on_textures(seed: int, steps: int) -> FlowAutoencoder:
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    options = {"features": 8, "hidden": 24, "kernel_size": 3, "flow_kernel": 5, "feed": "frames"}
    model = create_model("flow_autoencoder", "tiny", size=16, learn_context=False, **options)
    assert isinstance(model, FlowAutoencoder)
    optimizer = torch.optim.Adam(model.parameters())
    for step in range(steps):
        rate = 0.05 + 0.475 * (1 + math.cos(math.pi * step / steps))
        optimizer.param_groups[0]["lr"] = 1e-2 * rate * min(1, (step + 1) / 20)
        sequences, _ = textures_in_motion(32, 4, generator)
        optimizer.zero_grad()
        model.loss(sequences, context=2)["loss"].backward()
        nn.utils.clip_grad_norm_(model.parameters(), 100.0)
        optimizer.step()
    return model.eval()


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2, 3))])
def test_it_learns_where_textures_move(seed: int) -> None:
    """Never shown a flow, it finds the right one: content that moves right by d pixels was at -d / 2 pixels
    of the features before."""
    model = trained_on_textures(seed, steps=450)
    sequences, steps = textures_in_motion(256, 5, torch.Generator().manual_seed(100))
    frames, flow = model.predict_with_flow(sequences[:, :4], 1)
    flow, expected = flow[:, 0], -steps[:, :, None, None] / 2  # (N, 2, 8, 8)
    textured = F.max_pool2d(sequences[:, 3], 2) > 0.3
    textured[:, :, [0, 1, -2, -1]] = False  # near the borders content comes from nowhere
    textured[:, :, :, [0, 1, -2, -1]] = False
    textured = textured.expand_as(flow)
    error = (flow - expected).abs()[textured]
    assert error.mean() < 0.35
    assert (error < 0.5).float().mean() > 0.8
    moved = textured & (expected != 0)
    assert (flow[moved].sign() == expected.expand_as(flow)[moved].sign()).float().mean() > 0.98
    # It makes use of the flow: the frame that is predicted is nearer to the next one than the last one is.
    inside = (..., slice(4, -4), slice(4, -4))
    still = (sequences[:, 3] - sequences[:, 4])[inside].square().mean()
    assert (frames[:, 0] - sequences[:, 4])[inside].square().mean() < 0.3 * still
