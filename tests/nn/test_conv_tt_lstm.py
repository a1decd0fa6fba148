"""The Conv-TT-LSTM cell against the paper's equations step by step, and the sequence module made of it."""

import pytest
import torch
import torch.nn.functional as F

from vidpred import ops
from vidpred.errors import ConfigError
from vidpred.nn import ConvTTLSTM, ConvTTLSTMCell

HEIGHT, WIDTH = 3, 33  # wide enough for every way of computing the gates
SIZES = [(1, 1, 2), (1, 3, 2), (2, 2, 3), (3, 3, 2), (3, 5, 2), (4, 4, 1)]
"""Order, steps and rank."""


def frames(steps=6, channels=3, batch=2, dtype=torch.float64):
    return torch.randn(steps, batch, channels, HEIGHT, WIDTH, dtype=dtype, generator=seeded(1))


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def cell_of(order, steps, rank, kernel=3):
    torch.manual_seed(0)
    cell = ConvTTLSTMCell(3, 4, kernel, order=order, steps=steps, rank=rank).double()
    for weights in cell.parameters():  # large enough for every path to count
        torch.nn.init.normal_(weights, std=0.3)
    return cell


def by_hand(cell, sequence, order, steps, rank):
    """Every hidden state by eq. 9-11, all windows reduced anew in every step, one convolution of [x; V]."""
    batch, hidden = sequence.shape[1], cell.hidden_channels
    history = [sequence.new_zeros(batch, hidden, *sequence.shape[3:])] * steps  # newest first
    c = history[0]
    reduce = cell.preprocessing.weight.split(rank), cell.preprocessing.bias.split(rank)
    last = torch.cat([cell.input.weight, cell.last_core.weight], 1)
    padding = last.shape[-1] // 2
    outputs = []
    for x in sequence:
        windows = [torch.cat(history[n : n + steps - order + 1], 1) for n in range(order)]
        reduced = [
            F.conv2d(window, weight, bias, padding=padding)
            for window, weight, bias in zip(windows, *reduce, strict=True)
        ]
        v = reduced[-1]  # the oldest
        for younger, core, bias in zip(reduced[-2::-1], cell.chain.cores, cell.chain.biases, strict=True):
            v = younger + F.conv2d(v, core, bias, padding=padding)
        i, f, g, o = F.conv2d(torch.cat([x, v], 1), last, cell.input.bias, padding=padding).chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        history = [o.sigmoid() * c.tanh(), *history[:-1]]
        outputs.append(history[0])
    return torch.stack(outputs)


@pytest.mark.parametrize("width", [9, WIDTH])
@pytest.mark.parametrize("backend", ["native", "reference"])
@pytest.mark.parametrize(("order", "steps", "rank"), SIZES)
def test_is_the_equations_of_the_paper(backend, width, order, steps, rank):
    cell, sequence = cell_of(order, steps, rank), frames()[..., :width].clone().requires_grad_()
    with ops.use_backend(backend):
        found, state = cell.run(sequence, cell.initial(sequence))
        wanted = [sequence, *cell.parameters()]
        gradients = torch.autograd.grad(found.square().sum(), wanted, allow_unused=True)
    expected = by_hand(cell, sequence, order, steps, rank)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(state.hidden, expected[-1])
    by_autograd = torch.autograd.grad(expected.square().sum(), wanted, allow_unused=True)
    torch.testing.assert_close(gradients, by_autograd)


def test_kernels_of_one_pixel_are_the_ablation_without_convolutions():
    cell, sequence = cell_of(3, 3, 2, kernel=1), frames()
    found, _ = cell.run(sequence, cell.initial(sequence))
    torch.testing.assert_close(found, by_hand(cell, sequence, 3, 3, 2))
    other = sequence.clone()
    other[:, :, :, 2, 5] += 1  # one pixel stays alone
    changed = (cell.run(other, cell.initial(other))[0] != found).flatten(0, 2).any(0)
    assert changed.nonzero().tolist() == [[2, 5]]


def test_step_by_step_is_the_same_as_all_at_once():
    cell, sequence = cell_of(3, 4, 2), frames()
    together, last = cell.run(sequence, cell.initial(sequence))
    state = None
    for x, expected in zip(sequence, together, strict=True):
        state = cell(x, state)
        torch.testing.assert_close(state.hidden, expected)
    torch.testing.assert_close(state.cell, last.cell)


@pytest.mark.parametrize(("order", "steps", "rank"), SIZES)
@pytest.mark.parametrize("cut", [1, 2, 5])
def test_a_sequence_can_be_gone_on_with(order, steps, rank, cut):
    torch.manual_seed(0)
    layer = ConvTTLSTM(3, 4, 3, num_layers=2, order=order, steps=steps, rank=rank).double()
    sequence = frames().transpose(0, 1)
    whole, (h, c) = layer(sequence)
    first, state = layer(sequence[:, :cut])
    second, (h2, c2) = layer(sequence[:, cut:], state)
    torch.testing.assert_close(torch.cat([first, second], 1), whole)
    torch.testing.assert_close(h2, h)
    torch.testing.assert_close(c2, c)
    assert h.shape == (2, steps, 2, 4, HEIGHT, WIDTH)
    torch.testing.assert_close(h[-1, -1], whole[:, -1])


def test_starts_as_one_convolution_of_input_and_tensor_train_would():
    torch.manual_seed(0)
    cell = ConvTTLSTMCell(48, 48, 5, rank=8)
    bound = (56 * 25) ** -0.5
    for weights in (cell.input.weight, cell.last_core.weight):
        assert weights.abs().max() <= bound
        assert weights.std().item() == pytest.approx(bound / 3**0.5, rel=0.02)


def test_what_does_not_fit_is_named():
    for wrong, message in (
        ({"kernel_size": 4}, "odd size, got 4"),
        ({"order": 0}, "order of at least 1, got 0"),
        ({"order": 3, "steps": 2}, "at least as many steps, got 2"),
        ({"num_layers": 0}, "at least 1 layer, got 0"),
    ):
        with pytest.raises(ConfigError, match=message):
            ConvTTLSTM(1, 4, **({"kernel_size": 3} | wrong))
    layer = ConvTTLSTM(1, 4, 3, steps=4)
    with pytest.raises(ops.ShapeError, match=r"frames must have shape \(N, T, 1, H, W\)"):
        layer(torch.zeros(2, 3, 2, 8, 8))
    _, (h, c) = layer(torch.zeros(2, 3, 1, 8, 8))
    with pytest.raises(ops.ShapeError, match=r"h must have shape \(1, 4, 2, 4, 8, 8\), got \(1, 3, 2"):
        layer(torch.zeros(2, 3, 1, 8, 8), (h[:, 1:], c))
