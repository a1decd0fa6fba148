"""Whether the digits of a rollout can still be read: a small classifier, and how sure it is.

The classifier is trained once for a source of digits and kept in a cache. In training an eighth of all
pictures shows no digit and asks for no opinion (outlier exposure, Hendrycks et al. 2019, equation 1);
without them a classifier is as sure about noise as about digits.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from vidpred import schedules
from vidpred.data import digits as sources
from vidpred.data import moving_objects
from vidpred.device import find_device
from vidpred.errors import ConfigError, DataError
from vidpred.files import replacing, require_writable
from vidpred.metrics.objects import LEAST_AREA, THRESHOLD, brightness, find_objects
from vidpred.progress import progress_bar

FORMAT = "vidpred-digit-classifier-1"
"""Counted up with every change of the network or its training, so that older files are not read."""

_BATCH = 256
_LEAST_EXAMPLES, _MOST_EPOCHS = 25_000, 60
_MOST_PIXELS = 600_000 * 16 * 16
"""Seen in training, so that it takes as long for large digits as for small ones."""
_LEARNING_RATE = 3e-3
_FARTHEST_SHIFT = 2
"""In pixels: how far a digit lies from the centre of its crop in training."""
_DIMMEST = 0.6
_FRAMES_AT_A_TIME = 1024


class _Network(nn.Module):
    """Two convolutions, two linear layers, 72,000 parameters for ten classes: (n, h, w) -> (n, classes)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 16, 3, padding=1)
        self.second = nn.Conv2d(16, 32, 3, padding=1)
        self.hidden = nn.Linear(32 * 4 * 4, 128)
        self.scores = nn.Linear(128, classes)

    def forward(self, crops: Tensor) -> Tensor:
        maps = F.max_pool2d(self.first(crops[:, None]).relu(), 2)  # (n, 16, h / 2, w / 2)
        maps = F.adaptive_max_pool2d(self.second(maps).relu(), 4)  # (n, 32, 4, 4), whatever the digits' size
        scores: Tensor = self.scores(self.hidden(maps.flatten(1)).relu())
        return scores


@dataclass(frozen=True, eq=False)
class DigitClassifier:
    """Reads digits of one size; made by `train_classifier`.

    Attributes:
        network: crops (n, crop, crop) in [0, 1] -> scores (n, classes).
        crop: side in pixels of what it looks at, the side of the digits it was trained on.
        accuracy: share of the source's test digits that it reads correctly, in [0, 1].
    """

    network: nn.Module
    crop: int
    accuracy: float

    def classify(self, crops: NDArray[np.floating] | Tensor) -> NDArray[np.float64]:
        """The probabilities of the classes: (n, crop, crop) in [0, 1] -> (n, classes), 10 for digits.

        Raises:
            DataError: crops of another shape.
        """
        crops = torch.as_tensor(crops)
        if crops.shape[1:] != (self.crop, self.crop):
            raise DataError(
                f"the classifier reads crops (n, {self.crop}, {self.crop}), got {tuple(crops.shape)}"
            )
        device = next(self.network.parameters()).device
        with torch.inference_mode():
            scores = [self.network(some.to(device, torch.float32)) for some in crops.split(4096)]
            probabilities: NDArray[np.float64] = torch.cat(scores).double().softmax(-1).cpu().numpy()
        return probabilities

    def confidence(
        self,
        frames: NDArray[np.number] | Tensor,
        threshold: float = THRESHOLD,
        least_area: float = LEAST_AREA,
    ) -> NDArray[np.float64]:
        """How surely the objects of each frame are read: (..., C, H, W) -> (...).

        The largest probability, mean over the objects that `find_objects` sees; 0 in a frame without any.
        Each is read from the crop around the centre of its box. Digits that touch are one object and hard
        to read in true frames too, so the confidence in the true frames is what to compare with.

        Args:
            frames: float in [0, 1] or uint8.
            threshold, least_area: as in `vidpred.metrics.objects.find_objects`.

        Raises:
            DataError: no such frames.
        """
        if isinstance(frames, Tensor):
            frames = frames.detach().cpu()
            frames = (frames.float() if frames.is_floating_point() else frames).numpy()
        pictures = brightness(frames)
        shape = pictures.shape[:-2]
        flat = pictures.reshape(math.prod(shape), 1, *pictures.shape[-2:])
        starts = range(0, len(flat), _FRAMES_AT_A_TIME)
        parts = [
            self._confidence(flat[start : start + _FRAMES_AT_A_TIME], threshold, least_area)
            for start in starts
        ]
        return np.concatenate([np.zeros(0), *parts]).reshape(shape)

    def _confidence(
        self, pictures: NDArray[np.floating], threshold: float, least_area: float
    ) -> NDArray[np.float64]:
        """The same of pictures (n, 1, H, W), all at once."""
        found = [
            (number, one.box)
            for number, picture in enumerate(pictures)
            for one in find_objects(picture, threshold, least_area)
        ]
        if not found:
            return np.zeros(len(pictures))
        numbers = np.array([number for number, _ in found])
        boxes = torch.tensor([box for _, box in found])
        visible = torch.from_numpy(pictures[numbers, 0]).float().clamp(0, 1)
        surest = self.classify(_cut(visible, _corners(boxes, self.crop), self.crop)).max(axis=-1)
        sums = np.bincount(numbers, surest, len(pictures))
        return sums / np.maximum(np.bincount(numbers, minlength=len(pictures)), 1)


def train_classifier(
    digits: str = "auto",
    digit_size: int = 16,
    seed: int = 0,
    device: str = "cpu",
    cache: Path | None = None,
    quiet: bool = False,
) -> DigitClassifier:
    """A classifier for the digits of a source, trained in a minute or two or read from the cache.

    It learns from the training digits as they are drawn into moving MNIST, shifted, dimmed and blurred,
    with a part of a second digit at the border of every other one.

    Args:
        digits: the source, see `vidpred.data.digits.load`.
        digit_size: side of the digits in pixels.
        seed: on the CPU the same seed gives the same classifier.
        device: as in `vidpred.device.find_device`.
        cache: folder of trained classifiers; by default ``classifiers`` beside the folder of downloaded
            digits. One that is damaged there is trained anew.
        quiet: shows no progress.

    Raises:
        DataError: no digits, or they have no labels.
        ConfigError: an unknown source or device.
        OutputError: the cache cannot be written.
    """
    source = sources.load(digits)
    train, test = source.train.labels, source.test.labels
    if train is None or test is None:
        raise DataError(
            f"the digit source {source.name} has no labels, and a classifier cannot learn without"
        )
    if digit_size < 8:
        raise ConfigError(f"digits can be read from 8 pixels on, got digit_size {digit_size}")
    target = find_device(device)
    classes = int(train.max()) + 1
    folder = sources.cache_directory().parent / "classifiers" if cache is None else cache
    file = folder / f"{_key(source, digit_size, seed)}.safetensors"
    known = _read(file, classes, digit_size, target)
    if known is not None:
        return known
    require_writable(file)

    network = _trained(
        _pictures(digits, "train", digit_size, target), torch.tensor(train).long(), classes, seed, quiet
    )
    classifier = DigitClassifier(network, digit_size, accuracy=0.0)
    pictures = _pictures(digits, "test", digit_size, target)
    read = classifier.classify(_cut(pictures, _corners(_boxes(pictures), digit_size), digit_size) / 255)
    accuracy = float((read.argmax(-1) == test).mean())
    with replacing(file) as temporary:
        weights = {name: weight.cpu() for name, weight in network.state_dict().items()}
        temporary.write_bytes(save(weights | {"accuracy": torch.tensor(accuracy, dtype=torch.float64)}))
    return DigitClassifier(network, digit_size, accuracy)


def _key(source: sources.DigitSource, digit_size: int, seed: int) -> str:
    """Differs wherever another classifier would come out."""
    what = json.dumps([FORMAT, sorted(source.files.items()), digit_size, seed])
    return hashlib.sha256(what.encode()).hexdigest()[:32]


def _read(file: Path, classes: int, digit_size: int, device: torch.device) -> DigitClassifier | None:
    """The classifier in a file; None if there is none or it is damaged."""
    try:
        weights = load_file(file)
        accuracy = weights.pop("accuracy").item()
        with torch.device("meta"):  # draws no random weights only to replace them
            network = _Network(classes)
        network.load_state_dict(weights, assign=True)
    except (OSError, SafetensorError, KeyError, RuntimeError):
        return None
    return DigitClassifier(network.to(device).eval(), digit_size, accuracy)


def _pictures(digits: str, split: str, digit_size: int, device: torch.device) -> Tensor:
    """(M, digit_size, digit_size) uint8: the very pictures that moving digits are drawn with."""
    return torch.tensor(moving_objects._digit_pictures(digits, split == "test", digit_size), device=device)


def _trained(pictures: Tensor, labels: Tensor, classes: int, seed: int, quiet: bool) -> _Network:
    """Trains a network on pictures (M, side, side) uint8 with labels (M,)."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _Network(classes)
    network.to(pictures.device)
    centred = _corners(_boxes(pictures), pictures.shape[-1])
    affordable = _MOST_PIXELS // pictures[0].numel()
    examples = max(min(_MOST_EPOCHS * len(labels), affordable), _LEAST_EXAMPLES)
    steps = math.ceil(examples / _BATCH)
    optimizer = torch.optim.Adam(network.parameters(), lr=_LEARNING_RATE)
    with progress_bar(quiet=quiet) as progress:
        task = progress.add_task("digit classifier", total=steps, note="")
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = _LEARNING_RATE * schedules.cosine(step, steps, 0.0)
            chosen = torch.randint(len(labels), (_BATCH,), generator=generator)
            crops = _examples(pictures, centred, chosen, generator)
            wanted = F.one_hot(labels[chosen], classes).float()
            rubbish = slice(0, _BATCH // 8)
            crops[rubbish] = _unreadable(crops[rubbish], step, generator)
            wanted[rubbish] = 1 / classes
            loss = F.cross_entropy(network(crops), wanted.to(crops.device))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            progress.advance(task)
    return network.eval()


def _examples(pictures: Tensor, centred: Tensor, chosen: Tensor, generator: torch.Generator) -> Tensor:
    """Crops (n, side, side) in [0, 1] of digits as a model may predict them, every other with a neighbour.

    Args:
        pictures: (M, side, side) uint8.
        centred: (M, 2) top left corners (x, y) of the crops that have the digits in their middle.
        chosen: (n,) which pictures.
    """
    n, side, device = len(chosen), pictures.shape[-1], pictures.device
    shift = torch.randint(-_FARTHEST_SHIFT, _FARTHEST_SHIFT + 1, (n, 2), generator=generator).to(device)
    chosen = chosen.to(device)
    crops = _cut(pictures[chosen], centred[chosen] + shift, side)

    # A neighbour is so far to one side, left, right, above or below, that only its margin overlaps.
    far = torch.randint(math.ceil(0.6 * side), side, (n,), generator=generator)
    far = torch.where(torch.rand(n, generator=generator) < 0.5, far, -far)
    across = torch.randint(-side, side + 1, (n,), generator=generator)
    sideways = torch.rand(n, generator=generator) < 0.5
    offset = torch.where(sideways[:, None], torch.stack([far, across], 1), torch.stack([across, far], 1))
    other = torch.randint(len(pictures), (n,), generator=generator).to(device)
    neighbours = _cut(pictures[other], centred[other] + offset.to(device), side)
    neighbours[::2] = 0

    light = torch.empty(n, 1, 1).uniform_(_DIMMEST, 1, generator=generator).to(device)
    blur = side / 16 * torch.rand((), generator=generator).item()
    return light * _blurred(torch.maximum(crops, neighbours) / 255, blur)


def _unreadable(crops: Tensor, step: int, generator: torch.Generator) -> Tensor:
    """Pictures like crops (n, side, side) without a digit: by turns noise, blobs and torn strokes."""
    n, side, device = len(crops), crops.shape[-1], crops.device
    if step % 3 == 0:
        grain = side / 8 * torch.rand((), generator=generator).item()
        noise = _blurred(torch.rand(n, side, side, generator=generator).to(device), grain)
        low, high = noise.amin((-2, -1), keepdim=True), noise.amax((-2, -1), keepdim=True)
        return (noise - low) / (high - low)
    if step % 3 == 1:
        blobs = _blurred(crops, side / 6)
        return blobs / blobs.amax((-2, -1), keepdim=True).clamp(min=1e-6)
    # Each of 4x4 cells from another digit.
    places = torch.arange(side, device=device)
    cells = (places[:, None] * 4 // side) * 4 + places * 4 // side  # (side, side)
    owners = torch.randint(n, (n, 16), generator=generator).to(device)
    return crops[owners[:, cells], places[:, None], places]


def _blurred(crops: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of crops (n, h, w), black around them."""
    reach = math.ceil(3 * sigma)
    distance = torch.arange(-reach, reach + 1, device=crops.device)
    weights = torch.exp(-(distance**2) / (2 * max(sigma, 1e-3) ** 2))
    weights = weights / weights.sum()
    rows = F.conv2d(crops[:, None], weights[None, None, None, :], padding=(0, reach))
    return F.conv2d(rows, weights[None, None, :, None], padding=(reach, 0))[:, 0]


def _boxes(pictures: Tensor) -> Tensor:
    """(M, 4) box (x0, y0, x1, y1) of what passes the finder's threshold in pictures (M, h, w) uint8.

    A picture that nowhere passes it has its whole area for a box.
    """
    bright = pictures > THRESHOLD * 255
    bright |= ~bright.any(-1, keepdim=True).any(-2, keepdim=True)
    ends = []
    for along in (bright.any(-2), bright.any(-1)):  # columns, rows
        length = along.shape[-1]
        first = along.int().argmax(-1)
        behind = length - along.flip(-1).int().argmax(-1)
        ends.append((first, behind))
    (x0, x1), (y0, y1) = ends
    return torch.stack([x0, y0, x1, y1], -1)


def _corners(boxes: Tensor, side: int) -> Tensor:
    """(n, 2) top left corners (x, y) of squares of this side around the centres of boxes (n, 4)."""
    return (boxes[:, :2] + boxes[:, 2:] - side) // 2


def _cut(pictures: Tensor, corners: Tensor, side: int) -> Tensor:
    """A square (n, side, side) of each picture (n, h, w), black where it reaches out of the picture."""
    height, width = pictures.shape[-2:]
    framed = F.pad(pictures, (1, 1, 1, 1))
    places = torch.arange(1, side + 1, device=pictures.device)
    columns = (corners[:, :1] + places).clamp(0, width + 1)
    rows = (corners[:, 1:] + places).clamp(0, height + 1)
    each = torch.arange(len(pictures), device=pictures.device)[:, None, None]
    return framed[each, rows[:, :, None], columns[:, None, :]]
