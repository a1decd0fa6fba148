"""The RNN against torch.nn.LSTM between the same encoder and decoder."""

import pytest
import torch
from torch import nn

from vidpred import create_model
from vidpred.models.rnn import RNN


def tiny(hidden: int, imagined: int = 0) -> RNN:
    torch.manual_seed(0)
    model = create_model(
        "rnn",
        preset="tiny",
        channels=2,
        size=8,
        widths=(3, 4),
        kernels=(5, 3),
        hidden=hidden,
        imagined=imagined,
    ).double()
    assert isinstance(model, RNN)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model


def lstm_like(model: RNN) -> nn.LSTM:
    features, hidden = model.encoder.features, model.options.hidden
    lstm = nn.LSTM(features, hidden, batch_first=True).double()
    with torch.no_grad():
        lstm.weight_ih_l0.copy_(model.gates.weight[:, :features])
        lstm.weight_hh_l0.copy_(model.gates.weight[:, features:])
        lstm.bias_ih_l0.copy_(model.gates.bias)
        lstm.bias_hh_l0.zero_()
    return lstm


@pytest.mark.parametrize("hidden", [6, 16])
def test_the_loss_is_the_cross_entropy_of_the_next_frame(hidden: int) -> None:
    model = tiny(hidden)
    frames = torch.rand(3, 5, 2, 8, 8, dtype=torch.float64)
    states, _ = lstm_like(model)(model.encoder(frames[:, :-1]))
    images = model.decoder(model.to_decoder(states)).sigmoid()  # of frames 2..5
    target = frames[:, 2:]
    image = images[:, 1:]
    nll = -(target * image.log() + (1 - target) * (1 - image).log())
    torch.testing.assert_close(model.loss(frames, context=2)["loss"], nll.sum() / (3 * 3))


def test_prediction_feeds_its_frames_back() -> None:
    model = tiny(6)
    known = torch.rand(2, 3, 2, 8, 8, dtype=torch.float64)
    frames = known
    for _ in range(3):  # run the whole history anew for every frame
        states, _ = lstm_like(model)(model.encoder(frames))
        image = model.decoder(model.to_decoder(states[:, -1])).sigmoid()
        frames = torch.cat([frames, image[:, None]], dim=1)
    torch.testing.assert_close(model.predict(known, 3), frames[:, 3:])


def test_at_the_paper_s_size_the_decoder_takes_the_hidden_state_itself() -> None:
    model = create_model("rnn", preset="paper")
    assert isinstance(model.to_decoder, nn.Identity)
    assert not [name for name, _ in model.named_modules() if "prior" in name or "f_" in name]


def test_imagined_frames_follow_from_the_image_before() -> None:
    model = tiny(6, imagined=2)
    frames = torch.rand(3, 6, 2, 8, 8, dtype=torch.float64)
    inputs, images = frames[:, :1], []
    for t in range(1, 6):  # run the whole history anew for every frame
        states, _ = lstm_like(model)(model.encoder(inputs))
        images.append(model.decoder(model.to_decoder(states[:, -1])).sigmoid())
        inputs = torch.cat([inputs, (images[-1] if t >= 4 else frames[:, t])[:, None]], dim=1)
    target, image = frames[:, 1:], torch.stack(images, 1)
    nll = -(target * image.log() + (1 - target) * (1 - image).log())
    torch.testing.assert_close(model.loss(frames)["loss"], nll.sum() / (3 * 5))
