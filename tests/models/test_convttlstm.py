"""The twelve-layer network of seed 002: its parameters, its loss, what it feeds back, its memory."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from vidpred import create_model
from vidpred.benchmarking.counters import count_flops, peak_bytes
from vidpred.errors import ConfigError
from vidpred.models.convttlstm import ConvTTLSTM, ConvTTLSTMOptions

NAMES = ["convttlstm", "convlstm12", "convlstm12_ttd"]


def clips(frames: int = 6, batch: int = 2, size: int = 8) -> Tensor:
    return torch.rand(batch, frames, 1, size, size, generator=torch.Generator().manual_seed(1))


def small(name: str = "convttlstm", **options: Any) -> ConvTTLSTM:
    torch.manual_seed(0)
    chosen = {"hidden": [3, 4, 3, 2], "layers": 1, "patch": 1, "kernel_size": 3}
    model = create_model(name, "tiny", size=8, **(chosen | options))
    assert isinstance(model, ConvTTLSTM)
    return model.double()


def parameters(model: torch.nn.Module) -> int:
    return sum(weights.numel() for weights in model.parameters())


def of_the_paper(name: str, channels: int, kernel: int, order: int, steps: int, rank: int) -> int:
    """Section 4: blocks of 32, 48, 48 and 32 channels; the fourth sees 48 + 32, the output 32 + 48."""
    taps, total = kernel**2, 0
    for first, hidden in ((channels, 32), (32, 48), (48, 48), (80, 32)):
        for inputs in (first, hidden, hidden):
            if name == "convlstm12":
                total += (inputs + hidden) * 4 * hidden * taps + 4 * hidden
            else:
                total += order * ((steps - order + 1) * hidden * rank * taps + rank)  # preprocessing
                total += (order - 1) * (rank * rank * taps + rank)  # cores
                total += (inputs + rank) * 4 * hidden * taps + 4 * hidden  # with the last core
    return total + (80 + 1) * channels


@pytest.mark.parametrize(
    ("name", "channels", "options", "published"),
    [
        ("convttlstm", 1, {}, 2_687_281),
        ("convttlstm", 3, {}, 2_693_843),
        ("convttlstm", 1, {"kernel_size": 3}, 969_009),
        ("convttlstm", 1, {"steps": 5}, 3_263_281),
        ("convlstm12", 1, {}, 3_973_201),
        ("convlstm12", 3, {}, 3_979_763),
        ("convlstm12", 1, {"kernel_size": 3}, 1_431_633),
    ],
)
def test_the_paper_s_networks_have_the_published_parameters(
    name: str, channels: int, options: dict[str, int], published: int
) -> None:
    with torch.device("meta"):
        model = create_model(name, "paper", channels=channels, **options)
    kernel, steps = options.get("kernel_size", 5), options.get("steps", 3)
    expected = of_the_paper(name, channels, kernel, 3, steps, 8)
    assert parameters(model) == expected == published


def test_the_classic_tensor_train_has_the_published_2_21_million_to_a_quarter_of_a_percent() -> None:
    with torch.device("meta"):
        found = parameters(create_model("convlstm12_ttd", "paper"))
    assert found == 2_215_281
    assert found == pytest.approx(2.21e6, rel=0.0025)


@pytest.mark.parametrize("options", [{"kernel_size": 1}, {"order": 1, "steps": 1}, {"order": 1, "steps": 3}])
def test_the_ablations_of_table_4_are_options(options: dict[str, int]) -> None:
    model = small(**options)
    model.loss(clips().double(), 3)["loss"].backward()
    assert all(weights.grad is not None for weights in model.parameters())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("feed", ["frames", "predictions"])
def test_the_loss_is_mean_absolute_and_squared_error_of_all_predictions(name: str, feed: str) -> None:
    model, frames = small(name, feed=feed), clips().double()
    inputs = frames[:, :3]
    for t in range(3, 6):  # the whole history anew for every frame
        said, _ = model.observe(inputs.transpose(0, 1), None, last=t)
        following = frames[:, t - 1 + 1] if feed == "frames" else said[-1]
        inputs = torch.cat([inputs, following[:, None]], 1)
    said, _ = model.observe(inputs[:, :5].transpose(0, 1), None, last=5)
    errors = said.transpose(0, 1) - frames[:, 1:]
    terms = model.loss(frames, context=3)
    torch.testing.assert_close(terms["mae"], errors.abs().mean().detach())
    torch.testing.assert_close(terms["mse"], errors.square().mean().detach())
    torch.testing.assert_close(terms["loss"], errors.abs().mean() + errors.square().mean())
    only_predicted = model.eval().loss(frames, context=3)["mae"]
    if feed == "predictions":
        torch.testing.assert_close(only_predicted, errors[:, 2:].abs().mean().detach())


def test_what_is_fed_back_is_not_clipped_and_what_is_returned_is() -> None:
    model, frames = small(), clips(3).double()
    with torch.no_grad():
        model.output.weight.mul_(20)
        inputs = frames
        for _ in range(3):
            said, _ = model.observe(inputs.transpose(0, 1), None)
            inputs = torch.cat([inputs, said[-1][:, None]], 1)
    raw = inputs[:, 3:]
    assert raw.min() < 0 or raw.max() > 1
    torch.testing.assert_close(model.predict(frames, 3), raw.clamp(0, 1))


def test_a_sigmoid_at_the_end_where_asked_for() -> None:
    plain, with_sigmoid = small(), small(sigmoid=True)
    frames = clips(3).double().transpose(0, 1)
    torch.testing.assert_close(
        with_sigmoid.observe(frames, None)[0], plain.observe(frames, None)[0].sigmoid()
    )


def test_patches_are_squares_of_pixels() -> None:
    model, frames = small(patch=2, hidden=[4, 4]), clips(3).double()
    found, _ = model.observe(frames.transpose(0, 1), None)
    squares = frames.unflatten(4, (4, 2)).unflatten(3, (4, 2)).permute(1, 0, 2, 4, 6, 3, 5).flatten(2, 4)
    features, _ = model.blocks.run(squares, None)
    patches = model.output(features[-1])  # (N, 4, 4, 4)
    torch.testing.assert_close(found[0, :, 0, 1::2, 0::2], patches[:, 2])  # row 1, column 0 of each square


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("convlstm12", {"order": 3}, "convlstm has no model.order"),
        ("convttlstm", {"cell": "convlstm_ttd"}, "convlstm_ttd has no model.steps"),
        ("convlstm12", {"cell": "convttlstm"}, "convttlstm needs model.order"),
        ("convttlstm", {"size": 10, "patch": 4}, "multiple of 4"),
    ],
)
def test_what_does_not_fit_is_named(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        create_model(name, "tiny", **({"size": 8} | options))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("feed", ["predictions", "scheduled"])
def test_computing_again_gives_the_same_gradients(name: str, feed: str) -> None:
    gradients = []
    for again in (False, True):
        model = small(name, feed=feed, checkpoint=again)
        model.true_share = 0.5
        loss = model.loss(clips().double(), 3, generator=torch.Generator().manual_seed(2))["loss"]
        gradients.append(torch.autograd.grad(loss, list(model.parameters())))
    torch.testing.assert_close(*gradients)


def test_memory_hardly_grows_with_the_horizon_when_computing_again() -> None:
    def peak(horizon: int, again: bool) -> int:
        model = small(checkpoint=again, layers=3, hidden=[8, 8, 8, 8])
        frames = clips(10 + horizon, batch=1, size=8).double()
        return peak_bytes(lambda: model.loss(frames, 10)["loss"].backward())

    assert peak(40, again=True) <= 2 * peak(10, again=True)
    assert peak(40, again=True) <= 2 * peak(10, again=False)
    assert peak(40, again=False) > 2.2 * peak(10, again=False)


def test_full_teacher_forcing_is_all_frames_known_beforehand() -> None:
    model, frames = small(feed="scheduled"), clips().double()
    seen = []
    observe = model.observe
    model.observe = lambda frames, *rest, **last: seen.append(len(frames)) or observe(frames, *rest, **last)
    assert model.true_share == 1
    full = model.loss(frames, 3)["loss"]
    assert seen == [5]
    model.true_share = 1 - 1e-9  # step by step, and still always the truth
    torch.testing.assert_close(model.loss(frames, 3)["loss"], full)
    assert seen == [5, 3, 1, 1]


def test_the_work_of_a_rollout_can_be_counted() -> None:
    """Its hooks on modules stumble over views of parameters where there is no autograd."""
    model = small(hidden=[8]).float()
    assert count_flops(lambda: model.predict(clips(3), 2)) > 0


def test_presets_name_their_cell() -> None:
    kinds = {}
    for name in NAMES:
        for preset in ("paper", "small", "tiny"):
            with torch.device("meta"):
                model = create_model(name, preset, size=32)
            assert isinstance(model.options, ConvTTLSTMOptions)
            kinds.setdefault(name, set()).add(model.options.cell)
    assert kinds == {
        "convttlstm": {"convttlstm"},
        "convlstm12": {"convlstm"},
        "convlstm12_ttd": {"convlstm_ttd"},
    }
