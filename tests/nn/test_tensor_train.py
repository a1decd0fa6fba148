"""`vidpred.nn.tensor_train`: the preprocessing and the tensor-train against the formulas of seed 002."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils._pytree import tree_leaves

from vidpred import ops
from vidpred.errors import ConfigError
from vidpred.nn import tensor_train
from vidpred.nn.tensor_train import TensorTrainConv2d, TensorTrainPreprocessing

SETTINGS = [  # order, steps
    (3, 3),
    (3, 5),
    (2, 4),
    (1, 3),
    (1, 1),
]
CHANNELS, RANK, KERNEL = 4, 3, 5


@pytest.fixture(params=["native", "reference"])
def backend(request):
    if request.param == "native" and ops.backend() != "native":
        pytest.skip("the kernels are not built")
    with ops.use_backend(request.param):
        yield request.param


def build(order, steps, dtype=torch.float64):
    torch.manual_seed(0)
    preprocessing = TensorTrainPreprocessing(
        CHANNELS, order=order, steps=steps, rank=RANK, kernel_size=KERNEL
    )
    return preprocessing.to(dtype), TensorTrainConv2d(order=order, rank=RANK, kernel_size=KERNEL).to(dtype)


def run(preprocessing, train, history):
    """V of every time step, for H(1), H(2), ... of `history`."""
    batch, _, height, width = history[0].shape
    memory = preprocessing.initial(batch, height, width)
    values = []
    for newest in history:
        states, memory = preprocessing(newest, memory)
        values.append(train(states))
    return values


def literally(preprocessing, train, history, order, steps):
    """Eq. 10 and eq. 9 as they stand: every window is convolved in every step, zeros before the first state.

    Eq. 9's kernels come from eq. 8: the state at position i passes the factors i - 1, ..., 1 one by one.
    """
    weights = preprocessing.weight.chunk(order)
    biases = preprocessing.bias.chunk(order)
    window = steps - order + 1
    values = []
    for t in range(1, len(history) + 1):  # H(t) is the newest state

        def hidden(time):
            return history[time - 1] if time >= 1 else torch.zeros_like(history[0])

        value = 0
        for position in range(1, order + 1):
            newest = t + 1 - position
            states = torch.cat([hidden(newest - age) for age in range(window)], dim=1)
            part = F.conv2d(states, weights[position - 1], biases[position - 1], padding=KERNEL // 2)
            # The oldest state passes all cores; each link's bias is added once, on the oldest one's way.
            for link in range(order - position, order - 1):
                bias = train.biases[link] if position == order else None
                part = F.conv2d(part, train.cores[link], bias, padding=KERNEL // 2)
            value = value + part
        values.append(value)
    return values


@pytest.mark.parametrize(("order", "steps"), SETTINGS)
def test_is_eq_9_on_eq_10_with_every_window_convolved_in_every_step(backend, order, steps):
    modules = build(order, steps)
    history = [torch.randn(2, CHANNELS, 7, 9, dtype=torch.float64, requires_grad=True) for _ in range(7)]
    got = run(*modules, history)
    expected = literally(*modules, history, order, steps)
    torch.testing.assert_close(got, expected, rtol=1e-11, atol=1e-11)

    leaves = [*history, *modules[0].parameters(), *modules[1].parameters()]
    given = [torch.randn_like(value) for value in expected]
    torch.testing.assert_close(
        torch.autograd.grad(got, leaves, given),
        torch.autograd.grad(expected, leaves, given),
        rtol=1e-11,
        atol=1e-11,
    )


def test_each_state_reaches_as_far_as_its_age_allows(backend):
    """The receptive field widens by K - 1 with every position (seed 002, sec. 3.1)."""
    preprocessing, train = build(3, 3)
    states = [torch.randn(1, CHANNELS, 1, 31, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    value = run(preprocessing, train, states)[-1]
    gradients = torch.autograd.grad(value[0, 0, 0, 15], states)
    reaches = [int(gradient.abs().sum(dim=(0, 1, 2)).count_nonzero()) for gradient in gradients]
    assert reaches == [3 * (KERNEL - 1) + 1, 2 * (KERNEL - 1) + 1, KERNEL]


def test_a_window_is_convolved_once(backend, monkeypatch):
    """For all positions together, when its newest state appears."""
    calls = []
    convolve = tensor_train.convolve_to_few_channels
    monkeypatch.setattr(
        tensor_train,
        "convolve_to_few_channels",
        lambda image, weight, bias: calls.append(image.shape) or convolve(image, weight, bias),
    )
    preprocessing, train = build(3, 5)
    run(preprocessing, train, [torch.randn(1, CHANNELS, 4, 4, dtype=torch.float64)] * 6)
    assert calls == [(1, 3 * CHANNELS, 4, 4)] * 6


def test_a_step_leaves_the_memory_it_was_given_as_it_is(backend):
    preprocessing, _ = build(3, 4)
    memory = preprocessing.initial(1, 4, 4)
    for _ in range(3):
        newest = torch.randn(1, CHANNELS, 4, 4, dtype=torch.float64)
        before = [tensor.clone() for tensor in tree_leaves(memory)]
        first, after = preprocessing(newest, memory)
        again, _ = preprocessing(newest, memory)
        torch.testing.assert_close(first, again, rtol=0, atol=0)
        assert all(torch.equal(a, b) for a, b in zip(before, tree_leaves(memory), strict=True))
        memory = after


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_runs_under_autocast_and_in_channels_last(backend, dtype):
    modules = build(3, 3, torch.float32)
    history = [torch.randn(2, CHANNELS, 8, 8) for _ in range(4)]
    expected = run(*modules, history)
    last = [state.to(memory_format=torch.channels_last) for state in history]
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        values = run(*modules, last)
    assert {value.dtype for value in values} == {dtype}
    bound = 1e-5 if dtype == torch.float32 else 5e-2
    torch.testing.assert_close([value.float() for value in values], expected, rtol=bound, atol=bound)


@pytest.mark.filterwarnings("ignore:.torch.jit.script_method:DeprecationWarning")  # of torch's own making
def test_compiles_whole(backend):
    modules = build(3, 4)
    history = [torch.randn(1, CHANNELS, 5, 5, dtype=torch.float64) for _ in range(4)]
    torch._dynamo.reset()
    compiled = torch.compile(run, fullgraph=True, backend="aot_eager")
    got, expected = compiled(*modules, history), run(*modules, history)
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)
    parameters = [*modules[0].parameters(), *modules[1].parameters()]
    torch.testing.assert_close(
        torch.autograd.grad(sum(value.square().sum() for value in got), parameters),
        torch.autograd.grad(sum(value.square().sum() for value in expected), parameters),
        rtol=1e-11,
        atol=1e-11,
    )


@pytest.mark.parametrize(("steps", "total"), [(3, 2_687_281), (5, 3_263_281)])
def test_the_network_of_the_paper_has_as_many_parameters_as_published(steps, total):
    """12 layers, order 3, rank 8, kernels of 5, one channel; input and last core share a convolution."""
    order, rank, kernel = 3, 8, 5
    count = 0
    for given, hidden in [(1, 32), (32, 48), (48, 48), (48 + 32, 32)]:
        for layer in range(3):
            preprocessing = TensorTrainPreprocessing(
                hidden, order=order, steps=steps, rank=rank, kernel_size=kernel
            )
            train = TensorTrainConv2d(order=order, rank=rank, kernel_size=kernel)
            own = [*preprocessing.parameters(), *train.parameters()]
            count += sum(parameter.numel() for parameter in own)
            into_gates = rank + (given if layer == 0 else hidden)
            count += 4 * hidden * (into_gates * kernel**2 + 1)
    assert count + (32 + 48) + 1 == total  # the 1x1 convolution to a frame


def test_starts_as_the_convolutions_it_stands_for_would():
    """Torch's default for a convolution of one window, whatever the order."""
    preprocessing, train = build(4, 6)
    bound = (3 * CHANNELS * KERNEL**2) ** -0.5
    for parameter in preprocessing.parameters():
        assert 0.8 * bound < parameter.abs().max() <= bound
    bound = (RANK * KERNEL**2) ** -0.5
    assert all(0.6 * bound < parameter.abs().max() <= bound for parameter in train.cores)
    assert all(parameter.abs().max() <= bound for parameter in train.biases)


def test_wrong_settings_are_named():
    good = {"order": 3, "steps": 3, "rank": 8, "kernel_size": 5}
    with pytest.raises(ConfigError, match="order of at least 1, got 0"):
        TensorTrainPreprocessing(4, **good | {"order": 0})
    with pytest.raises(ConfigError, match="order 3 needs at least as many steps, got 2"):
        TensorTrainPreprocessing(4, **good | {"steps": 2})
    with pytest.raises(ConfigError, match="odd size, got 4"):
        TensorTrainPreprocessing(4, **good | {"kernel_size": 4})
    with pytest.raises(ConfigError, match="odd size, got 4"):
        TensorTrainConv2d(order=3, rank=8, kernel_size=4)
    with pytest.raises(ConfigError, match="order of at least 1, got 0"):
        TensorTrainConv2d(order=0, rank=8, kernel_size=5)
    preprocessing = TensorTrainPreprocessing(4, **good)
    with pytest.raises(ops.ShapeError, match=r"newest must have shape \(1, 4, 5, 5\), got \(1, 3, 5, 5\)"):
        preprocessing(torch.zeros(1, 3, 5, 5), preprocessing.initial(1, 5, 5))
