"""Sampling without torch's operator, on each instruction set and in the CUDA emulator."""

import numpy as np
import pytest
import torch

pytest.importorskip("hypothesis")
from hypothesis import given
from hypothesis import strategies as st

from vidpred.nn.masked_conv import PixelDecoder
from vidpred.nn.masked_conv.tracing import TracedDecoder


@pytest.mark.parametrize(("colors", "levels"), [(1, 1), (1, 7), (3, 4)])
def test_each_pixel_is_drawn_from_the_logits_that_the_whole_decoder_gives_the_image(
    kernels, place, colors, levels
):
    image = draw(kernels, place, colors, levels, (2, 7, 9), kernel_size=5, channels=45)
    assert len(np.unique(image)) == max(levels, 2)


@given(
    size=st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 11)),
    kernel_size=st.sampled_from([1, 3, 7]),
    channels=st.sampled_from([3, 33]),
)
def test_any_size_will_do(kernels, place, size, kernel_size, channels):
    draw(kernels, place, 1, 3, size, kernel_size, channels)


@torch.no_grad()
def draw(kernels, place, colors, levels, size, kernel_size, channels):
    """The image that came out, put through the decoder once, must give the logits it was drawn from."""
    torch.manual_seed(0)
    batch, height, width = size
    decoder = PixelDecoder(
        2, colors=colors, levels=levels, channels=channels, hidden=36, blocks=2, head=66,
        kernel_size=kernel_size,
    )  # fmt: skip
    for parameter in decoder.parameters():
        parameter.mul_(1.5)
    context, noise = torch.randn(batch, 2, height, width), torch.rand(batch, colors, height, width)
    traced = TracedDecoder(decoder)
    known = traced.context_values(context)
    program = traced.program(known, colors)
    caches, size = program.cache_table(rows=batch * height)
    image, logits = kernels.sample_pixels(
        place,
        *(table.numpy() for table in program.tables(torch.device("cpu"))),
        caches.numpy(),
        program.weights.numpy(),
        torch.cat(list(known.values()), 1).permute(0, 2, 3, 1).contiguous().numpy(),
        noise.numpy(),
        program.registers,
        program.logits,
        program.levels,
        program.delay,
        size,
        max(line.taps * line.in_channels for line in program.main),
        1.0,
    )
    expected = decoder.double()(torch.from_numpy(image).double(), context.double()).numpy()
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)
    logits = expected.reshape(batch, colors, levels, height, width)
    if levels == 1:
        drawn = (noise.numpy() < 1 / (1 + np.exp(-logits[:, :, 0]))).astype(np.float32)
    else:
        likelihoods = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
        level = (likelihoods.cumsum(axis=2) <= noise.numpy()[:, :, None]).sum(axis=2)
        drawn = (level / (levels - 1)).astype(np.float32)
    np.testing.assert_array_equal(image, drawn)
    return image
