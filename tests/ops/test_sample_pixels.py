"""What `vidpred.ops.sample_pixels` is to torch; tests/nn/test_masked_conv.py tests what it draws."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from vidpred import ops
from vidpred.errors import ConfigError
from vidpred.ops.pixel_program import Cache, Instruction, Operation, PixelProgram

needs_native = pytest.mark.skipif(ops.backend() != "native", reason="the kernels are not built")


@pytest.fixture
def program():
    """The logit of a pixel is 10 (left neighbour + upper neighbour) - 5 + context."""
    weights = torch.zeros(32 + 4 * 32)
    weights[0] = -5.0
    weights[32 + 1 * 32] = weights[32 + 3 * 32] = 10.0
    lines = (
        Instruction(Operation.CONVOLVE, target=32, channels=1, in_channels=1, radius=1, cache=0),
        Instruction(Operation.LOAD, target=64, channels=1),
        Instruction(Operation.ADD, target=32, source=32, other=64, channels=1),
    )
    return PixelProgram(
        own=(Instruction(Operation.STORE, source=0, channels=1, cache=0),),
        main=lines,
        caches=(Cache(channels=1, radius=1),),
        weights=weights,
        registers=96,
        logits=32,
        colors=1,
        levels=1,
        context_channels=1,
    )


def test_runs_a_program(backend, program):
    """One pixel is lit by its context; below and right of a single lit neighbour the next is lit too."""
    context = torch.full((1, 3, 3, 1), 0.0)
    context[0, 1, 0] = 20.0
    image, logits = ops.sample_pixels(program, context, torch.full((1, 1, 3, 3), 0.5))
    assert image.squeeze().tolist() == [[0, 0, 0], [1, 1, 1], [1, 1, 1]]
    assert logits.squeeze().tolist() == [[-5, -5, -5], [15, 5, 5], [5, 15, 15]]


@needs_native
def test_opcheck_and_fake_tensors(program):
    context, noise = torch.zeros(2, 4, 5, 1), torch.rand(2, 1, 4, 5)
    caches, size = program.cache_table(8)
    tables = program.tables(torch.device("cpu"))
    arguments = (*tables, caches, program.weights, context, noise, 96, 32, 1, program.delay, size, 4, 1.0)
    torch.library.opcheck(torch.ops.vidpred.sample_pixels.default, arguments)
    with FakeTensorMode(allow_non_fake_inputs=True):
        fake = torch.rand(2, 1, 4, 5, device="cuda")
        image, logits = torch.ops.vidpred.sample_pixels(*arguments[:5], fake, *arguments[6:])
    assert image.shape == logits.shape == (2, 1, 4, 5)
    assert image.device.type == logits.device.type == "cuda"


def test_caches_hold_what_convolutions_look_back_to(program):
    """With radius 1 rows are 2 columns apart: from 1 + 2 columns back to the pixel itself are 4."""
    table, size = program.cache_table(rows=8)
    assert table.tolist() == [[1, 4, 1]]
    assert size == 1 + 8 * 4


def test_wrong_inputs_are_named(backend, program):
    context, noise = torch.zeros(1, 3, 3, 1), torch.rand(1, 1, 3, 3)
    with pytest.raises(ops.ShapeError, match=r"noise must have shape \(N, 1, H, W\), got \(1, 2, 3, 3\)"):
        ops.sample_pixels(program, context, torch.rand(1, 2, 3, 3))
    with pytest.raises(ops.ShapeError, match=r"context must have shape \(1, 3, 3, 1\), got \(1, 3, 3, 2\)"):
        ops.sample_pixels(program, torch.zeros(1, 3, 3, 2), noise)
    with pytest.raises(ops.DtypeError, match="noise must be float32 like the program's weights, got float64"):
        ops.sample_pixels(program, context, noise.double())
    with pytest.raises(ops.DeviceError, match="context must be on cpu like noise, got meta"):
        ops.sample_pixels(program, context.to("meta"), noise)
    for temperature in (-1.0, float("nan")):
        with pytest.raises(ConfigError, match="the temperature must be 0 or more, got"):
            ops.sample_pixels(program, context, noise, temperature=temperature)


@needs_native
def test_the_operator_guards_memory_even_without_the_checks_in_python(program):
    context, noise = torch.zeros(1, 3, 3, 1), torch.rand(1, 1, 3, 3)
    own, main = program.tables(torch.device("cpu"))
    caches, size = program.cache_table(3)
    numbers = (96, 32, 1, 2, size, 4, 1.0)
    operator = torch.ops.vidpred.sample_pixels
    with pytest.raises(RuntimeError, match=r"expected int64 of shape \(lines, 10\)"):
        operator(own[:, :9], main, caches, program.weights, context, noise, *numbers)
    with pytest.raises(RuntimeError, match=r"context must have shape \(N, H, W, C\)"):
        operator(own, main, caches, program.weights, context[:, :2], noise, *numbers)
    with pytest.raises(RuntimeError, match="one dtype and one device"):
        operator(own, main, caches, program.weights.double(), context, noise, *numbers)
