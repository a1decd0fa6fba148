"""Sampling from decoders of masked convolutions, against the loop that runs the decoder once a pixel."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from vidpred import ops
from vidpred.errors import ConfigError
from vidpred.nn.masked_conv import (
    MaskedConv2d,
    MaskedResidualBlock,
    PixelDecoder,
    PixelSampler,
    sample,
)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture(params=["native", "reference"])
def backend(request):
    if request.param == "native" and ops.backend() != "native":
        pytest.skip("the kernels are not built")
    with ops.use_backend(request.param):
        yield


@torch.no_grad()
def pixel_by_pixel(decoder, context, noise, temperature=1.0):
    """The image and the logits of each pixel, from a pass of the whole decoder for each."""
    _, colors, height, width = noise.shape
    image, logits = torch.zeros_like(noise), None
    for y in range(height):
        for x in range(width):
            for color in range(colors):
                found = decoder(image, context).unflatten(1, (colors, -1))
                logits = torch.zeros_like(found) if logits is None else logits
                logits[:, color, :, y, x] = found[:, color, :, y, x]
                image[:, color, y, x] = value_of(found[:, color, :, y, x], noise[:, color, y, x], temperature)
    return image, logits.flatten(1, 2)


def value_of(logits, noise, temperature):
    """The value in [0, 1] where the noise falls, for logits (N, levels)."""
    levels = logits.shape[1]
    if levels == 1:
        return (noise < torch.sigmoid(logits[:, 0].double() / temperature)).float()
    ends = torch.cumsum(torch.softmax(logits.double() / temperature, 1), 1)
    drawn = [
        torch.searchsorted(row, at, right=True).item() for row, at in zip(ends, noise.double(), strict=True)
    ]
    return torch.tensor(drawn).clamp(max=levels - 1) / (levels - 1)


def livelier(decoder, scale=2.0):
    """With larger weights, so that the logits differ from pixel to pixel."""
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.mul_(scale)
    return decoder


class MultiplicativeBlock(nn.Module):
    """A residual multiplicative block in the manner of Kalchbrenner et al.: gates, products, chunks."""

    def __init__(self, channels):
        super().__init__()
        self.narrow = MaskedConv2d(2 * channels, channels, 1, "B")
        self.gates = MaskedConv2d(channels, 4 * channels, 3, "B")
        self.widen = nn.Conv2d(channels, 2 * channels, 1)

    def forward(self, features):
        hidden = self.narrow(features)
        g_1, g_2, g_3, update = self.gates(hidden).chunk(4, 1)
        unit = g_1.sigmoid() * torch.tanh(g_2.sigmoid() * hidden + g_3.sigmoid() * update.tanh())
        return features + 0.5 * self.widen(unit)


class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        self.of_context = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ELU())
        self.first = MaskedConv2d(1, 8, 5, "A")
        self.blocks = nn.Sequential(MultiplicativeBlock(4), MultiplicativeBlock(4))
        self.last = MaskedConv2d(8, 1, 1, "B")
        self.offset = nn.Parameter(torch.randn(1, 8, 1, 1))

    def forward(self, image, context):
        features = self.first(1 - 2 * image) - self.of_context(context) + self.offset
        return self.last(self.blocks(features)) + context.mean(1, keepdim=True)


class Joined(nn.Module):
    """The context joined to the image before the first mask, as the thesis words it, and again later."""

    def __init__(self):
        super().__init__()
        self.first = MaskedConv2d(1 + 3, 6, 7, "A")
        self.second = MaskedConv2d(6 + 3, 6, 3, "B", bias=False)
        self.third = MaskedConv2d(6, 6, 5, "A")
        self.last = nn.Conv2d(12, 4, 1)

    def forward(self, image, context):
        features = functional.relu(self.first(torch.cat([context, image], dim=1)))
        features = torch.tanh(self.second(torch.cat([features, context], 1)))
        return self.last(torch.cat([features, -self.third(features)], 1))


DECODERS = {
    "the paper's, narrow": (lambda: PixelDecoder(3, channels=16, hidden=8, blocks=3, head=24), 1),
    "wide": (lambda: PixelDecoder(3, channels=70, hidden=33, blocks=1, head=40), 1),
    "256 levels": (lambda: PixelDecoder(3, levels=256, channels=12, hidden=8, blocks=1, head=24), 1),
    "colors": (lambda: PixelDecoder(3, colors=3, channels=18, hidden=9, blocks=2, head=24), 3),
    "colors of 5 levels": (
        lambda: PixelDecoder(3, colors=3, levels=5, channels=9, hidden=6, blocks=1, head=6, kernel_size=3),
        3,
    ),
    "gates": (Gated, 1),
    "joined": (Joined, 1),
}


@pytest.mark.parametrize("name", DECODERS)
def test_draws_what_the_loop_over_pixels_draws(backend, name):
    make, colors = DECODERS[name]
    decoder = livelier(make())
    context, noise = torch.randn(2, 3, 9, 11), torch.rand(2, colors, 9, 11)
    expected, expected_logits = pixel_by_pixel(decoder, context, noise)
    assert expected_logits.std() > 0.1
    image, logits = PixelSampler(decoder, colors).with_logits(context, noise)
    torch.testing.assert_close(logits, expected_logits, rtol=1e-4, atol=1e-4)
    assert torch.equal(image, expected)
    assert 0 < image.mean() < 1


@pytest.mark.parametrize("size", [(1, 1), (1, 12), (12, 1), (3, 2), (20, 5)], ids=str)
def test_draws_images_of_every_shape(backend, size):
    """Rows that are shorter than one row's delay behind the other, and images of a single pixel."""
    decoder = livelier(PixelDecoder(2, channels=8, hidden=8, blocks=2, head=8))
    context, noise = torch.randn(3, 2, *size), torch.rand(3, 1, *size)
    expected, expected_logits = pixel_by_pixel(decoder, context, noise)
    image, logits = PixelSampler(decoder).with_logits(context, noise)
    assert torch.equal(image, expected)
    torch.testing.assert_close(logits, expected_logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("levels", [1, 6])
@pytest.mark.parametrize("temperature", [0.3, 1.7])
def test_temperature_divides_the_logits(backend, levels, temperature):
    decoder = livelier(PixelDecoder(2, levels=levels, channels=8, hidden=8, blocks=1, head=8))
    context, noise = torch.randn(2, 2, 6, 7), torch.rand(2, 1, 6, 7)
    expected, _ = pixel_by_pixel(decoder, context, noise, temperature)
    image, _ = PixelSampler(decoder).with_logits(context, noise, temperature=temperature)
    assert torch.equal(image, expected)


@pytest.mark.parametrize("levels", [1, 6])
def test_temperature_zero_draws_the_most_likely_value(backend, levels):
    decoder = livelier(PixelDecoder(2, levels=levels, channels=8, hidden=8, blocks=1, head=8))
    context = torch.randn(2, 2, 6, 7)
    image, logits = PixelSampler(decoder).with_logits(context, torch.rand(2, 1, 6, 7), temperature=0)
    likeliest = (logits > 0).float() if levels == 1 else logits.argmax(1, keepdim=True) / (levels - 1)
    assert torch.equal(image, likeliest)
    again, _ = PixelSampler(decoder).with_logits(context, torch.rand(2, 1, 6, 7), temperature=0)
    assert torch.equal(image, again)


def test_values_are_drawn_as_often_as_they_are_likely(backend):
    """A decoder that ignores what came before gives independent draws, which are counted."""

    class Constant(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = MaskedConv2d(1, 3, 3, "A", bias=False)
            self.logits = nn.Parameter(torch.tensor([0.5, -1.0, 1.5]).view(1, 3, 1, 1))

        def forward(self, image, context):
            return 0.0 * self.first(image) + self.logits

    decoder = Constant()
    image = sample(decoder, torch.zeros(4, 1, 64, 64), generator=torch.Generator().manual_seed(0))
    values, counts = image.unique(return_counts=True)
    assert values.tolist() == [0, 0.5, 1]
    expected = torch.softmax(decoder.logits.flatten(), 0) * image.numel()
    assert ((counts - expected) ** 2 / expected).sum() < 13.8  # chi squared, 2 degrees of freedom, p = 0.001


def test_the_generator_decides_the_image():
    decoder = livelier(PixelDecoder(2, channels=8, hidden=8, blocks=1, head=8))
    context = torch.randn(1, 2, 8, 8)
    images = [sample(decoder, context, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(images[0], images[1])
    assert not torch.equal(images[0], images[2])


def test_the_result_does_not_depend_on_threads_or_the_batch_around_a_sample():
    decoder = livelier(PixelDecoder(2, channels=40, hidden=20, blocks=2, head=40))
    context, noise = torch.randn(9, 2, 12, 10), torch.rand(9, 1, 12, 10)
    sampler = PixelSampler(decoder)
    image, logits = sampler.with_logits(context, noise)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        other_image, other_logits = sampler.with_logits(context, noise)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(image, other_image)
    assert torch.equal(logits, other_logits)
    # Torch's own convolution of the context may differ with the batch, so that the logits are only close.
    alone_image, alone_logits = sampler.with_logits(context[4:5], noise[4:5])
    assert torch.equal(image[4:5], alone_image)
    torch.testing.assert_close(logits[4:5], alone_logits)


def test_a_batch_of_none_and_a_decoder_in_half_precision(backend):
    decoder = PixelDecoder(2, channels=8, hidden=8, blocks=1, head=8)
    assert sample(decoder, torch.zeros(0, 2, 5, 6)).shape == (0, 1, 5, 6)
    context, noise = torch.randn(1, 2, 5, 6).bfloat16(), torch.rand(1, 1, 5, 6)
    _, logits = PixelSampler(decoder.bfloat16()).with_logits(context, noise)
    _, expected = PixelSampler(decoder.float()).with_logits(context.float(), noise)
    torch.testing.assert_close(logits, expected, rtol=0.02, atol=0.02)


class Refused(nn.Module):
    def __init__(self, body, colors=1):
        super().__init__()
        self.first = MaskedConv2d(1, 4, 3, "A", colors=colors)
        self.wide = nn.Conv2d(4, 1, 3, padding=1)
        self.second = MaskedConv2d(1, 4, 3, "B")
        self.huge = MaskedConv2d(4, 1, 17, "B")
        self.body = body

    def forward(self, image, context):
        return self.body(self, image, context)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (lambda m, image, context: m.wide(m.first(image)), "of which only 1x1"),
        (lambda m, image, context: m.second(image), "has mask B, with which a pixel sees itself"),
        (lambda m, image, context: m.first(image) + image, "so that a pixel sees itself"),
        (lambda m, image, context: image * 2, "there is no mask A before the logits"),
        (lambda m, image, context: m.huge(m.first(image)), "more than 15"),
        (lambda m, image, context: m.first(image).mean(1, keepdim=True), "is not a masked convolution or"),
        (lambda m, image, context: functional.relu(m.first(image), inplace=True), "not supported"),
        (lambda m, image, context: torch.cat([m.first(image)] * 2, 2), "is not over channels"),
        (lambda m, image, context: m.first(image) if image.sum() > 0 else image, "cannot be traced"),
    ],
)
def test_a_decoder_that_cannot_be_sampled_is_refused_in_a_sentence(body, sentence):
    with pytest.raises(ConfigError, match=r"^cannot sample from ") as caught:
        sample(Refused(body), torch.zeros(1, 3, 4, 4))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_colors_must_fit_the_masks():
    with pytest.raises(ConfigError, match="has a mask for 1 colors, the image has 3"):
        sample(Refused(lambda m, image, context: m.second(image)), torch.zeros(1, 3, 4, 4), colors=3)


def test_what_a_mask_hides_changes_nothing():
    layer = MaskedConv2d(2, 3, 5, "A")
    frames = torch.randn(2, 2, 6, 6)
    expected = layer(frames)
    hidden = layer.masked_weight() == 0
    assert hidden.sum() == 3 * 2 * 13
    with torch.no_grad():
        layer.weight[hidden] = 100.0
    assert torch.equal(layer(frames), expected)


def test_logits_see_only_what_comes_before():
    """The derivative of each logit to the image is zero from the pixel itself on."""
    decoder = PixelDecoder(2, colors=3, channels=9, hidden=6, blocks=2, head=9).double()
    image = torch.rand(1, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    context = torch.randn(1, 2, 4, 5, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda value: decoder(value, context), image)
    # In reading order, the colors of a pixel next to each other.
    order = jacobian[0, :, :, :, 0].permute(1, 2, 0, 4, 5, 3).reshape(60, 60)
    assert (order.triu() == 0).all()
    assert (order.tril(-1) != 0).sum() > 500


def test_residual_block_is_the_formula_of_the_paper():
    block = MaskedResidualBlock(6, 4).double()
    features = torch.randn(2, 6, 5, 5, dtype=torch.float64)
    mask = torch.tensor([[1.0, 1, 1], [1, 1, 0], [0, 0, 0]], dtype=torch.float64)  # eq. 3.12
    hidden = functional.conv2d(features.clamp(min=0), block.narrow.weight, block.narrow.bias)
    hidden = functional.conv2d(hidden.clamp(min=0), block.look.weight * mask, block.look.bias, padding=1)
    expected = features + functional.conv2d(hidden.clamp(min=0), block.widen.weight, block.widen.bias)
    torch.testing.assert_close(block(features), expected)


def test_decoder_of_the_paper_has_its_layers():
    decoder = PixelDecoder()
    kernels = [tuple(p.shape) for name, p in decoder.named_parameters() if name.endswith("weight")]
    block = [(128, 256, 1, 1), (128, 128, 3, 3), (256, 128, 1, 1)]
    head = [(768, 256, 1, 1), (768, 768, 1, 1), (1, 768, 1, 1)]
    assert kernels == [(256, 256, 7, 7), (256, 1, 7, 7), *block * 24, *head]


@pytest.mark.needs_cuda
@pytest.mark.parametrize("name", DECODERS)
def test_cuda_draws_what_the_loop_over_pixels_draws(name):
    make, colors = DECODERS[name]
    decoder = livelier(make())
    context, noise = torch.randn(2, 3, 9, 11), torch.rand(2, colors, 9, 11)
    expected, expected_logits = pixel_by_pixel(decoder, context, noise)
    with torch.backends.cudnn.flags(allow_tf32=False):
        image, logits = PixelSampler(decoder.cuda(), colors).with_logits(context.cuda(), noise.cuda())
    torch.testing.assert_close(logits.cpu(), expected_logits, rtol=1e-4, atol=1e-4)
    assert torch.equal(image.cpu(), expected)
