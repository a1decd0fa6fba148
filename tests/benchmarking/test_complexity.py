"""Counted complexities against closed formulas, and against what seed 002 printed."""

from __future__ import annotations

from typing import Any

import pytest

from vidpred import config, ops
from vidpred.benchmarking.complexity import Complexity, complexity, published_gflops, table
from vidpred.errors import ConfigError
from vidpred.models.registry import model_class


def counted(
    name: str, preset: str = "paper", size: tuple[int, int] = (64, 64), channels: int = 1, **options: Any
) -> Complexity:
    values = {"size": size, "channels": channels} | {f"model.{key}": value for key, value in options.items()}
    layer = config.Layer("the test", values)
    return complexity(config.resolve(name, preset, model_class(name).Options, [layer]).config)


@pytest.mark.parametrize(("size", "channels"), [((64, 64), 1), ((120, 120), 1), ((8, 24), 3)])
def test_a_convlstm_multiplies_each_kernel_with_each_pixel(size: tuple[int, int], channels: int) -> None:
    layers = ((channels, 128), (128, 64), (64, 64))
    kernels = (
        sum((inputs + hidden) * 4 * hidden * 25 for inputs, hidden in layers) + (128 + 64 + 64) * channels
    )
    found = counted("convlstm", size=size, channels=channels)
    assert found.multiply_adds_per_frame == kernels * size[0] * size[1]
    assert found.flops_per_frame == 2 * found.multiply_adds_per_frame
    # Biases and the three peephole weights of each channel multiply nothing that is counted.
    assert found.parameters == kernels + (4 + 3) * (128 + 64 + 64) + channels
    assert found.weight_bytes == 4 * found.parameters


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("convlstm12", {}),
        ("convttlstm", {}),
        ("convttlstm", {"steps": 5, "kernel_size": 3}),
        ("convttlstm", {"order": 1, "steps": 2, "rank": 4}),
    ],
)
@pytest.mark.parametrize(("size", "channels"), [((64, 64), 1), ((120, 120), 3)])
def test_the_twelve_layers_multiply_each_weight_but_biases_with_each_pixel(
    name: str, options: dict[str, int], size: tuple[int, int], channels: int
) -> None:
    taps = options.get("kernel_size", 5) ** 2
    order, steps, rank = (options.get(key, usual) for key, usual in (("order", 3), ("steps", 3), ("rank", 8)))
    weights, biases = 80 * channels, channels
    for first, hidden in ((channels, 32), (32, 48), (48, 48), (80, 32)):
        for inputs in (first, hidden, hidden):
            biases += 4 * hidden
            if name == "convlstm12":
                weights += (inputs + hidden) * 4 * hidden * taps
                continue
            weights += order * (steps - order + 1) * hidden * rank * taps  # preprocessing, once a step
            weights += (order - 1) * rank * rank * taps + (inputs + rank) * 4 * hidden * taps
            biases += (2 * order - 1) * rank
    found = counted(name, size=size, channels=channels, **options)
    assert found.multiply_adds_per_frame == weights * size[0] * size[1]
    assert found.parameters == weights + biases


def test_patches_are_positions_and_channels() -> None:
    found = counted("convlstm", size=(16, 32), patch=4, hidden=[8], kernel_size=3)
    assert found.multiply_adds_per_frame == ((16 + 8) * 32 * 9 + 8 * 16) * 4 * 8


def test_a_classic_tensor_train_is_as_many_products_as_its_whole_kernel_and_its_making() -> None:
    found = counted("convlstm12_ttd", size=(16, 16), hidden=[4], layers=1, order=3, rank=2, kernel_size=3)
    # The kernel, 9 taps x 4 x 4 outputs x 1 input: (9, rank) by (rank, 4 * rank), (9 * 4, rank) by (rank, 4).
    making = 9 * 2 * (4 * 2) + (9 * 4) * 2 * 4
    convolutions = ((1 + 4) * 16 * 9 + 4) * 256
    assert found.multiply_adds_per_frame == convolutions + making


def test_the_flow_autoencoder_works_on_half_the_side_between_encoder_and_decoder() -> None:
    half = (16 + 64) * 256 * 49 + 64 * 2 * 225 + 2 * 2 * 225 + 2 * 2
    found = counted("flow_autoencoder", channels=3)
    assert found.multiply_adds_per_frame == half * 32 * 32 + 2 * 3 * 16 * 49 * 64 * 64


def frame_coder(channels: int, side: int) -> int:
    """Of encoder and decoder together: a transposed convolution costs what its encoding twin does."""
    widths, kernels = (channels, 16, 32, 48, 64), (7, 5, 5, 3)
    return 2 * sum(widths[n] * widths[n + 1] * kernels[n] ** 2 * (side >> (n + 1)) ** 2 for n in range(4))


@pytest.mark.parametrize(("side", "channels"), [(64, 1), (32, 3)])
def test_an_rnn_has_its_frames_coder_and_one_step_of_the_lstm(side: int, channels: int) -> None:
    features = 64 * (side // 16) ** 2
    lstm = (features + 256) * 4 * 256
    joined = 0 if features == 256 else 256 * features
    found = counted("rnn", size=(side, side), channels=channels, hidden=256)
    assert found.multiply_adds_per_frame == frame_coder(channels, side) + lstm + joined


@pytest.mark.parametrize("classes", [0, 10])
def test_a_vrnn_has_prior_and_no_posterior_in_what_it_imagines(classes: int) -> None:
    latent, hidden, features = 128, 1024, 1024
    prior = (hidden + classes) * latent + latent * latent + 2 * latent * latent
    f_z = 2 * latent * latent
    decoder = (latent + hidden + classes) * 1024 + 1024 * features
    lstm = (features + hidden + latent) * 4 * hidden
    found = counted("vrnn", classes=classes)
    assert found.multiply_adds_per_frame == frame_coder(1, 64) + prior + f_z + decoder + lstm


@pytest.mark.parametrize("channels", [1, 3])
def test_of_a_blank_vpn_the_live_taps_count(channels: int) -> None:
    width, hidden, head = (256, 128, 768) if channels == 1 else (258, 129, 768)
    block = 2 * width * hidden + 9 * hidden * hidden
    encoder = 49 * channels * width + 16 * block
    memory = 49 * 2 * width * 4 * width
    # Under a mask the centre tap joins a color to itself and those before it; (colors + 1) / 2 of them.
    centre = (channels + 1) / (2 * channels)
    masked = (4 + centre) * hidden * hidden + 2 * centre * width * hidden
    last = centre * (width * head + head * head + head * channels)
    first = 49 * width * width + (24 + (1 - centre)) * channels * width
    decoder = first + 24 * masked + last
    found = counted("vpn", size=(16, 8), channels=channels)
    assert found.multiply_adds_per_frame == round((encoder + memory + decoder) * 16 * 8)


def test_a_vpn_that_draws_pixel_by_pixel_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"model\.decoding=blank, .* got 'argmax'"):
        counted("vpn", "tiny", decoding="argmax")


@pytest.mark.parametrize("name", ["convttlstm", "flow_autoencoder", "vpn"])
def test_the_count_does_not_depend_on_the_kernels(name: str) -> None:
    found = []
    for backend in ["reference", "native"] if ops.build_info()["native"] else ["reference"]:
        with ops.use_backend(backend):
            found.append(counted(name, "tiny", size=(32, 32)))
            assert ops.backend() == backend
    assert all(other == found[0] for other in found)


@pytest.mark.parametrize(
    ("millions", "at_64", "at_120"),
    [(3.97, 15.88, 55.83), (2.69, 10.76, 37.83), (7.58, 30.32, 106.6)],
)
def test_the_six_published_counts_are_rounded_parameters_times_pixels_of_1024(
    millions: float, at_64: float, at_120: float
) -> None:
    assert published_gflops(round(millions * 1e6), (64, 64)) == at_64
    assert published_gflops(round(millions * 1e6), (120, 120)) == pytest.approx(at_120, abs=0.011)


@pytest.mark.parametrize(
    ("name", "millions", "at_64", "at_120"),
    [("convlstm12", "3.97", 15.88, 55.83), ("convttlstm", "2.69", 10.76, 37.83)],
)
def test_the_published_figures_of_table_2_come_out_exactly(
    name: str, millions: str, at_64: float, at_120: float
) -> None:
    small, large = counted(name), counted(name, size=(120, 120))
    assert f"{small.parameters / 1e6:.2f}" == millions
    assert (small.su_2020_gflops, large.su_2020_gflops) == (at_64, at_120)
    # What is really multiplied, in their unit; biases and rounding make less than a quarter of a percent.
    for row in (small, large):
        assert row.su_2020_gflops == pytest.approx(row.multiply_adds_per_frame / 1.024e9, rel=0.0025)
    assert f"{millions}M parameters x 64 x 64 pixels / 1024 = {at_64}G" in table([small]).note


def test_the_table_has_four_digits() -> None:
    row = table([counted("convlstm12", size=(120, 120), channels=3)]).rows[0]
    weights = 3_979_763 - 1_923  # without biases
    assert row[1:4] == ["3x120x120", "3,979,763", "15.92 MB"]
    assert row[4:] == [f"{weights * 14_400 / 1e9:.2f} G", f"{2 * weights * 14_400 / 1e9:.1f} G"]
    assert table([counted("vpn", size=(120, 120))]).rows[0][-1] == "1056 G"


def test_only_networks_of_seed_002_on_whole_pixels_have_a_published_count() -> None:
    assert counted("convlstm", "tiny").su_2020_gflops is None
    assert counted("convttlstm", "tiny").su_2020_gflops is None  # on squares of 4 x 4 pixels
    assert counted("convlstm12_ttd").su_2020_gflops is None  # its parameters are not what is multiplied
