"""What the tests of `lstm_gates` share: its formulas in float64, inputs for every option, the comparison."""

import itertools

import torch

from vidpred import ops

TOLERANCES = {
    torch.float32: 2e-6,
    torch.float64: 1e-12,
    torch.float16: 4e-3,
    torch.bfloat16: 3e-2,
}
"""Of the kernels, and of plain torch in float32 and float64: relative, and absolute below one."""

LAYOUTS = {
    "no space": ((9, 6), torch.contiguous_format),
    "1-D space": ((2, 3, 11), torch.contiguous_format),
    "2-D space": ((3, 5, 7, 9), torch.contiguous_format),
    "2-D space, channels last": ((3, 5, 7, 9), torch.channels_last),
    "3-D space": ((2, 2, 3, 4, 5), torch.contiguous_format),
    "3-D space, channels last": ((2, 2, 3, 4, 5), torch.channels_last_3d),
}
OPTIONS = list(itertools.product((False, True), (False, True), (None, "per channel", "per pixel")))
NAMES = ("gates", "cell", "extra", "bias", "w_i", "w_f", "w_o")


def formulas(gates, cell, extra=None, bias=None, w_i=None, w_f=None, w_o=None):
    """Seed 001, eq. 3.1, for tensors with space last; what is absent is zero."""
    space = [1] * (cell.dim() - 2)
    bias = 0 if bias is None else bias.reshape(-1, *space)
    i, f, g, o = torch.tensor_split(gates + (0 if extra is None else extra) + bias, 4, dim=1)
    w_i, w_f, w_o = (
        0 if w is None else w.reshape(-1, *space) if w.dim() == 1 else w for w in (w_i, w_f, w_o)
    )
    new_cell = torch.sigmoid(f + w_f * cell) * cell + torch.sigmoid(i + w_i * cell) * torch.tanh(g)
    return torch.sigmoid(o + w_o * new_cell) * torch.tanh(new_cell), new_cell


def random_inputs(
    shape,
    dtype=torch.float32,
    extra=False,
    bias=False,
    peephole=None,
    device="cpu",
    layout=torch.contiguous_format,
):
    """Leaves that require gradients, by name; `layout` is that of all that has a batch."""
    batch, channels, *space = shape
    generator = torch.Generator().manual_seed(0)
    weights = (channels, *space) if peephole == "per pixel" else (channels,)
    shapes = {"gates": (batch, 4 * channels, *space), "cell": shape}
    shapes |= {"extra": (batch, 4 * channels, *space)} if extra else {}
    shapes |= {"bias": (4 * channels,)} if bias else {}
    shapes |= dict.fromkeys(("w_i", "w_f", "w_o"), weights) if peephole else {}
    inputs = {}
    for name, size in shapes.items():
        tensor = torch.randn(size, generator=generator).to(device, dtype)
        if name in ("gates", "cell", "extra"):
            tensor = tensor.contiguous(memory_format=layout)
        inputs[name] = tensor.requires_grad_()
    return inputs


def call(inputs):
    """The op on inputs by name."""
    peephole = tuple(inputs[name] for name in ("w_i", "w_f", "w_o")) if "w_i" in inputs else None
    return ops.lstm_gates(
        inputs["gates"],
        inputs["cell"],
        extra=inputs.get("extra"),
        bias=inputs.get("bias"),
        peephole=peephole,
    )


def with_gradients(function, inputs):
    """(hidden, new_cell, gradient of each input), for fixed random gradients of the outputs."""
    outputs = function(inputs)
    generator = torch.Generator().manual_seed(1)
    given = [torch.randn(tuple(output.shape), generator=generator).to(output) for output in outputs]
    return (*outputs, *torch.autograd.grad(outputs, list(inputs.values()), given))


def in_float64(inputs):
    return {name: tensor.detach().double().cpu().requires_grad_() for name, tensor in inputs.items()}


def assert_exact(inputs, tolerance, function=call):
    """Compares states and gradients with the formulas in float64 on the same numbers."""
    got = with_gradients(function, inputs)
    expected = with_gradients(lambda values: formulas(**values), in_float64(inputs))
    cells = max(inputs["cell"].numel() // max(inputs["cell"].shape[1], 1), 1)
    for name, result, truth in zip(("hidden", "new_cell", *inputs), got, expected, strict=True):
        assert result.dtype == inputs["cell"].dtype, name
        shared = name in ("bias", "w_i", "w_f", "w_o")  # sums over many cells
        bound = tolerance * (cells**0.5 if shared else 1)
        torch.testing.assert_close(
            result.double().cpu(),
            truth,
            rtol=bound,
            atol=bound,
            msg=lambda text, name=name: f"{name}: {text}",
        )
