"""The ConvLSTM against equation 3.1 of seed 001, written out with one convolution for each weight."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidpred import ops
from vidpred.errors import ConfigError
from vidpred.nn import ConvLSTM, ConvLSTMCell

PEEPHOLES = ["none", "channel", "pixel"]
PAGE = Path(__file__).parents[2] / "docs" / "conv-lstm.md"


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(params=["native", "reference"])
def backend(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.param == "native" and ops.backend() != "native":
        pytest.skip("the kernels are not built")
    with ops.use_backend(request.param):
        yield


def lively(module: nn.Module) -> nn.Module:
    """In float64, and no weight zero, as the peepholes are at first."""
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    return module.double()


def frames_of(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def gate(cell: ConvLSTMCell, number: int, x: Tensor, h: Tensor) -> Tensor:
    """W_x * x + W_h * h + b of gate i, f, g or o."""
    rows = slice(number * cell.hidden_channels, (number + 1) * cell.hidden_channels)
    padding = cell.input.weight.shape[-1] // 2
    bias = None if cell.input.bias is None else cell.input.bias[rows]
    of_input = F.conv2d(x, cell.input.weight[rows], bias, padding=padding)
    return of_input + F.conv2d(h, cell.hidden.weight[rows], padding=padding)


def by_hand(cell: ConvLSTMCell, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """One step of one layer: (N, C, H, W) and the state -> the next state."""
    w_i = w_f = w_o = torch.zeros((), dtype=x.dtype)
    if cell.peephole is not None:
        weights = cell.peephole if cell.peephole.dim() == 4 else cell.peephole[:, :, None, None]
        w_i, w_f, w_o = weights
    i = torch.sigmoid(gate(cell, 0, x, h) + w_i * c)
    f = torch.sigmoid(gate(cell, 1, x, h) + w_f * c)
    c = f * c + i * torch.tanh(gate(cell, 2, x, h))
    o = torch.sigmoid(gate(cell, 3, x, h) + w_o * c)
    return o * torch.tanh(c), c


def naive(
    layer: ConvLSTM, frames: Tensor, state: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """All layers, step by step."""
    count, channels = len(layer.layers), layer.layers[0].hidden_channels
    batch, _, _, *size = frames.shape
    if state is None:
        state = 2 * (torch.zeros(count, batch, channels, *size, dtype=frames.dtype),)
    hidden, cells = list(state[0]), list(state[1])
    outputs = []
    for x in frames.unbind(1):
        for number, cell in enumerate(layer.layers):
            hidden[number], cells[number] = by_hand(cell, x, hidden[number], cells[number])
            x = hidden[number]
        outputs.append(x)
    return torch.stack(outputs, 1), (torch.stack(hidden), torch.stack(cells))


def make(
    peephole: str = "none", layers: int = 1, bias: bool = True, kernel_size: int = 3, channels: int = 2
) -> ConvLSTM:
    module = ConvLSTM(channels, 3, kernel_size, layers, bias=bias, peephole=peephole, size=(5, 4))
    assert isinstance(lively(module), ConvLSTM)
    return module


@pytest.mark.parametrize("peephole", PEEPHOLES)
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("bias", [True, False])
def test_is_the_equation(backend: None, peephole: str, layers: int, bias: bool) -> None:
    layer = make(peephole, layers, bias)
    frames = frames_of(2, 4, 2, 5, 4)
    torch.testing.assert_close(layer(frames), naive(layer, frames))


@pytest.mark.parametrize("peephole", PEEPHOLES)
def test_goes_on_from_a_given_state(backend: None, peephole: str) -> None:
    layer = make(peephole, layers=2, kernel_size=5)
    frames = frames_of(2, 3, 2, 5, 4)
    state = (frames_of(2, 2, 3, 5, 4), frames_of(2, 2, 3, 5, 4))
    torch.testing.assert_close(layer(frames, state), naive(layer, frames, state))


@pytest.mark.parametrize("peephole", PEEPHOLES)
def test_two_calls_are_one(peephole: str) -> None:
    layer = make(peephole, layers=2)
    frames = frames_of(2, 5, 2, 5, 4)
    first, state = layer(frames[:, :2])
    second, state = layer(frames[:, 2:], state)
    output, whole = layer(frames)
    torch.testing.assert_close(torch.cat([first, second], 1), output)
    torch.testing.assert_close(state, whole)


@pytest.mark.parametrize("peephole", PEEPHOLES)
def test_gradients_are_those_of_the_equation(backend: None, peephole: str) -> None:
    """To frames, state and parameters, through the output and through the last state."""
    layer = make(peephole, layers=2)
    given = [frames_of(2, 3, 2, 5, 4), frames_of(2, 2, 3, 5, 4), frames_of(2, 2, 3, 5, 4)]
    given = [tensor.requires_grad_() for tensor in given]
    wanted = [*given, *layer.parameters()]
    weights = [frames_of(2, 3, 3, 5, 4), frames_of(2, 2, 3, 5, 4), frames_of(2, 2, 3, 5, 4)]

    def gradients(run) -> tuple[Tensor, ...]:
        output, (hidden, cell) = run(given[0], (given[1], given[2]))
        total = sum((w * t).sum() for w, t in zip(weights, (output, hidden, cell), strict=True))
        return torch.autograd.grad(total, wanted)

    found = gradients(layer)
    torch.testing.assert_close(found, gradients(lambda *args: naive(layer, *args)))
    assert all(gradient.abs().max() > 1e-4 for gradient in found)


def test_a_cell_steps_as_the_layer_runs() -> None:
    cell = lively(ConvLSTMCell(2, 3, 3, peephole="channel"))
    assert isinstance(cell, ConvLSTMCell)
    frames = frames_of(4, 2, 2, 5, 4)  # time first
    state = cell.initial(frames)
    outputs, last = cell.run(frames, state)
    for frame, output in zip(frames, outputs, strict=True):
        torch.testing.assert_close(tuple(cell(frame, state)), by_hand(cell, frame, *state))
        state = cell(frame, state)
        torch.testing.assert_close(state.hidden, output)
    torch.testing.assert_close(tuple(state), tuple(last))
    torch.testing.assert_close(tuple(cell(frames[0])), by_hand(cell, frames[0], *cell.initial(frames)))


def test_a_single_pixel_is_an_lstm() -> None:
    """Torch's own, whose gates come in the same order; it has two biases, which are summed."""
    layer = make(layers=2, kernel_size=1)
    lstm = nn.LSTM(2, 3, num_layers=2, batch_first=True).double()
    with torch.no_grad():
        for number, cell in enumerate(layer.layers):
            getattr(lstm, f"weight_ih_l{number}").copy_(cell.input.weight.flatten(1))
            getattr(lstm, f"weight_hh_l{number}").copy_(cell.hidden.weight.flatten(1))
            getattr(lstm, f"bias_ih_l{number}").copy_(0.25 * cell.input.bias)
            getattr(lstm, f"bias_hh_l{number}").copy_(0.75 * cell.input.bias)
    frames, state = frames_of(4, 6, 2), (frames_of(2, 4, 3), frames_of(2, 4, 3))
    expected, (hidden, cell) = lstm(frames, state)
    found = layer(frames[..., None, None], tuple(part[..., None, None] for part in state))
    for part, of_lstm in zip((found[0], *found[1]), (expected, hidden, cell), strict=True):
        torch.testing.assert_close(part[..., 0, 0], of_lstm)


@pytest.mark.parametrize("peephole", PEEPHOLES)
def test_a_kernel_of_one_treats_every_pixel_alone(peephole: str) -> None:
    layer = make("none" if peephole == "pixel" else peephole, layers=2, kernel_size=1)
    frames = frames_of(2, 3, 2, 5, 4)
    pixel = layer(frames[..., 3:4, 1:2])[0]
    torch.testing.assert_close(layer(frames)[0][..., 3:4, 1:2], pixel)


@pytest.mark.parametrize("peephole", PEEPHOLES)
def test_channels_last_frames_give_the_same(backend: None, peephole: str) -> None:
    layer = make(peephole, layers=2, channels=3)
    frames = frames_of(2, 4, 3, 5, 4)
    expected = layer(frames)
    channels_last = frames.transpose(0, 1).movedim(2, -1).contiguous().movedim(-1, 2).transpose(0, 1)
    assert channels_last.shape == frames.shape
    assert channels_last.stride() != frames.stride()
    torch.testing.assert_close(layer(channels_last), expected)
    torch.testing.assert_close(layer(frames.movedim(2, -1).contiguous().movedim(-1, 2)), expected)


def test_layout_of_the_initial_state_is_that_of_the_frames() -> None:
    cell = ConvLSTMCell(3, 4, 3)
    frames = torch.zeros(2, 3, 5, 6)
    assert cell.initial(frames).hidden.is_contiguous()
    last = cell.initial(frames.contiguous(memory_format=torch.channels_last))
    assert last.hidden.is_contiguous(memory_format=torch.channels_last)
    assert last.hidden.shape == (2, 4, 5, 6)
    assert not last.hidden.any()
    assert not last.cell.any()


@pytest.mark.parametrize("peephole", ["none", "channel"])
def test_states_of_channels_last_frames_are_channels_last(backend: None, peephole: str) -> None:
    cell = ConvLSTMCell(3, 4, 3, peephole=peephole)  # type: ignore[arg-type]
    frame = torch.randn(2, 3, 5, 6).contiguous(memory_format=torch.channels_last)
    state = cell(frame, cell(frame))
    assert all(part.is_contiguous(memory_format=torch.channels_last) for part in state)


def test_a_strided_view_of_frames_is_read_right(backend: None) -> None:
    layer = make("channel")
    wide = frames_of(2, 8, 2, 5, 8)
    view = wide[:, ::2, :, :, 1::2]
    torch.testing.assert_close(layer(view), layer(view.contiguous()))


def test_peepholes_say_nothing_at_first() -> None:
    plain = ConvLSTM(2, 3, size=(5, 4))
    frames = torch.randn(2, 3, 2, 5, 4)
    for peephole, shape in (("channel", (3, 3)), ("pixel", (3, 3, 5, 4))):
        layer = ConvLSTM(2, 3, peephole=peephole, size=(5, 4))  # type: ignore[arg-type]
        weights = layer.layers[0].peephole
        assert weights is not None
        assert tuple(weights.shape) == shape
        missing = layer.load_state_dict(plain.state_dict(), strict=False)
        assert missing.missing_keys == ["layers.0.peephole"]
        torch.testing.assert_close(layer(frames), plain(frames))


@pytest.mark.parametrize("peephole", PEEPHOLES)
def test_a_saved_layer_is_the_same(tmp_path: Path, peephole: str) -> None:
    layer, other = make(peephole, layers=2), make(peephole, layers=2)
    frames = frames_of(1, 2, 2, 5, 4)
    assert not torch.equal(layer(frames)[0], other(frames)[0])
    torch.save(layer.state_dict(), tmp_path / "layer.pt")
    other.load_state_dict(torch.load(tmp_path / "layer.pt", weights_only=True))
    assert torch.equal(layer(frames)[0], other(frames)[0])


@pytest.mark.parametrize("peephole", ["none", "channel"])
def test_compiles_as_one_graph(backend: None, peephole: str) -> None:
    layer = make(peephole)
    frames, state = frames_of(1, 2, 2, 5, 4), (frames_of(1, 1, 3, 5, 4), frames_of(1, 1, 3, 5, 4))
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(frames, state), layer(frames, state))
    wanted = list(layer.parameters())
    found = torch.autograd.grad(compiled(frames)[0].square().sum(), wanted)
    torch.testing.assert_close(found, torch.autograd.grad(layer(frames)[0].square().sum(), wanted))


def test_autocast_computes_in_half_precision_and_returns_it() -> None:
    layer = ConvLSTM(2, 3, num_layers=2, peephole="channel")
    frames = torch.randn(2, 3, 2, 5, 4)
    expected = layer(frames)
    with torch.autocast("cpu", torch.bfloat16):
        output, (hidden, cell) = layer(frames)
    assert {output.dtype, hidden.dtype, cell.dtype} == {torch.bfloat16}
    torch.testing.assert_close(output.float(), expected[0], rtol=0.05, atol=0.02)
    torch.testing.assert_close(cell.float(), expected[1][1], rtol=0.05, atol=0.02)


@pytest.mark.parametrize("batch", [0, 1])
def test_a_batch_of_none_and_frames_of_one_row(batch: int) -> None:
    output, (hidden, cell) = ConvLSTM(1, 4, kernel_size=5)(torch.zeros(batch, 2, 1, 1, 7))
    assert output.shape == (batch, 2, 4, 1, 7)
    assert hidden.shape == cell.shape == (1, batch, 4, 1, 7)


@pytest.mark.parametrize("shape", [(2, 2, 5, 4), (2, 3, 1, 5, 4), (2, 0, 2, 5, 4)], ids=str)
def test_frames_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    expected = f"frames must have shape (N, T, 2, H, W) with T >= 1, got {shape}"
    with pytest.raises(ops.ShapeError, match=re.escape(expected)):
        ConvLSTM(2, 3)(torch.zeros(shape))


@pytest.mark.parametrize(
    ("name", "shape"),
    [("h", (1, 2, 3, 5, 4)), ("h", (2, 1, 3, 5, 4)), ("c", (2, 2, 4, 5, 4)), ("c", (2, 2, 3, 4, 5))],
    ids=str,
)
def test_a_state_of_another_shape_is_refused(name: str, shape: tuple[int, ...]) -> None:
    state = {"h": torch.zeros(2, 2, 3, 5, 4), "c": torch.zeros(2, 2, 3, 5, 4), name: torch.zeros(shape)}
    expected = f"ConvLSTM: {name} must have shape (2, 2, 3, 5, 4), got {shape}"
    with pytest.raises(ops.ShapeError, match=re.escape(expected)):
        ConvLSTM(2, 3, num_layers=2)(torch.zeros(2, 3, 2, 5, 4), (state["h"], state["c"]))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"kernel_size": 4}, "must have an odd size, got 4"),
        ({"kernel_size": -1}, "must have an odd size, got -1"),
        ({"num_layers": 0}, "at least 1 layer, got 0"),
        ({"peephole": "pixel"}, "need the size (H, W) of the frames"),
        ({"peephole": "pixels", "size": (5, 4)}, "pixels"),
    ],
    ids=str,
)
def test_options_out_of_range_are_refused(options: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        ConvLSTM(2, 3, **options)  # type: ignore[arg-type]


def test_peepholes_of_pixels_refuse_frames_of_another_size() -> None:
    layer = ConvLSTM(2, 3, peephole="pixel", size=(5, 4))
    with pytest.raises(ops.ShapeError, match="must have shape"):
        layer(torch.zeros(1, 1, 2, 4, 5))


def test_the_example_of_the_documentation_runs_and_learns() -> None:
    """Blocks of Python on the page, one after the other."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 3
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    losses = names["losses"]
    assert isinstance(losses, list)
    assert losses[-1] < 0.5 * losses[0]
