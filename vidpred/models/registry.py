"""The models by name, and how one is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vidpred import config
from vidpred.errors import ConfigError, unknown_name
from vidpred.models.activity import Activity
from vidpred.models.base import VideoModel
from vidpred.models.convlstm import ConvLSTM
from vidpred.models.convttlstm import ConvTTLSTM
from vidpred.models.fdrnn import FDRNN
from vidpred.models.flow_autoencoder import FlowAutoencoder
from vidpred.models.rnn import RNN
from vidpred.models.vosp import VOSP
from vidpred.models.vpn import VPN
from vidpred.models.vrae import VRAE
from vidpred.models.vrnn import VRNN

MODELS: Mapping[str, type[VideoModel]] = {
    "activity": Activity,
    "convlstm": ConvLSTM,
    "convlstm12": ConvTTLSTM,
    "convlstm12_ttd": ConvTTLSTM,
    "convttlstm": ConvTTLSTM,
    "fdrnn": FDRNN,
    "flow_autoencoder": FlowAutoencoder,
    "rnn": RNN,
    "vosp": VOSP,
    "vpn": VPN,
    "vrae": VRAE,
    "vrnn": VRNN,
}


def model_class(name: str) -> type[VideoModel]:
    """The class of a model. Raises `ConfigError` with the choices if there is none of that name."""
    if name not in MODELS:
        raise unknown_name("model", name, MODELS)
    return MODELS[name]


def create_model(
    name: str,
    preset: str = "paper",
    *,
    channels: int = 1,
    size: int | tuple[int, int] = 64,
    **options: Any,
) -> VideoModel:
    """Makes a freshly initialised model.

    Args:
        name: a name in `MODELS`.
        preset: ``paper``, ``small`` or ``tiny``; gives the options that are not given here.
        channels: channels C of a frame.
        size: side of a square frame, or (H, W).
        options: options of the model, such as ``hidden=512`` (see the model's ``Options``).

    Raises:
        ConfigError: an unknown name, preset or option, or a value out of range.
    """
    size = (size, size) if isinstance(size, int) else size
    chosen = config.Layer(
        "the arguments",
        {"channels": channels, "size": size} | {f"model.{key}": value for key, value in options.items()},
    )
    return build(config.resolve(name, preset, model_class(name).Options, [chosen]).config)


def build(settings: config.Config) -> VideoModel:
    """Makes the model of a resolved configuration."""
    options = settings.model
    model = model_class(settings.name)
    if not isinstance(options, model.Options):
        raise ConfigError(f"the options of {settings.name} are {model.Options.__name__}, got {options!r}")
    return model(settings.channels, settings.size, options)
