"""TransposedConv2d against torch's own transposed convolution."""

import pytest
import torch
from torch import nn

from vidpred.nn import TransposedConv2d


@pytest.mark.parametrize("kernel_size", [1, 3, 5, 7, 9])
@pytest.mark.parametrize("height_width", [(1, 1), (4, 7)])
def test_equals_conv_transpose2d_in_value_and_gradient(
    kernel_size: int, height_width: tuple[int, int]
) -> None:
    torch.manual_seed(kernel_size)
    ours = TransposedConv2d(3, 2, kernel_size).double()
    theirs = nn.ConvTranspose2d(
        3, 2, kernel_size, stride=2, padding=kernel_size // 2, output_padding=1, dtype=torch.float64
    )
    nn.init.normal_(ours.bias)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 3, *height_width, dtype=torch.float64)
    inputs = [x.clone().requires_grad_(), x.clone().requires_grad_()]
    outputs = [ours(inputs[0]), theirs(inputs[1])]
    weights = torch.randn_like(outputs[0])
    for output in outputs:
        (output * weights).sum().backward()
    torch.testing.assert_close(outputs[0], outputs[1])
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad)
    torch.testing.assert_close(ours.weight.grad, theirs.weight.grad)
    torch.testing.assert_close(ours.bias.grad, theirs.bias.grad)


def test_an_even_kernel_is_refused() -> None:
    with pytest.raises(ValueError, match="odd, got 4"):
        TransposedConv2d(1, 1, 4)
