"""The VRNN against its equations, written out step by step in the order of seed 000, chapter 3."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Bernoulli, Normal, kl_divergence

from vidpred import create_model
from vidpred.errors import ConfigError, DataError
from vidpred.models.vrnn import VRNN

TINY = {"widths": (3, 4), "kernels": (5, 3), "hidden": 6, "latent": 5, "decoder_width": 7, "imagined": 0}


def tiny(**options: object) -> VRNN:
    torch.manual_seed(0)
    model = create_model("vrnn", preset="tiny", channels=2, size=8, **(TINY | options)).double()
    assert isinstance(model, VRNN)
    for parameter in model.parameters():  # biases too, so that a forgotten one shows
        nn.init.normal_(parameter, std=0.3)
    return model


def binary_frames(*shape: int) -> Tensor:
    return torch.randint(0, 2, shape, generator=torch.Generator().manual_seed(1)).double()


def fully_connected(layers: nn.Sequential, x: Tensor) -> Tensor:
    for layer in layers:
        if isinstance(layer, nn.Linear):
            x = torch.relu(F.linear(x, layer.weight, layer.bias))
    return x


def normal(head: nn.Module, x: Tensor) -> Normal:
    mean = F.linear(x, head.mean.weight, head.mean.bias)
    return Normal(mean, F.softplus(F.linear(x, head.spread.weight, head.spread.bias)) + 1e-4)


class ByHand:
    """One sequence after the other, one step after the other, everything on concatenated inputs."""

    def __init__(self, model: VRNN) -> None:
        self.model = model

    def encode(self, frame: Tensor) -> Tensor:
        for layer in self.model.encoder.layers:
            frame = torch.relu(F.conv2d(frame, layer.weight, layer.bias, stride=2, padding=layer.padding))
        return frame.flatten(1)

    def prior(self, hidden: Tensor) -> Normal:
        *layers, head = self.model.prior
        return normal(head, fully_connected(layers, hidden))

    def posterior(self, features: Tensor, hidden: Tensor) -> Normal:
        first = self.model.posterior_in
        x = torch.relu(F.linear(torch.cat([features, hidden], 1), first.weight, first.bias))
        *layers, head = self.model.posterior
        return normal(head, fully_connected(layers, x))

    def decode(self, hidden: Tensor, latent: Tensor) -> Tensor:
        x = fully_connected(self.model.f_decoder, torch.cat([latent, hidden], 1))
        x = x.reshape(-1, *self.model.decoder.grid)
        *layers, last = self.model.decoder.layers
        for layer in layers:
            x = torch.relu(self.upsample(layer, x))
        return torch.sigmoid(self.upsample(last, x))

    @staticmethod
    def upsample(layer: nn.Module, x: Tensor) -> Tensor:
        padding = layer.weight.shape[-1] // 2
        return F.conv_transpose2d(x, layer.weight, layer.bias, stride=2, padding=padding, output_padding=1)

    def remember(
        self, features: Tensor, hidden: Tensor, cell: Tensor, latent: Tensor
    ) -> tuple[Tensor, Tensor]:
        layer = self.model.gates
        gates = F.linear(torch.cat([features, hidden, latent], 1), layer.weight, layer.bias)
        i, f, g, o = gates.chunk(4, dim=1)
        cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(cell), cell


@pytest.mark.parametrize("recurrence", ["paper", "chung"])
@pytest.mark.parametrize("context", [1, 3])
@pytest.mark.parametrize("imagined", [0, 2, 9])
def test_the_loss_is_the_bound_written_out(recurrence: str, context: int, imagined: int) -> None:
    model = tiny(recurrence=recurrence, imagined=imagined)
    frames = binary_frames(3, 5, 2, 8, 8)
    terms = model.loss(frames, context, generator=torch.Generator().manual_seed(7))

    by_hand, noise = ByHand(model), torch.Generator().manual_seed(7)
    hidden, cell, before = torch.zeros(3, 6), torch.zeros(3, 6), torch.zeros(3, 5)
    hidden, cell, before = hidden.double(), cell.double(), before.double()
    bce, kl = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    for t in range(5):
        features = by_hand.encode(frames[:, t])
        q, p = by_hand.posterior(features, hidden), by_hand.prior(hidden)
        imagines = t >= max(context, 5 - imagined)
        drawn = p if imagines else q
        z = drawn.mean + drawn.stddev * torch.randn(3, 5, generator=noise, dtype=torch.float64)
        latent = fully_connected(model.f_z, z)
        if t >= context:
            image = by_hand.decode(hidden, latent)
            bce = bce - Bernoulli(image).log_prob(frames[:, t]).sum() / 3
            kl = kl + kl_divergence(drawn, p).sum() / 3
            if imagines:
                features = by_hand.encode(image)
        seen = before if recurrence == "paper" else latent
        hidden, cell = by_hand.remember(features, hidden, cell, seen)
        before = latent
    torch.testing.assert_close(terms["bce"], bce / (5 - context))
    torch.testing.assert_close(terms["kl"], kl / (5 - context))
    torch.testing.assert_close(terms["loss"], (bce + kl) / (5 - context))


@pytest.mark.parametrize("recurrence", ["paper", "chung"])
@pytest.mark.parametrize("sample", [True, False])
def test_prediction_feeds_its_frames_back(recurrence: str, sample: bool) -> None:
    model = tiny(recurrence=recurrence)
    context = binary_frames(2, 3, 2, 8, 8)
    predicted = model.predict(context, 3, sample=sample, generator=torch.Generator().manual_seed(7))

    by_hand, noise = ByHand(model), torch.Generator().manual_seed(7)

    def draw(distribution: Normal) -> Tensor:
        if not sample:
            return distribution.mean
        eps = torch.randn(2, 5, generator=noise, dtype=torch.float64)
        return distribution.mean + distribution.stddev * eps

    hidden, cell, before = (torch.zeros(2, width, dtype=torch.float64) for width in (6, 6, 5))
    images = []
    for t in range(6):
        known = t < 3
        if known:
            features = by_hand.encode(context[:, t])
            latent = fully_connected(model.f_z, draw(by_hand.posterior(features, hidden)))
        else:
            latent = fully_connected(model.f_z, draw(by_hand.prior(hidden)))
            images.append(by_hand.decode(hidden, latent))
            features = by_hand.encode(images[-1])
        seen = before if recurrence == "paper" else latent
        hidden, cell = by_hand.remember(features, hidden, cell, seen)
        before = latent
    torch.testing.assert_close(predicted, torch.stack(images, 1))


def test_the_paper_preset_has_the_shapes_of_table_4_1() -> None:
    model = create_model("vrnn", preset="paper", channels=1, size=64)
    shapes = {name: tuple(value.shape) for name, value in model.named_parameters()}
    assert [shapes[f"encoder.layers.{n}.weight"] for n in range(4)] == [
        (16, 1, 7, 7),
        (32, 16, 5, 5),
        (48, 32, 5, 5),
        (64, 48, 3, 3),
    ]
    assert [shapes[f"decoder.layers.{n}.weight"] for n in range(4)] == [
        (64, 48, 3, 3),
        (48, 32, 5, 5),
        (32, 16, 5, 5),
        (16, 1, 7, 7),
    ]
    assert shapes["gates.weight"] == (4 * 1024, 1024 + 1024 + 128)
    assert shapes["posterior_in.weight"] == (128, 1024 + 1024)
    assert shapes["prior.0.weight"] == (128, 1024)
    assert shapes["f_decoder.0.weight"] == (1024, 128 + 1024)
    assert shapes["f_decoder.2.weight"] == (1024, 1024)
    assert create_model("vrnn", preset="paper", channels=3, size=64).latent == 256


def test_the_forget_gate_starts_open() -> None:
    bias = create_model("vrnn", preset="tiny", size=32, hidden=4).gates.bias
    assert bias.tolist() == [0] * 4 + [1] * 4 + [0] * 8


def test_the_weight_of_the_divergence_rises_while_training_only() -> None:
    model = tiny(kl_warmup=10)
    frames = binary_frames(1, 4, 2, 8, 8)

    def weight() -> float:
        terms = model.loss(frames, generator=torch.Generator().manual_seed(0))
        return ((terms["loss"] - terms["bce"]) / terms["kl"]).item()

    weights = []
    for step in (0, 5, 10, 99):
        model.begin_step(step)
        weights.append(weight())
    assert weights == pytest.approx([0, 0.5, 1, 1])
    model.begin_step(0)
    model.eval()
    assert weight() == pytest.approx(1)


def test_labels_change_the_prediction_and_count_objects_in_any_order() -> None:
    model = tiny(classes=4)
    context = binary_frames(1, 2, 2, 8, 8)
    results = [
        model.predict(context, 2, sample=False, labels=torch.tensor([labels]))
        for labels in ([0, 3], [3, 0], [1, 1])
    ]
    assert torch.equal(results[0], results[1])
    assert not torch.allclose(results[0], results[2])


def test_missing_or_unknown_labels_are_named() -> None:
    model = tiny(classes=4)
    with pytest.raises(DataError, match="the data has none"):
        model.loss(binary_frames(1, 3, 2, 8, 8))
    with pytest.raises(DataError, match="knows 4 classes, but the data has a label 4"):
        model.loss(binary_frames(1, 3, 2, 8, 8), labels=torch.tensor([[0, 4]]))


def test_samples_differ_and_a_seed_repeats_them() -> None:
    model, context = tiny(), binary_frames(1, 2, 2, 8, 8)
    first, second, again = (
        model.predict(context, 2, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2, 1)
    )
    assert torch.equal(first, again)
    assert not torch.allclose(first, second)


def test_frames_of_another_size_are_refused() -> None:
    model = tiny()
    with pytest.raises(DataError, match=r"expects frames of shape \(N, T, 2, 8, 8\), got \(1, 3, 1, 8, 8\)"):
        model.loss(torch.zeros(1, 3, 1, 8, 8, dtype=torch.float64))
    with pytest.raises(DataError, match="at least 4 frames, got 3"):
        model.loss(binary_frames(1, 3, 2, 8, 8), context=3)
    with pytest.raises(ConfigError, match="multiple of 4 on both sides, got 10x8"):
        create_model("vrnn", preset="tiny", size=(10, 8), **TINY)


def test_frames_are_imagined_only_after_some_steps_of_training() -> None:
    model, never = tiny(imagined=3, imagined_after=5), tiny(imagined=0)
    always, frames = tiny(imagined=3), binary_frames(1, 5, 2, 8, 8)

    def loss(model: VRNN) -> float:
        return model.loss(frames, generator=torch.Generator().manual_seed(0))["loss"].item()

    model.begin_step(4)
    assert loss(model) == loss(never)
    model.begin_step(5)
    assert loss(model) == loss(always)
    model.begin_step(4)
    assert loss(model.eval()) == loss(always.eval())
