"""What the tests of `tensor_train_conv` share: eq. 8-9 tap by tap in float64, inputs, the comparison."""

import itertools

import torch
import torch.nn.functional as F

from vidpred import ops

TOLERANCES = {
    torch.float32: 4e-6,
    torch.float64: 1e-12,
    torch.float16: 6e-3,
    torch.bfloat16: 5e-2,
}
"""Relative, and absolute below one; times the number of cores, for each rounds what it gives."""

LAYOUTS = {
    "contiguous": torch.contiguous_format,
    "channels last": torch.channels_last,
}
SHAPES = {  # (N, H, W), ranks, kernel
    "paper": ((2, 12, 17), (8, 8, 8), 5),
    "order 2": ((3, 5, 16), (4, 4), 3),
    "order 5": ((1, 9, 7), (2, 3, 1, 6, 5), 3),
    "rank 16": ((1, 18, 33), (16, 16, 16), 5),
    "wide kernel": ((2, 4, 5), (3, 2, 3), 7),
    "pointwise": ((2, 3, 20), (5, 9), 1),
    "whole vectors": ((1, 35, 32), (6, 5, 8), 5),  # several bands, which CPU kernels read in place
}


def convolve(image, core):
    """(N, I, H, W) with (O, I, K, K) and zeros around the image, as the sum over taps that it is."""
    height, width = image.shape[2:]
    reach = core.shape[-1] // 2
    padded = F.pad(image, [reach] * 4)
    return sum(
        torch.einsum("oi,nihw->nohw", core[:, :, y, x], padded[:, :, y : y + height, x : x + width])
        for y in range(core.shape[2])
        for x in range(core.shape[3])
    )


def formulas(states, cores, biases):
    """V_{l+1} = S_{l+1} + core_l * V_l + bias_l."""
    value = states[0]
    for state, core, bias in zip(states[1:], cores, biases or [None] * len(cores), strict=True):
        value = state + convolve(value, core) + (0 if bias is None else bias.view(-1, 1, 1))
    return value


def random_inputs(
    shape, dtype=torch.float32, *, biases=True, device="cpu", layout=torch.contiguous_format, seed=0
):
    """(states, cores, biases) of leaves that require gradients, for one of `SHAPES`."""
    (batch, height, width), ranks, kernel = shape
    generator = torch.Generator().manual_seed(seed)

    def random(*size, scale=1.0):
        return (torch.randn(size, generator=generator) * scale).to(device, dtype)

    states = [random(batch, rank, height, width).contiguous(memory_format=layout) for rank in ranks]
    cores = [
        random(out, given, kernel, kernel, scale=(given * kernel**2) ** -0.5)
        for given, out in itertools.pairwise(ranks)
    ]
    inputs = states, cores, [random(rank) for rank in ranks[1:]] if biases else None
    for tensor in leaves(inputs):
        tensor.requires_grad_()
    return inputs


def leaves(inputs):
    states, cores, biases = inputs
    return [*states, *cores, *(bias for bias in biases or () if bias is not None)]


def mapped(function, inputs):
    """The same structure with function(tensor) in place of each tensor."""
    return tuple(
        None if group is None else [None if tensor is None else function(tensor) for tensor in group]
        for group in inputs
    )


def in_float64(inputs):
    return mapped(lambda tensor: tensor.detach().double().cpu().requires_grad_(), inputs)


def call(inputs):
    return ops.tensor_train_conv(*inputs)


def with_gradients(function, inputs):
    """(value, gradient of each leaf), for a fixed random gradient of the value."""
    value = function(inputs)
    generator = torch.Generator().manual_seed(1)
    given = torch.randn(tuple(value.shape), generator=generator).to(value)
    return (value, *torch.autograd.grad(value, leaves(inputs), given))


def assert_exact(inputs, tolerance, function=call):
    """Compares the value and all gradients with the formulas in float64 on the same numbers."""
    got = with_gradients(function, inputs)
    expected = with_gradients(lambda values: formulas(*values), in_float64(inputs))
    states, cores, _ = inputs
    pixels = max(states[0].numel() // states[0].shape[1], 1)
    for index, (result, truth) in enumerate(zip(got, expected, strict=True)):
        assert result.dtype == states[0].dtype
        summed = index > len(states)  # the gradients to cores and biases are sums over all pixels
        bound = tolerance * max(len(cores), 1) * (pixels**0.5 if summed else 1)
        torch.testing.assert_close(
            result.double().cpu(),
            truth,
            rtol=bound,
            atol=bound,
            msg=lambda text, index=index: f"result {index} of {len(got)}: {text}",
        )
