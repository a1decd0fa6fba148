"""Early activity recognition: the network against its equations, its settings, and that it learns to tell."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vidpred import create_model
from vidpred.data.hdf5 import create_dataset
from vidpred.errors import ConfigError, DataError
from vidpred.models.activity import Activity, ActivityOptions
from vidpred.training.settings import resolve_settings

CLASSES = 3
LABELS = torch.tensor([[2], [0]])


def small(**options: Any) -> Activity:
    torch.manual_seed(0)
    chosen: dict[str, Any] = {"cell": "convttlstm", "order": 2, "steps": 3, "rank": 2, "kernel_size": 3}
    chosen |= {"widths": (3, 4), "hidden": (2, 3, 4), "layers": 1, "classifier": (4, 5)}
    chosen |= {"horizon": 2, "classes": CLASSES, "prediction_weight": 0.7}
    model = create_model("activity", "tiny", channels=2, size=(8, 12), **(chosen | options)).double()
    assert isinstance(model, Activity)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.4)
    return model


def clips(frames: int = 6) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(2, frames, 2, 8, 12, generator=generator, dtype=torch.float64)


def by_hand(model: Activity, frames: Tensor, context: int, horizon: int) -> tuple[list[Tensor], Tensor]:
    """Three blocks of one layer: every predicted frame from the second on, and the logits after `context`."""
    states: list[Any] = [None] * 3
    seen = list(frames[:, :context].unbind(1))
    predicted = []
    for t in range(context + horizon - 1):
        x = seen[t] if t < context else predicted[-1]
        for layer in model.encoder.layers:
            x = F.relu(F.conv2d(x, layer.weight, layer.bias, stride=2, padding=1))
        outputs: list[Tensor] = []
        for number, cell in enumerate(model.blocks.cells):
            states[number] = cell(x, states[number])
            x = states[number].hidden
            outputs.append(x)
        if t == context - 1:
            y = outputs[2]
            for conv in (model.convolutions[0], model.convolutions[2]):
                y = F.relu(F.conv2d(y, conv.weight, conv.bias, stride=2, padding=1))
            logits = y.mean((2, 3)) @ model.connected.weight.T + model.connected.bias
        x = torch.cat([outputs[2], outputs[0]], 1)  # the third block and the one two before
        for number, layer in enumerate(model.decoder.layers):
            x = F.conv_transpose2d(x, layer.weight, layer.bias, stride=2, padding=1, output_padding=1)
            x = x if number else F.relu(x)
        predicted.append(x)
    return predicted, logits


@pytest.mark.parametrize("learn_context", [False, True])
def test_the_loss_is_that_of_section_4(learn_context: bool) -> None:
    model, frames = small(learn_context=learn_context), clips()
    predicted, logits = by_hand(model, frames, context=3, horizon=2)
    first = 1 if learn_context else 3
    error = torch.stack(predicted[first - 1 :], 1) - frames[:, first:5]
    entropy = -logits.log_softmax(1)[[0, 1], LABELS[:, 0]].mean()
    found = model.loss(frames, 3, labels=LABELS)
    torch.testing.assert_close(found["mae"], error.abs().mean())
    torch.testing.assert_close(found["mse"], error.square().mean())
    torch.testing.assert_close(found["cross_entropy"], entropy)
    torch.testing.assert_close(found["loss"], 0.7 * (error.abs().mean() + error.square().mean()) + entropy)
    assert found["accuracy"] == (logits.argmax(1) == LABELS[:, 0]).double().mean()
    assert not any(term.requires_grad for name, term in found.items() if name != "loss")


@pytest.mark.parametrize(
    "options", [{}, {"feed": "frames"}, {"feed": "frames", "learn_context": True}, {"checkpoint": True}]
)
def test_the_class_is_told_from_the_front_alone(options: dict[str, Any]) -> None:
    model, frames = small(**options), clips()
    _, expected = by_hand(model, frames, context=3, horizon=1)
    torch.testing.assert_close(model.classify(frames[:, :3]), expected)
    entropy = model.loss(frames, 3, labels=LABELS)["cross_entropy"]
    torch.testing.assert_close(entropy, F.cross_entropy(expected, LABELS[:, 0]))
    changed = torch.cat([frames[:, :3], 1 - frames[:, 3:]], 1)
    torch.testing.assert_close(model.loss(changed, 3, labels=LABELS)["cross_entropy"], entropy)
    changed = torch.cat([frames[:, :2], 1 - frames[:, 2:]], 1)
    assert (model.loss(changed, 3, labels=LABELS)["cross_entropy"] - entropy).abs() > 1e-6


def test_predictions_are_fed_back_and_clipped() -> None:
    model, frames = small().eval(), clips()
    predicted, _ = by_hand(model, frames, context=3, horizon=4)
    expected = torch.stack(predicted[2:], 1)
    assert expected.min() < 0  # else clipping is not tested
    torch.testing.assert_close(model.predict(frames[:, :3], 4), expected.clamp(0, 1))


def conv(inputs: int, outputs: int, kernel: int, bias: bool = True) -> int:
    return inputs * outputs * kernel**2 + bias * outputs


def cell(kind: str, inputs: int, hidden: int) -> int:
    """Weights of one layer with 5x5 kernels, order 3, 3 steps and rank 8."""
    if kind == "convlstm":
        return conv(inputs + hidden, 4 * hidden, 5)
    windows, cores = 3 * conv(hidden, 8, 5), 2 * conv(8, 8, 5)
    return windows + cores + conv(inputs + 8, 4 * hidden, 5)


@pytest.mark.parametrize("kind", ["convttlstm", "convlstm"])
def test_the_number_of_parameters_of_the_paper_preset(kind: str) -> None:
    options = {} if kind == "convttlstm" else {"cell": kind, "order": None, "steps": None, "rank": None}
    model = create_model("activity", "paper", channels=3, **options)
    layers = [(64, 32), (32, 32), (32, 48), (48, 48), (48, 48), (48, 48), (48 + 32, 32), (32, 32)]
    assert len(model.blocks.cells) == len(layers) == 8
    encoder = conv(3, 32, 3) + conv(32, 64, 3)
    decoder = conv(32 + 48, 32, 3) + conv(32, 3, 3)
    classifier = conv(32, 64, 3) + conv(64, 128, 3) + 128 * 41 + 41
    expected = encoder + sum(cell(kind, *of) for of in layers) + decoder + classifier
    assert sum(weights.numel() for weights in model.parameters()) == expected


# Labels


def test_labels_are_needed_one_a_sequence_and_known() -> None:
    model = small()
    for labels, sentence in (
        (None, "learns to tell classes, but the data has no labels"),
        (torch.zeros(2, 2), "one class a sequence: expected labels of shape (2, 1), got (2, 2)"),
        (torch.tensor([[0], [3]]), "knows 3 classes, but the data has labels from 0 to 3"),
    ):
        with pytest.raises(DataError, match=re.escape(sentence)):
            model.loss(clips(), 3, labels=labels)


def test_a_sequence_must_hold_the_horizon() -> None:
    with pytest.raises(DataError, match="at least 7 frames, got 6"):
        small().loss(clips(), 5, labels=LABELS)


def test_frames_must_be_multiples_of_four() -> None:
    with pytest.raises(ConfigError, match="multiple of 4 on both sides, got 10x12"):
        create_model("activity", "tiny", size=(10, 12))


# Settings that follow from the data


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Three named classes, sequences of 20 frames of 8x8 pixels."""
    path = tmp_path / "x.h5"
    made_with: dict[str, Any] = {"command": "", "config": {}, "seed": 0, "sources": {}}
    with create_dataset(path, classes=("a", "b", "c"), **made_with) as file:
        for split in ("train", "val"):
            with file.split(split, 4, (20, 1, 8, 8)) as writer:
                writer.append(np.zeros((4, 20, 1, 8, 8), np.uint8), labels=np.array([[0], [1], [2], [0]]))
    return path


@pytest.mark.parametrize(("front", "context"), [(0.25, 5), (0.5, 10), (0.1, 2), (0.01, 1), (0.13, 3)])
def test_front_and_data_give_context_and_classes(file: Path, front: float, context: int) -> None:
    settings = resolve_settings("activity", "tiny", data=file, assignments=[f"model.front={front}"])
    config = settings.config
    assert (config.train.context, config.eval.context, config.eval.horizon) == (context, context, 10)
    assert isinstance(config.model, ActivityOptions)
    assert config.model.classes == 3
    assert settings.sources["train.context"] == settings.sources["model.classes"] == "the data"


def test_without_a_file_the_preset_says_how_many_classes_there_are() -> None:
    config = resolve_settings("activity", "tiny", assignments=["data.frames=16", "model.horizon=4"]).config
    assert (config.model.classes, config.train.context, config.eval.horizon) == (10, 8, 4)


@pytest.mark.parametrize("given", ["train.context=6", "model.classes=4"])
def test_what_follows_cannot_be_set_to_something_else(file: Path, given: str) -> None:
    key, _, value = given.partition("=")
    follows = {"train.context": 10, "model.classes": 3}
    sentence = rf"{key} follows from the data .*: expected {follows[key]}, got {value} \(from --set\)"
    with pytest.raises(ConfigError, match=sentence):
        resolve_settings("activity", "tiny", data=file, assignments=[given])
    resolve_settings("activity", "tiny", data=file, assignments=[f"{key}={follows[key]}"])


def test_what_evaluate_does_can_be_set(file: Path) -> None:
    config = resolve_settings("activity", "tiny", data=file, assignments=["eval.horizon=3"]).config
    assert (config.eval.context, config.eval.horizon) == (10, 3)


def test_too_little_left_to_predict_is_told_before_training(file: Path) -> None:
    sentence = r"model\.front = 0\.75 of 20 frames leaves 5 to predict, expected at least model\.horizon = 10"
    with pytest.raises(ConfigError, match=sentence):
        resolve_settings("activity", "tiny", data=file, assignments=["model.front=0.75"])


# Learning


def motions(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Bars that go to the left (0) or right (1) around a 16x16 frame; no single frame tells which."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, (count, 1))
    x = random.integers(0, 16, (count, 1)) + np.where(labels, 2, -2) * np.arange(8)  # (count, T)
    across = (np.arange(16) - x[..., None]) % 16 < 4  # (count, T, 16)
    down = (np.arange(16) - random.integers(0, 16, (count, 1))) % 16 < 6  # (count, 16)
    frames = across[:, :, None] & down[:, None, :, None]
    return torch.from_numpy(frames).float()[:, :, None], torch.from_numpy(labels)


@pytest.mark.parametrize("cell", ["convttlstm", pytest.param("convlstm", marks=pytest.mark.slow)])
def test_two_motions_are_told_apart_from_the_first_half(cell: str) -> None:
    """Chance is a half, and all that a single frame is good for. A black frame has the error 0.094."""
    torch.manual_seed(0)
    sizes: dict[str, int | None] = {"order": 2, "steps": 2, "rank": 4}
    if cell == "convlstm":
        sizes = dict.fromkeys(sizes)
    options = {"cell": cell, "hidden": (16,), "classes": 2, "horizon": 4, **sizes}
    model = create_model("activity", "tiny", size=16, **options)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for step in range(100):
        frames, labels = motions(32, seed=step)
        terms = model.loss(frames, 4, labels=labels)
        optimizer.zero_grad()
        terms["loss"].backward()
        optimizer.step()
    frames, labels = motions(200, seed=1000)
    right = (model.classify(frames[:, :4]).argmax(1) == labels[:, 0]).double().mean()
    one_frame = (model.classify(frames[:, :1]).argmax(1) == labels[:, 0]).double().mean()
    error = F.mse_loss(model.eval().predict(frames[:, :4], 4), frames[:, 4:])
    assert right > 0.95, f"right {right:.3f}"
    assert 0.35 < one_frame < 0.65
    assert error < 0.08
