"""Sampling without torch's operator, on each instruction set and in the CUDA emulator."""

import numpy as np
import pytest
import torch

from vidpred.nn.masked_conv import PixelDecoder
from vidpred.nn.masked_conv.tracing import TracedDecoder


@pytest.mark.parametrize(("colors", "levels"), [(1, 1), (1, 7), (3, 4)])
@torch.no_grad()
def test_each_pixel_is_drawn_from_the_logits_that_the_whole_decoder_gives_the_image(
    kernels, place, colors, levels
):
    """The image that came out, put through the decoder once, must give the logits it was drawn from."""
    torch.manual_seed(0)
    decoder = PixelDecoder(
        2, colors=colors, levels=levels, channels=45, hidden=36, blocks=2, head=66, kernel_size=5
    )
    for parameter in decoder.parameters():
        parameter.mul_(1.5)
    context, noise = torch.randn(2, 2, 7, 9), torch.rand(2, colors, 7, 9)
    traced = TracedDecoder(decoder)
    known = traced.context_values(context)
    program = traced.program(known, colors)
    caches, size = program.cache_table(rows=2 * 7)
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
    logits = expected.reshape(2, colors, levels, 7, 9)
    if levels == 1:
        drawn = (noise.numpy() < 1 / (1 + np.exp(-logits[:, :, 0]))).astype(np.float32)
    else:
        likelihoods = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
        level = (likelihoods.cumsum(axis=2) <= noise.numpy()[:, :, None]).sum(axis=2)
        drawn = (level / (levels - 1)).astype(np.float32)
    np.testing.assert_array_equal(image, drawn)
    assert len(np.unique(image)) == max(levels, 2)
