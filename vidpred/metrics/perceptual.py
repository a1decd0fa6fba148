"""The learned perceptual distance of Zhang, Isola, Efros, Shechtman and Wang, "The unreasonable effectiveness
of deep features as a perceptual metric", CVPR 2018: version 0.1, on the features of AlexNet."""

from __future__ import annotations

import importlib
import importlib.util
import zipfile
import zlib
from collections.abc import Mapping
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from vidpred.errors import DataError
from vidpred.metrics.conventions import convention_named
from vidpred.metrics.frames import check_pair

SMALLEST = 31
"""Pixels a side from which on AlexNet's second pooling has the 3x3 positions that it needs."""

_CONVOLUTIONS = (0, 3, 6, 8, 10)
"""Where AlexNet's convolutions stand among its features."""

_CHANNELS = (64, 192, 384, 256, 256)
"""Of the five features that are compared, each one after the ReLU of a convolution."""

# Mean and deviation of ImageNet's colours as AlexNet's inputs are normalised, here for inputs in [-1, 1].
_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)

_NOT_ZERO = 1e-10

_PIXELS_AT_ONCE = 2**20
"""Of predictions; all features of so many take about 100 MiB."""


class LPIPS(nn.Module):
    """The distance between two images as a network sees them (Zhang et al. 2018, eq. 1), weights fixed.

    The features of both images after each of five convolutions are divided by their norm over the channels;
    the squared differences, weighted by channel, are averaged over positions and summed over the five.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, weights: Mapping[str, Tensor]):
        """Takes a copy of the weights.

        Args:
            weights: under the names of torchvision and of the LPIPS authors, ``features.{0,3,6,8,10}.weight``
                and ``.bias`` and ``lin{0..4}.model.1.weight``; others are left out.

        Raises:
            DataError: a weight that is missing or of another shape.
        """
        super().__init__()
        with torch.device("meta"):  # what is loaded needs no initial values
            self.features = nn.Sequential(
                *(nn.Conv2d(3, 64, kernel_size=11, stride=4, padding=2), nn.ReLU()),
                nn.MaxPool2d(kernel_size=3, stride=2),
                *(nn.Conv2d(64, 192, kernel_size=5, padding=2), nn.ReLU()),
                nn.MaxPool2d(kernel_size=3, stride=2),
                *(nn.Conv2d(192, 384, kernel_size=3, padding=1), nn.ReLU()),
                *(nn.Conv2d(384, 256, kernel_size=3, padding=1), nn.ReLU()),
                *(nn.Conv2d(256, 256, kernel_size=3, padding=1), nn.ReLU()),
            )
            self.heads = nn.ModuleList(nn.Conv2d(count, 1, kernel_size=1, bias=False) for count in _CHANNELS)
        self.load_state_dict(
            {name: _weight(weights, _published(name), like) for name, like in self.state_dict().items()},
            assign=True,
        )
        self.requires_grad_(False)
        self.eval()
        self.register_buffer("shift", torch.tensor(_SHIFT)[:, None, None], persistent=False)
        self.register_buffer("scale", torch.tensor(_SCALE)[:, None, None], persistent=False)

    @classmethod
    def from_file(cls, path: str | PathLike[str]) -> LPIPS:
        """Reads the weights, under the names of `LPIPS.__init__`, from a ``.npz`` or ``.safetensors`` file.

        Raises `DataError` for a file that is missing, damaged, of another kind or without these weights.
        """
        path = Path(path)
        weights = _read_weights(path)
        try:
            return cls(weights)
        except DataError as error:
            raise DataError(f"{path} does not hold the weights of LPIPS: {error}") from error

    @classmethod
    def from_torchvision(cls) -> LPIPS:
        """AlexNet as torchvision downloads it, and the weights of its channels as torchmetrics ships them.

        Raises `DataError` where either package or the download is missing.
        """
        return cls({**_torchvision_backbone(), **_torchmetrics_heads()})

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        """(N, 3, H, W) and the same, in [-1, 1], float32, H and W at least 31 -> (N,)."""
        x, y = ((images - self.shift) / self.scale for images in (pred, target))
        distance = pred.new_zeros(len(pred))
        heads = iter(self.heads)
        for layer in self.features:
            x, y = layer(x), layer(y)
            if isinstance(layer, nn.ReLU):
                difference = (_unit(x) - _unit(y)).square()
                distance = distance + next(heads)(difference).mean((1, 2, 3))
        return distance


def lpips(pred: Tensor, target: Tensor, network: LPIPS, convention: str = "strict") -> Tensor:
    """Learned perceptual distance of each frame, 0 for equal frames; grey is repeated as three channels.

        strict    frames are scaled to [-1, 1], for which the network was made
        openstl   the same, predictions clipped to [0, 1]
        convtt    predictions clipped to [0, 1], and frames given to the network as they are, in [0, 1]
        predrnn   the same as convtt
        svg       the same as strict; the project itself does not use LPIPS

    Frames are compared some at a time, without gradients, in float32 on the device of the network.

    Args:
        pred, target: (..., C, H, W) in [0, 1], C 1 or 3, H and W at least 31.
        network: from `LPIPS.from_file` or `LPIPS.from_torchvision`.
        convention: a name in `vidpred.metrics.conventions.CONVENTIONS`.

    Returns:
        (...) float64, on the device of `pred`.

    Raises:
        ConfigError: an unknown convention.
        DataError: frames that are too small or neither grey nor of three colours.
    """
    rules = convention_named(convention)
    check_pair(pred, target)
    channels, height, width = pred.shape[-3:]
    if channels not in (1, 3):
        raise DataError(f"LPIPS compares frames of 1 or 3 channels, got {channels}")
    if min(height, width) < SMALLEST:
        raise DataError(f"LPIPS needs frames of at least {SMALLEST}x{SMALLEST} pixels, got {height}x{width}")
    black, white = rules.lpips_range
    pred_frames, target_frames = (frames.reshape(-1, channels, height, width) for frames in (pred, target))
    distances = torch.empty(len(pred_frames), dtype=torch.float64, device=pred.device)
    at_once = max(1, _PIXELS_AT_ONCE // (height * width))
    with torch.no_grad():
        for first in range(0, len(distances), at_once):
            some = slice(first, first + at_once)
            x, y = (
                frames[some].to(network.shift).expand(-1, 3, -1, -1)
                for frames in (pred_frames, target_frames)
            )
            if rules.clip_images:
                x = x.clamp(0, 1)
            distances[some] = network(black + (white - black) * x, black + (white - black) * y)
    return distances.reshape(pred.shape[:-3])


def _unit(features: Tensor) -> Tensor:
    """(N, C, H, W), of norm 1 over the channels at each position, or 0 where all of them are."""
    return features / (torch.linalg.vector_norm(features, dim=1, keepdim=True) + _NOT_ZERO)


def _published(name: str) -> str:
    """The name that the authors have for one of the module's."""
    if not name.startswith("heads."):
        return name
    _, head, what = name.split(".")
    return f"lin{head}.model.1.{what}"


def _weight(weights: Mapping[str, Tensor], name: str, like: Tensor) -> Tensor:
    if name not in weights:
        raise DataError(f"'{name}' is missing")
    if weights[name].shape != like.shape:
        raise DataError(f"'{name}' should have shape {tuple(like.shape)}, got {tuple(weights[name].shape)}")
    return weights[name].detach().to(torch.float32, copy=True)


def _read_weights(path: Path) -> dict[str, Tensor]:
    if path.suffix not in (".npz", ".safetensors"):
        raise DataError(f"the weights of LPIPS are read from a .npz or .safetensors file, got {path}")
    if not path.is_file():
        raise DataError(f"{path} does not exist")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                raise ValueError("an array without a name")
            with archive:
                return {name: torch.from_numpy(archive[name]) for name in archive.files}
    # Besides damage: an array of objects, which would need unpickling, and one of text.
    except (
        OSError,
        ValueError,
        TypeError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
        SafetensorError,
    ) as error:
        raise DataError(f"{path} is not a readable {path.suffix} file of numbers") from error


def _torchvision_backbone() -> dict[str, Tensor]:
    otherwise = "or give the weights of LPIPS as a file"
    try:
        models = importlib.import_module("torchvision.models")
    except (ImportError, RuntimeError) as error:  # RuntimeError: made for another version of torch
        raise DataError(f"LPIPS needs AlexNet: install torchvision, {otherwise}") from error
    try:
        weights: dict[str, Tensor] = models.AlexNet_Weights.IMAGENET1K_V1.get_state_dict(progress=False)
    except (OSError, RuntimeError) as error:  # RuntimeError: the hash of the file is wrong
        raise DataError(
            f"torchvision could not download AlexNet ({error}): try again, {otherwise}"
        ) from error
    return weights


def _torchmetrics_heads() -> dict[str, Tensor]:
    found = importlib.util.find_spec("torchmetrics")
    folders = (found.submodule_search_locations if found else None) or []
    for folder in folders:
        file = Path(folder, "functional", "image", "lpips_models", "alex.pth")
        if file.is_file():
            heads: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
            return heads
    raise DataError(
        "LPIPS needs the weights of its channels: install torchmetrics or give the weights of LPIPS as a file"
    )
