"""JointLinear against a linear layer on the concatenation."""

import torch
import torch.nn.functional as F

from vidpred.nn import JointLinear


def test_the_two_parts_add_up_to_the_layer_on_the_concatenation() -> None:
    torch.manual_seed(0)
    layer = JointLinear(5, 3, 7).double()
    torch.nn.init.normal_(layer.bias)
    early, late = torch.randn(4, 2, 5, dtype=torch.float64), torch.randn(4, 2, 3, dtype=torch.float64)
    from_early, weight_late = layer.split(early)
    expected = F.linear(torch.cat([early, late], dim=-1), layer.weight, layer.bias)
    torch.testing.assert_close(from_early + late @ weight_late.t(), expected)
