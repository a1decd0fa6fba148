"""The Video Pixel Network: what its decoder may see, its two losses, and how it draws frames."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vidpred import create_model
from vidpred.models.vpn import VPN, VPNOptions

HEIGHT, WIDTH = 4, 5
KINDS = [(1, 1), (1, 4), (3, 1), (3, 4)]
"""Colors, and values of each."""
BLOCKS = ["residual", "multiplicative"]


def small(colors: int = 1, levels: int = 1, **options: Any) -> VPN:
    torch.manual_seed(0)
    chosen = {
        "width": 12,
        "hidden": 6,
        "head": 12,
        "encoder_blocks": 1,
        "decoder_blocks": 2,
        "kernel_size": 3,
        "memory_kernel": 3,
    }
    model = VPN(colors, (HEIGHT, WIDTH), VPNOptions(levels=levels, **(chosen | options)))
    for parameter in model.parameters():  # so that the logits differ from pixel to pixel
        nn.init.normal_(parameter, std=0.3)
    return model


def clips(frames: int = 4, colors: int = 1, batch: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(batch, frames, colors, HEIGHT, WIDTH, generator=generator)


def told(model: VPN, frames: Tensor) -> Tensor:
    """What the memory says after each of (N, T, C, H, W), from runs over the whole history."""
    histories = [frames[:, :t].transpose(0, 1) for t in range(1, frames.shape[1] + 1)]
    return torch.stack([model._remember(history, None)[0][-1] for history in histories], 1)


def by_levels(logits: Tensor, colors: int) -> Tensor:
    """(N, C * levels, H, W) -> (N, H, W, C, levels)."""
    return logits.unflatten(1, (colors, -1)).permute(0, 3, 4, 1, 2)


def nats(model: VPN, logits: Tensor, frames: Tensor) -> Tensor:
    """Of each frame (N, C, H, W), in nats, by hand; mean over N."""
    levels = model.options.levels
    if levels == 1:
        p = 1 / (1 + (-logits).exp())
        return -(frames * p.log() + (1 - frames) * (1 - p).log()).sum() / len(frames)
    total = logits.new_zeros(())
    for by_pixel, frame in zip(by_levels(logits, frames.shape[1]), frames.permute(0, 2, 3, 1), strict=True):
        for values, true in zip(by_pixel.reshape(-1, levels), frame.flatten().tolist(), strict=True):
            total = total - values.log_softmax(0)[round(true * (levels - 1))]
    return total / len(frames)


def test_the_paper_s_network_has_38_million_parameters() -> None:
    with torch.device("meta"):
        model = create_model("vpn", "paper")

    def conv(inputs: int, outputs: int, kernel: int) -> int:
        return (inputs * kernel * kernel + 1) * outputs

    block = conv(256, 128, 1) + conv(128, 128, 3) + conv(128, 256, 1)
    encoder = conv(1, 256, 7) + 16 * block
    memory = conv(256 + 256, 4 * 256, 7) + 3 * 256  # one bias for both inputs, and the peepholes
    first = conv(256 + 1, 256, 7)  # of the context and of the image, the masked weights counted
    head = conv(256, 768, 1) + conv(768, 768, 1) + conv(768, 1, 1)
    expected = encoder + memory + first + 24 * block + head
    assert sum(parameter.numel() for parameter in model.parameters()) == expected == 38_257_665


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize(("colors", "levels"), KINDS)
def test_a_pixel_is_told_only_of_those_before_it(colors: int, levels: int, block: str) -> None:
    """Every value of the frame is changed, one at a time: all logits up to its own stay as they were, and
    some later one differs."""
    model = small(colors, levels, block=block, peephole="pixel").double()
    frames = clips(3, colors, batch=1).double()
    values = HEIGHT * WIDTH * colors
    image = frames[:, -1].permute(0, 2, 3, 1).flatten()  # in reading order, the colors of a pixel together
    changed = image.repeat(values + 1, 1)
    changed[1:].fill_diagonal_(7.0)
    images = changed.unflatten(1, (HEIGHT, WIDTH, colors)).permute(0, 3, 1, 2).contiguous()
    context = told(model, frames[:, :-1])[:, -1].expand(values + 1, -1, -1, -1)
    logits = by_levels(model.decoder(images, context), colors).reshape(values + 1, values, levels)
    differs = ((logits[1:] - logits[:1]).abs() > 1e-12).any(2)  # (changed value, logit)
    assert not differs.tril().any()
    assert differs[:-1].any(1).all()
    assert differs.sum() > 0.3 * values * (values - 1) / 2


def test_a_pixel_is_told_all_of_the_frames_before() -> None:
    model = small().double()
    frames = clips(2, batch=1).double().requires_grad_()
    logits = model.decoder(torch.zeros(1, 1, HEIGHT, WIDTH).double(), told(model, frames)[:, -1])
    (gradient,) = torch.autograd.grad(logits[0, 0, 0, 0], frames)  # of the very first pixel
    assert (gradient != 0).float().mean() > 0.8


@pytest.mark.parametrize("feed", ["frames", "predictions"])
@pytest.mark.parametrize(("colors", "levels"), KINDS)
def test_the_loss_is_that_of_two_passes(colors: int, levels: int, feed: str) -> None:
    model = small(colors, levels, feed=feed, seen_weight=0.3).double()
    frames = clips(4, colors).double()
    inputs = frames[:, :-1]
    if feed == "predictions":
        known = frames[:, :2]
        inputs = torch.cat([known, blank_pass(model, told(model, known)[:, -1])[:, None]], 1)
    context, truth = told(model, inputs)[:, 1:].flatten(0, 1), frames[:, 2:].flatten(0, 1)
    blank = nats(model, model.decoder(torch.zeros_like(truth), context), truth)
    seen = nats(model, model.decoder(truth, context), truth)
    terms = model.loss(frames, context=2)
    torch.testing.assert_close(terms["bce"], blank.detach())
    torch.testing.assert_close(terms["bce_seen"], seen.detach())
    torch.testing.assert_close(terms["loss"], blank + 0.3 * seen)
    wanted = list(model.parameters())
    found = torch.autograd.grad(terms["loss"], wanted)
    torch.testing.assert_close(found, torch.autograd.grad(blank + 0.3 * seen, wanted))


def blank_pass(model: VPN, context: Tensor) -> Tensor:
    """The mean of every pixel, by hand, from a decoder that sees an image of zeros."""
    blank = torch.zeros(len(context), model.channels, HEIGHT, WIDTH, dtype=context.dtype)
    logits = model.decoder(blank, context)
    levels = model.options.levels
    if levels == 1:
        return 1 / (1 + (-logits).exp())
    shares = by_levels(logits, model.channels).softmax(-1)
    mean = sum(shares[..., level] * level / (levels - 1) for level in range(levels))
    assert isinstance(mean, Tensor)
    return mean.permute(0, 3, 1, 2)


@pytest.mark.parametrize(("colors", "levels"), [*KINDS, (1, 256)])
def test_a_blank_image_gives_the_mean_of_every_pixel(colors: int, levels: int) -> None:
    model = small(colors, levels).double()
    frames = clips(2, colors).double()
    for _ in range(3):  # run the whole history anew for every frame
        image = blank_pass(model, told(model, frames)[:, -1])
        frames = torch.cat([frames, image[:, None]], 1)
    torch.testing.assert_close(model.predict(frames[:, :2], 3), frames[:, 2:])


@torch.no_grad()
def pixel_by_pixel(model: VPN, context: Tensor, noise: Tensor | None, temperature: float = 1.0) -> Tensor:
    """An image (N, C, H, W) from a pass of the whole decoder for each value; the likeliest without noise."""
    colors, levels = model.channels, model.options.levels
    image = torch.zeros(len(context), colors, HEIGHT, WIDTH)
    for y in range(HEIGHT):
        for x in range(WIDTH):
            for color in range(colors):
                logits = by_levels(model.decoder(image, context), colors)[:, y, x, color].double()
                if levels == 1:
                    logits = torch.cat([torch.zeros_like(logits), logits], 1)
                values = logits.argmax(1)
                if noise is not None and levels == 1:  # white where the noise falls below its probability
                    values = (noise[:, color, y, x] < (logits / temperature).softmax(1)[:, 1]).long()
                elif noise is not None:
                    ends = (logits / temperature).softmax(1).cumsum(1)
                    values = (ends <= noise[:, color, y, x, None]).sum(1).clamp(max=levels - 1)
                image[:, color, y, x] = values / max(levels - 1, 1)
    return image


def drawn(model: VPN, frames: Tensor, horizon: int, generator: torch.Generator | None = None) -> Tensor:
    """Frame after frame, by the loop over pixels, the whole history run anew for every frame."""
    count = frames.shape[1]
    for _ in range(horizon):
        with torch.no_grad():
            context = told(model, frames)[:, -1]
        shape = (len(frames), model.channels, HEIGHT, WIDTH)
        noise = None if generator is None else torch.rand(shape, generator=generator)
        image = pixel_by_pixel(model, context, noise, model.options.temperature)
        frames = torch.cat([frames, image[:, None]], 1)
    return frames[:, count:]


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize(("colors", "levels"), KINDS)
def test_samples_are_drawn_pixel_by_pixel(colors: int, levels: int, block: str) -> None:
    model = small(colors, levels, block=block, decoding="sample", temperature=1.3)
    frames = clips(2, colors)
    expected = drawn(model, frames, 2, torch.Generator().manual_seed(3))
    found = model.predict(frames, 2, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(found, expected)
    other = model.predict(frames, 2, generator=torch.Generator().manual_seed(4))
    assert not torch.equal(found, other)


@pytest.mark.parametrize(("colors", "levels"), KINDS)
def test_the_likeliest_values_are_those_of_temperature_zero(colors: int, levels: int) -> None:
    model = small(colors, levels, decoding="argmax")
    frames = clips(2, colors)
    found = model.predict(frames, 2)
    torch.testing.assert_close(found, drawn(model, frames, 2))
    for options, sample in (({"temperature": 0.0}, True), ({"temperature": 1.0}, False)):
        other = small(colors, levels, decoding="sample", **options)
        assert torch.equal(other.predict(frames, 2, sample=sample), found)


@pytest.mark.parametrize(
    ("decoding", "temperature", "stochastic"),
    [("blank", 1.0, False), ("argmax", 1.0, False), ("sample", 0.0, False), ("sample", 1.0, True)],
)
def test_only_samples_differ(decoding: str, temperature: float, stochastic: bool) -> None:
    model = small(decoding=decoding, temperature=temperature)
    assert model.stochastic is stochastic
    frames = clips(2)
    first, second = (model.predict(frames, 1) for _ in range(2))
    assert torch.equal(first, second) is not stochastic


def test_how_it_predicts_is_no_part_of_what_it_has_learnt() -> None:
    models = [small(decoding=decoding) for decoding in ("blank", "argmax", "sample")]
    assert set(VPN.usage) == {"decoding", "temperature"}
    assert len({tuple(model.state_dict()) for model in models}) == 1
    losses = [model.loss(clips())["loss"] for model in models]
    assert losses[0] == losses[1] == losses[2]


def test_values_between_levels_are_rounded_to_the_nearest() -> None:
    model = small(levels=4).double()
    frames = clips().double()
    rounded = (frames * 3).round() / 3
    mixed = torch.cat([frames[:, :2], rounded[:, 2:]], 1)
    logits = model.decoder(torch.zeros_like(frames[:, 2]), told(model, frames[:, :2])[:, -1])
    torch.testing.assert_close(nats(model, logits, frames[:, 2]), nats(model, logits, rounded[:, 2]))
    assert model.loss(frames[:, :3], 2)["bce"] == model.loss(mixed[:, :3], 2)["bce"]


def test_channels_are_rounded_up_to_a_multiple_of_the_colors() -> None:
    for name in ("width", "hidden", "head"):
        rounded, exact = small(3, **{name: 7}), small(3, **{name: 9})
        assert [p.shape for p in rounded.parameters()] == [p.shape for p in exact.parameters()]


@pytest.mark.parametrize("preset", ["paper", "small", "tiny"])
def test_every_preset_is_for_colors_too(preset: str) -> None:
    with torch.device("meta"):
        create_model("vpn", preset, channels=3)


def test_it_has_the_blocks_that_were_asked_for() -> None:
    for kind in BLOCKS:
        model = small(block=kind, encoder_blocks=3, decoder_blocks=2)
        names = [type(block).__name__ for block in (*model.encoder[1:], *model.decoder.blocks)]
        assert names == [f"{kind.capitalize()}Block"] * 5
