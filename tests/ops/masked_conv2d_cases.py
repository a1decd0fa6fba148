"""What the tests of `masked_conv2d` share: the convolution tap by tap, inputs, the comparison."""

import itertools

import torch

from vidpred import ops

TOLERANCES = {
    torch.float32: 2e-5,
    torch.float64: 1e-11,
    torch.float16: 6e-3,
    torch.bfloat16: 5e-2,
}
LAYOUTS = {"contiguous": torch.contiguous_format, "channels last": torch.channels_last}
MASKS = ("A", "B")
SHAPES = {
    # x (N, C_in, H, W), C_out, K, colors
    "3x3": ((2, 5, 6, 7), 4, 3, 1),
    "7x7, kernel larger than the image": ((1, 3, 5, 4), 35, 7, 1),
    "many rows and columns": ((1, 2, 37, 19), 3, 5, 1),
    "1x1": ((2, 3, 4, 5), 4, 1, 1),
    "colors": ((2, 6, 5, 9), 9, 3, 3),
    "colors, 1x1": ((2, 6, 3, 3), 3, 1, 3),
    "one pixel": ((3, 4, 1, 1), 2, 3, 2),
}


def tap_by_tap(x, weight, bias, mask, colors):
    """Eq. 3.11 and 3.12: shifted images, each times the weights of one live tap, added up."""
    batch, c_in, height, width = x.shape
    c_out, _, size, _ = weight.shape
    k = size // 2
    padded = torch.nn.functional.pad(x, (k, k, k, k))
    y = torch.zeros(batch, c_out, height, width, dtype=x.dtype) + 0 * (x.sum() + weight.sum())
    y = y if bias is None else y + bias.view(-1, 1, 1)
    for row, column in itertools.product(range(size), range(size)):
        shifted = padded[:, :, row : row + height, column : column + width]
        if (row, column) < (k, k):
            y = y + torch.einsum("nchw,oc->nohw", shifted, weight[:, :, row, column])
    for i, j in itertools.product(range(colors), range(colors)):  # the pixel itself, colour by colour
        if j < i or (j == i and mask == "B"):
            outputs = slice(i * c_out // colors, (i + 1) * c_out // colors)
            inputs = slice(j * c_in // colors, (j + 1) * c_in // colors)
            share = torch.einsum("nchw,oc->nohw", x[:, inputs], weight[outputs, inputs, k, k])
            y = y + torch.nn.functional.pad(share, (0, 0, 0, 0, outputs.start, c_out - outputs.stop))
    return y


def random_inputs(case, dtype=torch.float32, device="cpu", layout=torch.contiguous_format):
    """x, weight and bias, leaves that require gradients."""
    shape, c_out, size, _ = SHAPES[case]
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator).to(device, dtype).contiguous(memory_format=layout)
    weight = torch.randn(c_out, shape[1], size, size, generator=generator).to(device, dtype)
    bias = torch.randn(c_out, generator=generator).to(device, dtype)
    return x.requires_grad_(), weight.requires_grad_(), bias.requires_grad_()


def with_gradients(function, inputs):
    """(y, gradient of each input), for a fixed random gradient of the output."""
    y = function(*inputs)
    given = torch.randn(tuple(y.shape), generator=torch.Generator().manual_seed(1)).to(y)
    return (y, *torch.autograd.grad(y, inputs, given))


def assert_exact(case, mask, inputs, function=ops.masked_conv2d):
    """Compares output and gradients with the taps in float64 on the same numbers."""
    colors = SHAPES[case][3]
    got = with_gradients(lambda *values: function(*values, mask=mask, colors=colors), inputs)
    exact = [value.detach().double().cpu().contiguous().requires_grad_() for value in inputs]
    expected = with_gradients(lambda *values: tap_by_tap(*values, mask, colors), exact)
    dtype = inputs[0].dtype
    for name, result, truth in zip(("y", "x", "weight", "bias"), got, expected, strict=True):
        assert result.dtype == dtype, name
        bound = TOLERANCES[dtype] * max(truth.abs().max().item(), 1)
        torch.testing.assert_close(
            result.double().cpu(),
            truth,
            rtol=0,
            atol=bound,
            msg=lambda text, name=name: f"{name}: {text}",
        )
    hidden = ops.reference.conv_mask(inputs[1].shape, mask, colors) == 0
    assert (got[2].cpu()[hidden] == 0).all()
