"""The stack of blocks: who sees whom, and that it can be gone on with."""

import torch

from vidpred.nn.conv_lstm import ConvLSTMCell
from vidpred.nn.recurrent_blocks import RecurrentBlocks


def stack(hidden=(2, 3, 4, 5), layers=2):
    torch.manual_seed(0)
    return RecurrentBlocks(
        lambda inputs, channels: ConvLSTMCell(inputs, channels, 3), 1, hidden, layers
    ).double()


def frames(steps=5):
    return torch.randn(steps, 2, 1, 4, 6, generator=torch.Generator().manual_seed(1)).double()


def test_from_the_third_on_blocks_are_joined_with_the_one_two_before():
    blocks = stack()
    assert [cell.input_channels for cell in blocks.cells] == [1, 2, 2, 3, 3, 4, 4 + 2, 5]
    assert blocks.channels == 5 + 3
    features, outputs = frames(), []
    for first in range(0, 8, 2):  # by hand, block by block
        for cell in blocks.cells[first : first + 2]:
            features, _ = cell.run(features, cell.initial(features))
        outputs.append(features)
        if first == 4:
            features = torch.cat([outputs[2], outputs[0]], 2)
        if first == 6:
            features = torch.cat([outputs[3], outputs[1]], 2)
    torch.testing.assert_close(blocks.run(frames(), None)[0], features)


def test_two_blocks_are_a_plain_stack():
    blocks = stack(hidden=(2, 3))
    assert [cell.input_channels for cell in blocks.cells] == [1, 2, 2, 3]
    assert blocks.channels == 3


def test_it_can_be_gone_on_with():
    blocks = stack()
    whole, last = blocks.run(frames(), None)
    first, states = blocks.run(frames()[:2], None)
    second, states = blocks.run(frames()[2:], states)
    torch.testing.assert_close(torch.cat([first, second]), whole)
    for found, expected in zip(states, last, strict=True):
        torch.testing.assert_close(found, expected)
